"""The pieces of a cross-validation, each run in a process of its own.

Every piece gives rows (method, epoch, network, fold, predicted, for_interval), in metric units: predictions of
the networks of a fold by models that did not see it; and, where `for_interval`, predictions of other networks
by models that saw neither them nor the fold, from which that fold's intervals are calibrated.
"""

from __future__ import annotations

import itertools
import time

import numpy as np
import pandas as pd

from aelle.embedding.dataset import SpectraDataset
from aelle.embedding.transform import TargetTransform
from aelle.prediction import early
from aelle.prediction.known import Known, known_at
from aelle.prediction.ladder import BASELINES
from aelle.prediction.views import blend

# Rows, and the seconds they took by (epoch, method); None for all epochs at once.
Job = tuple[pd.DataFrame, dict[tuple[int | None, str], float]]


def pairs(folds: list[int]) -> list[tuple[int, ...]]:
    """Pair every fold with every other: a model without both calibrates the one on the other, and the reverse.

    Each fold is thus calibrated on all others. Two folds leave nothing to learn from.
    """
    return list(itertools.combinations(folds, 2)) if len(folds) > 2 else []


def aelle_job(dataset: SpectraDataset, folds: np.ndarray, fold: int, place: int, view: list[str]) -> Job:
    """One fold and view of AeLLE at all epochs, since the epoch is an input; scores, not metric units."""
    started = time.perf_counter()
    setting = dataset.experiment.prediction
    frame = early.score_fold(dataset, folds != fold, view, setting.ensemble, _seed(dataset, fold))
    elapsed = time.perf_counter() - started
    return frame.assign(fold=fold, view=place), {(None, name): elapsed for name in early.HEADS}


def blended_views(dataset: SpectraDataset, folds: np.ndarray, scored: pd.DataFrame) -> pd.DataFrame:
    """Blend the views' scores fold by fold, by weights that the fold's training networks give."""
    frames = []
    for fold, part in scored.groupby("fold"):
        training = folds != fold
        scores = target_of(dataset, training).apply(dataset.targets)
        frames.append(blend(part, training, scores).assign(fold=fold))
    return pd.concat(frames, ignore_index=True)


def aelle_predictions(dataset: SpectraDataset, folds: np.ndarray, scored: pd.DataFrame) -> pd.DataFrame:
    """Turn AeLLE's scores into predictions; a training network's score is of a member that did not learn it."""
    frames = []
    for fold, part in scored.groupby("fold"):
        predicted = target_of(dataset, folds != fold).invert(part["score"].to_numpy(float))
        own = folds[part["network"]] == fold
        frames.append(part.drop(columns="score").assign(predicted=predicted, for_interval=~own))
    return pd.concat(frames, ignore_index=True)


def baseline_job(dataset: SpectraDataset, folds: np.ndarray, out: tuple[int, ...], epochs: list[int]) -> Job:
    """All baselines, fitted without one fold to predict it, or without two to calibrate each on the other."""
    frames: list[pd.DataFrame] = []
    seconds: dict[tuple[int | None, str], float] = {}
    timeless: dict[tuple[str, bytes], np.ndarray] = {}
    training = ~np.isin(folds, out)
    target = target_of(dataset, training)
    for epoch in epochs:
        known = known_at(dataset, epoch)
        learnt_from = training[known.network]
        scores = target.apply(dataset.targets[known.network[learnt_from]])
        for method in (m for m in BASELINES if epoch >= m.first_epoch):
            if len(out) > 1 and method.in_metric_units:
                continue  # nothing is fitted, so its predictions of other folds calibrate it
            started = time.perf_counter()
            key = (method.name, known.network.tobytes())
            if key not in timeless:
                predicted = method.predict(known, learnt_from, scores, _seed(dataset, out[0]))
                if not method.in_metric_units:
                    predicted = target.invert(predicted)
            else:
                predicted = timeless[key]
            if not method.needs_training and not method.needs_spectrum:
                timeless[key] = predicted  # the same at every epoch
            if len(out) == 1:
                seconds[epoch, method.name] = time.perf_counter() - started
            frames += _left_out(known, folds, out, method.name, predicted)
    return pd.concat(frames, ignore_index=True), seconds


def _left_out(
    known: Known, folds: np.ndarray, out: tuple[int, ...], method: str, predicted: np.ndarray
) -> list[pd.DataFrame]:
    """Keep what a model said of the folds it was fitted without; of two, each goes to the other's interval."""
    frames = []
    for fold, other in zip(out, out[::-1], strict=True):
        chosen = folds[known.network] == fold
        frames.append(_rows(known, method, chosen, predicted[chosen], other, for_interval=len(out) > 1))
    return frames


def stacking_job(
    dataset: SpectraDataset, folds: np.ndarray, fold: int, epoch: int, scored: pd.DataFrame
) -> Job:
    """AeLLE + curve + hyperparameters of one fold at one epoch; the other folds calibrate it."""
    started = time.perf_counter()
    known, target = known_at(dataset, epoch), target_of(dataset, folds != fold)
    own, name = folds[known.network], early.AELLE_WITH_CURVE
    every = np.unique(folds).tolist()
    beside = [other for other in every if other != fold] if len(every) > 2 else []
    frames, seconds = [], 0.0
    for other in [fold, *beside]:
        learnt_from = (own != fold) & (own != other)
        scores = target.apply(dataset.targets[known.network[learnt_from]])
        said = early.score_with_curve(known, scored, learnt_from, scores, _seed(dataset, fold))
        chosen = own == other
        predicted = target.invert(said[chosen])
        frames.append(_rows(known, name, chosen, predicted, fold, for_interval=other != fold))
        seconds = seconds or time.perf_counter() - started
    return pd.concat(frames, ignore_index=True), {(epoch, name): seconds}


def _rows(
    known: Known, method: str, chosen: np.ndarray, predicted: np.ndarray, fold: int, for_interval: bool
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "method": method,
            "epoch": known.epoch,
            "network": known.network[chosen],
            "fold": fold,
            "predicted": predicted,
            "for_interval": for_interval,
        }
    )


def target_of(dataset: SpectraDataset, training: np.ndarray) -> TargetTransform:
    """Fit the scale of the target on training networks."""
    return TargetTransform.fit(dataset.targets[training], dataset.diverged[training], dataset.metric)


def _seed(dataset: SpectraDataset, fold: int) -> int:
    return 1000 * dataset.experiment.seed + int(fold)
