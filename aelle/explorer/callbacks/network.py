"""One network: chosen by a click, the search field or the table; shown by its spectra and learning curve."""

from __future__ import annotations

from typing import Any

from dash import ALL, Dash, Input, Output, State, ctx, html, no_update

from aelle.explorer.callbacks.shared import epoch_at, message
from aelle.explorer.figures import (
    learning_curves,
    learning_curves_info,
    spectra_over_epochs,
    spectra_over_epochs_info,
)
from aelle.explorer.search import search
from aelle.explorer.source import Source
from aelle.explorer.summary import about_network
from aelle.explorer.theme import theme_named


def register(app: Dash, source: Source) -> None:
    """Connect the choice of a network and its views."""
    _find(app, source)
    _choose(app, source)
    _draw(app, source)


def _choose(app: Dash, source: Source) -> None:
    @app.callback(
        Output("focus", "data"), Output("tab", "value", allow_duplicate=True),
        Input("clicked", "data"), Input("found", "data"),
        Input({"type": "row", "network": ALL}, "n_clicks"), State("tab", "value"), prevent_initial_call=True,
    )  # fmt: skip
    def choose(clicked: Any, found: list[int], rows: list[int], tab: str) -> Any:
        data, network = source.data, None
        if data is None:
            return no_update, no_update
        if ctx.triggered_id == "found":
            network = found[0] if len(found) == 1 else None
        elif isinstance(ctx.triggered_id, dict):
            network = int(ctx.triggered_id["network"]) if any(rows) else None
        elif clicked is not None:
            network = int(clicked["network"])
        if network is None:
            return no_update, no_update
        # The table, prediction and walk stay: a network is chosen there to look at it there.
        return network, "network" if tab in ("selection", "special") else no_update


def _find(app: Dash, source: Source) -> None:
    @app.callback(
        Output("found", "data"), Output("search-found", "children"), Output("select-found", "hidden"),
        Input("search", "value"), State("epoch", "value"), prevent_initial_call=True,
    )  # fmt: skip
    def find(text: str | None, place: int) -> Any:
        data = source.data
        if data is None or data.points.empty:
            return (no_update,) * 3
        found = search(data, text or "", epoch_at(data, place)).tolist()
        words = (
            f"{len(found):,} match" if len(found) > 1 else "" if found or not (text or "").strip() else "none"
        )
        return found, words, len(found) < 2


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
        lines, curves = spectra_over_epochs_info(data, focus), learning_curves_info(data, focus)
        return (
            spectra_over_epochs(lines, theme) if lines else message("No spectrum of it was taken"),
            learning_curves(curves, theme)
            if curves.panels
            else message("Nothing of its learning was recorded"),
            [
                f"{data.exponents_title} ",
                html.Span(f"of {name}: {about_network(data, focus)}", className="of"),
            ],
            ["Learning curve ", html.Span(f"of {name}", className="of")],
        )
