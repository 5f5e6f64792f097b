"""Figures in one call, for notebooks and scripts. Each returns a plotly figure.

An experiment is given as its folder's path (or `ExperimentFolder`), or as `aelle.plot.load(path)` where
several figures are made of it. Networks are given by id. `theme` is "light" or "dark".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
from pandas.api.types import is_numeric_dtype

from aelle.explorer import figures
from aelle.explorer.data import ExplorerData, open_data
from aelle.explorer.decoder import load_decoder
from aelle.explorer.errors import ExplorerError
from aelle.explorer.figures import decoded_path as paths
from aelle.explorer.figures import exponents, exponents_over_epochs, growth
from aelle.explorer.figures.spectra import index_title
from aelle.explorer.lookup import groups_named, listed, number_of, require_spectra, with_latents
from aelle.explorer.projection import pca
from aelle.explorer.theme import theme_named

__all__ = [
    "calibration",
    "conditioning",
    "convergence",
    "decoded_path",
    "diagnosis",
    "exponent_against_metric",
    "ladder",
    "latent_map",
    "learning_curves",
    "load",
    "predicted_against_actual",
    "spectra_over_epochs",
    "spectrum",
    "spectrum_bands",
    "trajectory",
]

Experiment = ExplorerData | PathLike[str] | str | Any  # Any: an ExperimentFolder

load = open_data


def latent_map(
    experiment: Experiment,
    colour: str = "final_metric",
    epoch: int | Literal["all"] | None = None,
    *,
    shape: str | None = None,
    size: str | None = None,
    dimensions: int = 2,
    theme: str = "light",
    title: str = "",
) -> go.Figure:
    """Latents by PCA at one epoch, coloured by any column: the first epoch where None; "all" lays all over each other.

    Raises:
        ExplorerError: where there are no latents, no such column, or no latents at that epoch.
    """
    data = with_latents(experiment, colour, shape, size)
    known = data.point_epochs
    at = known[0] if epoch is None else None if epoch == "all" else int(epoch)
    if at is not None and at not in known:
        raise ExplorerError(f"no latents at epoch {at}; there are some at {listed(known)}")
    title = title or f"{data.name}, {f'epochs {listed(known)}' if at is None else f'epoch {at}'}"
    projection = pca(data.points[data.latent_columns].to_numpy())
    info = figures.latent_map_info(data, projection, colour, at, shape=shape, size=size)
    return figures.latent_map(info, theme_named(theme), dimensions=dimensions, title=title)


def trajectory(
    experiment: Experiment, networks: Sequence[str], colour: str = "final_metric", *, theme: str = "light", title: str = ""
) -> go.Figure:  # fmt: skip
    """The ways of some networks through the latent space over epochs, before the points of all epochs."""
    data = with_latents(experiment, colour)
    projection = pca(data.points[data.latent_columns].to_numpy())
    title = title or f"{data.name}: ways over the epochs {listed(data.point_epochs)}"
    figure = figures.latent_map(
        figures.latent_map_info(data, projection, colour), theme_named(theme), title=title
    )
    figure.update_traces(marker_opacity=0.45)
    numbers = [number_of(data, name) for name in networks]
    return figures.add_trails(figure, figures.trails_info(data, projection, numbers), theme_named(theme))


def spectrum(
    result: Any, level: float = 0.95, *, theory: Any = None, theme: str = "light", title: str = ""
) -> go.Figure:
    """One `LyapunovSpectrum` with its confidence interval; right of a dotted line exponents are rounding noise.

    Several are laid over each other where `result` maps names to spectra, such as {"before": …, "after": …}.
    `theory` overlays mean-field theory on one: a `MeanField`, or a pair of numbers λ₁ and mean exponent.

    Raises:
        ValueError: for no spectrum at all, spectra in different units, or a theory with several.
    """
    if isinstance(result, Mapping):
        if not result or theory is not None or len({each.rate_unit for each in result.values()}) > 1:
            raise ValueError("several spectra need one unit and take no theory; there must be at least one")
        infos = {str(name): _spectrum_info(each, level) for name, each in result.items()}
        figure = exponents.spectra_compared(infos, theme_named(theme), title=title)
        return _in_unit_of(next(iter(result.values())), figure)
    expected = theory
    if theory is not None and not isinstance(theory, tuple):
        expected = (float(theory.largest), float(theory.mean))
    info = _spectrum_info(result, level, expected)
    title = title or f"Lyapunov spectrum with {level:.0%} intervals"
    return _in_unit_of(result, exponents.spectrum(info, theme_named(theme), title=title))


def _spectrum_info(result: Any, level: float, theory: Any = None) -> exponents.SpectrumPoints:
    low, high = result.confidence_interval(level)
    values = _numbers(result.exponents)
    return exponents.spectrum_info(values, _numbers(low), _numbers(high), theory, result.trusted)


def convergence(result: Any, *, most: int = 8, theme: str = "light", title: str = "") -> go.Figure:
    """Running averages of a `LyapunovSpectrum`'s exponents against the steps of each sequence."""
    steps = _numbers(result.block_steps)[0]
    info = exponents.convergence_info(_numbers(result.convergence), steps, most)
    return _in_unit_of(result, exponents.convergence(info, theme_named(theme), title=title))


