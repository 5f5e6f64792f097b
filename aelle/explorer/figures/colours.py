"""Colours of columns: a scale with its bar for quantities, one colour a level for kinds."""

from __future__ import annotations

from typing import Any

import numpy as np

from aelle.explorer.columns import MISSING, OTHER, Column
from aelle.explorer.theme import Theme, as_text, colour_bar

# With a horizontal colour bar plotly counts axis titles from another place than the ends of the labels.
STANDOFF_WITH_BAR = {"xaxis": 30, "yaxis": 0}


def quantity_axis(column: Column, theme: Theme) -> dict[str, Any]:
    """Colour scale and bar of a quantity; a logarithmic one is labelled with its values."""
    bar = colour_bar(theme, as_text(column.label))
    if column.logarithmic:
        powers = np.arange(np.floor(column.low), np.ceil(column.high) + 1)
        bar |= {"tickvals": powers.tolist(), "ticktext": [f"{10.0**p:g}" for p in powers]}
    return {
        "colorscale": theme.scale,
        "cmin": column.low,
        "cmax": column.high,
        "colorbar": bar,
    }


def keep_titles_clear(layout: dict[str, Any]) -> None:
    """Move the axis titles of a figure with a horizontal colour bar to where they would be without it."""
    for name, standoff in STANDOFF_WITH_BAR.items():
        layout[name]["title"]["standoff"] = standoff


def kind_colours(column: Column, theme: Theme) -> list[str]:
    """One colour a level; `other` and missing are grey."""
    return [
        theme.faint if level in (OTHER, MISSING) else theme.kinds[place % len(theme.kinds)]
        for place, level in enumerate(column.levels)
    ]
