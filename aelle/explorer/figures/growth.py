"""How strongly an output depends on the state some steps before: readout growth by lag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray

from aelle.explorer.theme import LIGHT, Theme, axis, base_layout
from aelle.explorer.theme import title as title_of


@dataclass(frozen=True)
class Growth:
    """One curve: its name, lags in steps, and readout growth less that at lag 0, in nats."""

    name: str
    lags: NDArray[np.float64]
    growth: NDArray[np.float64]


def growth_info(curves: Mapping[str, tuple[Sequence[int], ArrayLike]]) -> list[Growth]:
    """Curves by name, each counted from its value at lag 0."""
    found = []
    for name, (lags, values) in curves.items():
        growth = np.asarray(values, float)
        found.append(Growth(name, np.asarray(lags, float), growth - growth[0]))
    return found


def growth_by_lag(curves: Sequence[Growth], theme: Theme = LIGHT, *, title: str = "") -> go.Figure:
    """Draw the curves over a line at 0, where a gradient neither vanishes nor explodes."""
    layout = base_layout(theme)
    layout |= {
        "xaxis": axis(theme, "steps back from the output"),
        "yaxis": axis(theme, "change of the gradient (nats)"),
    }
    figure = go.Figure(layout=layout)
    if title:
        figure.update_layout(title=title_of(theme, title))
    figure.add_hline(y=0, line={"color": theme.muted, "width": 1, "dash": "dot"})
    for curve, colour in zip(curves, (theme.group_b, theme.group_a, *theme.kinds), strict=False):
        figure.add_scatter(
            x=curve.lags, y=curve.growth, name=curve.name, mode="lines+markers",
            marker={"size": 4, "color": colour}, line={"color": colour, "width": 2},
            hovertemplate=f"{curve.name}: %{{y:.2f}} nats, %{{x:.0f}} steps back<extra></extra>",
        )  # fmt: skip
    return figure
