"""Lyapunov spectra: of one network over epochs, and of groups of networks as mean and band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.colors import sample_colorscale

from aelle.explorer.data import ExplorerData
from aelle.explorer.groups import Group
from aelle.explorer.quantiles import column_quantiles
from aelle.explorer.theme import LIGHT, VIRIDIS, Theme, as_text, axis, base_layout, legend_above
from aelle.explorer.theme import title as title_of
from aelle.records import normalised_index

EXPONENT = "λ (nats per step)"
NORMALISED_INDEX = "normalised index (i − ½) / n"
OF_LEADING = "normalised index (i − ½) / k of the k leading exponents"
_RESOLUTION = 64


def index_title(data: ExplorerData) -> str:
    """What the normalised index of an experiment's exponents is normalised by."""
    return OF_LEADING if data.look == "economy" else NORMALISED_INDEX


@dataclass(frozen=True)
class SpectrumLine:
    """One spectrum: exponents in descending order, and how many of them are minus infinity (not drawn)."""

    epoch: int
    exponents: NDArray[np.float32]
    infinite: int


def spectra_over_epochs_info(data: ExplorerData, network: int) -> list[SpectrumLine]:
    """The recorded spectra of one network, in order of epochs."""
    lines = []
    for row in data.rows_of(network):
        exponents = data.spectra[int(row)]
        if len(exponents):
            finite = np.isfinite(exponents)
            lines.append(
                SpectrumLine(int(data.records["epoch"][row]), exponents[finite], int((~finite).sum()))
            )
    return lines


def spectra_over_epochs(
    lines: Sequence[SpectrumLine], theme: Theme = LIGHT, *, title: str = "", log_index: bool = False
) -> go.Figure:
    """Draw the spectra of one network, one line an epoch, from dark (early) to bright (late)."""
    figure = go.Figure(layout=spectrum_layout(theme, title, "index i of the exponent", log_index))
    for line, colour in zip(lines, epoch_colours(len(lines), theme), strict=True):
        note = f" ({line.infinite} at −∞)" if line.infinite else ""
        figure.add_scatter(
            x=np.arange(1, len(line.exponents) + 1), y=line.exponents, mode="lines+markers",
            line={"color": colour, "width": 2}, marker={"size": 4, "color": colour},
            name=f"epoch {line.epoch}{note}", hovertemplate="λ<sub>%{x}</sub> = %{y:.4f}",
        )  # fmt: skip
    return figure


@dataclass(frozen=True)
class Band:
    """The spectra of a group over the normalised index: median, and the inner 80 % of networks."""

    name: str
    colour: str
    count: int
    index: NDArray[np.float64]
    median: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    index_title: str = NORMALISED_INDEX


def spectrum_bands_info(data: ExplorerData, groups: Sequence[Group], epoch: int) -> list[Band]:
    """Median and band of each group's spectra at one epoch; networks of any size, over the normalised index.

    Where more than half of a group's exponents are minus infinity or missing, nothing is drawn.
    """
    numbers, matrix = _resampled(data, epoch)
    index = normalised_index(_RESOLUTION)
    bands = []
    for group in groups:
        wanted = np.zeros(len(data.networks), bool)
        wanted[group.networks] = True
        own = matrix[wanted[numbers]]
        (low, median, high), counts = column_quantiles(own, (0.1, 0.5, 0.9))
        hidden = counts * 2 < max(len(own), 1)
        low[hidden] = median[hidden] = high[hidden] = np.nan
        bands.append(Band(group.name, group.colour, len(own), index, median, low, high, index_title(data)))
    return bands


