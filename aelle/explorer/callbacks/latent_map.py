"""The latent map: drawn by the controls, with marks of what is chosen laid under the points.

Rings around selections, the lasso and clicks are the browser's own business (assets/latent-map.js).
"""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
from dash import ClientsideFunction, Dash, Input, Output, State, ctx, html, no_update

from aelle.explorer import layout
from aelle.explorer.callbacks.shared import epoch_at, message, projected, short
from aelle.explorer.columns import column_label, describe
from aelle.explorer.data import ExplorerData
from aelle.explorer.errors import ExplorerError
from aelle.explorer.figures.latent_map import MANY, latent_map, latent_map_info
from aelle.explorer.figures.marks import marks, rings
from aelle.explorer.filters import filter_mask
from aelle.explorer.source import Source
from aelle.explorer.theme import theme_named

_TIP = (
    "final_metric",
    "architecture",
    "hidden_size",
    "init_gain",
    "learning_rate",
    "lambda_max",
    "predicted",
)


def register(app: Dash, source: Source) -> None:
    """Connect the map."""
    _draw(app, source)
    _mark(app, source)
    _tip(app, source)
    app.clientside_callback(
        ClientsideFunction("page", "projection"), Output("projection", "data"), Output("dimensions-box", "hidden"),
        Output("axes-box", "hidden"),
        *(Input(name, "value") for name in ("method", "dimensions", "x", "y", "log")), State("projection", "data"),
    )  # fmt: skip
    app.clientside_callback(ClientsideFunction("latent_map", "marks"), Input("map-marks", "data"))
    app.clientside_callback(
        ClientsideFunction("latent_map", "ask"), Output("marks-ask", "data"),
        Input("selection", "data"), Input("focus", "data"), Input("paths", "value"), Input("tab", "value"),
        Input("walk-point", "data"),
    )  # fmt: skip


def _draw(app: Dash, source: Source) -> None:
    @app.callback(
        Output("map-figure", "data"), Output("map-note", "children"), Output("map-title", "children"),
        *(Input(name, "value") for name in ("colour", "shape", "size", "epoch")),
        Input("projection", "data"), Input("theme", "data"), Input("filters", "data"), Input("version", "data"), State("marks-ask", "data"),
    )  # fmt: skip
    def draw(
        colour: str, shape: str | None, size: str | None, place: int, asked: dict[str, str], theme_name: str, filters: dict[str, Any] | None, _: int, marked: dict[str, Any] | None,
    ) -> Any:  # fmt: skip
        data, theme, flat = source.data, theme_named(theme_name), int(asked["dimensions"])
        if data is None or data.points.empty:
            return (no_update,) * 3
        try:
            projection = projected(source, data, asked)
        except ExplorerError as error:
            return message(str(error)), "", no_update
        colour = colour if colour in data.points else "final_metric"
        shape, size = (name if name in data.points else None for name in (shape, size))
        epoch, keep = epoch_at(data, place), filter_mask(data.points, filters or {})
        info = latent_map_info(
            data, projection, colour, epoch, shape=shape, size=size, keep=keep, hover=False
        )
        points = latent_map(info, theme, dimensions=flat)
        # Rings and marks come first, in fixed places, so that they can be replaced without sending the points again.
        many = len(info.networks) > MANY
        first = [*rings(theme, flat, many), *marks(data, projection, theme, epoch, flat, **(marked or {}))]
        figure = go.Figure([*first, *points.data], points.layout)
        places = "-".join(str(asked[key]) for key in ("method", "dimensions", "x", "y", "log"))
        figure.update_layout(dragmode="lasso" if flat == 2 else "orbit", meta=marked, uirevision=places)
        if ctx.triggered_id == "epoch" and not many:  # networks travel; any other change is shown at once
            figure.update_layout(transition={"duration": 600, "easing": "cubic-in-out"})
        note = "" if len(info.networks) else "No network passes the filters at this epoch."
        return figure, note, layout.map_title(projection, epoch)


def _mark(app: Dash, source: Source) -> None:
    @app.callback(
        Output("map-marks", "data"), Input("marks-ask", "data"),
        State("epoch", "value"), State("projection", "data"), State("theme", "data"), prevent_initial_call=True,
    )  # fmt: skip
    def mark(marked: dict[str, Any] | None, place: int, asked: dict[str, str], theme_name: str) -> Any:
        data, theme = source.data, theme_named(theme_name)
        if data is None or data.points.empty or marked is None:
            return no_update
        try:
            projection = projected(source, data, asked)
        except ExplorerError:
            return no_update
        drawn = marks(data, projection, theme, epoch_at(data, place), int(asked["dimensions"]), **marked)
        return go.Figure(drawn).to_plotly_json()["data"]


def _tip(app: Dash, source: Source) -> None:
    @app.callback(
        Output("tip", "children"), Output("tip-of", "data"),
        Input("hovered", "data"), State("epoch", "value"), State("colour", "value"), prevent_initial_call=True,
    )  # fmt: skip
    def show(hovered: dict[str, Any] | None, place: int, colour: str) -> Any:
        data = source.data
        if data is None or hovered is None:
            return no_update, no_update
        network = int(hovered["network"])
        return network_card(data, network, epoch_at(data, place), colour), network

    app.clientside_callback(
        ClientsideFunction("latent_map", "card"), Input("tip-of", "data"), Input("hovered", "data")
    )


def network_card(data: ExplorerData, network: int, epoch: int, colour: str) -> html.Div:
    """What the hover card says about a network at an epoch."""
    points = data.points
    rows = points[(points["network"] == network) & (points["epoch"] == epoch)]
    if rows.empty:
        return html.Div()
    row, names = rows.iloc[0], [n for n in dict.fromkeys((*_TIP, colour)) if n in points and n != "epoch"]
    cells = [
        html.Tr([html.Td(column_label(name, data.metric_name)), html.Td(short(row[name]))])
        for name in names
        if short(row[name]) and (name in (*_TIP[:4], colour) or not describe(points, name).constant)
    ]
    head = html.B(f"{row['network_id']} · epoch {epoch}")
    return html.Div([head, html.Table(html.Tbody(cells), className="facts-table")])
