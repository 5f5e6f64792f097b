"""Selections A and B by lasso, filters, and the views that compare the groups."""

from __future__ import annotations

from typing import Any

import numpy as np
from dash import ALL, ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update

from aelle.explorer.callbacks.shared import epoch_at, groups_of, message, shown_networks
from aelle.explorer.columns import Column, describe
from aelle.explorer.contrast import contrasts, exponents_in_words, in_words
from aelle.explorer.data import ExplorerData
from aelle.explorer.figures import curve_bands, curve_bands_info, spectrum_bands, spectrum_bands_info
from aelle.explorer.figures.contrast import contrast_histograms
from aelle.explorer.filters import column_range
from aelle.explorer.source import Source
from aelle.explorer.theme import theme_named

_STEPS = 200  # places of a filter's slider


def register(app: Dash, source: Source) -> None:
    """Connect selections, filters and the comparing views."""
    app.clientside_callback(
        ClientsideFunction("latent_map", "lassoed"), Output("selection", "data"),
        Input("lassoed", "data"), State("lasso-into", "value"), State("selection", "data"),
        prevent_initial_call=True,
    )  # fmt: skip
    app.clientside_callback(
        ClientsideFunction("page", "count"), Output("selection-count", "children"), Input("selection", "data")
    )
    app.clientside_callback(
        ClientsideFunction("page", "compare"),
        Output("tab", "value"),
        Input("selection", "data"),
        State("tab", "value"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("latent_map", "all"), Output("selection", "data", allow_duplicate=True),
        Input("select-shown", "n_clicks"), State("lasso-into", "value"), State("selection", "data"),
        prevent_initial_call=True,
    )  # fmt: skip
    app.clientside_callback(
        ClientsideFunction("latent_map", "found"), Output("selection", "data", allow_duplicate=True),
        Input("select-found", "n_clicks"), State("lasso-into", "value"), State("selection", "data"),
        State("found", "data"), prevent_initial_call=True,
    )  # fmt: skip
    app.clientside_callback(
        ClientsideFunction("page", "clear"), Output("selection", "data", allow_duplicate=True),
        Input("clear", "n_clicks"), prevent_initial_call=True,
    )  # fmt: skip
    _filters(app, source)
    _bands(app, source)
    _special(app, source)


def _filters(app: Dash, source: Source) -> None:
    @app.callback(
        Output("filter-widgets", "children"), Input("filter-columns", "value"), State("filters", "data")
    )
    def widgets(names: list[str] | None, filters: dict[str, Any]) -> Any:
        data = source.data
        if data is None:
            return no_update
        return [filter_widget(data, name, filters.get(name)) for name in names or [] if name in data.points]

    @app.callback(
        Output("filters", "data"), Output("filter-count", "children"),
        Input({"type": "filter", "column": ALL}, "value"), State("filter-columns", "value"),
        State("epoch", "value"), prevent_initial_call=True,
    )  # fmt: skip
    def gather(values: list[Any], names: list[str] | None, place: int) -> Any:
        data = source.data
        if data is None or data.points.empty:
            return no_update, no_update
        known = [name for name in names or [] if name in data.points]
        if len(known) != len(values):
            return no_update, no_update  # the widgets are still being made
        filters = {name: _wanted(data, name, value) for name, value in zip(known, values, strict=True)}
        epoch = epoch_at(data, place)
        shown, all_of = len(shown_networks(data, epoch, filters)), len(shown_networks(data, epoch, None))
        return filters, f"{shown:,} of {all_of:,} networks shown" if filters else ""


def filter_widget(data: ExplorerData, name: str, chosen: Any) -> html.Div:
    """A range slider for a quantity (of its logarithm where it spans decades), a menu for a kind."""
    column, target = describe(data.points, name, data.metric_name), {"type": "filter", "column": name}
    if column.is_kind:
        levels = list(column.levels)
        widget: Any = dcc.Dropdown(levels, chosen or levels, multi=True, id=target)
    else:
        low, high = slider_ends(data, column)
        chosen = [
            end if asked is None else _on_slider(asked, column)
            for asked, end in zip(chosen or [None, None], (low, high), strict=True)
        ]
        ends = np.linspace(low, high, 5)
        marks = {float(e): f"{10**e if column.logarithmic else e:.3g}" for e in ends}
        widget = html.Div(
            dcc.RangeSlider(low, high, value=chosen, marks=marks, id=target, step=(high - low) / _STEPS),
            className="track",
        )
    return html.Div([html.Span(column.label, className="label"), widget], className="control filter")


def _wanted(data: ExplorerData, name: str, value: Any) -> list[Any]:
    """A filter as it is kept: levels, or a range in the quantity's own unit; open (None) at an end of the slider."""
    column = describe(data.points, name, data.metric_name)
    if column.is_kind or not value:
        return list(value or [])
    low, high = slider_ends(data, column)
    near = (high - low) / _STEPS  # a slider cannot always stand exactly on its end
    inside = [value[0] > low + near / 2, value[1] < high - near]
    return [
        (10**end if column.logarithmic else end) if keep else None
        for end, keep in zip(value, inside, strict=True)
    ]


def slider_ends(data: ExplorerData, column: Column) -> tuple[float, float]:
    """The ends of a quantity's slider; of its logarithm where it spans decades."""
    low, high = column_range(data.points, column.name)
    return (_on_slider(low, column), _on_slider(high, column)) if column.logarithmic else (low, high)


def _on_slider(value: float, column: Column) -> float:
    return float(np.log10(max(value, 1e-300))) if column.logarithmic else value


def _bands(app: Dash, source: Source) -> None:
    @app.callback(
        Output("bands-figure", "data"), Output("curve-bands-figure", "data"),
        Output("bands-title", "children"), Output("bands-words", "children"),
        Input("selection-ask", "data"), prevent_initial_call=True,
    )  # fmt: skip
    def draw(asked: dict[str, Any] | None) -> Any:
        data = source.data
        if data is None or asked is None:
            return (no_update,) * 4
        epoch, theme = epoch_at(data, asked["epoch"]), theme_named(asked["theme"])
        groups = groups_of(asked["selection"], shown_networks(data, epoch, asked["filters"]), theme)
        bands = spectrum_bands_info(data, groups, epoch)
        return (
            spectrum_bands(bands, theme, log_index=asked["scale"] == "log"),
            curve_bands(curve_bands_info(data, groups), data.metric_name, theme),
            [
                f"{'Leading exponents' if data.look == 'economy' else 'Lyapunov spectra'} ",
                html.Span(f"epoch {epoch}, median and inner 80\u00a0%", className="of"),
            ],
            exponents_in_words(data, groups, epoch),
        )


def _special(app: Dash, source: Source) -> None:
    @app.callback(
        Output("histograms-figure", "data"), Output("special-words", "children"),
        Input("special-ask", "data"), prevent_initial_call=True,
    )  # fmt: skip
    def draw(asked: dict[str, Any] | None) -> Any:
        data = source.data
        if data is None or asked is None:
            return no_update, no_update
        epoch, theme = epoch_at(data, asked["epoch"]), theme_named(asked["theme"])
        groups = groups_of(asked["selection"], shown_networks(data, epoch, asked["filters"]), theme)
        if len(groups) < 2:
            return message("Draw around some points to see what is special about them"), ""
        one, other = groups[:2]
        found = contrasts(data, one.networks, other.networks, epoch)
        if not found:
            return message("The two groups have no networks at this epoch"), ""
        figure = contrast_histograms(found, (one.name, other.name), theme, colours=(one.colour, other.colour))
        return figure, in_words(found, one.name, other.name)