def _resampled(data: ExplorerData, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Networks and their spectra over the normalised index at one epoch; kept, for every selection asks for them."""

    def compute() -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        rows = np.flatnonzero((data.records["epoch"].to_numpy() == epoch) & (data.spectra.lengths > 0))
        matrix = data.spectra.resampled(rows, _RESOLUTION).astype(np.float32)
        return data.records["network"].to_numpy()[rows], matrix

    found: tuple[NDArray[np.int64], NDArray[np.float32]] = data.kept(("resampled", epoch), compute)
    return found


def spectrum_bands(
    bands: Sequence[Band], theme: Theme = LIGHT, *, title: str = "", log_index: bool = False
) -> go.Figure:
    """Draw the median spectrum of each group, the inner 80 % of its networks behind it."""
    axis_title = bands[0].index_title if bands else NORMALISED_INDEX
    figure = go.Figure(layout=spectrum_layout(theme, title, axis_title, log_index))
    for band in bands:
        add_band(
            figure,
            band.index,
            band.median,
            band.low,
            band.high,
            f"{as_text(band.name)} ({band.count})",
            band.colour,
        )
    return figure


def decoded_spectrum(
    decoded: NDArray[np.float64],
    real: NDArray[np.float32],
    name: str,
    theme: Theme = LIGHT,
    *,
    title: str = "",
    seen: bool = True,
    axis_title: str = NORMALISED_INDEX,
) -> go.Figure:
    """Draw a decoded spectrum before a real one, over the normalised index; faint where no network is near (`seen`)."""
    figure = go.Figure(layout=spectrum_layout(theme, title, axis_title))
    finite = np.isfinite(real)
    for values, label, colour, dash, opacity in (
        (np.where(finite, real, np.nan), f"recorded, {as_text(name)}", theme.muted, "dot", 1.0),
        (decoded, "decoded here" if seen else "decoded here, far from any network", theme.group_b,
         "solid" if seen else "dash", 1.0 if seen else 0.4),
    ):  # fmt: skip
        index = normalised_index(len(values))
        figure.add_scatter(
            x=index, y=values, mode="lines", name=label, line={"color": colour, "width": 2.5, "dash": dash},
            opacity=opacity, hovertemplate="%{y:.4f}",
        )  # fmt: skip
    return figure


def add_band(
    figure: go.Figure,
    x: NDArray[np.float64],
    middle: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    name: str,
    colour: str,
    **place: str,
) -> None:
    """Add a line with a shaded band to a figure (or to one of its subplots: xaxis, yaxis)."""
    seen = np.isfinite(low) & np.isfinite(high)
    around = {
        "x": np.concatenate([x[seen], x[seen][::-1]]),
        "y": np.concatenate([high[seen], low[seen][::-1]]),
    }
    figure.add_scatter(
        **around, fill="toself", fillcolor=_translucent(colour), line={"width": 0}, mode="lines",
        hoverinfo="skip", showlegend=False, legendgroup=name, **place,
    )  # fmt: skip
    figure.add_scatter(
        x=x, y=middle, mode="lines", line={"color": colour, "width": 2.5}, name=name, legendgroup=name,
        hovertemplate="%{y:.4f}", **place,
    )  # fmt: skip


def spectrum_layout(theme: Theme, title: str, index_title: str, log_index: bool = False) -> dict[str, object]:
    """Axes of a spectrum, with the line λ = 0 between growth and decay."""
    zero = {"type": "line", "x0": 0, "x1": 1, "xref": "paper", "y0": 0, "y1": 0, "layer": "below",
            "line": {"color": theme.ink, "width": 1, "dash": "dash"}}  # fmt: skip
    label = {"text": "λ = 0", "x": 1, "xref": "paper", "xanchor": "right", "y": 0, "yanchor": "bottom",
             "showarrow": False, "font": {"size": 11, "color": theme.muted}}  # fmt: skip
    return base_layout(
        theme, title=title_of(theme, title), shapes=[zero], annotations=[label],
        xaxis=axis(theme, index_title, type="log" if log_index else "linear"), yaxis=axis(theme, EXPONENT),
        margin={"l": 56, "r": 16, "t": 56 if title else 30, "b": 44}, legend=legend_above(theme),
    )  # fmt: skip


def epoch_colours(count: int, theme: Theme = LIGHT) -> list[str]:
    """Colours of `count` epochs in order, leaving out the end of the scale that fades into the ground."""
    low, high = (0.0, 0.85) if theme.name == "light" else (0.3, 1.0)
    return (
        list(sample_colorscale([list(stop) for stop in VIRIDIS], np.linspace(low, high, count)))
        if count
        else []
    )


def _translucent(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"
