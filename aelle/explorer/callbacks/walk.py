"""The latent walk: move a point through the latent space and see the spectrum it stands for."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
from dash import Dash, Input, Output, State, ctx, html, no_update
from numpy.typing import NDArray

from aelle.explorer.callbacks.shared import epoch_at, message
from aelle.explorer.data import ExplorerData
from aelle.explorer.errors import ExplorerError
from aelle.explorer.figures.spectra import decoded_spectrum, index_title
from aelle.explorer.source import Source
from aelle.explorer.summary import how_it_ended
from aelle.explorer.theme import Theme, theme_named
from aelle.explorer.walk import Walker, climbed, moved, placed, start_of, steps_between, walker

Latent = NDArray[np.float64]
_AXES = ("walk-0", "walk-1", "walk-2")
_MOST = 3  # standard deviations, the ends of the sliders


def register(app: Dash, source: Source) -> None:
    """Connect the latent walk."""
    _step(app, source)
    _show(app, source)


def _step(app: Dash, source: Source) -> None:
    @app.callback(
        Output("walk-latent", "data"), Output("walk-base", "data"), *(Output(name, "value") for name in _AXES),
        *(Input(name, "value") for name in _AXES), Input("walk-drag", "data"), Input("walk-up", "n_clicks"),
        Input("walk-down", "n_clicks"), Input("walk-reset", "n_clicks"), Input("walk-ask", "data"),
        State("walk-latent", "data"), State("walk-base", "data"), prevent_initial_call=True,
    )  # fmt: skip
    def step(*values: Any) -> Any:
        steps, dragged, (asked, latent, base) = values[:3], values[3], values[7:]
        data, cause = source.data, ctx.triggered_id
        if data is None or not data.has_latents or asked is None:
            return (no_update,) * 5
        epoch, origin = epoch_at(data, asked["epoch"]), [asked["focus"], asked["epoch"]]
        if base is None or cause == "walk-reset" or base["origin"] != origin:
            start = start_of(data, asked["focus"], epoch)
            return start.tolist(), {"latent": start.tolist(), "origin": origin}, 0, 0, 0
        try:
            there = _moved(
                source, data, np.array(base["latent"]), np.array(latent), epoch, cause, steps, dragged
            )
        except ExplorerError:
            there = None
        if there is None:
            return (no_update,) * 5
        shown = np.round(steps_between(source.projection(), np.array(base["latent"]), there), 2)
        return there.tolist(), no_update, *np.clip(shown, -_MOST, _MOST).tolist()


def _moved(
    source: Source, data: ExplorerData, start: Latent, latent: Latent, epoch: int, cause: Any, steps: Any, dragged: Any
) -> Latent | None:  # fmt: skip
    """Where what was done leads to; None where it leads nowhere."""
    projection = source.projection()
    if cause == "walk-drag" and dragged is not None:
        return placed(projection, latent, dragged)
    if cause in ("walk-up", "walk-down"):
        return climbed(data, source.decoder(), latent, epoch, cause == "walk-up")
    now = np.clip(steps_between(projection, start, latent), -_MOST, _MOST)
    if cause in _AXES and np.abs(np.array(steps, float) - now).max() > 0.006:  # not what a move has set it to
        return moved(projection, start, latent, steps)
    return None


def _show(app: Dash, source: Source) -> None:
    @app.callback(
        Output("decoded-figure", "data"), Output("walk-point", "data"), Output("walk-from", "children"),
        Output("walk-predicted", "children"), Output("walk-nearest", "children"),
        Input("walk-latent", "data"), Input("walk-ask", "data"), State("method", "value"), prevent_initial_call=True,
    )  # fmt: skip
    def show(latent: Any, asked: dict[str, Any] | None, method: str) -> Any:
        data = source.data
        if data is not None and not data.has_latents:
            return message(f"A walk needs latents: run aelle train {source.folder.root}"), None, "", "", ""
        if data is None or latent is None or asked is None:
            return (no_update,) * 5
        theme, focus, epoch = theme_named(asked["theme"]), asked["focus"], epoch_at(data, asked["epoch"])
        try:
            decoder = source.decoder()
        except ExplorerError as error:
            return message(str(error)), None, "", "", ""
        here = walker(data, source.projection(), decoder, np.array(latent, float), epoch)
        if focus is None:
            origin = "from the mean of all networks; click one to start from it"
        else:
            origin = f"from {data.networks['network_id'][focus]}"
        if method == "pca":
            origin += "; drag the cross on the map"
        figure = _spectra(data, here, focus, epoch, theme)
        # On the UMAP map the walker has no place: UMAP maps only the points it was fitted on.
        shown = {"place": here.place.tolist(), "seen": here.seen} if method == "pca" else None
        return figure, shown, origin, in_words(data, here), _nearest(data, here)


def in_words(data: ExplorerData, here: Walker) -> str:
    """What the head says of a place, and how far that is from any network; off the data it says nothing."""
    far = f"{here.nearest[0][1]:.2g} from the nearest network"
    if not here.seen:
        return f"no prediction: {far}, farther than networks are from each other ({here.reach:.2g})"
    edge = ", at the edge of what was seen" if here.nearest[0][1] > 0.97 * here.reach else ""
    return f"predicted final {data.metric_name} {here.predicted:.3f}, {far}{edge}"


def _spectra(data: ExplorerData, here: Walker, focus: int | None, epoch: int, theme: Theme) -> go.Figure:
    """The decoded spectrum, before the real spectrum it started from (or the nearest network's)."""
    network = here.nearest[0][0] if focus is None else focus
    rows = data.rows_of(network)
    at = rows[data.records["epoch"].to_numpy()[rows] == epoch]
    real = data.spectra[int(at[0])] if len(at) else np.empty(0, np.float32)
    name = str(data.networks["network_id"][network])
    axis_title = index_title(data)
    return decoded_spectrum(here.spectrum, real, name, theme, seen=here.seen, axis_title=axis_title)


def _nearest(data: ExplorerData, here: Walker) -> list[Any]:
    buttons = [
        html.Button(
            f"{data.networks['network_id'][network]} ({how_it_ended(data, network)})",
            id={"type": "row", "network": network}, n_clicks=0, title=f"distance {distance:.3g} in the latent space",
        )
        for network, distance in here.nearest
    ]  # fmt: skip
    return [html.Span("Nearest networks: ", className="of"), *buttons]
