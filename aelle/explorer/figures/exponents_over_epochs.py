"""The exponents of one network as it learns: a heat map, or a ridge of their densities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from aelle.explorer.figures.spectra import EXPONENT, SpectrumLine, epoch_colours
from aelle.explorer.theme import LIGHT, Theme, axis, base_layout
from aelle.explorer.theme import title as title_of

_GRID = 200
_HEIGHT = 0.85  # of the highest ridge, in units of their distance: none covers the ticks of the next


@dataclass(frozen=True)
class SpectraMatrix:
    """Spectra of one network, (epochs, n), NaN where an exponent is minus infinity; `bound` of |λ|."""

    epochs: list[int]
    exponents: NDArray[np.float64]
    bound: float


def spectra_heatmap_info(lines: Sequence[SpectrumLine]) -> SpectraMatrix:
    """Lay the spectra of one network beneath each other."""
    width = max((len(line.exponents) for line in lines), default=0)
    matrix = np.full((len(lines), width), np.nan)
    for row, line in enumerate(lines):
        matrix[row, : len(line.exponents)] = line.exponents
    bound = float(np.nanmax(np.abs(matrix))) if np.isfinite(matrix).any() else 1.0
    return SpectraMatrix([line.epoch for line in lines], matrix, bound)


def spectra_heatmap(info: SpectraMatrix, theme: Theme = LIGHT, *, title: str = "") -> go.Figure:
    """Draw the spectra of one network as a heat map, epochs upwards; zero is the middle of the colours."""
    figure = go.Figure(
        layout=base_layout(
            theme, title=title_of(theme, title), xaxis=axis(theme, "index i of the exponent"),
            yaxis=axis(theme, "epoch", type="category"),
        )
    )  # fmt: skip
    figure.add_heatmap(
        x=np.arange(1, info.exponents.shape[1] + 1), y=[str(epoch) for epoch in info.epochs],
        z=info.exponents, zmin=-info.bound, zmax=info.bound,
        colorscale=[[0, "#2166ac"], [0.5, "#f7f7f7"], [1, "#b35806"]],  # blue to brown: safe for the colour-blind
        colorbar={"title": {"text": EXPONENT, "side": "right"}, "thickness": 10, "outlinewidth": 0},
        hovertemplate="epoch %{y}, λ<sub>%{x}</sub> = %{z:.4f}<extra></extra>",
    )  # fmt: skip
    return figure


@dataclass(frozen=True)
class Ridge:
    """Densities of the finite exponents at each epoch, (epochs, grid), per nat, over the values `grid`."""

    epochs: list[int]
    grid: NDArray[np.float64]
    density: NDArray[np.float64]
    exponents: list[NDArray[np.float64]]


def spectra_ridge_info(lines: Sequence[SpectrumLine]) -> Ridge:
    """Smooth the exponents of every epoch by one Gaussian kernel of half the width of Silverman's rule.

    Spectra end sharply at λ₁: what the kernel puts beyond is reflected, so that nothing is drawn where no exponent is.
    """
    values = [np.asarray(line.exponents, float) for line in lines]
    pooled = np.concatenate(values) if values else np.zeros(0)
    if not len(pooled):
        return Ridge([], np.zeros(0), np.zeros((0, 0)), [])
    spread = min(float(pooled.std()), float(np.subtract(*np.quantile(pooled, [0.75, 0.25]))) / 1.34)
    bandwidth = 0.45 * max(spread, 1e-3) * max(len(v) for v in values) ** -0.2
    grid = np.linspace(pooled.min() - 3 * bandwidth, pooled.max() + 3 * bandwidth, _GRID)
    density = np.zeros((len(values), _GRID))
    for row, v in enumerate(values):
        if len(v):
            mirrored = np.concatenate([v, 2 * v.max() - v])
            kernels = np.exp(-0.5 * ((grid[:, None] - mirrored[None]) / bandwidth) ** 2)
            smooth = kernels.sum(axis=1) / (len(v) * bandwidth * np.sqrt(2 * np.pi))
            density[row] = np.where(grid <= v.max(), smooth, 0.0)
    return Ridge([line.epoch for line in lines], grid, density, values)


def spectra_ridge(info: Ridge, theme: Theme = LIGHT, *, title: str = "") -> go.Figure:
    """Draw the densities above each other, the first epoch at the bottom; the dashed line is λ = 0."""
    layout = base_layout(
        theme, title=title_of(theme, title), showlegend=False, xaxis=axis(theme, EXPONENT),
        yaxis=axis(theme, "epoch", tickvals=list(range(len(info.epochs))), ticktext=[str(e) for e in info.epochs],
                   range=[-0.2, max(len(info.epochs) - 1 + _HEIGHT, 1) + 0.1], showgrid=False),
    )  # fmt: skip
    figure = go.Figure(layout=layout)
    height = _HEIGHT / info.density.max() if info.density.size else 1.0
    colours = epoch_colours(len(info.epochs), theme)
    # From the top down, so that nearer ridges cover those behind them.
    for row in reversed(range(len(info.epochs))):
        grid, density = _ended(info, row)
        base = np.full(len(grid), float(row))
        figure.add_scatter(x=grid, y=base, mode="lines", line={"width": 0}, hoverinfo="skip")
        figure.add_scatter(
            x=grid, y=base + height * density, mode="lines", fill="tonexty",
            line={"color": theme.card, "width": 1.5}, fillcolor=colours[row], opacity=0.9,
            customdata=density, name=f"epoch {info.epochs[row]}",
            hovertemplate="λ = %{x:.3f}: %{customdata:.3f} per nat",
        )  # fmt: skip
        figure.add_scatter(
            x=info.exponents[row], y=np.full(len(info.exponents[row]), row - 0.06), mode="markers",
            marker={"symbol": "line-ns-open", "size": 7, "color": colours[row]}, name="exponents",
            hovertemplate="λ = %{x:.4f}",
        )  # fmt: skip
    figure.add_vline(x=0, line={"color": theme.ink, "width": 1, "dash": "dash"})
    return figure


def _ended(info: Ridge, row: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The density of one epoch up to λ₁, where it drops to 0."""
    end = float(info.exponents[row].max(initial=-np.inf))
    below = info.grid <= end
    if not below.any():
        return info.grid, info.density[row]
    density = info.density[row][below]
    return np.concatenate([info.grid[below], [end, end]]), np.concatenate([density, [density[-1], 0.0]])
