"""Small things that several views need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aelle.explorer.data import ExplorerData
from aelle.explorer.filters import filter_mask
from aelle.explorer.groups import Group
from aelle.explorer.projection import Projection
from aelle.explorer.scatter import scatter, usual_axes
from aelle.explorer.source import Source
from aelle.explorer.theme import Theme

Selection = Mapping[str, Sequence[int]]


def epoch_at(data: ExplorerData, place: int | None) -> int:
    """The epoch at a place of the slider."""
    epochs = data.point_epochs
    return epochs[min(int(place or 0), len(epochs) - 1)]


def shown_networks(data: ExplorerData, epoch: int, filters: Mapping[str, Any] | None) -> NDArray[np.int64]:
    """The networks that are on the map: with a latent at that epoch, and passing the filters."""
    points = data.points[(data.points["epoch"] == epoch).to_numpy()]
    return points["network"].to_numpy()[filter_mask(points, filters or {}, data.points)]


def projected(source: Source, data: ExplorerData, asked: Mapping[str, Any]) -> Projection:
    """Where the points stand, by what the controls say.

    Raises:
        ExplorerError: where there is no such projection of these data.
    """
    if asked["method"] == "columns":
        axes = usual_axes(data, asked["x"], asked["y"], asked["log"])
        found: Projection = data.kept(axes, lambda: scatter(data, axes))
        return found
    return source.projection_soon(asked["method"], int(asked["dimensions"]))


def groups_of(selection: Selection, shown: NDArray[np.int64], theme: Theme) -> list[Group]:
    """A, B where chosen, and all others that are shown; everything as one group where nothing is chosen."""
    groups = [
        Group(name, np.asarray(selection[key], np.int64), colour)
        for name, key, colour in (("A", "a", theme.group_a), ("B", "b", theme.group_b))
        if selection[key]
    ]
    free = np.ones(1 + int(max([shown.max(initial=0), *(group.networks.max() for group in groups)])), bool)
    for group in groups:
        free[group.networks] = False
    others = np.sort(shown[free[shown]])
    if len(others):
        groups.append(Group("others" if groups else "all shown", others, theme.muted))
    return groups


def message(text: str) -> dict[str, str]:
    """What stands in the place of a figure and says what to do. The browser shows it as text, without plotly."""
    return {"message": text}


def short(value: object) -> str:
    """A value in a table or card: four significant digits for numbers."""
    if isinstance(value, (float, np.floating)):
        return "" if np.isnan(value) else f"{value:.4g}"
    return str(value)
