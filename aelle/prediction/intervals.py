"""Prediction intervals by conformal prediction: as wide as the errors on networks that were not learnt from.

Split conformal prediction (Vovk et al. 2005; Lei et al. 2018), by MAPIE: of the absolute errors on calibration
networks the ⌈(n + 1)·level⌉-th smallest is the margin. It covers a new network with at least that probability
where the new network and the calibration networks are exchangeable, whatever the predictor. Errors are taken
in scores (ranks), where they are alike for good and bad networks; turned into metric units the intervals are
narrow where many networks end alike and wide where few do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin

from aelle.embedding.dataset import SpectraDataset
from aelle.embedding.transform import TargetTransform
from aelle.prediction.ladder import BASELINES
from aelle.records import Metric

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


def coverage_and_width(actual: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> tuple[float, float]:
    """Share of outcomes inside their interval, and the intervals' mean width; NaN where there are none."""
    known = np.isfinite(lower) & np.isfinite(upper)
    if not known.any():
        return float("nan"), float("nan")
    inside = (actual >= lower) & (actual <= upper)
    return float(inside[known].mean()), float((upper - lower)[known].mean())


def with_intervals(dataset: SpectraDataset, folds: np.ndarray, rows: pd.DataFrame) -> pd.DataFrame:
    """Give the predictions among rows of the cross-validation their intervals, fold by fold.

    Args:
        dataset, folds: networks with outcomes, and their folds.
        rows: method, epoch, network, fold, predicted (metric units), for_interval.

    Returns:
        the rows that are not `for_interval`, with lower and upper.
    """
    level = dataset.experiment.prediction.interval
    unfitted = {method.name for method in BASELINES if method.in_metric_units}
    frames = []
    for (name, _), part in rows.groupby(["method", "epoch"], sort=False):
        predictions = part[~part["for_interval"]]
        for fold, mine in predictions.groupby("fold"):
            if name in unfitted:
                others = predictions[predictions["fold"] != fold]
                lower, upper = _plain_interval(dataset, folds != fold, others, mine, level)
            else:
                others = part[part["for_interval"] & (part["fold"] == fold)]
                lower, upper = _score_interval(dataset, folds != fold, others, mine, level)
            frames.append(mine.assign(lower=lower, upper=upper))
    return pd.concat(frames, ignore_index=True).drop(columns="for_interval")


def _score_interval(
    dataset: SpectraDataset, training: np.ndarray, others: pd.DataFrame, mine: pd.DataFrame, level: float
) -> tuple[np.ndarray, np.ndarray]:
    target = TargetTransform.fit(dataset.targets[training], dataset.diverged[training], dataset.metric)
    scale = Scale(target)
    actual = scale.score(dataset.targets[others["network"].to_numpy(int)])
    said, predicted = (target.apply(frame["predicted"].to_numpy(float)) for frame in (others, mine))
    return scale.bounds(*conformal_interval(actual, said, predicted, level))


def _plain_interval(
    dataset: SpectraDataset, training: np.ndarray, others: pd.DataFrame, mine: pd.DataFrame, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Of a method that fits nothing: in metric units, since it may err to one side by any amount."""
    actual = dataset.targets[others["network"].to_numpy(int)]
    said, predicted = (frame["predicted"].to_numpy(float) for frame in (others, mine))
    limits = natural_limits(dataset.metric, dataset.targets[training])
    lower, upper = conformal_interval(actual, said, predicted, level, symmetric=False)
    return np.clip(lower, *limits), np.clip(upper, *limits)
