"""Which points are shown: ranges of quantities and sets of kinds, on any columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aelle.explorer.columns import describe, kind_codes

Filters = Mapping[str, Sequence[Any]]


def filter_mask(
    points: pd.DataFrame, filters: Filters, described: pd.DataFrame | None = None
) -> NDArray[np.bool_]:
    """Say which points pass every filter.

    A filter is `[low, high]` (ends included, None for an open end) on a quantity, or a list of levels on a
    kind, whose levels are those of the table `described` (`points` itself where None). Filters on unknown columns and of the wrong form are passed over, so that an old link still opens.
    """
    keep = np.ones(len(points), bool)
    for name, wanted in filters.items():
        if name not in points:
            continue
        column = describe(points if described is None else described, name)
        if column.is_kind:
            chosen = [place for place, level in enumerate(column.levels) if level in wanted]
            keep &= np.isin(kind_codes(points[name], column), chosen)
        elif _is_range(wanted):
            values = points[name].to_numpy(np.float64, na_value=np.nan)
            low, high = (end if end is not None else np.nan for end in wanted)
            with np.errstate(invalid="ignore"):
                keep &= ~((values < low) | (values > high) | (np.isnan(values) & ~np.isnan(low + high)))
    return keep


def known_filters(points: pd.DataFrame, filters: Filters) -> dict[str, list[Any]]:
    """The filters that these points can be filtered by: those on columns they have, of the form these need."""
    known = {}
    for name, wanted in filters.items():
        if name not in points:
            continue
        column = describe(points, name)
        if all(level in column.levels for level in wanted) if column.is_kind else _is_range(wanted):
            known[name] = list(wanted)
    return known


def column_range(points: pd.DataFrame, name: str) -> tuple[float, float]:
    """The least and the largest finite value of a quantity, rounded outwards so that no point is lost."""
    values = points[name].to_numpy(np.float64, na_value=np.nan)
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    step = 10.0 ** np.floor(np.log10(max(high - low, abs(high), 1e-12)) - 3)
    return float(np.floor(low / step) * step), float(np.ceil(high / step) * step)


def _is_range(wanted: Sequence[Any]) -> bool:
    return len(wanted) == 2 and all(
        end is None or (isinstance(end, (int, float)) and not isinstance(end, bool)) for end in wanted
    )
