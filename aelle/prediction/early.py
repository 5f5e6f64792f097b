"""Early spectra → predicted final metric: AeLLE on the held-out networks of one fold.

The training networks of a fold are cut into as many parts as the ensemble has members; each part stops one
member early and the other parts train it. A held-out network's score is the mean over the members of a view,
blended over the views (`aelle.prediction.views`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from aelle.embedding.dataset import SpectraDataset
from aelle.embedding.members import FittedMembers, Split, fit_members, validation_splits
from aelle.prediction.known import Known
from aelle.prediction.ladder import with_aelle_scores

AELLE = "AeLLE"
AELLE_IN_CONTEXT = "AeLLE + architecture/size"
AELLE_WITH_CURVE = "AeLLE + curve + hyperparameters"
HEADS = (AELLE, AELLE_IN_CONTEXT)
METHODS = (*HEADS, AELLE_WITH_CURVE)


def score_fold(
    dataset: SpectraDataset, training: np.ndarray, view: Sequence[str], ensemble: int, seed: int
) -> pd.DataFrame:
    """Fit an ensemble on one view of the training networks and score all networks at every epoch.

    Returns:
        as `scores_by`.
    """
    splits = validation_splits(training, ensemble, seed)
    settings = dataset.experiment.autoencoder.model_copy(update={"channels": list(view)})
    return scores_by(fit_members(dataset, splits, settings, seed), dataset, training, splits)


def scores_by(
    members: FittedMembers, dataset: SpectraDataset, training: np.ndarray, splits: Sequence[Split]
) -> pd.DataFrame:
    """Score all networks at every epoch by the members that did not learn from them.

    Both heads are trained with the encoder and judged on networks that neither saw. The head that also sees
    architecture and size is no second stage on top of finished latents: the latents of training networks
    know their labels, and a regressor fitted to them would trust them too much.

    Returns:
        one row a method, part of the head and spectrum: method, part, epoch, network (position), score. A
        training network's score is out of fold: it comes from the one member that did not train on it.
    """
    network = dataset.spectra["network"].to_numpy()
    by_parts = members.predict_by_parts(dataset.spectra, dataset.networks.iloc[network])
    # Rows are weighed member by member: validation rows by their own member, held-out rows by all alike.
    weight = np.stack([split.validation | ~training for split in splits])[:, network].astype(float)
    rows = dataset.spectra[["epoch", "network"]]
    return pd.concat(
        [
            rows.assign(method=name, part=part, score=np.average(scores, axis=0, weights=weight))
            for part, heads in by_parts.items()
            for name, scores in zip(HEADS, heads.numpy(), strict=True)
        ],
        ignore_index=True,
    )


def score_with_curve(
    known: Known, scored: pd.DataFrame, training: np.ndarray, scores: np.ndarray, seed: int
) -> np.ndarray:
    """Score all networks known at an epoch from AeLLE's scores of that fold, curve and hyperparameters."""
    at_epoch = scored[scored["epoch"] == known.epoch]
    aelle = at_epoch.pivot_table(index="network", columns="method", values="score").loc[
        known.network, list(HEADS)
    ]
    return with_aelle_scores(known, aelle.to_numpy(), training, scores, seed)
