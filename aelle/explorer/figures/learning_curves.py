"""Learning curves: of one network, and of groups of networks as median and band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    )


def learning_curves(curves: Curves, theme: Theme = LIGHT, *, title: str = "") -> go.Figure:
    """Draw the metric (left) and the losses (right) of one network; triangles mark where spectra were taken."""
    figure = _panels(theme, title, curves.metric_name)
    figure.add_scatter(
        x=curves.epochs, y=curves.metric, mode="lines+markers", name="validation",
        line={"color": theme.group_a, "width": 2.5}, marker={"size": 5}, showlegend=False,
        hovertemplate="epoch %{x}: %{y:.4f}<extra></extra>",
    )  # fmt: skip
    taken = np.isin(curves.epochs, curves.spectrum_epochs)
    figure.add_scatter(
        x=curves.epochs[taken], y=curves.metric[taken], mode="markers", name="spectrum taken",
        marker={"symbol": "triangle-up", "size": 11, "color": theme.group_b}, hoverinfo="skip",
    )  # fmt: skip
    for name, losses, dash in (
        ("training", curves.train_loss, "dot"),
        ("validation", curves.val_loss, "solid"),
    ):
        figure.add_scatter(
            x=curves.epochs, y=losses, mode="lines", name=f"{name} loss", **_RIGHT,
            line={"color": theme.group_a, "width": 2.5, "dash": dash},
            hovertemplate="epoch %{x}: %{y:.4f}<extra></extra>",
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
    """Median and band over epochs of each group's metric and validation loss."""
    bands = []
    for group in groups:
        for quantity in ("val_metric", "val_loss"):
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
    """Draw the median learning curve of each group with its band: the metric left, the loss right."""
    figure = _panels(theme, title, metric_name)
    for band in bands:
        label = f"{as_text(band.name)} ({band.count})"
        place = {} if band.quantity == "val_metric" else _RIGHT
        x = band.epochs.astype(np.float64)
        add_band(figure, x, band.median, band.low, band.high, label, band.colour, **place)
        figure.data[-1].showlegend = not place
    return figure


_RIGHT = {"xaxis": "x2", "yaxis": "y2"}


def _panels(theme: Theme, title: str, metric_name: str) -> go.Figure:
    """Two plots side by side: the metric, and the loss. (make_subplots takes ten times as long.)"""
    return go.Figure(
        layout=base_layout(
            theme, title=title_of(theme, title),
            xaxis=axis(theme, "epoch", domain=[0, 0.43]),
            yaxis=axis(theme, as_text(f"validation {metric_name}")),
            xaxis2=axis(theme, "epoch", domain=[0.57, 1], anchor="y2"),
            yaxis2=axis(theme, "loss", anchor="x2"),
            margin={"l": 56, "r": 16, "t": 56 if title else 30, "b": 44}, legend=legend_above(theme),
        )
    )  # fmt: skip
