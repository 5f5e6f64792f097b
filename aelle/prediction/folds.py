"""Which networks are held out together, and at which epochs predictions are made."""

from __future__ import annotations

import numpy as np
from sklearn.model_selection import StratifiedKFold

from aelle.embedding.dataset import MINIMUM_NETWORKS, SpectraDataset
from aelle.prediction.errors import PredictionError


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
