"""Early prediction: predicted against actual at the epoch of the slider, and the ladder of methods."""

from __future__ import annotations

from typing import Any

from dash import Dash, Input, Output, html, no_update

from aelle.explorer.callbacks.shared import epoch_at, groups_of, message
from aelle.explorer.data import ExplorerData
from aelle.explorer.figures.prediction import (
    ladder,
    ladder_info,
    level_methods,
    predicted_against_actual,
    predicted_info,
)
from aelle.explorer.source import Source
from aelle.explorer.theme import theme_named

_UNTITLED = " "  # the panels have titles of their own


def register(app: Dash, source: Source) -> None:
    """Connect the prediction view."""

    @app.callback(
        Output("predicted-figure", "data"), Output("ladder-figure", "data"), Output("predicted-title", "children"),
        Output("ladder-title", "children"),
        Input("prediction-ask", "data"), prevent_initial_call=True,
    )  # fmt: skip
    def draw(asked: dict[str, Any] | None) -> Any:
        data = source.data
        if data is None or asked is None:
            return (no_update,) * 4
        theme, method, selection = theme_named(asked["theme"]), asked["method"], asked["selection"]
        epoch = predicted_epoch(data, epoch_at(data, asked["epoch"]))
        if method is None or epoch is None:
            blank = message(f"No predictions yet: run aelle evaluate {source.folder.root}")
            return blank, blank, "Predicted against actual", "Ladder of methods"
        groups = {
            g.name: (g.networks.tolist(), g.colour)
            for g in groups_of(selection, data.networks.index[:0].to_numpy(), theme)
        }
        level = level_methods(data.report, epoch)
        rows, info = ladder_info(data.report), predicted_info(data, method, epoch)
        steps = (
            ladder(rows, epoch, theme, level=level, title=_UNTITLED)
            if rows
            else message("No report.json: run aelle evaluate again")
        )
        return (
            predicted_against_actual(info, theme, groups=groups, title=_UNTITLED, intervals=False),
            steps,
            ["Predicted against actual ", html.Span(f"epoch {epoch}: {info.in_words}", className="of")],
            ["Ladder of methods ", html.Span(_verdict(level, epoch), className="of")],
        )


def _verdict(level: list[str], epoch: int) -> str:
    """Who ranks networks best, where anybody can be told to."""
    if not level:
        return f"epoch {epoch}"
    if len(level) == 1:
        return f"epoch {epoch}: {level[0]} ranks networks best"
    return f"epoch {epoch}: no clear winner; the {len(level)} that are filled cannot be told apart"


def predicted_epoch(data: ExplorerData, epoch: int) -> int | None:
    """The latest epoch with predictions that is no later than `epoch`, else the first there is."""
    epochs = sorted(int(e) for e in data.predictions["epoch"].unique())
    earlier = [e for e in epochs if e <= epoch]
    return earlier[-1] if earlier else epochs[0] if epochs else None
