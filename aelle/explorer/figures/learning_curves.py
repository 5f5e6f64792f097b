"""Learning curves: of one network, and of groups of networks as median and band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from aelle.explorer.data import ExplorerData
from aelle.explorer.figures.spectra import add_band
from aelle.explorer.groups import Group
from aelle.explorer.quantiles import column_quantiles
from aelle.explorer.theme import LIGHT, Theme, as_text, axis, base_layout, legend_above
from aelle.explorer.theme import title as title_of


@dataclass(frozen=True)
class Curves:
    """What training recorded of one network; NaN where nothing was."""

    metric_name: str
    epochs: NDArray[np.int64]
    metric: NDArray[np.float64]
    train_loss: NDArray[np.float64]
    val_loss: NDArray[np.float64]
    outcome: str
    spectrum_epochs: NDArray[np.int64]
    lambda_max: NDArray[np.float64]

    @property
    def panels(self) -> list[str]:
        """Which of metric, loss and λ₁ there is anything of."""
        parts = (self.metric, np.append(self.train_loss, self.val_loss), self.lambda_max)
        return [name for name, part in zip(PANELS, parts, strict=True) if np.isfinite(part).any()]


PANELS = ("metric", "loss", "exponent")


def learning_curves_info(data: ExplorerData, network: int) -> Curves:
    """The metric and losses of one network over epochs, and when its spectrum was taken."""
    rows = data.rows_of(network)
    records = data.records.iloc[rows]
    return Curves(
        data.metric_name,
        records["epoch"].to_numpy(np.int64),
        records["val_metric"].to_numpy(np.float64),
        records["train_loss"].to_numpy(np.float64),
        records["val_loss"].to_numpy(np.float64),
        str(data.networks["outcome"][network]),
        records["epoch"].to_numpy(np.int64)[data.spectra.lengths[rows] > 0],
        records["lambda_max"].to_numpy(np.float64),
    )


def learning_curves(curves: Curves, theme: Theme = LIGHT, *, title: str = "") -> go.Figure:
    """Draw metric, losses and λ₁ of one network, each where it was recorded; triangles mark where spectra were taken."""
    figure = go.Figure(layout=curves_layout(theme, curves.panels, title, curves.metric_name))
    line, place = {"color": theme.group_a, "width": 2.5}, places(curves.panels)
    hover = {"hovertemplate": "epoch %{x}: %{y:.4f}<extra></extra>"}
    if "metric" in place:
        figure.add_scatter(
            x=curves.epochs, y=curves.metric, mode="lines+markers", name="validation", line=line, marker={"size": 5},
            showlegend=False, **hover, **place["metric"],
        )  # fmt: skip
        taken = np.isin(curves.epochs, curves.spectrum_epochs)
        figure.add_scatter(
            x=curves.epochs[taken], y=curves.metric[taken], mode="markers", name="spectrum taken",
            marker={"symbol": "triangle-up", "size": 11, "color": theme.group_b}, hoverinfo="skip", **place["metric"],
        )  # fmt: skip
    if "loss" in place:
        for name, losses, dash in (
            ("training", curves.train_loss, "dot"),
            ("validation", curves.val_loss, "solid"),
        ):
            figure.add_scatter(
                x=curves.epochs, y=losses, mode="lines", name=f"{name} loss", line=line | {"dash": dash}, **hover,
                **place["loss"],
            )  # fmt: skip
    if "exponent" in place:
        known = np.isfinite(curves.lambda_max)
        figure.add_scatter(
            x=curves.epochs[known], y=curves.lambda_max[known], mode="lines+markers", name="λ₁", showlegend=False,
            line={"color": theme.group_b, "width": 2.5}, marker={"size": 7}, **hover, **place["exponent"],
        )  # fmt: skip
    return figure


@dataclass(frozen=True)
class CurveBand:
    """One quantity of a group over epochs: median, and the inner 80 % of networks."""

    name: str
    colour: str
    count: int
    quantity: str
    epochs: NDArray[np.int64]
    median: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def curve_bands_info(data: ExplorerData, groups: Sequence[Group]) -> list[CurveBand]:
    """Median and band over epochs of each group's metric, validation loss and λ₁."""
    bands = []
    for group in groups:
        for quantity in _QUANTITIES:
            epochs, matrix = _over_epochs(data, quantity)
            (low, median, high), counts = column_quantiles(matrix[group.networks], (0.1, 0.5, 0.9))
            seen = counts > 0
            bands.append(
                CurveBand(
                    group.name, group.colour, len(group.networks), quantity,
                    epochs[seen], median[seen], low[seen], high[seen],
                )
            )  # fmt: skip
    return bands


