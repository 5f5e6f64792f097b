"""The frame of the latent map: its axes, what lies outside, coordinates as plotly takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aelle.explorer.projection import Ruler
from aelle.explorer.theme import Theme, as_text, axis


def xyz(coordinates: NDArray[np.float64], dimensions: int) -> dict[str, NDArray[np.float32]]:
    """Coordinates as plotly's x, y and, in three dimensions, z; a gap where there are none.

    The gap keeps an empty trace on the figure: plotly forgets traces of no points, and then cannot move them.
    """
    if not len(coordinates):
        coordinates = np.full((1, 3), np.nan)
    return {key: coordinates[:, k].astype(np.float32) for k, key in enumerate("xyz"[:dimensions])}


# A box that is wider than high, and a camera near enough that it fills a wide picture.
_WIDE = {"x": 1.45, "y": 1.45, "z": 0.95}
_CAMERA = {"eye": {"x": 1.6, "y": 1.6, "z": 0.85}, "center": {"x": 0, "y": 0, "z": -0.17}}


def axes(
    rulers: Sequence[Ruler], ranges: NDArray[np.float64], theme: Theme, dimensions: int
) -> dict[str, Any]:
    """Axes in two or three dimensions, with room for all points."""
    found = [
        axis(theme, as_text(ruler.title), range=list(span)) | _ticks(ruler)
        for ruler, span in zip(rulers, ranges, strict=True)
    ]
    if dimensions == 2:
        return {"xaxis": found[0], "yaxis": found[1]}
    for each in found:
        del each["automargin"], each["title"]["standoff"]
        # Long titles leave the picture as the cube turns.
        each["title"]["text"] = each["title"]["text"].replace(" of variance", "")
        each |= {"backgroundcolor": theme.card, "nticks": 6}
    scene = dict(zip(("xaxis", "yaxis", "zaxis"), found, strict=True))
    return {"scene": scene | {"aspectmode": "manual", "aspectratio": _WIDE, "camera": _CAMERA}}


def _ticks(ruler: Ruler) -> dict[str, Any]:
    if not ruler.ticks:
        return {}
    places, words = zip(*ruler.ticks, strict=True)
    return {"tickvals": list(places), "ticktext": [as_text(word) for word in words]}


def zero_lines(rulers: Sequence[Ruler], theme: Theme) -> list[dict[str, Any]]:
    """A line at 0 of an axis on which it parts growth from decay."""
    line = {"type": "line", "layer": "below", "line": {"color": theme.ink, "width": 1, "dash": "dash"}}
    upright = {"x0": 0, "x1": 0, "y0": 0, "y1": 1, "yref": "paper"}
    level = {"y0": 0, "y1": 0, "x0": 0, "x1": 1, "xref": "paper"}
    return [line | place for ruler, place in zip(rulers, (upright, level), strict=False) if ruler.zero]


def outside(
    coordinates: NDArray[np.float64], ranges: NDArray[np.float64], theme: Theme, dimensions: int
) -> list[dict[str, Any]]:
    """A note in the corner where points lie outside the frame."""
    low, high = ranges[:dimensions].T
    places = coordinates[:, :dimensions]
    count = int(((places < low) | (places > high)).any(axis=1).sum())
    if not count or dimensions == 3:
        return []
    text = f"{count} more outside the frame: double-click to see all"
    return [{"text": text, "x": 1, "xref": "paper", "xanchor": "right", "y": 0, "yref": "paper", "yanchor": "bottom",
             "showarrow": False, "font": {"size": 11, "color": theme.muted}}]  # fmt: skip


def ranges_of(coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
    """The frame of each axis: all points that have a place, but for lone outliers far from the inner 98 %."""
    coordinates = coordinates[np.isfinite(coordinates).all(axis=1)]
    if not len(coordinates):
        return np.tile([-1.0, 1.0], (coordinates.shape[1], 1))
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    inner = np.quantile(coordinates, [0.01, 0.99], axis=0)
    reach = 0.5 * (inner[1] - inner[0])
    low, high = np.maximum(low, inner[0] - reach), np.minimum(high, inner[1] + reach)
    room = np.where(high > low, 0.06 * (high - low), 1.0)
    return np.stack([low - room, high + room], axis=1)
