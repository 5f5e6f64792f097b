"""Views of the spectrum, and how much each counts, by every part of the head.

A view is a choice of channels on which an ensemble of autoencoders is fitted. The bare spectrum transfers best
between sizes and architectures and is enough where the learning rate is fixed; its change since the first
epoch and its temporal spread tell learning rates apart; growth backward from the readout adds more than either
(experiments/LOG.md). Each view is read by every part of the head: the network, extra-trees, gradient boosting.
How much each of these scores counts is found by stacking (Wolpert 1992): least squares with weights that are not
negative, on scores of networks that the scoring autoencoders had not seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from scipy.optimize import nnls

from aelle.embedding.channels import recorded
from aelle.prediction.table import Table

BARE = ("spectrum",)
WIDE = ("spectrum", "change", "temporal_std")
WITH_READOUT = (*WIDE, "readout_growth", "change_of_readout_growth")
_PARTS = 10  # of the networks that weights are learnt from, each left out once
_SHRINKAGE = 0.05  # towards equal weights: scores that are much alike are many, and the networks are few


def views_of(asked: Literal["auto"] | Sequence[Sequence[str]], table: Table) -> list[list[str]]:
    """Views as they were asked for; "auto" takes the three above, without channels that were not recorded."""
    if asked != "auto":
        return [list(view) for view in asked]
    found = {name for name in WITH_READOUT if recorded(table.spectra, name).any()}
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
    """Blend out-of-fold scores (n, models, heads), each network by weights that follow from the others: (n, heads).

    With few networks the weights know the outcomes that they were fitted to; errors of scores blended by them
    would be too small to calibrate intervals on, and trees would trust such scores too much.
    """
    blended = np.empty((len(said), said.shape[2]))
    parts = np.arange(len(said)) % _PARTS
    for part in range(_PARTS):
        own = parts == part
        blended[own] = blend(said[own], blend_weights(said[~own], scores[~own]))
    return blended


def blend(said: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Blend scores (n, models, heads) by weights (models, heads): (n, heads)."""
    blended: np.ndarray = np.einsum("nmh,mh->nh", said, weights)
    return blended


def blend_weights(said: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Weigh models (n, models, heads) for each head by itself: (models, heads)."""
    return np.stack([stacking_weights(said[..., head], scores) for head in range(said.shape[2])], axis=1)


def readable(views: Sequence[Sequence[str]], table: Table, epochs: Iterable[int]) -> list[tuple[int, ...]]:
    """Say for each network which views can be read of it, as positions in `views`.

    Args:
        views: channels of each view.
        table: the networks.
        epochs: those at which a network must have a view's channels.
    """
    names = list(dict.fromkeys(name for view in views for name in view))
    there = {name: np.ones(len(table), dtype=bool) for name in names}
    for epoch in epochs:
        rows = table.spectra[table.spectra["epoch"] == epoch]
        for name in names:
            found = np.zeros(len(table), dtype=bool)
            found[rows["network"]] = recorded(rows, name)
            there[name] &= found
    return [
        tuple(place for place, view in enumerate(views) if all(there[name][i] for name in view))
        for i in range(len(table))
    ]