def _over_epochs(data: ExplorerData, quantity: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The epochs, and a column of the records as networks × epochs; kept, for every selection asks for it."""

    def compute() -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        epochs, place = np.unique(data.records["epoch"].to_numpy(np.int64), return_inverse=True)
        matrix = np.full((len(data.networks), len(epochs)), np.nan, np.float32)
        matrix[data.records["network"].to_numpy(), place] = data.records[quantity].to_numpy(np.float32)
        return epochs, matrix

    found: tuple[NDArray[np.int64], NDArray[np.float32]] = data.kept(("over epochs", quantity), compute)
    return found


def curve_bands(
    bands: Sequence[CurveBand], metric_name: str = "metric", theme: Theme = LIGHT, *, title: str = ""
) -> go.Figure:
    """Draw the median of each group with the inner 80 % behind it: metric, validation loss and λ₁, where recorded."""
    recorded = {band.quantity for band in bands if len(band.epochs)}
    panels = [name for name, quantity in zip(PANELS, _QUANTITIES, strict=True) if quantity in recorded]
    figure = go.Figure(layout=curves_layout(theme, panels, title, metric_name))
    place = dict(zip(_QUANTITIES, (places(panels).get(name) for name in PANELS), strict=True))
    labelled = set()
    for band in bands:
        if band.quantity not in recorded:
            continue
        label = f"{as_text(band.name)} ({band.count})"
        x = band.epochs.astype(np.float64)
        add_band(
            figure, x, band.median, band.low, band.high, label, band.colour, **(place[band.quantity] or {})
        )
        figure.data[-1].showlegend = label not in labelled
        labelled.add(label)
    return figure


_QUANTITIES = ("val_metric", "val_loss", "lambda_max")  # of groups, in the order of PANELS


def places(panels: Sequence[str]) -> dict[str, dict[str, str]]:
    """The axes of each panel, as keyword arguments of a trace."""
    numbers = {name: str(k + 1) if k else "" for k, name in enumerate(panels)}
    return {name: {"xaxis": f"x{number}", "yaxis": f"y{number}"} for name, number in numbers.items()}


def curves_layout(theme: Theme, panels: Sequence[str], title: str, metric_name: str) -> dict[str, Any]:
    """Plots side by side, one a panel. (make_subplots takes ten times as long.)"""
    words = {"metric": as_text(f"validation {metric_name}"), "loss": "loss", "exponent": "λ₁"}
    layout = base_layout(
        theme, title=title_of(theme, title), legend=legend_above(theme),
        margin={"l": 56, "r": 16, "t": 56 if title else 30, "b": 44},
    )  # fmt: skip
    room = 0.14 if len(panels) < 3 else 0.18
    width = (1 - room * (len(panels) - 1)) / max(len(panels), 1)
    for k, (name, place) in enumerate(places(panels).items()):
        start = k * (width + room)
        number = place["xaxis"][1:]
        layout[f"xaxis{number}"] = axis(
            theme, "epoch", domain=[start, min(start + width, 1)], anchor=place["yaxis"], nticks=6
        )
        layout[f"yaxis{number}"] = axis(theme, words[name], anchor=place["xaxis"], nticks=5)
        if name == "exponent":
            layout["shapes"] = [
                {"type": "line", "xref": f"{place['xaxis']} domain", "x0": 0, "x1": 1, "yref": place["yaxis"], "y0": 0,
                 "y1": 0, "layer": "below", "line": {"color": theme.ink, "width": 1, "dash": "dash"}}
            ]  # fmt: skip
    return layout
