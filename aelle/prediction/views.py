"""Views of the spectrum, and how much each counts, by every part of the head.

A view is a choice of channels on which an ensemble of autoencoders is fitted. The bare spectrum transfers best
between sizes and architectures and is enough where the learning rate is fixed; its change since the first
epoch and its temporal spread tell learning rates apart; growth backward from the readout adds more than either
(experiments/LOG.md). Each view is read by every part of the head: the network, extra-trees, gradient boosting.
How much each of these scores counts is found by stacking (Wolpert 1992): least squares with weights that are not
negative, on scores of networks that the scoring autoencoders had not seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from aelle.embedding.channels import recorded
from aelle.embedding.dataset import SpectraDataset

BARE = ("spectrum",)
WIDE = ("spectrum", "change", "temporal_std")
WITH_READOUT = (*WIDE, "readout_growth", "change_of_readout_growth")
_PARTS = 10  # of the networks that weights are learnt from, each left out once
_SHRINKAGE = 0.05  # towards equal weights: scores that are much alike are many, and the networks are few


def views_of(dataset: SpectraDataset) -> list[list[str]]:
    """Views as the experiment names them; with "auto" the three above, without channels that were not recorded."""
    asked = dataset.experiment.prediction.views
    if asked != "auto":
        return [list(view) for view in asked]
    found = {name for name in WITH_READOUT if recorded(dataset.spectra, name).any()}
    views = [[name for name in view if name in found] for view in (BARE, WIDE, WITH_READOUT)]
    return [view for i, view in enumerate(views) if view not in views[:i]]


def stacking_weights(said: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Weigh models by how well they say the scores of networks that they were not fitted to.

    Args:
        said: (n, models) out-of-fold scores.
        scores: (n,) the networks' own.

    Returns:
        (models,), not negative.
    """
    count = said.shape[1]
    ridge = np.sqrt(_SHRINKAGE * len(said))
    rows = np.concatenate([said, ridge * np.eye(count)])
    weights: np.ndarray = nnls(rows, np.concatenate([scores, np.full(count, ridge / count)]))[0]
    return weights


def cross_fitted(said: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Blend out-of-fold scores (n, models), each network by weights that follow from the others: (n,).

    With few networks the weights know the outcomes that they were fitted to; errors of scores blended by them
    would be too small to calibrate intervals on, and trees would trust such scores too much.
    """
    blended = np.empty(len(said))
    parts = np.arange(len(said)) % _PARTS
    for part in range(_PARTS):
        own = parts == part
        blended[own] = said[own] @ stacking_weights(said[~own], scores[~own])
    return blended


def blend(scored: pd.DataFrame, training: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    """Blend the scores by every view and part of one fold into one score a method, epoch and network.

    Args:
        scored: view, part, method, epoch, network (position), score; the training networks' scores are out of fold.
        training: boolean mask over the dataset's networks.
        scores: the networks' own scores; only those of the training networks are looked at.

    Returns:
        method, epoch, network, score; that of a training network by weights that it had no part in.
    """
    frames = []
    for (method, epoch), part in scored.groupby(["method", "epoch"], sort=False):
        table = part.pivot(index="network", columns=["view", "part"], values="score")
        networks = table.index.to_numpy()
        learnt = training[networks]
        said, own = table.to_numpy(), scores[networks[learnt]]
        score = said @ stacking_weights(said[learnt], own)
        score[learnt] = cross_fitted(said[learnt], own)
        frames.append(pd.DataFrame({"method": method, "epoch": epoch, "network": networks, "score": score}))
    return pd.concat(frames, ignore_index=True)


def readable(views: Sequence[Sequence[str]], spectra: pd.DataFrame, epochs: Sequence[int]) -> pd.Series:
    """Say which views can be read of each network: network_id → tuple of positions in `views`.

    Args:
        views: channels of each view.
        spectra: rows of `spectrum_rows` of new networks.
        epochs: those at which a network must have a view's channels.
    """
    rows = spectra[spectra["epoch"].isin(epochs)]
    there = pd.DataFrame(
        {
            place: np.logical_and.reduce([recorded(rows, name) for name in view])
            for place, view in enumerate(views)
        },
        index=rows["network_id"],
    )
    every = there.groupby(level=0).all()
    return every.apply(lambda row: tuple(int(place) for place in every.columns if row[place]), axis=1)
