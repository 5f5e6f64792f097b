"""The latent map: each network a point, coloured by any column, with the ways networks travel over epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from aelle.explorer.columns import MISSING, OTHER, Column, describe, kind_codes, quantity
from aelle.explorer.data import ExplorerData
from aelle.explorer.projection import Projection
from aelle.explorer.theme import (
    LIGHT,
    VIRIDIS,
    Theme,
    as_text,
    axis,
    base_layout,
    colour_bar,
    title_above_bar,
)

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
    axis_titles: tuple[str, str, str]
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
    rows = np.flatnonzero(at if keep is None else at & keep)
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
        axis_titles=(projection.axis_title(0), projection.axis_title(1), projection.axis_title(2)),
        ranges=_ranges(projection.coordinates),
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
    layout = base_layout(theme, uirevision=f"{dimensions}", **_axes(info, theme, dimensions))
    if not info.column.is_kind:
        layout["coloraxis"] = quantity_axis(info.column, theme)
    words = as_text(info.column.label) if info.column.is_kind else ""
    # The bar stands at the left above the plot; the legend takes its place, or stands beside it.
    side = {"x": 0} if info.column.is_kind else {"x": 1, "xanchor": "right"}
    layout["legend"] |= {"orientation": "h", "y": 1.01, "yanchor": "bottom", **side,
                         "title": {"text": words, "font": {"size": 12, "color": theme.muted}}}  # fmt: skip
    layout["margin"] = {"l": 52, "r": 12, "t": 64 if not title else 92, "b": 48}
    layout["annotations"] = [*title_above_bar(theme, as_text(title)), *_outside(info, theme, dimensions)]
    return go.Figure(traces, layout)


def quantity_axis(column: Column, theme: Theme) -> dict[str, Any]:
    """Colour scale and bar of a quantity; a logarithmic one is labelled with its values."""
    bar = colour_bar(theme, as_text(column.label))
    if column.logarithmic:
        powers = np.arange(np.floor(column.low), np.ceil(column.high) + 1)
        bar |= {"tickvals": powers.tolist(), "ticktext": [f"{10.0**p:g}" for p in powers]}
    return {
        "colorscale": [list(stop) for stop in VIRIDIS],
        "cmin": column.low,
        "cmax": column.high,
        "colorbar": bar,
    }


def kind_colours(column: Column, theme: Theme) -> list[str]:
    """One colour a level; `other` and missing are grey."""
    return [
        theme.faint if level in (OTHER, MISSING) else theme.kinds[place % len(theme.kinds)]
        for place, level in enumerate(column.levels)
    ]


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
    order = data.points["network"].to_numpy()
    trails = []
    for network in networks:
        rows = np.flatnonzero(order == network)
        epochs, places = data.points["epoch"].to_numpy()[rows], projection.coordinates[rows]
        if until is not None and len(rows):
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
    common = {"hoverinfo": "skip", "showlegend": False}
    figure.add_trace(
        kind(**_xyz(path, dimensions), mode="lines+markers", name="trail", meta="trail", **common,
             line={"color": theme.ink, "width": 2 if dimensions == 2 else 4}, marker={"size": 4, "color": theme.ink})
    )  # fmt: skip
    figure.add_trace(
        kind(**_xyz(ends, dimensions), mode="markers", name="focus", meta="focus", **common,
             marker={"size": 16 if dimensions == 2 else 9, "symbol": "circle-open", "color": theme.ink,
                     "line": {"width": 2.5, "color": theme.ink}})
    )  # fmt: skip
    return figure


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
    # A list, not an array: Dash looks clicked points up in the figure's JSON, where arrays are packed.
    hover["customdata"] = info.networks[rows].tolist()
    if not many:
        hover["ids"] = [str(network) for network in hover["customdata"]]  # who is who while points travel
    kind = go.Scatter3d if dimensions == 3 else go.Scattergl if many else go.Scatter
    return kind(
        **_xyz(info.coordinates[rows], dimensions), mode="markers", marker=marker, name=as_text(name),
        showlegend=bool(name), meta="points", **hover,
    )  # fmt: skip


def _xyz(coordinates: NDArray[np.float64], dimensions: int) -> dict[str, NDArray[np.float32]]:
    return {key: coordinates[:, k].astype(np.float32) for k, key in enumerate("xyz"[:dimensions])}


def _axes(info: LatentMapInfo, theme: Theme, dimensions: int) -> dict[str, Any]:
    axes = [
        axis(theme, text, range=list(span)) for text, span in zip(info.axis_titles, info.ranges, strict=True)
    ]
    if dimensions == 2:
        return {"xaxis": axes[0], "yaxis": axes[1]}
    for each in axes:
        del each["automargin"], each["title"]["standoff"]
        each["backgroundcolor"] = theme.card
    scene = dict(zip(("xaxis", "yaxis", "zaxis"), axes, strict=True))
    return {"scene": scene | {"aspectmode": "cube", "camera": {"eye": {"x": 1.5, "y": 1.5, "z": 0.9}}}}


def _outside(info: LatentMapInfo, theme: Theme, dimensions: int) -> list[dict[str, Any]]:
    """A note in the corner where points lie outside the frame."""
    low, high = info.ranges[:dimensions].T
    places = info.coordinates[:, :dimensions]
    count = int(((places < low) | (places > high)).any(axis=1).sum())
    if not count or dimensions == 3:
        return []
    text = f"{count} more outside the frame: double-click to see all"
    return [{"text": text, "x": 1, "xref": "paper", "xanchor": "right", "y": 0, "yref": "paper", "yanchor": "bottom",
             "showarrow": False, "font": {"size": 11, "color": theme.muted}}]  # fmt: skip


def _ranges(coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
    """The frame of each axis: all points, but for lone outliers far from the inner 98 %."""
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    inner = np.quantile(coordinates, [0.01, 0.99], axis=0)
    reach = 0.5 * (inner[1] - inner[0])
    low, high = np.maximum(low, inner[0] - reach), np.minimum(high, inner[1] + reach)
    room = np.where(high > low, 0.06 * (high - low), 1.0)
    return np.stack([low - room, high + room], axis=1)


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
    if not high > low:
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
