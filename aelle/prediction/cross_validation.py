"""Predict every network from folds that do not contain it, in parallel over folds, views and epochs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import joblib  # type: ignore[import-untyped]
import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold
from tqdm import tqdm

from aelle.embedding.dataset import MINIMUM_NETWORKS, SpectraDataset
from aelle.embedding.optimise import single_threaded
from aelle.embedding.transform import TargetTransform
from aelle.prediction import early
from aelle.prediction.errors import PredictionError
from aelle.prediction.known import Known, known_at
from aelle.prediction.ladder import BASELINES

# Scores (method, epoch, network, fold, score) and the seconds they took by (epoch, method).
_Job = tuple[pd.DataFrame, dict[tuple[int | None, str], float]]


def cross_validate(
    dataset: SpectraDataset, *, progress: bool = False
) -> tuple[pd.DataFrame, dict[tuple[int, str], float]]:
    """Predict every network's target from folds that do not contain it.

    Returns:
        predictions (method, epoch, network_id, fold, actual, predicted), in metric units; and the seconds
        that fitting took, by (epoch, method), summed over the folds.
    """
    epochs = prediction_epochs(dataset)
    folds = assign_folds(dataset)
    fold_numbers = np.unique(folds).tolist()
    setting = dataset.experiment.prediction
    # The autoencoders take longest and so go first, widest view first; the baselines fill the gaps.
    views = sorted(setting.views, key=len, reverse=True)
    jobs = [joblib.delayed(_aelle_job)(dataset, folds, fold, view) for view in views for fold in fold_numbers]
    jobs += [
        joblib.delayed(_baseline_job)(dataset, folds, fold, at) for fold in fold_numbers for at in epochs
    ]
    workers = dataset.experiment.training.workers or joblib.cpu_count()
    done = _run(jobs, workers, progress)
    scored = pd.concat([frame for frame, _ in done[: len(views) * len(fold_numbers)]], ignore_index=True)
    stacking = [
        joblib.delayed(_stacking_job)(dataset, folds, fold, at, scored[scored["fold"] == fold])
        for fold in fold_numbers
        for at in epochs
    ]
    done += _run(stacking, workers, progress)
    scores = pd.concat([_held_out(frame, folds) for frame, _ in done], ignore_index=True)
    return _in_metric_units(dataset, folds, scores, epochs), _sum_seconds((s for _, s in done), epochs)


def _groups(dataset: SpectraDataset, column: str) -> np.ndarray:
    """Make every architecture or size a fold of its own."""
    values, groups = np.unique(dataset.networks[column].to_numpy(), return_inverse=True)
    for group in range(len(values)):
        finished = int((~dataset.diverged & (groups != group)).sum())
        if finished < MINIMUM_NETWORKS:
            raise PredictionError(
                f"leaving {column} {values[group]} out leaves {finished} finished networks to learn from; "
                f"at least {MINIMUM_NETWORKS} are needed"
            )
    return groups


def _run(jobs: list[Any], workers: int, progress: bool) -> list[_Job]:
    """Run jobs in single-threaded processes, or in this one where there is one worker."""
    parallel = joblib.parallel_config(backend="loky", inner_max_num_threads=1)
    with parallel if workers > 1 else single_threaded():
        running = joblib.Parallel(n_jobs=workers, return_as="generator")(jobs)
        return list(
            tqdm(running, total=len(jobs), desc="predict", unit="fit", disable=not progress, leave=False)
        )


def _held_out(scores: pd.DataFrame, folds: np.ndarray) -> pd.DataFrame:
    """Keep the scores of each fold's held-out networks."""
    return scores[folds[scores["network"]] == scores["fold"]]


def _in_metric_units(
    dataset: SpectraDataset, folds: np.ndarray, scores: pd.DataFrame, epochs: list[int]
) -> pd.DataFrame:
    """Average the views and turn scores into metric units by each fold's own target scale."""
    keys = ["method", "epoch", "network", "fold"]
    scores = scores[scores["epoch"].isin(epochs)].groupby(keys)["score"].mean().reset_index()
    predicted = scores["score"].to_numpy(copy=True)
    plain = scores["method"].isin([method.name for method in BASELINES if method.in_metric_units])
    for fold in np.unique(folds):
        chosen = ((scores["fold"] == fold) & ~plain).to_numpy()
        predicted[chosen] = _target_of(dataset, folds != fold).invert(predicted[chosen])
    network = scores["network"].to_numpy()
    return pd.DataFrame(
        {
            "method": scores["method"],
            "epoch": scores["epoch"],
            "network_id": dataset.networks.index.to_numpy()[network],
            "fold": scores["fold"],
            "actual": dataset.targets[network],
            "predicted": predicted,
        }
    ).sort_values(["epoch", "method", "network_id"], ignore_index=True)


