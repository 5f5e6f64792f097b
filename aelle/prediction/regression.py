"""A regressor on training networks' scores, with the interval of what it says of others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from aelle.embedding.forest import Forest
from aelle.embedding.transform import TargetTransform
from aelle.embedding.trees import parameters_unchecked
from aelle.prediction.intervals import Bounded, ScoreInterval

PARTS = 5  # each left out once
_LARGEST = 1e30  # trees take inputs in single precision


class Model(Protocol):
    """What a regressor becomes when it is fitted."""

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Return the score of every row."""
        ...


Fit = Callable[[np.ndarray, np.ndarray, int], Model]  # of inputs (n, columns), scores (n,) and a seed


@dataclass(frozen=True)
class CompleteRegression:
    """A model whose inputs are complete: what a network lacks takes the training median."""

    seen: np.ndarray  # columns in which some training network has a value
    medians: np.ndarray
    model: Model | None  # None where there is no such column

    @classmethod
    def fit(cls, inputs: np.ndarray, scores: np.ndarray, fit: Fit, seed: int) -> Self:
        """Fit on inputs (n, columns), NaN or infinite where something is missing, and scores (n,)."""
        inputs = np.where(np.isfinite(inputs), inputs, np.nan)
        seen = ~np.isnan(inputs).all(axis=0)
        if not seen.any():
            return cls(seen, np.empty(0), None)
        medians = np.nanmedian(inputs[:, seen], axis=0)
        with parameters_unchecked():
            return cls(seen, medians, fit(_filled(inputs[:, seen], medians), scores, seed))

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Score every row; the training mean where nothing was learnt."""
        if self.model is None:
            return np.zeros(len(inputs))
        with parameters_unchecked():
            return self.model.predict(_filled(inputs[:, self.seen], self.medians))


@dataclass(frozen=True)
class CrossFitted:
    """A regression that calibrates itself: the mean of several, each of which left out one part of the networks.

    What each says of the part that it left out calibrates the interval of the mean. The mean errs less than
    each of them, so the interval errs to the safe side.
    """

    regressions: list[CompleteRegression]
    interval: ScoreInterval

    @classmethod
    def fit(
        cls,
        inputs: np.ndarray,
        target: TargetTransform,
        targets: np.ndarray,
        fit: Fit,
        level: float,
        seed: int,
    ) -> Self:
        """Fit on inputs (n, columns) and targets (n,) in metric units."""
        scores = target.apply(targets)
        said = np.empty(len(scores))
        parts = np.random.default_rng(seed).permutation(len(scores)) % PARTS
        regressions = []
        for part in range(PARTS):
            own = parts == part
            regressions.append(CompleteRegression.fit(inputs[~own], scores[~own], fit, seed + part))
            said[own] = regressions[-1].predict(inputs[own])
        return cls(regressions, ScoreInterval(target, scores, said, level))

    def predict(self, inputs: np.ndarray) -> Bounded:
        """Return predicted, lower and upper in metric units."""
        return self.interval.predict(np.mean([r.predict(inputs) for r in self.regressions], axis=0))


def trees(inputs: np.ndarray, scores: np.ndarray, seed: int) -> Model:
    """Extra-trees for a few hundred networks, a share of a hundred."""
    return Forest.extra_trees(inputs, scores, 100 // PARTS, seed)


def _filled(inputs: np.ndarray, medians: np.ndarray) -> np.ndarray:
    return np.clip(np.where(np.isfinite(inputs), inputs, medians), -_LARGEST, _LARGEST)
