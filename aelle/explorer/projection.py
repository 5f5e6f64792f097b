"""Latents to coordinates that can be drawn."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from aelle.explorer.errors import ExplorerError
from aelle.records import RecordsError, write_table

DIMENSIONS = 3
FEWEST_FOR_UMAP = 10


@dataclass(frozen=True)
class Ruler:
    """What stands along an axis: its words, and its ticks (place, text) where they are not numbers as they come."""

    title: str
    ticks: tuple[tuple[float, str], ...] = ()
    zero: bool = False  # whether 0 parts growth from decay


@dataclass(frozen=True)
class Projection:
    """Coordinates (points × 3) and what their axes are; `share` is each axis's share of the variance."""

    method: str
    coordinates: NDArray[np.float64]
    share: NDArray[np.float64] | None = None
    mean: NDArray[np.float64] | None = None
    axes: NDArray[np.float64] | None = None  # 3 × latent size; coordinates = (latents - mean) @ axes.T
    rulers: tuple[Ruler, Ruler] | None = None  # where the axes are columns

    def ruler(self, axis: int) -> Ruler:
        """Words under an axis, `PC 1 (63 % of variance)`, and its ticks."""
        if self.rulers is not None:
            return self.rulers[axis] if axis < 2 else Ruler("")
        if self.share is None:
            return Ruler(f"UMAP {axis + 1}")
        return Ruler(f"PC {axis + 1} ({100 * self.share[axis]:.0f} % of variance)")


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


def umap(points: pd.DataFrame, latents: ArrayLike, dimensions: int, file: Path) -> Projection:
    """Project latents by UMAP in two or three dimensions, or read coordinates that were saved in `file`.

    Saved coordinates count only for exactly these points. A fixed seed makes a second run give the same.

    Raises:
        ExplorerError: for too few points, or where umap-learn is not installed.
    """
    matrix = np.ascontiguousarray(latents, dtype=np.float32)
    mark = _mark(points, matrix)
    shown = _saved(file, mark)
    if shown is None:
        shown = _fit_umap(matrix, dimensions)
        _save(file, mark, points, shown)
    coordinates = np.zeros((len(shown), DIMENSIONS))
    coordinates[:, :dimensions] = shown
    return Projection("UMAP", coordinates)


def umap_file(root: Path, dimensions: int) -> Path:
    """Where the coordinates of an experiment's latents are saved."""
    return root / "explorer" / f"umap-{dimensions}.parquet"


def umap_is_saved(points: pd.DataFrame, latents: ArrayLike, file: Path) -> bool:
    """Whether coordinates of exactly these points are in `file`, so that `umap` gives them at once."""
    return _saved(file, _mark(points, np.ascontiguousarray(latents, dtype=np.float32))) is not None


def _fit_umap(matrix: NDArray[np.float32], dimensions: int) -> NDArray[np.float64]:
    if len(matrix) < FEWEST_FOR_UMAP:
        raise ExplorerError(f"UMAP needs at least {FEWEST_FOR_UMAP} points, there are {len(matrix)}; use PCA")
    try:
        from umap import UMAP  # slow to import, so only when it is asked for
    except ImportError as error:
        raise ExplorerError("UMAP is not installed; run: pip install umap-learn") from error
    neighbours = min(15, len(matrix) - 1)
    # Spectral initialisation fails on few or coinciding points; principal components always exist.
    start = "spectral" if len(matrix) > 50 else "pca" if matrix.shape[1] >= dimensions else "random"
    fit = UMAP(n_components=dimensions, n_neighbors=neighbours, random_state=0, n_jobs=1, init=start)
    return np.asarray(fit.fit_transform(matrix), dtype=np.float64)


def _mark(points: pd.DataFrame, matrix: NDArray[np.float32]) -> bytes:
    digest = hashlib.sha256(matrix.tobytes())
    digest.update("\n".join(points["network_id"].astype(str)).encode())
    digest.update(points["epoch"].to_numpy(np.int64).tobytes())
    return digest.hexdigest().encode()


def _saved(file: Path, mark: bytes) -> NDArray[np.float64] | None:
    try:
        table = pq.read_table(file, partitioning=None)
    except (OSError, pa.ArrowInvalid):
        return None
    if (table.schema.metadata or {}).get(b"latents") != mark:
        return None
    columns = [name for name in ("x", "y", "z") if name in table.column_names]
    return np.stack([table[name].to_numpy() for name in columns], axis=1)


def _save(file: Path, mark: bytes, points: pd.DataFrame, shown: NDArray[np.float64]) -> None:
    columns = {
        "network_id": points["network_id"].astype(str).to_numpy(object),
        "epoch": points["epoch"].to_numpy(),
    }
    columns |= dict(zip("xyz", shown.T, strict=False))
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    try:
        write_table(file, table.replace_schema_metadata({b"latents": mark}))
    except RecordsError:
        return  # a folder that cannot be written still can be looked at; the next start computes again
