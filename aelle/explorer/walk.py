"""A walk through the latent space: where the walker stands, and which real networks are near."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aelle.explorer.data import ExplorerData
from aelle.explorer.decoder import Decoder
from aelle.explorer.projection import Projection


@dataclass(frozen=True)
class Walker:
    """A latent point and what the autoencoder makes of it."""

    latent: NDArray[np.float64]
    place: NDArray[np.float64]  # on the PCA map
    spectrum: NDArray[np.float64]
    predicted: float
    nearest: list[tuple[int, float]]  # network and distance, nearest first


def start_of(data: ExplorerData, network: int | None, epoch: int) -> NDArray[np.float64]:
    """The latent of a network at an epoch; the mean of all at that epoch where it has none."""
    at = (data.points["epoch"] == epoch).to_numpy()
    latents = data.points[data.latent_columns].to_numpy(np.float64)
    own = at & (data.points["network"] == network).to_numpy() if network is not None else np.zeros_like(at)
    mean: NDArray[np.float64] = latents[own if own.any() else at].mean(axis=0)
    return mean


def walker(
    data: ExplorerData, projection: Projection, decoder: Decoder, latent: NDArray[np.float64], epoch: int
) -> Walker:
    """Decode a latent point, place it on the PCA map, and find the nearest networks at that epoch."""
    points = data.points[(data.points["epoch"] == epoch).to_numpy()]
    distances = np.linalg.norm(points[data.latent_columns].to_numpy(np.float64) - latent, axis=1)
    order = np.argsort(distances, kind="stable")[:5]
    nearest = [(int(points["network"].iloc[k]), float(distances[k])) for k in order]
    if projection.mean is None or projection.axes is None:
        place = np.full(3, np.nan)
    else:
        place = (latent - projection.mean) @ projection.axes.T
    spectrum, predicted = decoder.spectra(latent, epoch)[0], float(decoder.predicted(latent, epoch)[0])
    return Walker(latent, place, spectrum, predicted, nearest)


def moved(
    data: ExplorerData, projection: Projection, start: NDArray[np.float64], steps: Sequence[float]
) -> NDArray[np.float64]:
    """Move along the principal axes, in standard deviations of all points along each."""
    if projection.axes is None:
        return start
    spread = projection.coordinates.std(axis=0)
    return start + (np.asarray(steps, float) * spread) @ projection.axes


def placed(
    projection: Projection, latent: NDArray[np.float64], place: Sequence[float]
) -> NDArray[np.float64]:
    """Move a latent point so that it stands at `place` on the PCA map, and nowhere else in other directions."""
    if projection.axes is None or projection.mean is None:
        return latent
    axes = projection.axes[: len(place)]
    return latent + (np.asarray(place, float) - (latent - projection.mean) @ axes.T) @ axes


def climbed(
    data: ExplorerData, decoder: Decoder, latent: NDArray[np.float64], epoch: int, upwards: bool
) -> NDArray[np.float64]:
    """One step along the head's gradient: a quarter of the typical distance of points from their mean."""
    latents = data.points[data.latent_columns].to_numpy(np.float64)
    stride = 0.25 * float(np.sqrt(latents.var(axis=0).mean()))
    return latent + (stride if upwards else -stride) * decoder.uphill(latent, epoch)
