"""The ways of networks through the latent space, in order of epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from aelle.explorer.data import ExplorerData
from aelle.explorer.figures.frame import xyz
from aelle.explorer.projection import Projection
from aelle.explorer.theme import LIGHT, Theme

FEW = 12  # more trails than these are thin and grey, so that the points stay readable


@dataclass(frozen=True)
class Trail:
    """The way of one network through the map, in order of epochs."""

    network: int
    name: str
    epochs: NDArray[np.int64]
    coordinates: NDArray[np.float64]


def trails_info(
    data: ExplorerData, projection: Projection, networks: Sequence[int], until: float | None = None
) -> list[Trail]:
    """The ways of some networks, up to an epoch where given (a fraction ends between two epochs)."""
    order = data.points["network"].to_numpy()  # sorted, then by epoch
    trails = []
    for network in networks:
        rows = slice(*np.searchsorted(order, [network, network + 1]))
        epochs, places = data.points["epoch"].to_numpy()[rows], projection.coordinates[rows]
        if until is not None and len(epochs):
            end = [np.interp(until, epochs, places[:, k]) for k in range(places.shape[1])]
            past = epochs < until
            epochs, places = np.append(epochs[past], until), np.vstack([places[past], end])
        trails.append(Trail(int(network), str(data.networks["network_id"][network]), epochs, places))
    return trails


def add_trails(
    figure: go.Figure, trails: Sequence[Trail], theme: Theme = LIGHT, dimensions: int = 2
) -> go.Figure:
    """Draw trails as one line trace (gaps between networks), and a ring where each ends."""
    gap = np.full((1, 3), np.nan)
    moved = [trail for trail in trails if len(trail.coordinates) > 1]
    path = np.vstack([part for trail in moved for part in (trail.coordinates, gap)] or [gap])
    ends = np.vstack([trail.coordinates[-1:] for trail in trails if len(trail.coordinates)] or [gap])
    kind = go.Scatter3d if dimensions == 3 else go.Scatter
    few = len(moved) <= FEW
    line = {
        "color": theme.ink if few else theme.muted,
        "width": (2 if few else 1) * (1 if dimensions == 2 else 2),
    }
    common = {"hoverinfo": "skip", "showlegend": False}
    figure.add_trace(
        kind(**xyz(path, dimensions), mode="lines+markers", name="trail", meta="trail", **common,
             line=line, marker={"size": 4 if few else 3, "color": line["color"]})
    )  # fmt: skip
    figure.add_trace(
        kind(**xyz(ends, dimensions), mode="markers", name="focus", meta="focus", **common,
             marker={"size": 16 if dimensions == 2 else 9, "symbol": "circle-open", "color": theme.ink,
                     "line": {"width": 2.5, "color": theme.ink}})
    )  # fmt: skip
    return figure
