"""Predict every network from folds that do not contain it, in parallel over folds, views and epochs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import joblib  # type: ignore[import-untyped]
import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold
from tqdm import tqdm

from aelle.embedding.dataset import MINIMUM_NETWORKS, SpectraDataset
from aelle.embedding.optimise import single_threaded
from aelle.prediction.errors import PredictionError
from aelle.prediction.intervals import with_intervals
from aelle.prediction.jobs import (
    Job,
    aelle_job,
    aelle_predictions,
    baseline_job,
    blended_views,
    pairs,
    stacking_job,
)
from aelle.prediction.views import views_of


def cross_validate(
    dataset: SpectraDataset, *, progress: bool = False, folds: np.ndarray | None = None
) -> tuple[pd.DataFrame, dict[tuple[int, str], float]]:
    """Predict every network's target, with an interval, from folds that do not contain it.

    An interval is calibrated on networks of the other folds, by predictions from models that saw neither
    these nor the fold that is predicted. `folds` gives each network's fold, by default `assign_folds`.

    Returns:
        predictions (method, epoch, network_id, fold, actual, predicted, lower, upper), in metric units, lower
        and upper NaN where there are too few networks or folds to calibrate on; and the seconds that fitting
        took, by (epoch, method), summed over the folds, without what was fitted for the intervals alone.
    """
    epochs = prediction_epochs(dataset)
    folds = assign_folds(dataset) if folds is None else folds
    numbers = np.unique(folds).tolist()
    # The autoencoders take longest and so go first, widest view first; the baselines fill the gaps.
    views = sorted(views_of(dataset), key=len, reverse=True)
    jobs = [
        joblib.delayed(aelle_job)(dataset, folds, fold, place, view)
        for place, view in enumerate(views)
        for fold in numbers
    ]
    without = [(fold,) for fold in numbers] + pairs(numbers)
    jobs += [joblib.delayed(baseline_job)(dataset, folds, out, epochs) for out in without]
    workers = dataset.experiment.training.workers or joblib.cpu_count()
    done = _run(jobs, workers, progress)
    count = len(views) * len(numbers)
    scored = pd.concat([frame for frame, _ in done[:count]], ignore_index=True)
    scored = blended_views(dataset, folds, scored[scored["epoch"].isin(epochs)])
    stacking = [
        joblib.delayed(stacking_job)(dataset, folds, fold, at, scored[scored["fold"] == fold])
        for fold in numbers
        for at in epochs
    ]
    stacked = _run(stacking, workers, progress)
    frames = [aelle_predictions(dataset, folds, scored), *(f for f, _ in [*done[count:], *stacked])]
    predicted = with_intervals(dataset, folds, pd.concat(frames, ignore_index=True))
    return _named(dataset, predicted), _sum_seconds((seconds for _, seconds in [*done, *stacked]), epochs)


def _named(dataset: SpectraDataset, predicted: pd.DataFrame) -> pd.DataFrame:
    """Name the networks and set the outcomes beside what was predicted."""
    network = predicted["network"].to_numpy()
    named = predicted.assign(
        network_id=dataset.networks.index.to_numpy()[network], actual=dataset.targets[network]
    )
    columns = ["method", "epoch", "network_id", "fold", "actual", "predicted", "lower", "upper"]
    return named[columns].sort_values(["epoch", "method", "network_id"], ignore_index=True)


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


def _run(jobs: list[Any], workers: int, progress: bool) -> list[Job]:
    """Run jobs in single-threaded processes, or in this one where there is one worker."""
    parallel = joblib.parallel_config(backend="loky", inner_max_num_threads=1)
    with parallel if workers > 1 else single_threaded():
        running = joblib.Parallel(n_jobs=workers, return_as="generator")(jobs)
        return list(
            tqdm(running, total=len(jobs), desc="predict", unit="fit", disable=not progress, leave=False)
        )


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
