"""The ladder of baselines that early prediction from spectra must beat, one function each.

A rung takes what is known of all networks at an epoch, the mask of the training networks and their scores
(standardised ranks, higher is better), and returns a prediction for every network: a value in metric units
where `in_metric_units`, else a score.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from aelle.prediction.known import Known

Rung = Callable[[Known, np.ndarray, np.ndarray, int], np.ndarray]
_LOWEST_EXPONENT = 0.002  # quantile of the training exponents at which a raw spectrum is floored


@dataclass(frozen=True)
class Method:
    """A rung with its name and what its inputs cost."""

    name: str
    predict: Rung
    in_metric_units: bool = False
    needs_training: bool = True  # up to the epoch at which it predicts
    needs_spectrum: bool = False


def last_value(known: Known, training: np.ndarray, scores: np.ndarray, seed: int) -> np.ndarray:
    """Return the latest validation metric as it stands."""
    return known.last_value


def curve(known: Known, training: np.ndarray, scores: np.ndarray, seed: int) -> np.ndarray:
    """Fit a support vector machine to the validation metric and the losses of all epochs so far."""
    return _fit_predict(_support_vectors(), known.curve, training, scores)


def hyperparameters(known: Known, training: np.ndarray, scores: np.ndarray, seed: int) -> np.ndarray:
    """Fit gradient boosting to the hyperparameters that vary."""
    return _fit_predict(_boosting(seed), known.hyperparameters, training, scores)


def weight_statistics(known: Known, training: np.ndarray, scores: np.ndarray, seed: int) -> np.ndarray:
    """Fit extra-trees to norms and quantiles of the weights, with architecture and size."""
    return _fit_predict(_trees(seed), known.weight_statistics, training, scores)


def leading_and_mean_exponent(
    known: Known, training: np.ndarray, scores: np.ndarray, seed: int
) -> np.ndarray:
    """Fit extra-trees to λ₁ and the mean exponent."""
    spectrum = _floored(known.spectrum, training)
    inputs = np.stack([spectrum[:, 0], spectrum.mean(axis=1)], axis=1)
    return _fit_predict(_trees(seed), inputs, training, scores)


def raw_spectrum(known: Known, training: np.ndarray, scores: np.ndarray, seed: int) -> np.ndarray:
    """Fit extra-trees to the resampled spectrum."""
    return _fit_predict(_trees(seed), _floored(known.spectrum, training), training, scores)


def _trees(seed: int) -> ExtraTreesRegressor:
    return ExtraTreesRegressor(150, min_samples_leaf=2, max_features=0.5, random_state=seed)


def _boosting(seed: int) -> GradientBoostingRegressor:
    return GradientBoostingRegressor(
        n_estimators=150, max_depth=3, learning_rate=0.06, subsample=0.7, random_state=seed
    )


def _support_vectors() -> SVR:
    return make_pipeline(StandardScaler(), SVR(C=1.0, epsilon=0.05))


def _fit_predict(
    regressor: object, inputs: np.ndarray, training: np.ndarray, scores: np.ndarray
) -> np.ndarray:
    """Fit on the training networks; inputs that a network lacks take the training median."""
    inputs = np.where(np.isfinite(inputs), inputs, np.nan)
    seen = ~np.isnan(inputs[training]).all(axis=0)
    if not seen.any():
        return np.zeros(len(inputs))
    model = make_pipeline(SimpleImputer(strategy="median"), regressor)
    model.fit(inputs[training][:, seen], scores)
    predicted: np.ndarray = model.predict(inputs[:, seen])
    return predicted


def _floored(spectrum: np.ndarray, training: np.ndarray) -> np.ndarray:
    values = spectrum[training]
    finite = values[values > -1e5]
    return np.maximum(spectrum, np.quantile(finite, _LOWEST_EXPONENT) if finite.size else 0.0)


BASELINES = (
    Method("last value", last_value, in_metric_units=True),
    Method("learning curve", curve),
    Method("hyperparameters only", hyperparameters, needs_training=False),
    Method("weight statistics", weight_statistics),
    Method("λ₁ and mean λ", leading_and_mean_exponent, needs_spectrum=True),
    Method("raw spectrum", raw_spectrum, needs_spectrum=True),
)
