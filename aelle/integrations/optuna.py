"""An Optuna pruner that stops trials whose network, by its Lyapunov spectrum, will not end well.

    predictor = Predictor.load("artifacts/latch/predictor")
    study = optuna.create_study(direction="maximize", pruner=SpectrumPruner(predictor, quantile=0.5))

    def objective(trial):
        ...
        watch = aelle.SpectrumWatch(lstm, inputs, predictor)
        for epoch in range(epochs + 1):
            ...
            report(trial, watch(epoch, val_metric=accuracy))
            if trial.should_prune():
                raise optuna.TrialPruned()
        return accuracy

A spectrum before training, and Optuna's own pruner after it, go together as
`SpectrumPruner(predictor, quantile=0.67, by="predicted", wrapped_pruner=SuccessiveHalvingPruner())` with
`report(trial, watch(0))` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from aelle.integrations.rule import PredictsFinalMetric, PruningRule, Verdict, as_prediction, require_fit
from aelle.prediction.predictor import Predictor
from aelle.records import best_of

try:
    import optuna
except ImportError as error:  # pragma: no cover
    raise ImportError("the pruner needs Optuna; install it with: pip install 'aelle[optuna]'") from error

PREDICTION = "spectrum"  # the trial's user attribute that holds its latest prediction
REASON = "pruned_because"  # and the one that says why it was pruned


def report(trial: optuna.trial.Trial, verdict: Verdict) -> None:
    """Leave a watch's prediction with a trial, for the pruner to find; `trial.report` stays as it is."""
    trial.set_user_attr(PREDICTION, verdict.as_dict())


class SpectrumPruner(optuna.pruners.BasePruner):
    """Prune a trial where its predicted final metric is worse than a bar, by the rule of `PruningRule`.

    The prediction reaches the pruner by `report(trial, watch(epoch))`; a trial without one is not pruned.
    Why a trial was pruned, with the interval, stands in its user attribute "pruned_because".

    Args:
        predictor: a `Predictor`, or the folder that holds one: gives the bar.
        quantile: the bar is this quantile of the final metrics of the predictor's training networks, worst
            first; None for no such bar.
        beat_best: the best value of the study's complete trials is a bar too.
        first_epoch: the earliest epoch at which to prune.
        by: "interval" prunes where even the promising end of the interval is worse than the bar, "predicted"
            where the prediction itself is.
        wrapped_pruner: asked about what the spectrum lets pass.

    Raises:
        IntegrationError: for settings that cannot be, and, when pruning, for a study whose direction is not
            the metric's.
    """

    def __init__(
        self,
        predictor: PredictsFinalMetric | str | Path,
        *,
        quantile: float | None = 0.5,
        beat_best: bool = False,
        first_epoch: int = 0,
        by: Literal["interval", "predicted"] = "interval",
        wrapped_pruner: optuna.pruners.BasePruner | None = None,
    ) -> None:
        self._predictor = Predictor.load(predictor) if isinstance(predictor, str | Path) else predictor
        self._rule = PruningRule(quantile, beat_best, first_epoch, by)
        self._wrapped_pruner = wrapped_pruner or optuna.pruners.NopPruner()

    def prune(self, study: optuna.study.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Judge the trial by the prediction it carries."""
        maximise = study.direction == optuna.study.StudyDirection.MAXIMIZE
        require_fit(self._predictor, higher_is_better=maximise)
        found = as_prediction(trial.user_attrs.get(PREDICTION))
        if found is not None:
            verdict = self._judge(study, found)
            if verdict.stop:
                # As Optuna's own pruners do: the trial passed in is a copy.
                study._storage.set_trial_user_attr(trial._trial_id, REASON, verdict.reason)
                return True
        return self._wrapped_pruner.prune(study, trial)

    def _judge(self, study: optuna.study.Study, found: Mapping[str, Any]) -> Verdict:
        if found["predicted"] is None:  # diverged, or an epoch at which the predictor says nothing
            return Verdict(bool(found["stop"]), int(found["epoch"]), str(found["reason"]))
        complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
        best = best_of((trial.value for trial in complete), self._predictor.higher_is_better)
        return self._rule.judge(found, self._predictor, best)
