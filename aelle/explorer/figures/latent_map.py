"""The latent map: each network a point, coloured by any column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from aelle.explorer.columns import Column, describe, kind_codes, quantity
from aelle.explorer.data import ExplorerData
from aelle.explorer.figures.colours import keep_titles_clear, kind_colours, quantity_axis
from aelle.explorer.figures.frame import axes, outside, ranges_of, xyz, zero_lines
from aelle.explorer.projection import Projection, Ruler
from aelle.explorer.theme import LIGHT, Theme, as_text, base_layout, title_above_bar

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "pentagon", "x")
MANY = 3000  # points from which small marks and WebGL pay; fewer are sharper, and print better, as SVG
_HOVERED = ("architecture", "hidden_size", "init_gain", "final_metric")


@dataclass(frozen=True)
class LatentMapInfo:
    """What the map shows: arrays of one entry a point, and what colour and shape mean."""

    coordinates: NDArray[np.float64]  # points × 3
    networks: NDArray[np.int64]
    hover: list[str]  # empty where the page draws its own card
    column: Column
    values: NDArray[np.float32]  # quantities to colour by; empty for kinds
    codes: NDArray[np.int32]  # kinds to colour by; empty for quantities
    shapes: tuple[str, ...]
    shape_codes: NDArray[np.int32]
    rulers: tuple[Ruler, Ruler, Ruler]
    ranges: NDArray[np.float64]  # 3 × 2, over all epochs, so that axes hold still while networks travel
    sizes: NDArray[np.float64] | None = None


def latent_map_info(
    data: ExplorerData,
    projection: Projection,
    colour: str = "final_metric",
    epoch: int | None = None,
    *,
    shape: str | None = None,
    size: str | None = None,
    keep: NDArray[np.bool_] | None = None,
    hover: bool = True,
) -> LatentMapInfo:
    """Gather the points of one epoch (all epochs where None), those of the mask `keep` only.

    `shape` and `size` name columns to draw by symbol and by area; `hover` writes a label for every point.

    Raises:
        KeyError: for a column that the points do not have.
    """
    column = describe(data.points, colour, data.metric_name)
    at = np.ones(len(data.points), bool) if epoch is None else (data.points["epoch"] == epoch).to_numpy()
    placed = np.isfinite(projection.coordinates).all(axis=1)
    rows = np.flatnonzero(at & placed if keep is None else at & keep & placed)
    points = data.points.iloc[rows]
    shapes, shape_codes = _shapes(data, points, shape)
    values = np.empty(0, np.float32) if column.is_kind else quantity(points[colour], column)
    codes = kind_codes(points[colour], column) if column.is_kind else np.empty(0, np.int32)
    return LatentMapInfo(
        coordinates=projection.coordinates[rows],
        networks=points["network"].to_numpy(),
        hover=_hover(points, column, data.metric_name) if hover else [],
        column=column,
        values=values,
        codes=codes,
        shapes=shapes,
        shape_codes=shape_codes,
        rulers=(projection.ruler(0), projection.ruler(1), projection.ruler(2)),
        ranges=ranges_of(projection.coordinates),
        sizes=_sizes(points, size),
    )


def latent_map(
    info: LatentMapInfo, theme: Theme = LIGHT, *, dimensions: int = 2, title: str = ""
) -> go.Figure:
    """Draw the map in two or three dimensions."""
    traces = [
        _trace(info, rows, name, symbol, theme, dimensions, colour)
        for rows, name, symbol, colour in _parts(info, theme)
    ]
    layout = base_layout(
        theme, uirevision=f"{dimensions}", **axes(info.rulers, info.ranges, theme, dimensions)
    )
    if not info.column.is_kind:
        layout["coloraxis"] = quantity_axis(info.column, theme)
        if dimensions == 2:
            keep_titles_clear(layout)
    words = as_text(info.column.label) if info.column.is_kind else ""
    # The bar stands at the left above the plot; the legend takes its place, or stands beside it.
    side = {"x": 0} if info.column.is_kind else {"x": 1, "xanchor": "right"}
    layout["legend"] |= {"orientation": "h", "y": 1.01, "yanchor": "bottom", **side,
                         "title": {"text": words, "font": {"size": 12, "color": theme.muted}}}  # fmt: skip
    # A bar needs more room than a legend. In three dimensions there are no axes outside the frame.
    above = (64 if info.column.is_kind else 78) + (28 if title else 0)
    sides = {"l": 60, "r": 12, "b": 48} if dimensions == 2 else {"l": 8, "r": 8, "b": 8}
    layout["margin"] = sides | {"t": above}
    layout["shapes"] = zero_lines(info.rulers, theme) if dimensions == 2 else []
    layout["annotations"] = [
        *title_above_bar(theme, as_text(title)),
        *outside(info.coordinates, info.ranges, theme, dimensions),
    ]
    return go.Figure(traces, layout)


def _parts(info: LatentMapInfo, theme: Theme) -> list[tuple[NDArray[np.int64], str, str, str | None]]:
    """Rows, legend name, symbol and colour of each trace: one a kind and shape."""
    colours = kind_colours(info.column, theme)
    kinds = range(len(info.column.levels)) if info.column.is_kind else [None]
    parts = []
    for kind in kinds:
        for shape in range(max(len(info.shapes), 1)):
            rows = np.ones(len(info.networks), bool)
            words = []
            if kind is not None:
                rows &= info.codes == kind
                words.append(info.column.levels[kind])
            if info.shapes:
                rows &= info.shape_codes == shape
                words.append(info.shapes[shape])
            if rows.any() or not info.shapes:
                name = " · ".join(dict.fromkeys(words))
                colour = None if kind is None else colours[kind]
                parts.append((np.flatnonzero(rows), name, SYMBOLS[shape % len(SYMBOLS)], colour))
    return parts


def _trace(
    info: LatentMapInfo,
    rows: NDArray[np.int64],
    name: str,
    symbol: str,
    theme: Theme,
    dimensions: int,
    colour: str | None,
) -> go.Scatter | go.Scattergl | go.Scatter3d:
    many = len(info.networks) > MANY
    size: Any = (4 if many else 9) if dimensions == 2 else (2 if many else 5)
    if info.sizes is not None:
        size = info.sizes[rows].astype(np.float32) * (1.0 if dimensions == 2 else 0.5)
    marker: dict[str, Any] = {"size": size, "symbol": symbol, "opacity": 0.75 if many else 0.9}
    if not many:
        marker["line"] = {"width": 0.75, "color": theme.edge}
    if colour is not None:
        marker["color"] = colour
    else:
        marker |= {"color": info.values[rows], "coloraxis": "coloraxis"}
    hover: dict[str, Any] = {"hoverinfo": "none"}
    if info.hover:
        hover = {"text": [info.hover[row] for row in rows], "hovertemplate": "%{text}<extra></extra>"}
    if dimensions == 2:  # rings show what is selected; the rest stays as it is
        hover["unselected"] = {"marker": {"opacity": marker["opacity"]}}
    hover["customdata"] = info.networks[rows].astype(np.int32)
    if not many and len(np.unique(info.networks)) == len(info.networks):
        # Who is who while points travel. Of points that share an id plotly would draw one alone.
        hover["ids"] = [str(network) for network in info.networks[rows]]
    kind = go.Scatter3d if dimensions == 3 else go.Scattergl if many else go.Scatter
    return kind(
        **xyz(info.coordinates[rows], dimensions), mode="markers", marker=marker, name=as_text(name),
        showlegend=bool(name), meta="points", **hover,
    )  # fmt: skip


def _shapes(
    data: ExplorerData, points: pd.DataFrame, shape: str | None
) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    if shape is None:
        return (), np.empty(0, np.int32)
    column = describe(data.points, shape, data.metric_name)
    return column.levels, kind_codes(points[shape], column)


def _sizes(points: pd.DataFrame, size: str | None) -> NDArray[np.float64] | None:
    """Diameters from 5 to 20 pixels: area grows with the value; points without one are smallest."""
    if size is None:
        return None
    values = points[size].to_numpy(np.float64, na_value=np.nan)
    low, high = np.nanmin(values, initial=np.inf), np.nanmax(values, initial=-np.inf)
    if not high - low > 1e-9 * max(abs(low), abs(high)):  # all alike, but for rounding
        return np.full(len(values), 8.0)
    return np.sqrt(25 + 375 * np.nan_to_num((values - low) / (high - low)))


def _hover(points: pd.DataFrame, column: Column, metric: str) -> list[str]:
    """A few lines about each point, in plain words."""
    names = [name for name in dict.fromkeys((*_HOVERED, column.name)) if name in points and name != "epoch"]
    labels = [as_text(describe(points, name, metric).label) for name in names]
    lines = [
        "<br>".join(f"{label}: {_short(value)}" for label, value in zip(labels, row, strict=True))
        for row in points[names].itertuples(index=False)
    ]
    heads = [
        f"<b>{as_text(i)}</b> · epoch {e}" for i, e in zip(points["network_id"], points["epoch"], strict=True)
    ]
    return [f"{head}<br>{text}" for head, text in zip(heads, lines, strict=True)]


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else as_text(value)
