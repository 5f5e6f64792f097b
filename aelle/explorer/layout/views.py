"""The map, and the views beside it, one a tab."""

from __future__ import annotations

from typing import Any

from dash import dcc, html

from aelle.explorer.data import ExplorerData
from aelle.explorer.figures.prediction import methods_at
from aelle.explorer.layout.widgets import aria, choice, control, figure, graph, menu
from aelle.explorer.projection import Projection
from aelle.explorer.view import View

TABS = {
    "network": "Network",
    "selection": "Selection",
    "special": "What is special",
    "parallel": "Settings",
    "table": "Table",
    "prediction": "Prediction",
    "walk": "Latent walk",
}
FIGURES = (
    "map",
    "spectra",
    "curves",
    "bands",
    "curve-bands",
    "histograms",
    "parallel",
    "importance",
    "predicted",
    "ladder",
    "decoded",
)
_HINT = (
    "Draw around points, those that failed, say: Selection shows what their spectra share, What is special how they "
    "differ from the rest. Click a point for its own spectra."
)


def panels(data: ExplorerData, view: View) -> html.Section:
    """The map at the left, the views at the right."""
    tab = view.tab if view.tab in TABS else "network"
    side = html.Div([choice("", "tab", TABS, tab, "tabs"), *_views(data, tab, view)], className="side")
    return html.Section([_map(), side], className="panels")


def _map() -> html.Div:
    return html.Div(
        [
            html.H2("Latent map", id="map-title"),
            html.P(_HINT, className="hint"),
            graph("map"),
            dcc.Store(id="map-marks"),
            html.Div(id="tip", className="card-tip", hidden=True),
            dcc.Store(id="tip-of"),
            html.P("", id="map-note", className="notes"),
            _selection_bar(),
        ],
        className="panel map",
    )


def map_title(projection: Projection, epoch: int) -> list[Any]:
    """What the map shows: the latent space, or two columns."""
    if projection.rulers is None:
        return [
            "Latent map ",
            html.Span("each point is a network; near ones have alike spectra", className="of"),
        ]
    across, up = (projection.ruler(k).title for k in (0, 1))
    return ["Networks ", html.Span(f"{up} against {across}, epoch {epoch}", className="of")]


def _selection_bar() -> html.Div:
    return html.Div(
        [
            choice("Lasso into", "lasso-into", {"a": "A", "b": "B"}, "a", "groups"),
            html.Button("Select all shown", id="select-shown", n_clicks=0),
            html.Button("Clear", id="clear", n_clicks=0),
            html.Button("Save as CSV", id="csv", n_clicks=0),
            html.Span(id="selection-count", className="of", **aria(live="polite")),
        ],
        className="selection-bar",
    )


def _views(data: ExplorerData, tab: str, view: View) -> list[html.Div]:
    methods, look = methods_at(data), data.look == "economy"
    method = menu(
        "Method",
        "prediction-method",
        methods,
        view.predictor if view.predictor in methods else methods[0] if methods else None,
    )
    index = choice("Index", "index-scale", {"linear": "linear", "log": "log"}, view.scale or "linear")
    table = html.Div(
        [html.H2("Networks", id="table-title"), html.Div(id="table", className="table")], className="panel"
    )
    contents = {
        "network": (figure("spectra", data.exponents_title), figure("curves", "Learning curve")),
        "selection": (
            figure(
                "bands",
                "Leading exponents" if look else "Lyapunov spectra",
                index,
                html.P(id="bands-words", className="hint"),
            ),
            figure(
                "curve-bands", ["Learning curves ", html.Span("median and inner 80\u00a0%", className="of")]
            ),
        ),
        "special": (
            figure(
                "histograms", "What is special", html.P(id="special-words", className="hint"), shape="tall"
            ),
        ),
        "parallel": (
            figure(
                "parallel",
                [
                    "Parallel coordinates ",
                    html.Span("drag along an axis: what is marked becomes the group", className="of"),
                ],
            ),
            figure("importance", "Importance"),
        ),
        "table": (table,),
        "prediction": (
            figure("predicted", "Predicted against actual", method, shape="square"),
            figure("ladder", "Ladder of methods", shape="square"),
        ),
        "walk": (_walk(), figure("decoded", "Decoded leading exponents" if look else "Decoded spectrum")),
    }
    return [
        html.Div(list(parts), id=f"view-{name}", className=f"view {name}", hidden=name != tab)
        for name, parts in contents.items()
    ]


def _walk() -> html.Div:
    buttons: list[Any] = [
        html.Button("Towards better", id="walk-up", n_clicks=0),
        html.Button("Towards worse", id="walk-down", n_clicks=0),
        html.Button("Back to start", id="walk-reset", n_clicks=0),
        html.Span(id="walk-predicted", className="of"),
    ]
    return html.Div(
        [
            html.H2(["Latent walk ", html.Span(id="walk-from", className="of")]),
            html.Div([_walk_slider(axis) for axis in range(3)], className="walk-sliders"),
            html.Div(buttons, className="selection-bar"),
            html.Div(id="walk-nearest", className="nearest"),
        ],
        className="panel",
    )


def _walk_slider(axis: int) -> html.Div:
    widget = dcc.Slider(
        -3, 3, value=0, step=0.01, marks={k: str(k) for k in range(-3, 4)}, id=f"walk-{axis}", updatemode="drag", included=False
    )  # fmt: skip
    return control(f"Along PC {axis + 1} (std)", html.Div(widget, className="track epochs"), f"walk-{axis}")
