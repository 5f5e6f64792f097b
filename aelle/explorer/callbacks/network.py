"""One network: chosen by a click, the search field or the table; shown by its spectra and learning curve."""

from __future__ import annotations

from typing import Any

from dash import ALL, Dash, Input, Output, State, ctx, html, no_update

from aelle.explorer.callbacks.shared import message
from aelle.explorer.data import ExplorerData
from aelle.explorer.figures import (
    learning_curves,
    learning_curves_info,
    spectra_over_epochs,
    spectra_over_epochs_info,
)
from aelle.explorer.source import Source
from aelle.explorer.summary import about_network
from aelle.explorer.theme import theme_named


def register(app: Dash, source: Source) -> None:
    """Connect the choice of a network and its views."""
    _choose(app, source)
    _draw(app, source)


def _choose(app: Dash, source: Source) -> None:
    @app.callback(
        Output("focus", "data"), Output("tab", "value", allow_duplicate=True),
        Input("clicked", "data"), Input("search", "value"),
        Input({"type": "row", "network": ALL}, "n_clicks"), State("tab", "value"), prevent_initial_call=True,
    )  # fmt: skip
    def choose(clicked: Any, search: str | None, rows: list[int], tab: str) -> Any:
        data, network = source.data, None
        if data is None:
            return no_update, no_update
        if ctx.triggered_id == "search":
            network = find_network(data, search or "")
        elif isinstance(ctx.triggered_id, dict):
            network = int(ctx.triggered_id["network"]) if any(rows) else None
        elif clicked is not None:
            network = int(clicked["network"])
        if network is None:
            return no_update, no_update
        # The table, prediction and walk stay: a network is chosen there to look at it there.
        return network, "network" if tab in ("selection", "special") else no_update


def find_network(data: ExplorerData, text: str) -> int | None:
    """The number of the network whose id is the text, or alone begins with it."""
    text = text.strip()
    ids = data.networks["network_id"]
    exact = ids.index[ids == text]
    if len(exact):
        return int(exact[0])
    begins = ids.index[ids.str.startswith(text)] if text else ids.index[:0]
    return int(begins[0]) if len(begins) == 1 else None


def _draw(app: Dash, source: Source) -> None:
    @app.callback(
        Output("spectra-figure", "data"), Output("curves-figure", "data"),
        Output("spectra-title", "children"), Output("curves-title", "children"),
        Input("network-ask", "data"), prevent_initial_call=True,
    )  # fmt: skip
    def draw(asked: dict[str, Any] | None) -> Any:
        if asked is None:
            return (no_update,) * 4
        theme, data, focus = theme_named(asked["theme"]), source.data, asked["focus"]
        if data is None or focus is None or focus not in data.networks.index:
            blank = message("Click a point on the map, or find a network by its id")
            title = "Lyapunov spectrum" if data is None else data.exponents_title
            return blank, blank, title, "Learning curve"
        name = str(data.networks["network_id"][focus])
        return (
            spectra_over_epochs(spectra_over_epochs_info(data, focus), theme),
            learning_curves(learning_curves_info(data, focus), theme),
            [
                f"{data.exponents_title} ",
                html.Span(f"of {name}: {about_network(data, focus)}", className="of"),
            ],
            ["Learning curve ", html.Span(f"of {name}", className="of")],
        )