def conditioning(part: Any, *, theme: str = "light", title: str = "") -> go.Figure:
    """How a gradient grows or shrinks on its way back, before and after one part of a network was conditioned.

    `part` is one of the `parts` of what `aelle.condition` returns.
    """
    curves = {"before": part.before, "after": part.after} if part.changed else {"unchanged": part.before}
    info = growth.growth_info({name: (reach.lags, _numbers(reach.growth)) for name, reach in curves.items()})
    return growth.growth_by_lag(info, theme_named(theme), title=title)


def diagnosis(result: Any, *, theme: str = "light", title: str = "") -> go.Figure:
    """How a gradient grows or shrinks on its way back in each part of a network, of what `aelle.diagnose` returns."""
    curves = {part.name or "network": part.reach for part in result.parts}
    info = growth.growth_info({name: (reach.lags, _numbers(reach.growth)) for name, reach in curves.items()})
    return growth.growth_by_lag(info, theme_named(theme), title=title)


def spectra_over_epochs(
    experiment: Experiment,
    network: str,
    style: Literal["lines", "heatmap", "ridge"] = "lines",
    *,
    theme: str = "light",
    title: str = "",
) -> go.Figure:
    """The recorded spectra of one network: a line an epoch, a heat map, or a ridge of their densities."""
    data = open_data(experiment)
    lines = figures.spectra_over_epochs_info(data, number_of(data, network))
    title = title or f"{data.exponents_title} of {network}"
    if style == "heatmap":
        info = exponents_over_epochs.spectra_heatmap_info(lines)
        return exponents_over_epochs.spectra_heatmap(info, theme_named(theme), title=title)
    if style == "ridge":
        ridge = exponents_over_epochs.spectra_ridge_info(lines)
        return exponents_over_epochs.spectra_ridge(ridge, theme_named(theme), title=title)
    if style != "lines":
        raise ExplorerError(f"style must be lines, heatmap or ridge, got {style!r}")
    return figures.spectra_over_epochs(lines, theme_named(theme), title=title)


def spectrum_bands(
    experiment: Experiment, groups: Mapping[str, Sequence[str]], epoch: int, *, log_index: bool = False,
    theme: str = "light", title: str = "",
) -> go.Figure:  # fmt: skip
    """Median spectrum and inner 80 % of each group; `groups` maps names to network ids.

    Raises:
        ExplorerError: for an unknown network, or an epoch without spectra.
    """
    data = open_data(experiment)
    require_spectra(data, epoch)
    title = title or f"Spectra at epoch {epoch}: median and inner 80 %"
    bands = figures.spectrum_bands_info(data, groups_named(data, groups, theme), epoch)
    return figures.spectrum_bands(bands, theme_named(theme), title=title, log_index=log_index)


