"""Any two columns as coordinates: λ₁ against accuracy, say. Needs no latents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aelle.explorer.columns import colour_columns, describe, kind_codes
from aelle.explorer.data import ExplorerData
from aelle.explorer.projection import DIMENSIONS, Projection, Ruler


@dataclass(frozen=True)
class Axes:
    """Which columns stand along the two axes, and along which of them (`x`, `y`, both or neither) by their logarithm."""

    x: str
    y: str
    logarithmic: str = ""


def usual_axes(
    data: ExplorerData, x: str | None = None, y: str | None = None, log: str | None = None
) -> Axes:
    """The columns asked for; where they are unknown λ₁ against how training ended, or stands now."""
    names = [column.name for column in colour_columns(data.points, data.metric_name) if not column.constant]
    names += [str(name) for name in data.points.columns if name not in names]
    metric = next((name for name in ("final_metric", "val_metric") if data.points[name].notna().any()), None)
    x = x if x in names else "lambda_max"
    y = y if y in names else metric or "lambda_mean"
    return Axes(x, y, "".join(axis for axis in "xy" if axis in (log or "")))


def scatter(data: ExplorerData, axes: Axes) -> Projection:
    """Place every point by two of its columns; kinds stand in the order of their levels, what has no place is NaN."""
    coordinates, rulers = np.zeros((len(data.points), DIMENSIONS)), []
    for k, (name, axis) in enumerate(((axes.x, "x"), (axes.y, "y"))):
        coordinates[:, k], ruler = _along(data, name, axis in axes.logarithmic)
        rulers.append(ruler)
    coordinates[~np.isfinite(coordinates).all(axis=1)] = np.nan
    return Projection("columns", coordinates, rulers=(rulers[0], rulers[1]))


def _along(data: ExplorerData, name: str, logarithmic: bool) -> tuple[NDArray[np.float64], Ruler]:
    column, values = describe(data.points, name, data.metric_name), data.points[name]
    if column.is_kind:
        codes = kind_codes(values, column).astype(float)
        return np.where(codes < 0, np.nan, codes), Ruler(column.label, tuple(enumerate(column.levels)))
    numbers = values.to_numpy(np.float64, na_value=np.nan)
    if not logarithmic:
        zero = name.startswith("lambda_") or name == "readout_growth"
        return np.where(np.isfinite(numbers), numbers, np.nan), Ruler(column.label, zero=zero)
    with np.errstate(divide="ignore", invalid="ignore"):
        placed = np.log10(numbers)
    placed = np.where(np.isfinite(placed), placed, np.nan)
    lost = int((np.isfinite(numbers) & ~np.isfinite(placed)).sum())
    note = f"{column.label}, {lost} at or below 0 not shown" if lost else column.label
    return placed, Ruler(note, _powers(placed))


def _powers(placed: NDArray[np.float64]) -> tuple[tuple[float, str], ...]:
    """Ticks of a logarithmic axis: powers of ten, and 2 and 5 between them where there are few."""
    if not np.isfinite(placed).any():
        return ()
    low, high = float(np.nanmin(placed)), float(np.nanmax(placed))
    parts = (1, 2, 5) if high - low < 2.5 else (1,)
    values = [
        part * 10.0**power
        for power in range(int(np.floor(low)) - 1, int(np.ceil(high)) + 1)
        for part in parts
    ]
    return tuple((float(np.log10(value)), f"{value:g}") for value in values)
