"""Hyperparameters: parallel coordinates that are brushed into groups, and importance."""

from __future__ import annotations

from typing import Any

from dash import Dash, Input, Output, html, no_update

from aelle.explorer.callbacks.shared import epoch_at, groups_of, message, shown_networks
from aelle.explorer.errors import ExplorerError
from aelle.explorer.figures.parallel import importance, parallel, parallel_info
from aelle.explorer.importance import importances
from aelle.explorer.source import Source
from aelle.explorer.theme import theme_named


def register(app: Dash, source: Source) -> None:
    """Connect the view of hyperparameters."""

    @app.callback(Output("parallel-figure", "data"), Input("parallel-ask", "data"), prevent_initial_call=True)
    def draw(asked: dict[str, Any] | None) -> Any:
        data = source.data
        if data is None or asked is None:
            return no_update
        theme, epoch = theme_named(asked["theme"]), epoch_at(data, asked["epoch"])
        networks = shown_networks(data, epoch, asked["filters"])
        groups = groups_of(asked["selection"], networks, theme)[::-1]  # the others lie below
        info = parallel_info(data, networks, epoch)
        if not len(info.networks):
            return message("No network here has an outcome and an exponent yet")
        return parallel(info, groups if len(groups) > 1 else (), theme)

    # Apart from the lines: a forest takes seconds at first.
    @app.callback(
        Output("importance-figure", "data"), Output("importance-title", "children"),
        Input("parallel-ask", "data"), prevent_initial_call=True,
    )  # fmt: skip
    def weigh(asked: dict[str, Any] | None) -> Any:
        data = source.data
        if data is None or asked is None:
            return no_update, no_update
        try:
            found, known = data.kept("importances", lambda: importances(data))
        except ExplorerError as error:
            return message(str(error)), "Importance"
        if known <= 0:
            return message("Hyperparameters tell nothing of how these networks ended"), "Importance"
        words = (
            f"for the final {data.metric_name}: an association, no cause; R² {known:.2f} on held-out networks"
        )
        return importance(found, theme_named(asked["theme"])), [
            "Importance ",
            html.Span(words, className="of"),
        ]
