"""Prediction intervals by conformal prediction: as wide as the errors on networks that were not learnt from.

Split conformal prediction (Vovk et al. 2005; Lei et al. 2018), by MAPIE: of the absolute errors on calibration
networks the ⌈(n + 1)·level⌉-th smallest is the margin. It covers a new network with at least that probability
where the new network and the calibration networks are exchangeable, whatever the predictor. Errors are taken
in scores (ranks), where they are alike for good and bad networks; turned into metric units the intervals are
narrow where many networks end alike and wide where few do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin

from aelle.embedding.transform import TargetTransform
from aelle.records import Metric

Bounded = tuple[np.ndarray, np.ndarray, np.ndarray]  # predicted, lower and upper, in metric units
_END = 0.35  # a tenth of the range of standardised ranks


class _Given(RegressorMixin, BaseEstimator):
    """A regressor whose prediction is its input: the networks have been predicted already."""

    fitted_ = True

    def fit(self, inputs: np.ndarray, targets: np.ndarray) -> _Given:
        """Learn nothing."""
        return self

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Return the input."""
        return np.asarray(inputs, dtype=float)[:, 0]


def conformal_interval(
    actual: np.ndarray, said: np.ndarray, predicted: np.ndarray, level: float, symmetric: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Give lower and upper bounds around predictions.

    Args:
        actual, said: (n,) outcomes of the calibration networks and what was predicted for them, by a
            predictor that had not learnt from them.
        predicted: (m,) predictions to put bounds around.
        level: probability with which the bounds are to cover.
        symmetric: one margin for both sides; else each side has its own, and half of what may be missed.

    Returns:
        (m,) and (m,); NaN where there are too few calibration networks to say (10 at 90 %; 20 unless symmetric).
    """
    tail = (1 - level) if symmetric else (1 - level) / 2
    if len(actual) * tail < 1 - 1e-9:
        return np.full(len(predicted), np.nan), np.full(len(predicted), np.nan)
    from mapie.conformity_scores import AbsoluteConformityScore
    from mapie.regression import SplitConformalRegressor

    conformal: Any = SplitConformalRegressor(
        _Given(), confidence_level=level, conformity_score=AbsoluteConformityScore(sym=symmetric), prefit=True
    )
    conformal.conformalize(np.asarray(said, float)[:, None], np.asarray(actual, float))
    _, bounds = conformal.predict_interval(np.asarray(predicted, float)[:, None])
    return bounds[:, 0, 0], bounds[:, 1, 0]


class Scale:
    """Targets in metric units ↔ scores beyond the range of the training targets, which an interval must leave.

    Inside the range it is the `TargetTransform`; beyond it the outermost tenth is drawn on in a straight line,
    but not over the natural limits of the metric: 0 and 1 for an accuracy, 0 for a loss or an error.
    """

    def __init__(self, target: TargetTransform) -> None:
        self.target = target
        self._scores, self._values = target.scores, target.metric.oriented(target.values)  # both ascending
        self._limits = natural_limits(target.metric, target.values)

    def score(self, targets: np.ndarray) -> np.ndarray:
        """Return scores, those of the ends drawn on for targets outside the training range."""
        oriented = self.target.metric.oriented(np.asarray(targets, float))
        score = np.interp(oriented, self._values, self._scores)
        for end, side in ((0, -1), (-1, 1)):
            beyond = side * (oriented - self._values[end])
            score = np.where(
                beyond > 0, self._scores[end] + side * beyond / max(self._slope(side), 1e-12), score
            )
        return score

    def clip(self, scores: np.ndarray) -> np.ndarray:
        """Keep predicted scores inside the training range, as predictions in metric units are."""
        return np.clip(scores, self._scores[0], self._scores[-1])

    def value(self, scores: np.ndarray) -> np.ndarray:
        """Return targets in metric units."""
        value = np.interp(scores, self._scores, self._values)
        for end, side in ((0, -1), (-1, 1)):
            beyond = np.maximum(side * (scores - self._scores[end]), 0.0)
            value = value + side * beyond * self._slope(side)
        return np.clip(self.target.metric.oriented(value), *self._limits)

    def bounds(self, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Turn bounds of scores into bounds in metric units, the lower one first."""
        ends = self.value(lower), self.value(upper)
        return ends if self.target.metric.higher_is_better else ends[::-1]

    def _slope(self, side: int) -> float:
        """Metric units per score at the bad (-1) or good (1) end."""
        end = self._scores[0] if side < 0 else self._scores[-1]
        inner = end - side * _END
        steepness = side * (
            np.interp(end, self._scores, self._values) - np.interp(inner, self._scores, self._values)
        )
        return float(steepness / _END)


def natural_limits(metric: Metric, seen: np.ndarray) -> tuple[float, float]:
    """Return what no value of the metric can pass, as far as its name, direction and values seen tell."""
    if metric.name.endswith("accuracy") and seen.min() >= 0 and seen.max() <= 1:
        return 0.0, 1.0
    return (0.0, np.inf) if not metric.higher_is_better and seen.min() >= 0 else (-np.inf, np.inf)


@dataclass(frozen=True)
class ScoreInterval:
    """Scores → values and intervals in metric units.

    Attributes:
        target: outcomes ↔ scores, of the training networks.
        actual, said: (n,) scores of the calibration networks, and what was said of them by a model that had
            not learnt from them.
        level: probability with which an interval is to cover.
    """

    target: TargetTransform
    actual: np.ndarray
    said: np.ndarray
    level: float

    def predict(self, scores: np.ndarray) -> Bounded:
        """Return predicted, lower and upper."""
        scale = Scale(self.target)
        clipped = scale.clip(scores)
        bounds = conformal_interval(self.actual, scale.clip(self.said), clipped, self.level)
        return self.target.invert(clipped), *scale.bounds(*bounds)


@dataclass(frozen=True)
class PlainInterval:
    """Intervals of a method that fits nothing: in metric units, since it may err to one side by any amount."""

    actual: np.ndarray  # outcomes of the calibration networks
    said: np.ndarray  # what was predicted for them
    level: float
    limits: tuple[float, float]  # that no value can pass

    def predict(self, values: np.ndarray) -> Bounded:
        """Return predicted, lower and upper."""
        lower, upper = conformal_interval(self.actual, self.said, values, self.level, symmetric=False)
        return values, np.clip(lower, *self.limits), np.clip(upper, *self.limits)


def as_frame(networks: pd.Index, predicted: Bounded) -> pd.DataFrame:
    """Set predicted, lower and upper beside each other, one row per network."""
    return pd.DataFrame(dict(zip(("predicted", "lower", "upper"), predicted, strict=True)), index=networks)
