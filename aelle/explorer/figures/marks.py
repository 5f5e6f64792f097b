"""Marks on the latent map: the ways of networks, the focus, the walker; how selections are ringed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from aelle.explorer.data import ExplorerData
from aelle.explorer.figures.frame import xyz
from aelle.explorer.figures.trails import add_trails, trails_info
from aelle.explorer.projection import Projection
from aelle.explorer.theme import Theme

MARKS = ("trail", "focus", "walker")  # the order of the traces
MOST_TRAILS = 200
MOST_ARROWS = 600


def rings(theme: Theme, dimensions: int, many: bool) -> list[Any]:
    """How selections A and B are ringed: two traces without points, which the browser fills in."""
    kind = go.Scatter3d if dimensions == 3 else go.Scattergl if many else go.Scatter
    size = (8 if many else 14) if dimensions == 2 else 7
    return [
        kind(
            **xyz(np.empty((0, 3)), dimensions), mode="markers", name=f"selection {name}", hoverinfo="skip",
            showlegend=False, marker={"size": size, "color": colour, "symbol": "circle" if many else "circle-open",
                                      "line": {"width": 2, "color": colour}},
        )
        for name, colour in (("A", theme.group_a), ("B", theme.group_b))
    ]  # fmt: skip


def marks(
    data: ExplorerData,
    projection: Projection,
    theme: Theme,
    epoch: int,
    dimensions: int,
    *,
    followed: Sequence[int] = (),
    focus: int | None = None,
    paths: str | None = None,
    walker: Mapping[str, Any] | None = None,
) -> list[Any]:
    """One trace for each name in MARKS, empty where there is nothing to mark.

    The ways of the networks `followed` are drawn up to the epoch, or arrows from start to end of all networks
    where `paths` is "arrows"; `focus` is the network that is ringed; `walker` a `place` on the map,
    faint where no network is near (`seen`).
    """
    trail, ring = _ways(data, projection, theme, epoch, dimensions, followed, focus, paths)
    return [trail, ring, _walker(walker, theme, dimensions)]


def _ways(
    data: ExplorerData,
    projection: Projection,
    theme: Theme,
    epoch: int,
    dimensions: int,
    followed: Sequence[int],
    focus: int | None,
    paths: str | None,
) -> tuple[Any, Any]:
    """The ways of the followed networks so far, or arrows from start to end of all networks."""
    focused = [] if focus is None else [focus]
    figure = go.Figure()
    add_trails(
        figure,
        trails_info(data, projection, list(followed)[:MOST_TRAILS], until=epoch),
        theme,
        dimensions,
    )
    trail = figure.data[0]
    if paths == "arrows":
        trail = _arrows(_starts_and_ends(data, projection), theme, dimensions)
    ring = go.Figure()
    add_trails(ring, trails_info(data, projection, focused, until=epoch), theme, dimensions)
    return trail, ring.data[1]


def _starts_and_ends(data: ExplorerData, projection: Projection) -> NDArray[np.float64]:
    """First and last place of networks (an even choice where they are many), with gaps between them."""
    numbers = data.points["network"].to_numpy()
    first = np.flatnonzero(np.diff(numbers, prepend=-1))
    last = np.append(first[1:], len(numbers)) - 1
    every = max(1, -(-len(first) // MOST_ARROWS))
    gap = np.full((len(first[::every]), 3), np.nan)
    return np.stack(
        [projection.coordinates[first[::every]], projection.coordinates[last[::every]], gap], axis=1
    )


def _arrows(ways: NDArray[np.float64], theme: Theme, dimensions: int) -> Any:
    path = ways.reshape(-1, 3)
    line = {"color": theme.ink, "width": 1}
    if dimensions == 3:
        return go.Scatter3d(**xyz(path, 3), mode="lines", line=line, hoverinfo="skip", showlegend=False)
    sizes = np.tile([0, 8, 0], len(ways))  # a head at the end only
    marker = {
        "symbol": "arrow",
        "angleref": "previous",
        "size": sizes,
        "color": theme.ink,
        "line": {"width": 0},
    }
    return go.Scatter(
        **xyz(path, 2),
        mode="lines+markers",
        line=line,
        marker=marker,
        hoverinfo="skip",
        showlegend=False,
        zorder=1,
    )


def _walker(walker: Mapping[str, Any] | None, theme: Theme, dimensions: int) -> Any:
    place = np.array([walker["place"]], float) if walker else np.empty((0, 3))
    kind = go.Scatter3d if dimensions == 3 else go.Scatter
    marker = {
        "size": 20 if dimensions == 2 else 10,
        "symbol": "cross",
        "color": theme.group_b,
        "opacity": 1.0 if walker is None or walker["seen"] else 0.35,
        "line": {"width": 2, "color": theme.card},
    }
    return kind(
        **xyz(place, dimensions),
        mode="markers",
        marker=marker,
        name="walker",
        hoverinfo="skip",
        showlegend=False,
        **({"zorder": 2} if dimensions == 2 else {}),
    )
