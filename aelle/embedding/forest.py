"""Extra-trees on what the encoder sees, as a second head beside the network's.

Trees are insensitive to the scale of their inputs and to the useless ones among them, and with some hundred
networks they use the channels better than a network does; the latent space is what they do not give. Their
mean with the network's head does no worse than either (experiments/LOG.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

_FEWEST_ROWS = 10  # an epoch with fewer training spectra has no forest of its own


@dataclass(frozen=True)
class EpochForests:
    """One forest for every epoch at which spectra were recorded."""

    epochs: np.ndarray
    forests: tuple[ExtraTreesRegressor, ...]

    @classmethod
    def fit(cls, inputs: np.ndarray, epochs: np.ndarray, scores: np.ndarray, trees: int, seed: int) -> Self:
        """Grow the forests on inputs (rows, …) at `epochs` (rows,) with scores (rows,)."""
        found, counts = np.unique(epochs, return_counts=True)
        enough = found[counts >= _FEWEST_ROWS]
        groups = [epochs == epoch for epoch in enough] or [np.ones(len(epochs), bool)]
        grown = tuple(_grow(inputs[rows], scores[rows], trees, seed) for rows in groups)
        return cls(enough if len(enough) else found[:1], grown)

    def predict(self, inputs: np.ndarray, epochs: np.ndarray) -> np.ndarray:
        """Predict scores (rows,), each row by the forest of its epoch or of the nearest one, in ln(1 + epoch)."""
        distance = np.abs(np.log1p(epochs)[:, None] - np.log1p(self.epochs)[None])
        nearest = distance.argmin(axis=1)
        predicted = np.empty(len(inputs))
        for i, forest in enumerate(self.forests):
            rows = nearest == i
            if rows.any():
                predicted[rows] = forest.predict(inputs[rows])
        return predicted


def _grow(inputs: np.ndarray, scores: np.ndarray, trees: int, seed: int) -> ExtraTreesRegressor:
    forest = ExtraTreesRegressor(trees, min_samples_leaf=2, max_features=0.5, random_state=seed, n_jobs=1)
    return forest.fit(inputs, scores)
