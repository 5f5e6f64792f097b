"""The page's parts: head, controls, map, and the views beside it. No behaviour (see callbacks)."""

from __future__ import annotations

from typing import Any

from dash import dcc, html

from aelle.explorer.columns import colour_columns
from aelle.explorer.data import ExplorerData
from aelle.explorer.source import Source
from aelle.explorer.summary import experiment_facts

_BUTTONS_2D = [["toImage", "zoom2d", "pan2d", "select2d", "lasso2d", "resetScale2d"]]
_POLITE: Any = {"aria-live": "polite"}
_CONTROLS: Any = {"aria-label": "Controls"}
_GRAPH: dict[str, Any] = {"displaylogo": False, "responsive": True}


def page(source: Source) -> html.Main:
    """The whole page for the data as it is now."""
    data = source.data
    body: list[Any]
    if data is None:
        body = [empty("Nothing to show yet", source.problem)]
    elif data.points.empty:
        body = [empty("There are records, but no latents yet", f"Run: aelle train {source.folder.root}")]
    else:
        body = [_controls(data), _panels()]
    return html.Main(
        [
            *_head(source, data),
            *body,
            *_stores(source),
            html.Div(id="announce", className="visually-hidden", **_POLITE),
        ],
        className="explorer",
    )


def empty(what: str, todo: str) -> html.Div:
    """An empty state: what is missing, and the command that makes it."""
    return html.Div([html.Strong(what), html.Span(html.Code(todo))], className="empty panel")


def epoch_marks(epochs: list[int]) -> dict[int, str]:
    """Labels of the slider's places: the epochs, or every n-th where they are many."""
    step = max(1, len(epochs) // 10)
    return {place: str(epoch) for place, epoch in enumerate(epochs) if place % step == 0}


def _head(source: Source, data: ExplorerData | None) -> list[Any]:
    name = source.folder.root.name if data is None else data.name
    headline = "" if data is None else str(data.report.get("headline", ""))
    notes = "" if data is None else "; ".join(data.unreadable)
    return [
        html.Header(
            [
                html.H1(["aelle ", html.Span(name, className="of")]),
                html.P("" if data is None else experiment_facts(data), className="facts", id="facts"),
                html.Span(className="spring"),
                html.Button("Dark", id="theme-button", n_clicks=0),
            ],
            className="head",
        ),
        html.P(headline, className="headline", id="headline", hidden=not headline),
        html.P(notes, className="notes", id="notes", hidden=not notes),
    ]


def _controls(data: ExplorerData) -> html.Section:
    columns = colour_columns(data.points, data.metric_name)
    epochs = data.point_epochs
    colour = dcc.Dropdown(
        id="colour", options=[{"label": c.label, "value": c.name} for c in columns],
        value=columns[0].name, clearable=False, maxHeight=420,
    )  # fmt: skip
    slider = dcc.Slider(
        0, max(len(epochs) - 1, 1), step=1, value=0, marks=epoch_marks(epochs), id="epoch",
        included=False, disabled=len(epochs) < 2,
    )  # fmt: skip
    return html.Section(
        [
            _control("Colour by", colour, "colour", "medium"),
            _control("Epoch", html.Div([html.Button("Play", id="play", className="main"), html.Div(slider, className="track")], className="slider"), "epoch", "wide"),
            _control("Find a network", dcc.Input(id="search", type="search", placeholder="id", debounce=True), "search"),
        ],
        className="controls", **_CONTROLS,
    )  # fmt: skip


def _control(label: str, widget: Any, target: str, size: str = "") -> html.Div:
    return html.Div([html.Label(label, htmlFor=target), widget], className=f"control {size}".strip())


def _panels() -> html.Section:
    return html.Section(
        [
            html.Div(
                [
                    html.H2(["Latent map ", html.Span("each point is a network", className="of")]),
                    graph("map", _BUTTONS_2D, clear_on_unhover=True),
                    dcc.Tooltip(id="tip", direction="right"),
                    html.P("Click a point for its spectra and learning curve.", className="hint"),
                ],
                className="panel map",
            ),
            html.Div(
                [
                    html.Div(
                        [html.H2("Lyapunov spectrum", id="spectra-title"), graph("spectra")],
                        className="panel",
                    ),
                    html.Div(
                        [html.H2("Learning curve", id="curves-title"), graph("curves")], className="panel"
                    ),
                ],
                className="side",
            ),
        ],
        className="panels",
    )


def graph(name: str, buttons: list[list[str]] | None = None, **more: Any) -> html.Div:
    """A figure that fills its panel. Only these buttons: none that sends anything anywhere."""
    config: Any = _GRAPH | {"modeBarButtons": buttons or [["toImage", "zoom2d", "pan2d", "resetScale2d"]]}
    return html.Div(dcc.Graph(id=name, config=config, style={"height": "100%"}, **more), className="plot")


def _stores(source: Source) -> list[Any]:
    return [
        dcc.Store(id="theme", data="light"),
        dcc.Store(id="focus"),
        dcc.Store(id="version", data=source.version),
        dcc.Store(id="epoch-shown"),
        dcc.Interval(id="tick", interval=900, disabled=True),
        dcc.Interval(id="watch", interval=2000),
    ]
