"""A Ray Tune stopper that ends trials whose network, by its Lyapunov spectrum, will not end well.

    def trainable(config):
        ...
        watch = aelle.SpectrumWatch(lstm, inputs, "/shared/latch/predictor")
        for epoch in range(epochs + 1):
            ...
            tune.report({"accuracy": accuracy, "spectrum": watch(epoch).as_dict()})

    stopper = SpectrumStopper("/shared/latch/predictor", quantile=0.5)
    tune.Tuner(trainable, run_config=tune.RunConfig(stop=stopper)).fit()

Tune runs trials in folders of their own: give paths in full.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from aelle.integrations.rule import (
    IntegrationError,
    PredictsFinalMetric,
    PruningRule,
    Verdict,
    as_prediction,
    require_fit,
)
from aelle.prediction.predictor import Predictor
from aelle.records import best_of

try:
    from ray.tune import Stopper
except ImportError as error:  # pragma: no cover
    raise ImportError("the stopper needs Ray Tune; install it with: pip install 'aelle[ray]'") from error

_log = logging.getLogger(__name__)


class SpectrumStopper(Stopper):
    """Stop a trial where its predicted final metric is worse than a bar, by the rule of `PruningRule`.

    The prediction reaches the stopper as `"spectrum": watch(epoch).as_dict()` in what the trial reports; a
    result without one stops nothing. Verdicts that stopped trials stand in `stopped`, by trial id, and in
    the log.

    Args:
        predictor: a `Predictor`, or the folder that holds one: gives the bar.
        metric: the reported value whose best so far is a bar where `beat_best`; must be the predictor's metric.
        quantile: the bar is this quantile of the final metrics of the predictor's training networks, worst
            first; None for no such bar.
        beat_best: the best `metric` that any trial has reported is a bar too.
        first_epoch: the earliest epoch at which to stop.
        by: "interval" stops where even the promising end of the interval is worse than the bar, "predicted"
            where the prediction itself is.
        mode: "max" or "min", as Tune's; checked against the predictor's metric where given.

    Raises:
        IntegrationError: for settings that cannot be, or a mode that is not the metric's.
    """

    def __init__(
        self,
        predictor: PredictsFinalMetric | str | Path,
        *,
        metric: str | None = None,
        quantile: float | None = 0.5,
        beat_best: bool = False,
        first_epoch: int = 0,
        by: Literal["interval", "predicted"] = "interval",
        mode: str | None = None,
    ) -> None:
        self._predictor = Predictor.load(predictor) if isinstance(predictor, str | Path) else predictor
        self._rule = PruningRule(quantile, beat_best, first_epoch, by)
        if mode not in (None, "max", "min"):
            raise IntegrationError(f'mode must be "max" or "min", got {mode!r}')
        require_fit(self._predictor, higher_is_better=None if mode is None else mode == "max")
        if beat_best and metric is None:
            raise IntegrationError("beat_best needs the name of the reported metric")
        self._metric = metric
        self._best: float | None = None
        self.stopped: dict[str, Verdict] = {}

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Judge a trial by its latest result."""
        verdict = self._judge(result)
        self._note_metric(result)
        if verdict is not None and verdict.stop:
            self.stopped[trial_id] = verdict
            _log.info("trial %s %s", trial_id, verdict.reason)
        return verdict is not None and verdict.stop

    def stop_all(self) -> bool:
        """Never end the whole experiment."""
        return False

    def _judge(self, result: Mapping[str, Any]) -> Verdict | None:
        found = as_prediction(result.get("spectrum"))
        if found is None:
            return None
        if found["predicted"] is None:  # diverged, or an epoch at which the predictor says nothing
            return Verdict(bool(found["stop"]), int(found["epoch"]), str(found["reason"]))
        return self._rule.judge(found, self._predictor, self._best)

    def _note_metric(self, result: Mapping[str, Any]) -> None:
        if self._metric is None:
            return
        if self._metric not in result:
            reported = ", ".join(sorted(str(name) for name in result))
            raise IntegrationError(f"trials do not report {self._metric!r}; they report {reported}")
        self._best = best_of((self._best, float(result[self._metric])), self._predictor.higher_is_better)
