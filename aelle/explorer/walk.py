"""A walk through the latent space: where the walker stands, and which real networks are near.

Decoder and head are known where networks are. How far that is says `reach`; a walk ends there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from aelle.explorer.data import ExplorerData
from aelle.explorer.decoder import Decoder
from aelle.explorer.figures.frame import ranges_of
from aelle.explorer.projection import Projection


@dataclass(frozen=True)
class Walker:
    """A latent point and what the autoencoder makes of it."""

    latent: NDArray[np.float64]
    place: NDArray[np.float64]  # on the PCA map
    spectrum: NDArray[np.float64]
    predicted: float
    nearest: list[tuple[int, float]]  # network and distance, nearest first
    reach: float  # farther than this from every network nothing was seen

    @property
    def seen(self) -> bool:
        """Whether a network is near enough that the autoencoder knows this place."""
        return self.nearest[0][1] <= self.reach


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
    networks, tree, reach = _seen(data, epoch)
    distances, rows = tree.query(latent, k=range(1, min(5, len(networks)) + 1))
    nearest = [(int(networks[row]), float(far)) for far, row in zip(distances, rows, strict=True)]
    if projection.mean is None or projection.axes is None:
        place = np.full(3, np.nan)
    else:
        place = (latent - projection.mean) @ projection.axes.T
    spectrum, predicted = decoder.spectra(latent, epoch)[0], float(decoder.predicted(latent, epoch)[0])
    return Walker(latent, place, spectrum, predicted, nearest, reach)


def _seen(data: ExplorerData, epoch: int) -> tuple[NDArray[np.int64], cKDTree, float]:
    """The networks at an epoch, their latents as a tree, and the reach of each: what 95 % of networks have a neighbour in."""

    def compute() -> tuple[NDArray[np.int64], cKDTree, float]:
        points = data.points[(data.points["epoch"] == epoch).to_numpy()]
        latents = points[data.latent_columns].to_numpy(np.float64)
        tree = cKDTree(latents)
        reach = float(np.quantile(tree.query(latents, k=2)[0][:, 1], 0.95)) if len(latents) > 1 else 0.0
        return points["network"].to_numpy(), tree, reach

    found: tuple[NDArray[np.int64], cKDTree, float] = data.kept(("seen", epoch), compute)
    return found


def moved(
    projection: Projection, start: NDArray[np.float64], latent: NDArray[np.float64], steps: Sequence[float]
) -> NDArray[np.float64]:
    """Move a latent so that it stands `steps` from `start` along the principal axes (see `steps_between`).

    It stops at the edge of the map's frame. What the axes do not show stays as it was.
    """
    if projection.axes is None or projection.mean is None:
        return latent
    spread = projection.coordinates.std(axis=0)
    return placed(
        projection, latent, (start - projection.mean) @ projection.axes.T + np.asarray(steps, float) * spread
    )


def steps_between(
    projection: Projection, start: NDArray[np.float64], latent: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How far a latent stands from `start` along each principal axis, in standard deviations of all points."""
    if projection.axes is None:
        return np.zeros(3)
    spread = projection.coordinates.std(axis=0)
    steps: NDArray[np.float64] = ((latent - start) @ projection.axes.T) / np.where(spread > 0, spread, np.inf)
    return steps


def placed(
    projection: Projection, latent: NDArray[np.float64], place: Sequence[float]
) -> NDArray[np.float64]:
    """Move a latent point so that it stands at `place` on the PCA map, and nowhere else in other directions.

    A place outside the map's frame is moved to its edge.
    """
    if projection.axes is None or projection.mean is None:
        return latent
    axes = projection.axes[: len(place)]
    low, high = ranges_of(projection.coordinates)[: len(place)].T
    return (
        latent + (np.clip(np.asarray(place, float), low, high) - (latent - projection.mean) @ axes.T) @ axes
    )


def climbed(
    data: ExplorerData, decoder: Decoder, latent: NDArray[np.float64], epoch: int, upwards: bool
) -> NDArray[np.float64]:
    """One step along the head's gradient: a quarter of the typical distance of points from their mean.

    The step ends where no network is within reach any more; from outside it leads no farther out.
    """
    latents = data.points[data.latent_columns].to_numpy(np.float64)
    stride = 0.25 * float(np.sqrt(latents.var(axis=0).mean()))
    step = (stride if upwards else -stride) * decoder.uphill(latent, epoch)
    _, tree, reach = _seen(data, epoch)
    shares = np.linspace(0, 1, 65)
    distances, _ = tree.query(latent + shares[:, None] * step)
    beyond = np.flatnonzero(distances > max(reach, float(distances[0])) * (1 + 1e-9))
    taken: NDArray[np.float64] = latent + shares[beyond[0] - 1 if len(beyond) else -1] * step
    return taken
