"""Trees on what the encoder sees, as a second head beside the network's: extra-trees and gradient boosting.

Trees are insensitive to the scale of their inputs and to the useless ones among them, and with some hundred
networks they use the channels better than a network does; the latent space is what they do not give. The mean
of the network's head and both kinds of trees is better than each of them (experiments/LOG.md). Grown by
scikit-learn, kept as plain arrays, so that a checkpoint holds them without pickle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from sklearn.ensemble import GradientBoostingRegressor

from aelle.embedding.trees import extra_trees, parameters_unchecked

KINDS = ("extra_trees", "boosting")
_FEWEST_ROWS = 10  # an epoch with fewer training spectra has no forest of its own
_LEAF = -1
_STEP = 0.1  # learning rate of gradient boosting


@dataclass(frozen=True)
class Forest:
    """Regression trees as arrays over all nodes; a child of -1 marks a leaf."""

    roots: np.ndarray  # (trees,), the node at which each tree starts
    feature: np.ndarray  # (nodes,), the input that a node asks for
    threshold: np.ndarray  # (nodes,); rows at or below it go left
    left: np.ndarray  # (nodes,)
    right: np.ndarray  # (nodes,)
    value: np.ndarray  # (nodes,), such that a row's mean over the trees is its predicted score

    @classmethod
    def extra_trees(cls, inputs: np.ndarray, scores: np.ndarray, trees: int, seed: int) -> Self:
        """Grow extremely randomised trees (Geurts et al. 2006) on inputs (rows, …) and scores (rows,)."""
        with parameters_unchecked(finite=True):
            grown = [e.tree_ for e in extra_trees(trees, seed).fit(inputs, scores).estimators_]
        return cls._of(grown, [tree.value[:, 0, 0] for tree in grown])

    @classmethod
    def boosting(cls, inputs: np.ndarray, scores: np.ndarray, seed: int) -> Self:
        """Grow trees one on the other's errors: gradient boosting (Friedman 2001)."""
        with parameters_unchecked(finite=True):
            grown = [e.tree_ for e in _boosting(seed).fit(inputs, scores).estimators_[:, 0]]
        start = float(scores.mean())  # what the trees are added to
        return cls._of(grown, [start + len(grown) * _STEP * tree.value[:, 0, 0] for tree in grown])

    @classmethod
    def _of(cls, grown: Sequence[Any], values: Sequence[np.ndarray]) -> Self:
        """Join scikit-learn's trees into one, with the values of their nodes."""
        roots = np.cumsum([0, *(tree.node_count for tree in grown[:-1])])
        children = [
            np.concatenate(
                [np.where(side < 0, _LEAF, side + root) for side, root in zip(sides, roots, strict=True)]
            )
            for sides in ([t.children_left for t in grown], [t.children_right for t in grown])
        ]
        return cls(
            roots.astype(np.int32),
            np.concatenate([tree.feature for tree in grown]).astype(np.int32),
            np.concatenate([tree.threshold for tree in grown]),
            children[0].astype(np.int32),
            children[1].astype(np.int32),
            np.concatenate(values),
        )

    def checked(self) -> Self:
        """Return self where these arrays, which somebody else may have written, are trees.

        Raises:
            ValueError: where they are not, for example since a node leads back to one before it.
        """
        nodes = len(self.value)
        parts = (self.feature, self.threshold, self.left, self.right, self.value)
        if self.roots.ndim != 1 or not len(self.roots) or any(part.shape != (nodes,) for part in parts):
            raise ValueError("the arrays of a forest are not of one length")
        if any(part.dtype.kind != "i" for part in (self.roots, self.feature, self.left, self.right)):
            raise ValueError("the nodes of a forest are not numbered by whole numbers")
        if not (np.isfinite(self.threshold).all() and np.isfinite(self.value).all()):
            raise ValueError("a forest holds numbers that are not finite")
        inner, own = self.left != _LEAF, np.arange(nodes)
        # Trees are laid out from the root on: whoever goes to a later node at each step comes to an end.
        good = ((self.left > own) & (self.right > own) & (self.left < nodes) & (self.right < nodes))[inner]
        if not (good.all() and (self.feature[inner] >= 0).all()):
            raise ValueError("a node of a forest leads to none, or back")
        if self.roots.min() < 0 or self.roots.max() >= nodes:
            raise ValueError("a tree of a forest begins at no node")
        return self

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Predict the score of each row of inputs (rows, …): the mean over the trees of the leaf it falls into."""
        inputs = inputs.astype(np.float32)  # as scikit-learn grew them
        row = np.arange(len(inputs))[:, None]
        node = np.broadcast_to(self.roots, (len(inputs), len(self.roots)))
        while (inner := self.left[node] != _LEAF).any():
            goes_left = inputs[row, np.maximum(self.feature[node], 0)] <= self.threshold[node]
            node = np.where(inner, np.where(goes_left, self.left[node], self.right[node]), node)
        predicted: np.ndarray = self.value[node].mean(axis=1)
        return predicted


@dataclass(frozen=True)
class EpochForests:
    """Forests of every kind for every epoch at which spectra were recorded."""

    epochs: np.ndarray
    forests: tuple[tuple[Forest, ...], ...]  # of each epoch, in the order of KINDS

    @classmethod
    def fit(cls, inputs: np.ndarray, epochs: np.ndarray, scores: np.ndarray, trees: int, seed: int) -> Self:
        """Grow the forests on inputs (rows, …) at `epochs` (rows,) with scores (rows,)."""
        found, counts = np.unique(epochs, return_counts=True)
        enough = found[counts >= _FEWEST_ROWS]
        groups = [epochs == epoch for epoch in enough] or [np.ones(len(epochs), bool)]
        grown = tuple(
            (
                Forest.extra_trees(inputs[rows], scores[rows], trees, seed),
                Forest.boosting(inputs[rows], scores[rows], seed),
            )
            for rows in groups
        )
        return cls(enough if len(enough) else found[:1], grown)

    def predict(self, inputs: np.ndarray, epochs: np.ndarray) -> np.ndarray:
        """Predict scores (kinds, rows), each row by its epoch's forests or the nearest one's, in ln(1 + epoch)."""
        distance = np.abs(np.log1p(epochs)[:, None] - np.log1p(self.epochs)[None])
        nearest = distance.argmin(axis=1)
        predicted = np.empty((len(KINDS), len(inputs)))
        for i, forests in enumerate(self.forests):
            rows = nearest == i
            if rows.any():
                predicted[:, rows] = [forest.predict(inputs[rows]) for forest in forests]
        return predicted

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return plain arrays by name."""
        arrays = {"epochs": self.epochs.astype(np.float64)}
        for i, forests in enumerate(self.forests):
            for kind, forest in zip(KINDS, forests, strict=True):
                arrays |= {f"{i}.{kind}.{part.name}": getattr(forest, part.name) for part in fields(Forest)}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Rebuild from plain arrays.

        Raises:
            KeyError: where one is missing.
            ValueError: where they are no trees.
        """
        epochs = arrays["epochs"]
        parts = [part.name for part in fields(Forest)]
        if epochs.ndim != 1 or not len(epochs) or not np.isfinite(epochs).all():
            raise ValueError("its forests are of no epoch")
        forests = (
            tuple(Forest(*(arrays[f"{i}.{kind}.{part}"] for part in parts)).checked() for kind in KINDS)
            for i in range(len(epochs))
        )
        return cls(epochs, tuple(forests))


def _boosting(seed: int) -> GradientBoostingRegressor:
    # A third of the many correlated inputs at each split: as good as all of them, in a third of the time.
    return GradientBoostingRegressor(
        n_estimators=60, learning_rate=_STEP, max_depth=3, subsample=0.7, max_features=0.33, random_state=seed
    )
