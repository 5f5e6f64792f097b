"""The page's behaviour: which control changes which view. All figures are made elsewhere."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
from dash import Dash, Input, Output, State, ctx, html, no_update

from aelle.explorer.columns import column_label, describe
from aelle.explorer.data import ExplorerData
from aelle.explorer.figures import (
    add_trails,
    latent_map,
    latent_map_info,
    learning_curves,
    learning_curves_info,
    spectra_over_epochs,
    spectra_over_epochs_info,
    trails_info,
)
from aelle.explorer.source import Source
from aelle.explorer.summary import about_network
from aelle.explorer.theme import base_layout, theme_named

_TIP = (
    "final_metric",
    "architecture",
    "hidden_size",
    "init_gain",
    "learning_rate",
    "lambda_max",
    "predicted",
)
_THEME = """(clicks) => {
    const chosen = clicks ? (document.documentElement.dataset.theme === "dark" ? "light" : "dark")
        : (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    document.documentElement.dataset.theme = chosen;
    return [chosen, chosen === "dark" ? "Light" : "Dark"];
}"""
_PLAY = """(clicks, still, place, last) => {
    if (!clicks) return [true, "Play", dash_clientside.no_update];
    return still ? [false, "Pause", place >= last ? 0 : dash_clientside.no_update]
                 : [true, "Play", dash_clientside.no_update];
}"""
_TICK = """(ticks, place, last) => {
    if (!ticks || place >= last) return [dash_clientside.no_update, true, "Play"];
    const done = place + 1 >= last;
    return [place + 1, done, done ? "Play" : "Pause"];
}"""


def register(app: Dash, source: Source) -> None:
    """Connect the controls and views of `layout.page` to the data."""
    _theme_and_play(app)
    _map(app, source)
    _focus(app, source)
    _network_views(app, source)
    _tip(app, source)


def _theme_and_play(app: Dash) -> None:
    app.clientside_callback(
        _THEME, Output("theme", "data"), Output("theme-button", "children"), Input("theme-button", "n_clicks")
    )
    app.clientside_callback(
        _PLAY,
        Output("tick", "disabled"), Output("play", "children"), Output("epoch", "value"),
        Input("play", "n_clicks"),
        State("tick", "disabled"), State("epoch", "value"), State("epoch", "max"),
        prevent_initial_call=True,
    )  # fmt: skip
    app.clientside_callback(
        _TICK,
        Output("epoch", "value", allow_duplicate=True),
        Output("tick", "disabled", allow_duplicate=True),
        Output("play", "children", allow_duplicate=True),
        Input("tick", "n_intervals"), State("epoch", "value"), State("epoch", "max"),
        prevent_initial_call=True,
    )  # fmt: skip


def _map(app: Dash, source: Source) -> None:
    @app.callback(
        Output("map", "figure"),
        Input("colour", "value"), Input("epoch", "value"), Input("theme", "data"), Input("focus", "data"),
        Input("version", "data"),
    )  # fmt: skip
    def draw(colour: str, place: int, theme: str, focus: int | None, _: int) -> Any:
        data = source.data
        if data is None or data.points.empty:
            return no_update
        epoch = data.point_epochs[min(int(place or 0), len(data.point_epochs) - 1)]
        projection = source.projection()
        colour = colour if colour in data.points else "final_metric"
        figure = latent_map(latent_map_info(data, projection, colour, epoch, hover=False), theme_named(theme))
        if focus is not None:
            add_trails(figure, trails_info(data, projection, [focus], until=epoch), theme_named(theme))
        figure.update_layout(transition={"duration": 600, "easing": "cubic-in-out"})
        return figure


def _focus(app: Dash, source: Source) -> None:
    @app.callback(
        Output("focus", "data"),
        Input("map", "clickData"), Input("search", "value"),
        prevent_initial_call=True,
    )  # fmt: skip
    def choose(click: dict[str, Any] | None, search: str | None) -> Any:
        data = source.data
        if data is None:
            return no_update
        if ctx.triggered_id == "search":
            return find_network(data, search or "", no_update)
        network = clicked_network(click)
        return no_update if network is None else network


def find_network(data: ExplorerData, text: str, otherwise: Any = None) -> Any:
    """The number of the network whose id is, or alone begins with, the text."""
    text = text.strip()
    ids = data.networks["network_id"]
    exact = ids.index[ids == text]
    if len(exact):
        return int(exact[0])
    begins = ids.index[ids.str.startswith(text)] if text else ids.index[:0]
    return int(begins[0]) if len(begins) == 1 else otherwise


def clicked_network(event: dict[str, Any] | None) -> int | None:
    """The network of a click or hover on the map; None for a click on a trail."""
    point = (event or {}).get("points", [{}])[0]
    number = point.get("customdata")
    if isinstance(number, list):
        number = number[0] if number else None
    return None if number is None else int(number)


def _network_views(app: Dash, source: Source) -> None:
    @app.callback(
        Output("spectra", "figure"), Output("curves", "figure"),
        Output("spectra-title", "children"), Output("curves-title", "children"),
        Input("focus", "data"), Input("theme", "data"), Input("version", "data"),
    )  # fmt: skip
    def draw(focus: int | None, theme_name: str, _: int) -> Any:
        theme, data = theme_named(theme_name), source.data
        if data is None or focus is None or focus not in data.networks.index:
            blank = _message(theme, "Click a point on the map")
            return blank, blank, "Lyapunov spectrum", "Learning curve"
        name = str(data.networks["network_id"][focus])
        lines = spectra_over_epochs_info(data, focus)
        return (
            spectra_over_epochs(lines, theme),
            learning_curves(learning_curves_info(data, focus), theme),
            ["Lyapunov spectrum ", html.Span(f"of {name}: {about_network(data, focus)}", className="of")],
            ["Learning curve ", html.Span(f"of {name}", className="of")],
        )


def _tip(app: Dash, source: Source) -> None:
    @app.callback(
        Output("tip", "show"), Output("tip", "bbox"), Output("tip", "children"),
        Input("map", "hoverData"), State("epoch", "value"), State("colour", "value"),
        prevent_initial_call=True,
    )  # fmt: skip
    def show(hover: dict[str, Any] | None, place: int, colour: str) -> Any:
        data, network = source.data, clicked_network(hover)
        if data is None or network is None or hover is None or "bbox" not in hover["points"][0]:
            return False, no_update, no_update
        epoch = data.point_epochs[int(place or 0)]
        return True, hover["points"][0]["bbox"], network_card(data, network, epoch, colour)


def network_card(data: ExplorerData, network: int, epoch: int, colour: str) -> html.Div:
    """What the hover card says about a network at an epoch."""
    points = data.points
    rows = points[(points["network"] == network) & (points["epoch"] == epoch)]
    if rows.empty:
        return html.Div()
    row, names = rows.iloc[0], [n for n in dict.fromkeys((*_TIP, colour)) if n in points and n != "epoch"]
    cells = [
        html.Tr([html.Td(column_label(name, data.metric_name)), html.Td(_short(row[name]))])
        for name in names
        if name in (*_TIP[:4], colour) or not describe(points, name).constant
    ]
    head = html.B(f"{row['network_id']} · epoch {epoch}")
    return html.Div([head, html.Table(html.Tbody(cells), className="facts-table")])


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _message(theme: Any, text: str) -> go.Figure:
    """An empty figure that says what to do."""
    note = {"text": text, "showarrow": False, "x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper",
            "font": {"size": 14, "color": theme.muted}}  # fmt: skip
    return go.Figure(
        layout=base_layout(theme, annotations=[note], xaxis={"visible": False}, yaxis={"visible": False})
    )
