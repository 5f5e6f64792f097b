"""When a predicted interval says that a network is not worth going on with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Protocol

import pandas as pd


class IntegrationError(ValueError):
    """A predictor, network or setting that does not fit; the message says what would be right."""


class PredictsFinalMetric(Protocol):
    """What is needed of a predictor; `aelle.prediction.predictor.Predictor` is one."""

    @property
    def task(self) -> str:
        """The task whose networks it was fitted on."""
        ...

    @property
    def metric_name(self) -> str:
        """Name of the metric it predicts."""
        ...

    @property
    def higher_is_better(self) -> bool:
        """Direction of the metric."""
        ...

    @property
    def spectrum_state(self) -> str:
        """State convention of the spectra it reads: "full" or "hidden"."""
        ...

    @property
    def epochs(self) -> tuple[int, ...]:
        """The epochs at which it can predict."""
        ...

    @property
    def level(self) -> float:
        """Probability with which its intervals are to cover."""
        ...

    def predict(self, rows: pd.DataFrame, epoch: int, *, explain: bool = True) -> pd.DataFrame:
        """One row a network: network_id, epoch, predicted, lower, upper, percentile, why, warning."""
        ...

    def quantile(self, share: float) -> float:
        """The metric that this share of the training networks does not surpass, the worst ones first."""
        ...


@dataclass(frozen=True)
class Verdict:
    """Whether to stop a network, and why.

    Attributes:
        stop: whether to.
        epoch: epochs of training the network has had.
        reason: one sentence, with the interval where there is one.
        predicted, lower, upper: final validation metric with its interval; None where none was predicted.
        percentile: of `predicted` among the final metrics of the predictor's training networks, 0 to 100.
        why: what moved the prediction and what to beware of, as the predictor says it.
    """

    stop: bool
    epoch: int
    reason: str
    predicted: float | None = None
    lower: float | None = None
    upper: float | None = None
    percentile: float | None = None
    why: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON, an Optuna trial or a Ray result."""
        return asdict(self)


def as_prediction(found: object) -> Mapping[str, Any] | None:
    """What a watch left with a trial (`Verdict.as_dict`); None for nothing, and for what others left by that name."""
    wanted = {field.name for field in fields(Verdict)}
    return found if isinstance(found, Mapping) and wanted <= set(found) else None


@dataclass(frozen=True)
class PruningRule:
    """Stop a network whose predicted final metric is worse than a bar.

    By "interval", only where the whole interval is: even its promising end, the upper one where higher is
    better. That stops few networks that would have ended well. By "predicted", where the prediction itself is:
    for a search that can draw other networks instead.

    Attributes:
        quantile: the bar is this quantile of the final metrics of the predictor's training networks, the
            worst ones first: 0.5 is their median, 0.9 what only a tenth surpassed. None for no such bar.
        beat_best: the best metric that the search has reached so far is a bar too.
        first_epoch: the earliest epoch at which to stop.
        by: "interval" or "predicted".
    """

    quantile: float | None = 0.5
    beat_best: bool = False
    first_epoch: int = 0
    by: Literal["interval", "predicted"] = "interval"

    def __post_init__(self) -> None:
        if self.quantile is not None and not 0 <= self.quantile <= 1:
            raise IntegrationError(f"quantile must lie between 0 and 1, or be None, got {self.quantile!r}")
        if self.quantile is None and not self.beat_best:
            raise IntegrationError(
                "a rule without a quantile and without beat_best would never stop anything"
            )
        if self.by not in ("interval", "predicted"):
            raise IntegrationError(f'by must be "interval" or "predicted", got {self.by!r}')
        if self.first_epoch < 0:
            raise IntegrationError(f"first_epoch must not be negative, got {self.first_epoch}")

    def judge(
        self, prediction: Mapping[Any, Any], predictor: PredictsFinalMetric, best: float | None = None
    ) -> Verdict:
        """Judge one row of `Predictor.predict`; `best` is the best metric that the search has reached."""
        epoch, higher = int(prediction["epoch"]), predictor.higher_is_better
        why = "; ".join(str(prediction[key]) for key in ("why", "warning") if prediction.get(key))
        predicted, lower, upper = (float(prediction[key]) for key in ("predicted", "lower", "upper"))
        promising = upper if higher else lower
        if not math.isfinite(promising):
            return Verdict(
                False, epoch, f"goes on at epoch {epoch}: nothing can be predicted ({why})", why=why
            )
        found = f"final {predictor.metric_name} predicted at {predicted:.4g}, "
        found += f"{predictor.level:.0%} interval [{lower:.4g}, {upper:.4g}]"
        bars = self._bars(predictor, best)
        judged = promising if self.by == "interval" else predicted
        missed = [words for bar, words in bars if (judged < bar if higher else judged > bar)]
        stop = bool(missed) and epoch >= self.first_epoch
        if stop:
            where = f"{'stays' if self.by == 'interval' else 'is'} {'below' if higher else 'above'}"
            reason = f"stopped at epoch {epoch}: {found} {where} {missed[0]}"
        else:
            reason = f"goes on at epoch {epoch}: {found}"
        return Verdict(stop, epoch, reason, predicted, lower, upper, float(prediction["percentile"]), why)

    def _bars(self, predictor: PredictsFinalMetric, best: float | None) -> Iterable[tuple[float, str]]:
        if self.beat_best and best is not None and math.isfinite(best):
            yield best, f"{best:.4g}, the best so far"
        if self.quantile is not None:
            bar = predictor.quantile(self.quantile)
            yield bar, f"{bar:.4g}, the {self.quantile:g} quantile of the predictor's training networks"


def require_fit(
    predictor: PredictsFinalMetric,
    *,
    task: str | None = None,
    metric_name: str | None = None,
    higher_is_better: bool | None = None,
    spectrum_state: str | None = None,
    look: str | None = None,
) -> None:
    """Check a predictor against what it is to be used on; None leaves a point unchecked.

    Raises:
        IntegrationError: naming the first point in which they differ.
    """
    points = (
        ("task", predictor.task, task),
        ("metric", predictor.metric_name, metric_name),
        ("direction of the metric", _direction(predictor.higher_is_better), _direction(higher_is_better)),
        ("state convention of the spectrum", predictor.spectrum_state, spectrum_state),
        ("[spectrum] look", look_of(predictor), look),
    )
    for what, learnt, asked in points:
        if asked is not None and asked != learnt:
            raise IntegrationError(
                f"the predictor was fitted with the {what} {learnt!r} and cannot be used with {asked!r}; "
                "fit one on records of the same kind"
            )


def look_of(predictor: PredictsFinalMetric) -> str:
    """What a predictor reads, "full" spectra or "economy" looks; full spectra where it does not say."""
    return str(getattr(predictor, "look", "full"))


def _direction(higher_is_better: bool | None) -> str | None:
    return None if higher_is_better is None else ("maximize" if higher_is_better else "minimize")
