"""The baselines that early prediction from spectra must beat: one method each, in the order of the ladder.

A regression is fitted on what it reads of the training networks at each epoch. An extrapolation takes a network's own
learning curve and fits nothing but its interval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from aelle.embedding.transform import TargetTransform
from aelle.prediction.inputs import (
    SIZE,
    Beside,
    Curves,
    FittedInput,
    Hyperparameters,
    Spectrum,
    WeightStatistics,
)
from aelle.prediction.intervals import PlainInterval, as_frame, natural_limits
from aelle.prediction.method import Source
from aelle.prediction.regression import CrossFitted, Fit, Model, trees
from aelle.prediction.table import Table

_BASELINE: Literal["baseline"] = "baseline"
_CURVE: frozenset[Source] = frozenset({"curve"})
_KNOWN: frozenset[Source] = frozenset({"curve", "hyperparameters"})
_SPECTRUM: frozenset[Source] = frozenset({"spectrum"})


@dataclass(frozen=True)
class Regression:
    """A method that fits a regressor to what it reads at each epoch.

    Attributes:
        inputs: fits the inputs on the training networks at an epoch.
        regressor: fits the regressor on them.
        level: probability with which its intervals are to cover.
        seed: of what is drawn.
    """

    name: str
    reads: frozenset[Source]
    inputs: Callable[[Table], FittedInput]
    regressor: Fit
    level: float
    seed: int
    first_epoch: int = 0
    family: Literal["AeLLE", "baseline"] = _BASELINE

    def fit(self, table: Table, networks: np.ndarray) -> FittedRegression:
        """Fit on the networks of the mask, as `Method.fit`."""
        training = table.of(networks)
        target = TargetTransform.fit(training.targets, training.diverged, training.metric)
        fitted: dict[int, tuple[FittedInput, CrossFitted]] = {}
        timeless: dict[bytes, int] = {}  # epochs at which the same is known of the same networks
        for epoch in (e for e in training.epochs if e >= self.first_epoch):
            known = training.up_to(epoch)
            present = known.predictable
            same = timeless.setdefault(present.tobytes(), epoch)
            if self.reads == {"hyperparameters"} and same in fitted:
                fitted[epoch] = fitted[same]
                continue
            known = known.of(present)
            inputs = self.inputs(known)
            regression = CrossFitted.fit(
                inputs.apply(known), target, known.targets, self.regressor, self.level, self.seed
            )
            fitted[epoch] = inputs, regression
        return FittedRegression(training, fitted)

    def load(self, folder: Path, training: Table) -> FittedRegression:
        """Fit anew, which gives the same."""
        return self.fit(training, np.ones(len(training), dtype=bool))


@dataclass(frozen=True)
class FittedRegression:
    """Inputs and a regression for each epoch."""

    training: Table
    epochs: dict[int, tuple[FittedInput, CrossFitted]]

    def predict(self, table: Table, networks: np.ndarray) -> pd.DataFrame:
        """Predict the networks of the mask, as `FittedMethod.predict`."""
        inputs, regression = self.epochs[table.epoch]
        table = table.of(networks)
        known = table.of(table.predictable)
        predicted = regression.predict(inputs.apply(known))
        return as_frame(known.networks.index, predicted).reindex(table.networks.index)

    def why_not(self, table: Table) -> dict[str, str]:
        """Say of each network that cannot be predicted why."""
        return table.why_not()

    def save(self, folder: Path) -> list[str]:
        """Write nothing: all is made anew from the training networks."""
        return []


@dataclass(frozen=True)
class Extrapolation:
    """A method that takes each network's validation metric so far and fits nothing.

    Attributes:
        extrapolate: from metrics (n, epochs so far), higher is better, and the final epoch to values (n,).
    """

    name: str
    extrapolate: Callable[[np.ndarray, int], np.ndarray]
    level: float
    first_epoch: int = 0
    reads: frozenset[Source] = _CURVE
    family: Literal["AeLLE", "baseline"] = _BASELINE

    def fit(self, table: Table, networks: np.ndarray) -> FittedExtrapolation:
        """Calibrate the intervals on the networks of the mask."""
        training = table.of(networks)
        intervals, worst = {}, {}
        for epoch in (e for e in training.epochs if e >= self.first_epoch):
            known = training.up_to(epoch)
            known = known.of(known.predictable)
            worst[epoch] = known.metric.worst(known.curve("val_metric"))
            limits = natural_limits(known.metric, training.targets)
            said = self.values(known, worst[epoch])
            intervals[epoch] = PlainInterval(known.targets, said, self.level, limits)
        return FittedExtrapolation(self, training, intervals, worst)

    def load(self, folder: Path, training: Table) -> FittedExtrapolation:
        """Calibrate anew, which gives the same."""
        return self.fit(training, np.ones(len(training), dtype=bool))

    def values(self, known: Table, worst: float) -> np.ndarray:
        """Extrapolate; a metric that is missing counts as the worst."""
        curve = known.curve("val_metric")
        oriented = known.metric.oriented(np.where(np.isnan(curve), worst, curve))
        return known.metric.oriented(self.extrapolate(oriented, known.final_epoch))


@dataclass(frozen=True)
class FittedExtrapolation:
    """An extrapolation with the intervals of each epoch."""

    method: Extrapolation
    training: Table
    intervals: dict[int, PlainInterval]
    worst: dict[int, float]  # metric of the training networks at each epoch

    def predict(self, table: Table, networks: np.ndarray) -> pd.DataFrame:
        """Predict the networks of the mask, as `FittedMethod.predict`."""
        table = table.of(networks)
        known = table.of(table.predictable)
        values = self.method.values(known, self.worst[table.epoch])
        predicted = self.intervals[table.epoch].predict(values)
        return as_frame(known.networks.index, predicted).reindex(table.networks.index)

    def why_not(self, table: Table) -> dict[str, str]:
        """Say of each network that cannot be predicted why."""
        return table.why_not()

    def save(self, folder: Path) -> list[str]:
        """Write nothing: all is made anew from the training networks."""
        return []


def baselines(length: int, level: float, seed: int) -> tuple[Regression | Extrapolation, ...]:
    """All baselines; spectra are resampled to `length` exponents, intervals are to cover with probability `level`."""

    def regression(
        name: str,
        reads: frozenset[Source],
        inputs: Callable[[Table], FittedInput],
        regressor: Fit,
        first_epoch: int = 0,
    ) -> Regression:
        return Regression(name, reads, inputs, regressor, level, seed, first_epoch)

    spectrum = Resampled(length)
    return (
        Extrapolation("last value", last_value, level),
        Extrapolation("best so far", best_so_far, level, first_epoch=1),
        regression("sum of training losses", _CURVE, TrainingLosses.fit, line, first_epoch=1),
        Extrapolation("power law", power_law, level, first_epoch=2),
        regression("learning curve", _CURVE, Curves.fit, support_vectors),
        regression("hyperparameters only", frozenset({"hyperparameters"}), Hyperparameters.fit, boosting),
        regression("curve + hyperparameters", _KNOWN, curve_and_hyperparameters, boosting),
        regression("weight statistics", frozenset({"weights"}), weights_and_size, trees),
        regression("λ₁ and mean λ", _SPECTRUM, LeadingAndMean(length).fit, trees),
        regression("raw spectrum", _SPECTRUM, spectrum.fit, trees),
        regression("PCA of the spectrum", _SPECTRUM, spectrum.fit, principal_components),
    )


# ---- inputs


@dataclass(frozen=True)
class Resampled:
    """Fits the resampled spectrum of one length."""

    length: int

    def fit(self, table: Table) -> Spectrum:
        """Fit it."""
        return Spectrum.fit(table, self.length)


@dataclass(frozen=True)
class LeadingAndMean:
    """λ₁ and the mean exponent."""

    length: int
    spectrum: Spectrum | None = None

    def fit(self, table: Table) -> LeadingAndMean:
        """Find the floor of the exponents."""
        return LeadingAndMean(self.length, Spectrum.fit(table, self.length))

    def apply(self, table: Table) -> np.ndarray:
        """Return (networks, 2)."""
        assert self.spectrum is not None, "not fitted"
        values = self.spectrum.apply(table)
        return np.stack([values[:, 0], values.mean(axis=1)], axis=1)


class TrainingLosses:
    """The sum of the training losses so far (Ru et al. 2021, "Speedy performance estimation")."""

    @classmethod
    def fit(cls, table: Table) -> TrainingLosses:
        """There is nothing to find."""
        return cls()

    def apply(self, table: Table) -> np.ndarray:
        """Return (networks, 1)."""
        return np.nansum(table.curve("train_loss"), axis=1)[:, None]


def curve_and_hyperparameters(table: Table) -> Beside:
    """The learning curve so far beside the hyperparameters."""
    return Beside((Curves.fit(table), Hyperparameters.fit(table)))


def weights_and_size(table: Table) -> Beside:
    """Weight statistics, with architecture and size."""
    return Beside((WeightStatistics.fit(table), Hyperparameters.fit(table, SIZE)))


# ---- regressors


def boosting(inputs: np.ndarray, scores: np.ndarray, seed: int) -> Model:
    """Gradient boosting."""
    model = GradientBoostingRegressor(
        n_estimators=150, max_depth=3, learning_rate=0.06, subsample=0.7, random_state=seed
    )
    return model.fit(inputs, scores)


def line(inputs: np.ndarray, scores: np.ndarray, seed: int) -> Model:
    """Least squares."""
    return LinearRegression().fit(inputs, scores)


def support_vectors(inputs: np.ndarray, scores: np.ndarray, seed: int) -> Model:
    """A support vector machine."""
    return make_pipeline(StandardScaler(), SVR(C=1.0, epsilon=0.05)).fit(inputs, scores)


def principal_components(inputs: np.ndarray, scores: np.ndarray, seed: int) -> Model:
    """Ridge regression on the eight leading principal components."""
    components = min(8, len(inputs) - 1, inputs.shape[1])
    model = make_pipeline(PCA(components), StandardScaler(), RidgeCV(np.logspace(-2, 4, 13)))
    return model.fit(inputs, scores)


# ---- extrapolations


def last_value(curve: np.ndarray, final_epoch: int) -> np.ndarray:
    """The latest metric as it stands."""
    return curve[:, -1]


def best_so_far(curve: np.ndarray, final_epoch: int) -> np.ndarray:
    """The best metric so far as it stands."""
    best: np.ndarray = curve.max(axis=1)
    return best


def power_law(curve: np.ndarray, final_epoch: int) -> np.ndarray:
    """Extrapolate each network's curve m(t) = a + b (t + 1)^-c to the final epoch.

    For each decay c of a grid from 0 to 4, a and b by least squares; the best of them, its grid refined. The value
    may not leave the range of the curve by more than the curve has moved.
    """
    low, high = curve.min(axis=1), curve.max(axis=1)
    decays = np.tile(np.linspace(0.04, 4, 100), (len(curve), 1))
    for step in (0.04, 0.0008, 0.0):
        t = np.log1p(np.arange(curve.shape[1]))
        basis = np.exp(-decays[..., None] * t)  # (networks, decays, epochs)
        centred = basis - basis.mean(axis=2, keepdims=True)
        moved = (curve - curve.mean(axis=1, keepdims=True))[:, None]
        slope = (centred * moved).sum(axis=2) / (centred**2).sum(axis=2)
        errors = ((moved - slope[..., None] * centred) ** 2).sum(axis=2)
        best = errors.argmin(axis=1)[:, None]
        decay, slope = np.take_along_axis(decays, best, 1), np.take_along_axis(slope, best, 1)
        if step:
            decays = np.maximum(decay + step * np.linspace(-1, 1, 101), 1e-3)
    level = curve.mean(axis=1) - slope[:, 0] * np.exp(-decay * t).mean(axis=1)
    value = level + slope[:, 0] * (final_epoch + 1.0) ** -decay[:, 0]
    return np.clip(value, low - (high - low), high + (high - low))
