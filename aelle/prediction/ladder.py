"""The ladder of baselines that early prediction from spectra must beat, one function each.

A rung takes what is known of all networks at an epoch, the mask of the training networks and their scores
(standardised ranks, higher is better), and returns a prediction for every network: a value in metric units
where `in_metric_units`, else a score.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import OptimizeWarning, curve_fit
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from aelle.embedding.trees import extra_trees, parameters_unchecked
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
    first_epoch: int = 0  # before it the rung has no input of its own


def last_value(known: Known, training: np.ndarray, scores: np.ndarray, seed: int) -> np.ndarray:
    """Return the latest validation metric as it stands."""
    return known.last_value


def best_so_far(known: Known, training: np.ndarray, scores: np.ndarray, seed: int) -> np.ndarray:
    """Return the best validation metric so far as it stands."""
    return known.best_so_far


def training_losses(known: Known, training: np.ndarray, scores: np.ndarray, seed: int) -> np.ndarray:
    """Fit a line to the sum of the training losses so far (Ru et al. 2021, "Speedy performance estimation")."""
    return _fit_predict(LinearRegression(), known.training_losses[:, None], training, scores)


def power_law(known: Known, training: np.ndarray, scores: np.ndarray, seed: int) -> np.ndarray:
    """Extrapolate each network's own metric curve m(t) = a + b (t + 1)^-c to the final epoch."""
    predicted = known.last_value.copy()  # nothing is learnt from the training networks
    for network in np.flatnonzero(~training):
        predicted[network] = _extrapolate(known.metric_curve[network], known.final_epoch)
    return predicted


def curve_and_hyperparameters(
    known: Known, training: np.ndarray, scores: np.ndarray, seed: int
) -> np.ndarray:
    """Fit gradient boosting to the learning curve and the hyperparameters."""
    return _fit_predict(_boosting(seed), known.curve_and_hyperparameters, training, scores)


def curve(known: Known, training: np.ndarray, scores: np.ndarray, seed: int) -> np.ndarray:
    """Fit a support vector machine to the validation metric and the losses of all epochs so far."""
    return _fit_predict(_support_vectors(), known.curve, training, scores)


def hyperparameters(known: Known, training: np.ndarray, scores: np.ndarray, seed: int) -> np.ndarray:
    """Fit gradient boosting to the hyperparameters that vary."""
    return _fit_predict(_boosting(seed), known.hyperparameters, training, scores)


def weight_statistics(known: Known, training: np.ndarray, scores: np.ndarray, seed: int) -> np.ndarray:
    """Fit extra-trees to norms and quantiles of the weights, with architecture and size."""
    return _fit_predict(trees(seed), known.weight_statistics, training, scores)


def leading_and_mean_exponent(
    known: Known, training: np.ndarray, scores: np.ndarray, seed: int
) -> np.ndarray:
    """Fit extra-trees to λ₁ and the mean exponent."""
    spectrum = _floored(known.spectrum, training)
    inputs = np.stack([spectrum[:, 0], spectrum.mean(axis=1)], axis=1)
    return _fit_predict(trees(seed), inputs, training, scores)


def raw_spectrum(known: Known, training: np.ndarray, scores: np.ndarray, seed: int) -> np.ndarray:
    """Fit extra-trees to the resampled spectrum."""
    return _fit_predict(trees(seed), _floored(known.spectrum, training), training, scores)


def principal_components(known: Known, training: np.ndarray, scores: np.ndarray, seed: int) -> np.ndarray:
    """Fit ridge regression to the eight leading principal components of the resampled spectrum."""
    components = min(8, int(training.sum()) - 1, known.spectrum.shape[1])
    model = make_pipeline(PCA(components), StandardScaler(), RidgeCV(np.logspace(-2, 4, 13)))
    return _fit_predict(model, _floored(known.spectrum, training), training, scores)


def with_aelle_scores(
    known: Known, aelle: np.ndarray, training: np.ndarray, scores: np.ndarray, seed: int
) -> np.ndarray:
    """Fit extra-trees to AeLLE's scores (n, heads), the learning curve and the hyperparameters.

    The scores of the training networks must be out of fold, else the trees trust them too much.
    """
    inputs = np.concatenate([aelle, known.curve_and_hyperparameters], axis=1)
    return _fit_predict(trees(seed), inputs, training, scores)


def _extrapolate(curve: np.ndarray, final_epoch: int) -> float:
    """Fit a power law by least squares; where none fits, the last value stands."""
    epochs = np.arange(len(curve), dtype=float)
    spread = float(np.ptp(curve))
    if spread == 0:
        return float(curve[-1])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OptimizeWarning)
            # The decay may not turn round, and the curve may not leave its range by more than it has moved.
            (a, b, c), _ = curve_fit(
                lambda t, a, b, c: a + b * (t + 1) ** -c,
                epochs,
                curve,
                p0=(curve[-1], curve[0] - curve[-1], 1.0),
                bounds=([curve.min() - spread, -4 * spread, 0], [curve.max() + spread, 4 * spread, 4]),
                max_nfev=200,
            )
    except RuntimeError:
        return float(curve[-1])
    return float(a + b * (final_epoch + 1) ** -c)


def trees(seed: int) -> ExtraTreesRegressor:
    """Extra-trees for a few hundred networks."""
    return extra_trees(100, seed)


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
    with parameters_unchecked():
        model.fit(inputs[training][:, seen], scores)
        predicted: np.ndarray = model.predict(inputs[:, seen])
    return predicted


def _floored(spectrum: np.ndarray, training: np.ndarray) -> np.ndarray:
    values = spectrum[training]
    finite = values[values > -1e5]
    return np.maximum(spectrum, np.quantile(finite, _LOWEST_EXPONENT) if finite.size else 0.0)


BASELINES = (
    Method("last value", last_value, in_metric_units=True),
    Method("best so far", best_so_far, in_metric_units=True, first_epoch=1),
    Method("sum of training losses", training_losses, first_epoch=1),
    Method("power law", power_law, in_metric_units=True, first_epoch=2),
    Method("learning curve", curve),
    Method("hyperparameters only", hyperparameters, needs_training=False),
    Method("curve + hyperparameters", curve_and_hyperparameters),
    Method("weight statistics", weight_statistics),
    Method("λ₁ and mean λ", leading_and_mean_exponent, needs_spectrum=True),
    Method("raw spectrum", raw_spectrum, needs_spectrum=True),
    Method("PCA of the spectrum", principal_components, needs_spectrum=True),
)
