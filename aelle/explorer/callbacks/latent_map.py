"""The latent map: drawn by the controls, with marks of what is chosen laid under the points."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
from dash import Dash, Input, Output, Patch, State, ctx, html, no_update

from aelle.explorer.callbacks.shared import epoch_at, message, short
from aelle.explorer.columns import column_label, describe
from aelle.explorer.data import ExplorerData
from aelle.explorer.errors import ExplorerError
from aelle.explorer.figures.latent_map import latent_map, latent_map_info
from aelle.explorer.figures.marks import marks
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
_MARK_INPUTS = (
    Input("selection", "data"), Input("focus", "data"), Input("paths", "value"), Input("walk-point", "data"),
)  # fmt: skip


def register(app: Dash, source: Source) -> None:
    """Connect the map."""
    _draw(app, source)
    _mark(app, source)
    _tip(app, source)


def _draw(app: Dash, source: Source) -> None:
    @app.callback(
        Output("map", "figure"), Output("map-note", "children"), Output("drawn", "data"),
        *(Input(name, "value") for name in ("colour", "shape", "size", "method", "dimensions", "epoch")),
        Input("theme", "data"), Input("filters", "data"), Input("version", "data"),
        State("selection", "data"), State("focus", "data"), State("paths", "value"), State("walk-point", "data"),
    )  # fmt: skip
    def draw(
        colour: str, shape: str | None, size: str | None, method: str, dimensions: str, place: int,
        theme_name: str, filters: dict[str, Any] | None, _: int, *chosen: Any,
    ) -> Any:  # fmt: skip
        data, theme, flat = source.data, theme_named(theme_name), int(dimensions)
        if data is None or data.points.empty:
            return (no_update,) * 3
        try:
            projection = source.projection(method, flat)
        except ExplorerError as error:
            return message(theme, str(error)), "", None
        shape, size = (name if name in data.points else None for name in (shape, size))
        epoch, keep = epoch_at(data, place), filter_mask(data.points, filters or {})
        info = latent_map_info(
            data,
            projection,
            colour if colour in data.points else "final_metric",
            epoch,
            shape=shape,
            size=size,
            keep=keep,
            hover=False,
        )
        points = latent_map(info, theme, dimensions=flat)
        # Marks come first, in fixed places, so that they can be replaced without sending the points again.
        figure = go.Figure(
            [*marks(data, projection, theme, epoch, flat, *chosen), *points.data], points.layout
        )
        figure.update_layout(dragmode="lasso" if flat == 2 else "orbit")
        if ctx.triggered_id == "epoch":  # networks travel; any other change is shown at once
            figure.update_layout(transition={"duration": 600, "easing": "cubic-in-out"})
        note = "" if len(info.networks) else "No network passes the filters at this epoch."
        return figure, note, "yes"


def _mark(app: Dash, source: Source) -> None:
    @app.callback(
        Output("map", "figure", allow_duplicate=True), *_MARK_INPUTS,
        State("epoch", "value"), State("method", "value"), State("dimensions", "value"), State("theme", "data"),
        State("drawn", "data"), prevent_initial_call=True,
    )  # fmt: skip
    def mark(*values: Any) -> Any:
        chosen, (place, method, dimensions, theme_name, drawn) = values[:4], values[4:]
        data, theme = source.data, theme_named(theme_name)
        if data is None or data.points.empty or not drawn:
            return no_update  # a map that is not there yet is drawn with its marks
        try:
            projection = source.projection(method, int(dimensions))
        except ExplorerError:
            return no_update
        patch = Patch()
        patch["layout"]["transition"] = None
        traces = marks(data, projection, theme, epoch_at(data, place), int(dimensions), *chosen)
        for position, trace in enumerate(traces):
            patch["data"][position] = go.Figure(trace).data[0].to_plotly_json()
        if ctx.triggered_id == "selection":
            # The marks show the selection from here on; the browser's own dimming would hide the others.
            patch["layout"]["selections"] = []
            patch["layout"]["selectionrevision"] = str(hash(str(chosen[0])))
        return patch


def _tip(app: Dash, source: Source) -> None:
    @app.callback(
        Output("tip", "show"), Output("tip", "bbox"), Output("tip", "children"),
        Input("map", "hoverData"), State("epoch", "value"), State("colour", "value"), prevent_initial_call=True,
    )  # fmt: skip
    def show(hover: dict[str, Any] | None, place: int, colour: str) -> Any:
        data, network = source.data, clicked_network(hover)
        if data is None or network is None or hover is None or "bbox" not in hover["points"][0]:
            return False, no_update, no_update
        return True, hover["points"][0]["bbox"], network_card(data, network, epoch_at(data, place), colour)


def clicked_network(event: dict[str, Any] | None) -> int | None:
    """The network of a click or hover on the map; None for a click on a mark."""
    point = ((event or {}).get("points") or [{}])[0]
    number = point.get("customdata")
    if isinstance(number, list):
        number = number[0] if number else None
    return None if number is None else int(number)


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
        if name in (*_TIP[:4], colour) or not describe(points, name).constant
    ]
    head = html.B(f"{row['network_id']} · epoch {epoch}")
    return html.Div([head, html.Table(html.Tbody(cells), className="facts-table")])
