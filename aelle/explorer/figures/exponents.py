"""Exponents: one spectrum with its uncertainty, its convergence, λ₁ against the metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray

from aelle.explorer.columns import describe
from aelle.explorer.data import ExplorerData
from aelle.explorer.figures.colours import keep_titles_clear, quantity_axis
from aelle.explorer.figures.spectra import EXPONENT, add_band, epoch_colours, spectrum_layout
from aelle.explorer.theme import LIGHT, Theme, as_text, axis, base_layout, title_above_bar
from aelle.explorer.theme import title as title_of


@dataclass(frozen=True)
class SpectrumPoints:
    """One spectrum's finite exponents with the ends of their intervals; `infinite` were minus infinity.

    The first `trusted` exponents are good as far as rounding goes; None where that is not known.
    """

    index: NDArray[np.int64]
    exponents: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    infinite: int
    mean_field: tuple[float, float] | None = None  # λ₁ and mean exponent that theory expects
    trusted: int | None = None


def spectrum_info(
    exponents: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    mean_field: tuple[float, float] | None = None,
    trusted: int | None = None,
) -> SpectrumPoints:
    """Keep the finite exponents of a spectrum, with their intervals and the theory to lay over them."""
    values, ends = np.asarray(exponents, float), [np.asarray(low, float), np.asarray(high, float)]
    finite = np.isfinite(values)
    return SpectrumPoints(
        np.flatnonzero(finite) + 1, values[finite], ends[0][finite], ends[1][finite], int((~finite).sum()),
        mean_field, trusted,
    )  # fmt: skip


def spectrum(info: SpectrumPoints, theme: Theme = LIGHT, *, title: str = "") -> go.Figure:
    """Draw one spectrum with its interval, and what the theory of large random networks expects of it.

    Right of a dotted line exponents are rounding noise.
    """
    figure = go.Figure(layout=spectrum_layout(theme, title, "index i of the exponent"))
    add_band(figure, info.index.astype(float), info.exponents, info.low, info.high, "exponent", theme.group_a)
    figure.data[-1].update(mode="lines+markers", marker={"size": 4}, showlegend=False)
    names = (("mean-field λ₁", "top"), ("mean-field mean", "bottom left"))
    for value, (name, place) in zip(info.mean_field or (), names, strict=False):
        figure.add_hline(
            y=value, line={"color": theme.group_b, "width": 1.5, "dash": "dot"}, annotation_position=place,
            annotation={"text": f"{name} {value:.3f}", "font": {"size": 11, "color": theme.group_b}},
        )  # fmt: skip
    if info.trusted is not None and info.trusted < len(info.index) + info.infinite:
        figure.add_vline(x=info.trusted + 0.5, line={"color": theme.ink, "width": 1, "dash": "dot"})
    return figure


def spectra_compared(
    infos: Mapping[str, SpectrumPoints], theme: Theme = LIGHT, *, title: str = ""
) -> go.Figure:
    """Draw several spectra with their intervals, each under its name."""
    figure = go.Figure(layout=spectrum_layout(theme, title, "index i of the exponent"))
    colours = [colour for colour in theme.kinds if colour != theme.kinds[-1]]
    for place, (name, info) in enumerate(infos.items()):
        colour, x = colours[place % len(colours)], info.index.astype(float)
        add_band(figure, x, info.exponents, info.low, info.high, as_text(name), colour)
        figure.data[-1].update(mode="lines+markers", marker={"size": 4})
    return figure


@dataclass(frozen=True)
class Convergence:
    """Running averages of some exponents, (blocks, exponents), after so many steps each; numbers from 1."""

    steps: NDArray[np.float64]
    index: NDArray[np.int64]
    averages: NDArray[np.float64]


def convergence_info(averages: ArrayLike, block_steps: ArrayLike, most: int = 8) -> Convergence:
    """Choose at most `most` exponents evenly from first to last of running averages (blocks × exponents)."""
    values = np.asarray(averages, float)
    chosen = np.unique(np.linspace(0, values.shape[1] - 1, min(most, values.shape[1])).round().astype(int))
    return Convergence(np.cumsum(np.asarray(block_steps, float)), chosen + 1, values[:, chosen])


def convergence(info: Convergence, theme: Theme = LIGHT, *, title: str = "") -> go.Figure:
    """Draw running averages of exponents against the steps taken so far."""
    figure = go.Figure(
        layout=base_layout(
            theme, title=title_of(theme, title), xaxis=axis(theme, "steps"), yaxis=axis(theme, EXPONENT)
        )
    )
    colours = epoch_colours(len(info.index), theme)
    for number, values, colour in zip(info.index, info.averages.T, colours, strict=True):
        figure.add_scatter(
            x=info.steps, y=values, mode="lines", name=f"λ<sub>{number}</sub>", line={"color": colour}
        )
    return figure


@dataclass(frozen=True)
class ExponentAndMetric:
    """The largest exponent of each network at one epoch, its final metric, and a third quantity for colour."""

    networks: NDArray[np.int64]
    ids: list[str]
    lambda_max: NDArray[np.float64]
    metric: NDArray[np.float64]
    metric_name: str
    colour: NDArray[np.float64]


def exponent_against_metric_info(
    data: ExplorerData, epoch: int, colour: str = "init_gain"
) -> ExponentAndMetric:
    """Gather λ₁ at one epoch and the final metric of every network with both."""
    records = data.records[(data.records["epoch"] == epoch) & np.isfinite(data.records["lambda_max"])]
    final = data.networks["final_metric"].reindex(records["network"]).to_numpy(float)
    known = np.isfinite(final)
    records = records[known]
    return ExponentAndMetric(
        records["network"].to_numpy(), records["network_id"].astype(str).tolist(),
        records["lambda_max"].to_numpy(float), final[known], data.metric_name, records[colour].to_numpy(float),
    )  # fmt: skip


def exponent_against_metric(
    data: ExplorerData, epoch: int, theme: Theme = LIGHT, *, colour: str = "init_gain", title: str = ""
) -> go.Figure:
    """Draw the final metric against λ₁ at one epoch; the vertical line λ₁ = 0 is the edge of chaos."""
    info = exponent_against_metric_info(data, epoch, colour)
    layout = base_layout(
        theme, annotations=title_above_bar(theme, as_text(title)), showlegend=False,
        xaxis=axis(theme, f"largest exponent λ₁ at epoch {epoch} (nats per step)"),
        yaxis=axis(theme, as_text(f"final validation {info.metric_name}")),
        coloraxis=quantity_axis(describe(data.records, colour, data.metric_name), theme),
    )  # fmt: skip
    layout["margin"] = layout["margin"] | {"t": 84 if title else 60, "l": 60}
    keep_titles_clear(layout)
    figure = go.Figure(layout=layout)
    figure.add_vline(x=0, line={"color": theme.ink, "width": 1, "dash": "dash"})
    figure.add_scatter(
        x=info.lambda_max, y=info.metric, mode="markers", text=[as_text(name) for name in info.ids],
        marker={"size": 8, "color": info.colour, "coloraxis": "coloraxis", "line": {"width": 0.75, "color": theme.edge}},
        hovertemplate="%{text}<br>λ₁ = %{x:.4f}<br>%{y:.4f}<extra></extra>",
    )  # fmt: skip
    return figure
