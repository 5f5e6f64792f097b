"""The baselines that early prediction from spectra must beat: one method each, in the order of the ladder.

A baseline is fitted apart at each epoch, on the training networks that have a spectrum there. A regression reads some
inputs; an extrapolation takes a network's own learning curve, and fits nothing but its interval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

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
    LeadingAndMean,
    Spectrum,
    TrainingLosses,
    WeightStatistics,
)
from aelle.prediction.intervals import Bounded, PlainInterval, as_frame, natural_limits
from aelle.prediction.method import Source
from aelle.prediction.regression import CrossFitted, Fit, Model, trees
from aelle.prediction.table import Table


class AtEpoch(Protocol):
    """A baseline that was fitted for one epoch."""

    def predict(self, known: Table) -> Bounded:
        """Predict all networks of a table up to that epoch."""
        ...


@dataclass(frozen=True)
class Baseline:
    """A method that is fitted apart at each epoch.

    Attributes:
        fit_at: fits it on the training networks that are known at an epoch, given the scale of their outcomes.
    """

    name: str
    reads: frozenset[Source]
    fit_at: Callable[[Table, TargetTransform], AtEpoch]
    first_epoch: int = 0
    family: Literal["AeLLE", "baseline"] = "baseline"

    def fit(self, table: Table, networks: np.ndarray) -> FittedBaseline:
        """Fit on the networks of the mask, as `Method.fit`."""
        training = table.of(networks)
        target = TargetTransform.fit(training.targets, training.diverged, training.metric)
        fitted: dict[int, AtEpoch] = {}
        timeless: dict[bytes, AtEpoch] = {}  # by the networks that have a spectrum
        for epoch in (e for e in training.epochs if e >= self.first_epoch):
            known = training.up_to(epoch)
            present = known.predictable
            key = present.tobytes()
            if key not in timeless or self.reads != {"hyperparameters"}:
                timeless[key] = self.fit_at(known.of(present), target)
            fitted[epoch] = timeless[key]
        return FittedBaseline(training, fitted)

    def load(self, folder: Path, training: Table) -> FittedBaseline:
        """Fit anew, which gives the same."""
        return self.fit(training, np.ones(len(training), dtype=bool))


@dataclass(frozen=True)
class FittedBaseline:
    """A baseline, fitted for each epoch."""

    training: Table
    at_epoch: dict[int, AtEpoch]

    def predict(self, table: Table, networks: np.ndarray) -> pd.DataFrame:
        """Predict the networks of the mask, as `FittedMethod.predict`."""
        table = table.of(networks)
        known = table.of(table.predictable)
        found = as_frame(known.networks.index, self.at_epoch[table.epoch].predict(known))
        return found.reindex(table.networks.index)

    def why_not(self, table: Table) -> dict[str, str]:
        """Say of each network that cannot be predicted why."""
        return table.why_not()

    def save(self, folder: Path) -> list[str]:
        """Write nothing: all is made anew from the training networks."""
        return []


@dataclass(frozen=True)
class Regression:
    """A regression of scores on inputs."""

    inputs: FittedInput
    regression: CrossFitted

    def predict(self, known: Table) -> Bounded:
        """Predict all networks of the table."""
        return self.regression.predict(self.inputs.apply(known))


@dataclass(frozen=True)
class Extrapolation:
    """Each network's validation metric so far, carried on; a metric that is missing counts as the worst."""

    extrapolate: Callable[
        [np.ndarray, int], np.ndarray
    ]  # metrics, higher is better, and the final epoch → values
    worst: float
    interval: PlainInterval | None = None

    def values(self, known: Table) -> np.ndarray:
        """Carry the metrics of all networks on."""
        curve = known.curve("val_metric")
        oriented = known.metric.oriented(np.where(np.isnan(curve), self.worst, curve))
        return known.metric.oriented(self.extrapolate(oriented, known.final_epoch))

    def predict(self, known: Table) -> Bounded:
        """Predict all networks of the table."""
        assert self.interval is not None, "not calibrated"
        return self.interval.predict(self.values(known))


def regression(
    name: str,
    reads: set[Source],
    inputs: Callable[[Table], FittedInput],
    fit: Fit,
    *,
    level: float,
    seed: int,
    first_epoch: int = 0,
) -> Baseline:
    """A baseline that fits a regressor to inputs; its intervals are to cover with probability `level`."""
    return Baseline(name, frozenset(reads), partial(_regress, inputs, fit, level, seed), first_epoch)


def _regress(
    inputs: Callable[[Table], FittedInput],
    fit: Fit,
    level: float,
    seed: int,
    known: Table,
    target: TargetTransform,
) -> Regression:
    fitted = inputs(known)
    return Regression(fitted, CrossFitted.fit(fitted.apply(known), target, known.targets, fit, level, seed))


def extrapolation(
    name: str, extrapolate: Callable[[np.ndarray, int], np.ndarray], *, level: float, first_epoch: int = 0
) -> Baseline:
    """A baseline that carries learning curves on; its intervals are to cover with probability `level`."""
    return Baseline(name, frozenset({"curve"}), partial(_carry_on, extrapolate, level), first_epoch)


def _carry_on(
    extrapolate: Callable[[np.ndarray, int], np.ndarray], level: float, known: Table, target: TargetTransform
) -> Extrapolation:
    plain = Extrapolation(extrapolate, known.metric.worst(known.curve("val_metric")))
    limits = natural_limits(known.metric, target.values)
    interval = PlainInterval(known.targets, plain.values(known), level, limits)
    return Extrapolation(extrapolate, plain.worst, interval)


def baselines(length: int, level: float, seed: int) -> tuple[Baseline, ...]:
    """All baselines; spectra are resampled to `length` exponents."""
    fitted = partial(regression, level=level, seed=seed)
    spectrum = partial(Spectrum.fit, length=length)
    return (
        extrapolation("last value", last_value, level=level),
        extrapolation("best so far", best_so_far, level=level, first_epoch=1),
        fitted("sum of training losses", {"curve"}, TrainingLosses.fit, line, first_epoch=1),
        extrapolation("power law", power_law, level=level, first_epoch=2),
        fitted("learning curve", {"curve"}, Curves.fit, support_vectors),
        fitted("hyperparameters only", {"hyperparameters"}, Hyperparameters.fit, boosting),
        fitted("curve + hyperparameters", {"curve", "hyperparameters"}, curve_and_hyperparameters, boosting),
        fitted("weight statistics", {"weights"}, weights_and_size, trees),
        fitted("λ₁ and mean λ", {"spectrum"}, partial(LeadingAndMean.fit, length=length), trees),
        fitted("raw spectrum", {"spectrum"}, spectrum, trees),
        fitted("PCA of the spectrum", {"spectrum"}, spectrum, principal_components),
    )


def curve_and_hyperparameters(table: Table) -> Beside:
    """The learning curve so far beside the hyperparameters."""
    return Beside((Curves.fit(table), Hyperparameters.fit(table)))


def weights_and_size(table: Table) -> Beside:
    """Weight statistics, with architecture and size."""
    return Beside((WeightStatistics.fit(table), Hyperparameters.fit(table, SIZE)))


# ---- regressors


def boosting(inputs: np.ndarray, scores: np.ndarray, seed: int) -> Model:
    """Gradient boosting; twice the trees at a lower rate say no more once five of these are averaged."""
    model = GradientBoostingRegressor(
        n_estimators=75, max_depth=3, learning_rate=0.08, subsample=0.7, random_state=seed
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