def learning_curves(
    experiment: Experiment,
    networks: str | Mapping[str, Sequence[str]],
    *,
    theme: str = "light",
    title: str = "",
) -> go.Figure:
    """The learning curves of one network (an id), or median and inner 80 % of groups (names to ids)."""
    data = open_data(experiment)
    if isinstance(networks, str):
        curves = figures.learning_curves_info(data, number_of(data, networks))
        title = title or f"Learning curves of {networks}"
        return figures.learning_curves(curves, theme_named(theme), title=title)
    bands = figures.curve_bands_info(data, groups_named(data, networks, theme))
    title = title or "Learning curves: median and inner 80 %"
    return figures.curve_bands(bands, data.metric_name, theme_named(theme), title=title)


def ladder(experiment: Experiment, epoch: int = 0, *, theme: str = "light", title: str = "") -> go.Figure:
    """Spearman of every method at one epoch with its bootstrap interval, from the report of `evaluate`."""
    data = open_data(experiment)
    rows = figures.ladder_info(data.report)
    if not any(row["epoch"] == epoch for row in rows):
        raise ExplorerError(f"{data.folder.root}: no report for epoch {epoch}; run `aelle evaluate` first")
    level = figures.level_methods(data.report, epoch)
    return figures.ladder(rows, epoch, theme_named(theme), level=level, title=title)


def predicted_against_actual(
    experiment: Experiment, method: str, epoch: int = 0, *, theme: str = "light", title: str = ""
) -> go.Figure:
    """Cross-validated predictions of one method against what became of the networks, with intervals."""
    info = _predicted(experiment, method, epoch)
    return figures.predicted_against_actual(info, theme_named(theme), title=title)


def calibration(
    experiment: Experiment,
    method: str,
    epoch: int = 0,
    *,
    bins: int = 10,
    theme: str = "light",
    title: str = "",
) -> go.Figure:
    """Mean actual against mean predicted metric in bins of equally many networks."""
    return figures.calibration(
        _predicted(experiment, method, epoch), theme_named(theme), bins=bins, title=title
    )


def exponent_against_metric(
    experiment: Experiment,
    epoch: int = 0,
    colour: str = "init_gain",
    *,
    theme: str = "light",
    title: str = "",
) -> go.Figure:
    """The final metric against λ₁ at one epoch, coloured by a quantity of the records."""
    data = open_data(experiment)
    known = [name for name in data.records if is_numeric_dtype(data.records[name])]
    if colour not in known:
        raise ExplorerError(f"no quantity {colour!r} to colour by; there are {', '.join(map(str, known))}")
    require_spectra(data, epoch)
    title = title or f"{data.name}, epoch {epoch}"
    return exponents.exponent_against_metric(data, epoch, theme_named(theme), colour=colour, title=title)


def decoded_path(
    experiment: Experiment,
    start: Sequence[str],
    end: Sequence[str],
    epoch: int = 0,
    *,
    steps: int = 5,
    theme: str = "light",
    title: str = "",
) -> go.Figure:
    """Spectra that the autoencoder decodes on the straight way between the means of two groups of networks.

    Raises:
        ExplorerError: where there is no fitted autoencoder, no such network, or no latent at that epoch.
    """
    data = with_latents(experiment)
    first, last = ([number_of(data, name) for name in names] for names in (start, end))
    info = paths.decoded_path_info(data, load_decoder(data.folder), first, last, epoch, steps)
    return paths.decoded_path(info, theme_named(theme), title=title, axis_title=index_title(data))


def _predicted(experiment: Experiment, method: str, epoch: int) -> figures.Predicted:
    data = open_data(experiment)
    info = figures.predicted_info(data, method, epoch)
    if not len(info.networks):
        known = figures.methods_at(data, epoch)
        raise ExplorerError(
            f"no predictions of {method!r} at epoch {epoch}; there are {', '.join(known) or 'none'}"
        )
    return info


def _in_unit_of(result: Any, figure: go.Figure) -> go.Figure:
    return figure.update_yaxes(title_text=f"λ ({result.rate_unit})")


def _numbers(values: Any) -> np.ndarray[Any, Any]:
    """Tensors and arrays as numpy, without importing torch."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, dtype=np.float64)