def prediction_epochs(dataset: SpectraDataset) -> list[int]:
    """Epochs at which to predict: those asked for, or every one with spectra of at least 20 networks.

    Raises:
        PredictionError: for an epoch that was asked for and holds too few spectra, or if none remains.
    """
    counts = dict(zip(*np.unique(dataset.spectra["epoch"].to_numpy(), return_counts=True), strict=True))
    enough = [int(epoch) for epoch, count in counts.items() if count >= MINIMUM_NETWORKS]
    asked = dataset.experiment.prediction.epochs
    for epoch in asked:
        if epoch not in enough:
            raise PredictionError(
                f"epoch {epoch} has spectra of {counts.get(epoch, 0)} networks, at least {MINIMUM_NETWORKS} are needed; "
                f"epochs with enough: {', '.join(map(str, enough)) or 'none'}"
            )
    if not enough:
        raise PredictionError(f"no epoch has spectra of at least {MINIMUM_NETWORKS} networks")
    return sorted(set(asked)) or enough


def assign_folds(dataset: SpectraDataset) -> np.ndarray:
    """Give every network a fold; diverged networks are spread evenly, unless whole groups are left out.

    Raises:
        PredictionError: where fewer networks finished than two a fold, or there is no second group.
    """
    setting = dataset.experiment.prediction
    if setting.leave_out != "network":
        return _groups(dataset, setting.leave_out)
    folds = setting.folds
    finished = int((~dataset.diverged).sum())
    if finished < 2 * folds:
        raise PredictionError(
            f"only {finished} of {len(dataset.networks)} networks finished; {folds} folds need at least {2 * folds}"
        )
    # A class smaller than the number of folds cannot be stratified; it then goes with the others.
    few = dataset.diverged.sum() < folds
    stratum = np.zeros(len(dataset.networks), int) if few else dataset.diverged.astype(int)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=dataset.experiment.seed)
    assigned = np.empty(len(dataset.networks), dtype=int)
    for fold, (_, held_out) in enumerate(splitter.split(stratum, stratum)):
        assigned[held_out] = fold
    return assigned


def _aelle_job(dataset: SpectraDataset, folds: np.ndarray, fold: int, view: list[str]) -> _Job:
    """One fold and view of AeLLE at all epochs, since the epoch is an input."""
    started = time.perf_counter()
    setting = dataset.experiment.prediction
    frame = early.score_fold(dataset, folds != fold, view, setting.ensemble, _seed(dataset, fold))
    elapsed = time.perf_counter() - started
    return frame.assign(fold=fold), {(None, name): elapsed for name in early.HEADS}


def _baseline_job(dataset: SpectraDataset, folds: np.ndarray, fold: int, epoch: int) -> _Job:
    """All baselines of one fold at one epoch."""
    known, in_training, targets = _fold_inputs(dataset, folds, fold, epoch)
    frames: list[pd.DataFrame] = []
    seconds: dict[tuple[int | None, str], float] = {}
    for method in (m for m in BASELINES if epoch >= m.first_epoch):
        started = time.perf_counter()
        score = method.predict(known, in_training, targets, _seed(dataset, fold))
        seconds[epoch, method.name] = time.perf_counter() - started
        frames.append(_scores(known, method.name, fold, score))
    return pd.concat(frames, ignore_index=True), seconds


def _stacking_job(
    dataset: SpectraDataset, folds: np.ndarray, fold: int, epoch: int, scored: pd.DataFrame
) -> _Job:
    """AeLLE + curve + hyperparameters of one fold at one epoch."""
    started = time.perf_counter()
    known, in_training, targets = _fold_inputs(dataset, folds, fold, epoch)
    score = early.score_with_curve(known, scored, in_training, targets, _seed(dataset, fold))
    name = early.AELLE_WITH_CURVE
    return _scores(known, name, fold, score), {(epoch, name): time.perf_counter() - started}


def _fold_inputs(
    dataset: SpectraDataset, folds: np.ndarray, fold: int, epoch: int
) -> tuple[Known, np.ndarray, np.ndarray]:
    """What is known at an epoch, the mask of the training networks in it, and their target scores."""
    known = known_at(dataset, epoch)
    in_training = folds[known.network] != fold
    target = _target_of(dataset, folds != fold)
    return known, in_training, target.apply(dataset.targets[known.network[in_training]])


def _scores(known: Known, method: str, fold: int, score: np.ndarray) -> pd.DataFrame:
    columns = {"method": method, "epoch": known.epoch, "network": known.network, "fold": fold, "score": score}
    return pd.DataFrame(columns)


def _target_of(dataset: SpectraDataset, training: np.ndarray) -> TargetTransform:
    return TargetTransform.fit(dataset.targets[training], dataset.diverged[training], dataset.metric)


def _seed(dataset: SpectraDataset, fold: int) -> int:
    return 1000 * dataset.experiment.seed + int(fold)


def _sum_seconds(
    parts: Iterator[dict[tuple[int | None, str], float]], epochs: list[int]
) -> dict[tuple[int, str], float]:
    """Sum over folds; what was fitted once for all epochs counts in full at each."""
    total: dict[tuple[int, str], float] = {}
    for part in parts:
        for (epoch, name), seconds in part.items():
            for at in epochs if epoch is None else [epoch]:
                total[at, name] = total.get((at, name), 0.0) + seconds
    return total
