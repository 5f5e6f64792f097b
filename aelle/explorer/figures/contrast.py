"""Distributions of what a selection is made of, against the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from aelle.explorer.contrast import Contrast
from aelle.explorer.theme import LIGHT, Theme, as_text, axis, base_layout

_COLUMNS = 2


def contrast_histograms(
    found: Sequence[Contrast],
    names: tuple[str, str] = ("selection", "others"),
    theme: Theme = LIGHT,
    *,
    colours: tuple[str, str] | None = None,
    most: int = 6,
) -> go.Figure:
    """Draw the columns in which a selection differs most, each as two outlines of shares."""
    shown = list(found[:most])
    rows = max(1, -(-len(shown) // _COLUMNS))
    titles = [_title(contrast, theme) for contrast in shown]
    figure = make_subplots(
        rows=rows, cols=_COLUMNS, subplot_titles=titles, vertical_spacing=0.5 / rows, horizontal_spacing=0.1
    )
    own, other = colours or (theme.group_a, theme.muted)
    for place, contrast in enumerate(shown):
        for name, shares, colour in ((names[0], contrast.selected, own), (names[1], contrast.others, other)):
            trace = _outline(contrast, shares, colour)
            trace.update(name=as_text(name), legendgroup=name, showlegend=place == 0)
            figure.add_trace(trace, row=place // _COLUMNS + 1, col=place % _COLUMNS + 1)
    notes = [
        note.to_plotly_json() | {"font": {"size": 12, "color": theme.ink}}
        for note in figure.layout.annotations
    ]
    figure.update_layout(base_layout(theme, annotations=notes, barmode="group", bargap=0.3))
    figure.update_layout(
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": -0.06, "yanchor": "top"}
    )
    figure.update_xaxes(axis(theme))
    figure.update_yaxes(axis(theme, tickformat=".0%", rangemode="tozero", nticks=4))
    for place, contrast in enumerate(shown):
        if contrast.column.logarithmic:
            figure.update_xaxes(_powers(contrast), row=place // _COLUMNS + 1, col=place % _COLUMNS + 1)
    return figure


def _title(contrast: Contrast, theme: Theme) -> str:
    """The column without its unit, and below it how the groups differ."""
    name = as_text(contrast.column.label.removesuffix(" (nats per step)"))
    return f'{name}<br><span style="font-size:10px;color:{theme.muted}">{as_text(contrast.words)}</span>'


def _outline(contrast: Contrast, shares: np.ndarray, colour: str) -> go.Scatter | go.Bar:
    if contrast.column.is_kind:
        levels = [as_text(level) for level in contrast.column.levels]
        return go.Bar(x=levels, y=shares, marker={"color": colour}, hovertemplate="%{x}: %{y:.1%}")
    middle = (contrast.edges[1:] + contrast.edges[:-1]) / 2
    return go.Scatter(
        x=middle, y=shares, mode="lines", line={"color": colour, "width": 2, "shape": "hvh"}, fill="tozeroy",
        hovertemplate="%{x:.3g}: %{y:.1%}",
    )  # fmt: skip


def _powers(contrast: Contrast) -> dict[str, list[object]]:
    powers = np.arange(np.floor(contrast.column.low), np.ceil(contrast.column.high) + 1)
    return {"tickvals": powers.tolist(), "ticktext": [f"{10.0**p:g}" for p in powers]}
