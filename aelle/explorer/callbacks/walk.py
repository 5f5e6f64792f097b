"""The latent walk: move a point through the latent space and see the spectrum it stands for."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
from dash import Dash, Input, Output, State, ctx, html, no_update

from aelle.explorer.callbacks.shared import epoch_at, message
from aelle.explorer.data import ExplorerData
from aelle.explorer.errors import ExplorerError
from aelle.explorer.figures.spectra import decoded_spectrum
from aelle.explorer.source import Source
from aelle.explorer.theme import Theme, theme_named
from aelle.explorer.walk import Walker, climbed, moved, start_of, walker

_AXES = ("walk-0", "walk-1", "walk-2")


def register(app: Dash, source: Source) -> None:
    """Connect the latent walk."""
    _step(app, source)
    _show(app, source)


def _step(app: Dash, source: Source) -> None:
    @app.callback(
        Output("walk-latent", "data"), Output("walk-base", "data"), *(Output(name, "value") for name in _AXES),
        *(Input(name, "value") for name in _AXES), Input("walk-up", "n_clicks"), Input("walk-down", "n_clicks"),
        Input("walk-reset", "n_clicks"), Input("focus", "data"), Input("epoch", "value"), Input("tab", "value"),
        State("walk-latent", "data"), State("walk-base", "data"),
    )  # fmt: skip
    def step(*values: Any) -> Any:
        steps, (focus, place, tab, latent, base) = values[:3], values[6:]
        data, still = source.data, [no_update] * 3
        if data is None or tab != "walk":
            return (no_update,) * 5
        epoch, cause = epoch_at(data, place), ctx.triggered_id
        if base is None or cause in ("walk-reset", "focus", "epoch") or (cause == "tab" and latent is None):
            start = start_of(data, focus, epoch).tolist()
            return start, start, 0, 0, 0
        if cause in ("walk-up", "walk-down"):
            try:
                there = climbed(data, source.decoder(), np.array(latent), epoch, cause == "walk-up").tolist()
            except ExplorerError:
                return (no_update,) * 5
            return there, there, 0, 0, 0
        if cause in _AXES:
            return moved(data, source.projection(), np.array(base), steps).tolist(), no_update, *still
        return (no_update,) * 5


def _show(app: Dash, source: Source) -> None:
    @app.callback(
        Output("decoded", "figure"), Output("walk-point", "data"), Output("walk-from", "children"),
        Output("walk-predicted", "children"), Output("walk-nearest", "children"),
        Input("walk-latent", "data"), Input("tab", "value"), Input("theme", "data"),
        State("focus", "data"), State("epoch", "value"), State("method", "value"),
    )  # fmt: skip
    def show(latent: Any, tab: str, theme_name: str, focus: int | None, place: int, method: str) -> Any:
        data, theme = source.data, theme_named(theme_name)
        if tab != "walk":
            return no_update, None, no_update, no_update, no_update
        if data is None or latent is None:
            return (no_update,) * 5
        try:
            decoder = source.decoder()
        except ExplorerError as error:
            return message(theme, str(error)), None, "", "", ""
        epoch = epoch_at(data, place)
        here = walker(data, source.projection(), decoder, np.array(latent, float), epoch)
        if focus is None:
            origin = "from the mean of all networks; click one to start from it"
        else:
            origin = f"from {data.networks['network_id'][focus]}"
        words = f"predicted final {data.metric_name} {here.predicted:.3f}"
        figure = _spectra(data, here, focus, epoch, theme)
        # On the UMAP map the walker has no place: UMAP maps only the points it was fitted on.
        shown = here.place.tolist() if method == "pca" else None
        return figure, shown, origin, words, _nearest(data, here)


def _spectra(data: ExplorerData, here: Walker, focus: int | None, epoch: int, theme: Theme) -> go.Figure:
    """The decoded spectrum, before the real spectrum it started from (or the nearest network's)."""
    network = here.nearest[0][0] if focus is None else focus
    rows = data.rows_of(network)
    at = rows[data.records["epoch"].to_numpy()[rows] == epoch]
    real = data.spectra[int(at[0])] if len(at) else np.empty(0, np.float32)
    return decoded_spectrum(here.spectrum, real, str(data.networks["network_id"][network]), theme)


def _nearest(data: ExplorerData, here: Walker) -> list[Any]:
    buttons = [
        html.Button(
            f"{data.networks['network_id'][network]} ({data.networks['final_metric'][network]:.3f})",
            id={"type": "row", "network": network}, n_clicks=0, title=f"distance {distance:.3g} in the latent space",
        )
        for network, distance in here.nearest
    ]  # fmt: skip
    return [html.Span("Nearest networks: ", className="of"), *buttons]
