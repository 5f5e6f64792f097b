"""Latents to coordinates that can be drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aelle.explorer.errors import ExplorerError

DIMENSIONS = 3


@dataclass(frozen=True)
class Projection:
    """Coordinates (points × 3) and what their axes are; `share` is each axis's share of the variance."""

    method: str
    coordinates: NDArray[np.float64]
    share: NDArray[np.float64] | None = None
    mean: NDArray[np.float64] | None = None
    axes: NDArray[np.float64] | None = None  # 3 × latent size; coordinates = (latents - mean) @ axes.T

    def axis_title(self, axis: int) -> str:
        """Words under an axis: `PC 1 (63 % of variance)`."""
        if self.share is None:
            return f"UMAP {axis + 1}"
        return f"PC {axis + 1} ({100 * self.share[axis]:.0f} % of variance)"


def pca(latents: ArrayLike) -> Projection:
    """Project latents on the directions of largest variance.

    Takes points × latent size, finite. Gives three coordinates; those beyond the latent size are 0. Each
    axis points the way its largest loading is positive, so the picture does not flip between runs.

    Raises:
        ExplorerError: where there is no point, or a value is not finite.
    """
    matrix = np.asarray(latents, dtype=np.float64)
    if matrix.ndim != 2 or not matrix.size:
        raise ExplorerError("no latents to project; run `aelle train` first")
    if not np.isfinite(matrix).all():
        raise ExplorerError("latents must be finite to be projected")
    mean = matrix.mean(axis=0)
    centred = matrix - mean
    # The covariance is latent size squared: a hundred thousand points cost no more than their product.
    variances, vectors = np.linalg.eigh(centred.T @ centred / max(len(matrix) - 1, 1))
    axes = np.zeros((DIMENSIONS, matrix.shape[1]))
    kept = vectors[:, ::-1][:, :DIMENSIONS].T
    largest = kept[np.arange(len(kept)), np.abs(kept).argmax(axis=1)]
    axes[: len(kept)] = kept * np.where(largest < 0, -1.0, 1.0)[:, None]
    share = np.zeros(DIMENSIONS)
    total = float(variances.clip(min=0).sum())
    if total > 0:
        share[: len(kept)] = variances[::-1][:DIMENSIONS].clip(min=0) / total
    return Projection("PCA", centred @ axes.T, share, mean, axes)
