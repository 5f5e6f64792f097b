"""Hyperparameters and outcomes side by side: parallel coordinates, and what goes with the outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from aelle.explorer.columns import Column, describe, kind_codes, quantity
from aelle.explorer.data import ExplorerData
from aelle.explorer.groups import Group
from aelle.explorer.importance import Importance, varying_hyperparameters
from aelle.explorer.theme import LIGHT, Theme, as_text, axis, base_layout

_SHORT = {"lambda_max": "λ₁"}


@dataclass(frozen=True)
class Parallel:
    """Columns side by side: a value (networks × columns) for each network that has all of them."""

    networks: NDArray[np.int64]
    columns: list[Column]
    labels: list[str]
    values: NDArray[np.float64]


def parallel_info(data: ExplorerData, networks: NDArray[np.int64], epoch: int) -> Parallel:
    """Gather the varying hyperparameters, λ₁ at an epoch, and the final metric of some networks."""
    points = (
        data.points[(data.points["epoch"] == epoch).to_numpy()]
        .drop_duplicates("network")
        .set_index("network")
    )
    table = points.reindex(networks)
    names = [column.name for column in varying_hyperparameters(data)] + ["lambda_max", "final_metric"]
    columns = [describe(data.points, name, data.metric_name) for name in names]
    values = [
        np.asarray(kind_codes(table[c.name], c) if c.is_kind else quantity(table[c.name], c), np.float64)
        for c in columns
    ]
    kept = [k for k, each in enumerate(values) if np.isfinite(each).any()]
    matrix = np.stack([values[k] for k in kept], axis=1) if kept else np.empty((len(networks), 0))
    whole = np.isfinite(matrix).all(axis=1)
    labels = [_SHORT.get(c.name, c.label.replace("final validation", "final")) for c in columns]
    return Parallel(
        np.asarray(networks)[whole], [columns[k] for k in kept], [labels[k] for k in kept], matrix[whole]
    )


def parallel(info: Parallel, groups: Sequence[Group] = (), theme: Theme = LIGHT) -> go.Figure:
    """Draw one line a network, coloured by group, or by the last column where there is none.

    The networks stand in the layout's meta, in the order of the lines: what is brushed is found by them.
    """
    layout = base_layout(
        theme, margin={"l": 50, "r": 40, "t": 56, "b": 22}, uirevision="parallel", meta=info.networks.tolist()
    )
    dimensions = [_dimension(*part) for part in zip(info.columns, info.labels, info.values.T, strict=True)]
    trace = go.Parcoords(
        dimensions=dimensions, line=_line(info, groups, theme), labelangle=-12 if len(dimensions) > 4 else 0,
        labelfont={"size": 11, "color": theme.ink}, tickfont={"size": 10, "color": theme.muted},
        rangefont={"size": 10, "color": theme.muted}, unselected={"line": {"color": theme.faint, "opacity": 0.15}},
    )  # fmt: skip
    return go.Figure(trace, layout)


def _dimension(column: Column, label: str, values: NDArray[np.float64]) -> dict[str, Any]:
    found: dict[str, Any] = {"label": as_text(label), "values": values}
    if column.is_kind:
        found |= {
            "tickvals": list(range(len(column.levels))),
            "ticktext": [as_text(each) for each in column.levels],
        }
    elif column.logarithmic:
        powers = np.arange(np.floor(values.min()), np.ceil(values.max()) + 1)
        found |= {"tickvals": powers.tolist(), "ticktext": [f"{10.0**power:g}" for power in powers]}
    return found


def _line(info: Parallel, groups: Sequence[Group], theme: Theme) -> dict[str, Any]:
    if not groups:
        last = info.values[:, -1] if info.values.size else np.zeros(0)
        return {"color": last, "colorscale": theme.scale}
    codes = np.zeros(len(info.networks))
    for place, group in enumerate(groups):
        codes[np.isin(info.networks, group.networks)] = place
    most = max(len(groups) - 1, 1)
    scale = [[place / most, group.colour] for place, group in enumerate(groups)]
    return {"color": codes, "colorscale": scale if len(scale) > 1 else [[0, scale[0][1]], [1, scale[0][1]]],
            "cmin": 0, "cmax": most}  # fmt: skip


def importance(found: Sequence[Importance], theme: Theme = LIGHT) -> go.Figure:
    """Draw the importance of each hyperparameter as a dot with its interval, the largest on top."""
    shown = list(found)[::-1]
    value, low, high = (
        np.array([getattr(each, name) for each in shown]) for name in ("value", "low", "high")
    )
    layout = base_layout(
        theme, showlegend=False, margin={"l": 56, "r": 16, "t": 8, "b": 40},
        xaxis=axis(theme, "rise of squared error, share of variance (95 % interval)", rangemode="tozero"),
        yaxis=axis(theme, dtick=1),
    )  # fmt: skip
    figure = go.Figure(layout=layout)
    figure.add_vline(x=0, line={"color": theme.ink, "width": 1, "dash": "dash"})
    colours = [theme.group_a if each.low > 0 else theme.faint for each in shown]
    figure.add_scatter(
        x=value, y=[as_text(each.column.label) for each in shown], mode="markers", marker={"size": 11, "color": colours},
        error_x={"type": "data", "symmetric": False, "array": high - value, "arrayminus": value - low,
                 "color": theme.faint, "thickness": 2, "width": 0},
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )  # fmt: skip
    return figure
