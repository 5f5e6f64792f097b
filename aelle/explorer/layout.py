"""The page's parts: head, controls, map, and the views beside it. No behaviour (see `callbacks`)."""

from __future__ import annotations

import re
from typing import Any

from dash import dcc, html

from aelle.explorer.columns import Column, colour_columns
from aelle.explorer.data import ExplorerData
from aelle.explorer.source import Source
from aelle.explorer.summary import experiment_facts
from aelle.explorer.view import View

TABS = {
    "network": "Network",
    "selection": "Selection",
    "special": "What is special",
    "table": "Table",
    "prediction": "Prediction",
    "walk": "Latent walk",
}
PATHS = {"none": "none", "trails": "of chosen networks", "arrows": "start → end of all"}
_MAP_BUTTONS = [["toImage", "lasso2d", "select2d", "pan2d", "zoom2d", "resetScale2d"]]
_BUTTONS = [["toImage", "zoom2d", "pan2d", "resetScale2d"]]


def shell(source: Source) -> html.Main:
    """What is always there; the rest is filled in once the address of the page is known."""
    return html.Main(
        [
            html.Div(id="page", className="page"),
            # Dash loads the scripts of these when it first meets them, and never finishes where that is in a
            # part that was filled in later; so each stands here once, unseen.
            html.Div(
                [
                    dcc.Dropdown(),
                    dcc.Slider(0, 1, marks=None),
                    dcc.RangeSlider(0, 1, marks=None),
                    dcc.Graph(),
                ],
                hidden=True,
            ),
            dcc.Location(id="address", refresh=False),
            dcc.Store(id="state", data=state_of(source)),
            dcc.Store(id="pulse"),
            dcc.Store(id="link"),
            dcc.Interval(id="watch", interval=2000),
        ],
        className="explorer",
    )


def state_of(source: Source) -> str:
    """Which page there is to show: nothing, records without latents, or the map."""
    data = source.data
    return "empty" if data is None else "records" if data.points.empty else "map"


def page(source: Source, view: View) -> list[Any]:
    """The page for the data as it is now, set as `view` says."""
    data = source.data
    if data is None:
        return [_empty("Nothing to show yet", [source.problem])]
    if data.points.empty:
        run = ["Run ", html.Code(f"aelle train {source.folder.root}"), " and this page fills itself."]
        return [_empty(f"{len(data.networks)} networks, but no latents yet", run)]
    numbers = {"a": data.numbers_of(view.a), "b": data.numbers_of(view.b)}
    focus = data.numbers_of([view.focus] if view.focus else [])
    return [
        *_head(data, source.version),
        _controls(data, view),
        _panels(data, view),
        dcc.Store(id="focus", data=focus[0] if focus else None),
        dcc.Store(id="selection", data=numbers),
        dcc.Store(id="filters", data=dict(view.filters)),
        dcc.Store(id="table-state", data={"sort": "final_metric", "descending": True, "page": 0}),
        dcc.Store(id="walk-point"),
        dcc.Store(id="walk-latent"),
        dcc.Store(id="walk-base"),
        dcc.Store(id="drawn"),
        dcc.Interval(id="tick", interval=900, disabled=True),
        dcc.Download(id="download"),
        html.Div(id="announce", className="visually-hidden", **_aria(live="polite")),
    ]


def _head(data: ExplorerData, version: int) -> list[Any]:
    facts, headline, notes = facts_and_notes(data)
    return [
        html.Header(
            [
                html.H1(["aelle ", html.Span(data.name, className="of")]),
                html.P(facts, className="facts", id="facts"),
                html.Span(className="spring"),
                html.Button("Copy link", id="copy", n_clicks=0),
                html.Button("Save page", id="save", n_clicks=0, title="Write this view as one HTML file"),
                html.Button("Dark", id="theme-button", n_clicks=0),
            ],
            className="head",
        ),
        html.Details(headline_parts(headline), className="headline", id="headline", hidden=not headline),
        html.P(notes, className="notes", id="notes", hidden=not notes),
        dcc.Store(id="theme"),
        dcc.Store(id="version", data=version),
    ]


def facts_and_notes(data: ExplorerData) -> tuple[str, str, str]:
    """The line of facts, the report's headline, and what could not be read."""
    return experiment_facts(data), str(data.report.get("headline", "")), "; ".join(data.unreadable)


def headline_parts(headline: str) -> list[Any]:
    """The report's first sentence, with the others (on later epochs) folded away below it."""
    first, *rest = re.split(r"(?<=\.) (?=At epoch)", headline)
    return [html.Summary(first), *(html.P(sentence) for sentence in rest)]


def epoch_marks(epochs: list[int]) -> dict[int, str]:
    """Labels of the slider's places: the epochs, or every n-th where they are many."""
    step = max(1, len(epochs) // 10)
    return {place: str(epoch) for place, epoch in enumerate(epochs) if place % step == 0}


def column_options(data: ExplorerData) -> dict[str, list[dict[str, str]]]:
    """What each menu of columns offers: colour any, shape kinds, size quantities."""
    columns = colour_columns(data.points, data.metric_name)

    def options(chosen: list[Column]) -> list[dict[str, str]]:
        return [{"label": column.label, "value": column.name} for column in chosen]

    varying = [column for column in columns if not column.constant]
    return {
        "colour": options(columns),
        "shape": options([column for column in varying if column.is_kind]),
        "size": options([column for column in varying if not column.is_kind]),
        "filter": options(varying),
    }


def _empty(what: str, todo: list[Any]) -> html.Div:
    return html.Div([html.H1("aelle"), html.Strong(what), html.Span(todo)], className="empty panel")


def _controls(data: ExplorerData, view: View) -> html.Section:
    options, epochs = column_options(data), data.point_epochs
    colours = [option["value"] for option in options["colour"]]
    place = epochs.index(view.epoch) if view.epoch in epochs else 0
    slider = dcc.Slider(
        0, max(len(epochs) - 1, 1), step=1, value=place, marks=epoch_marks(epochs), id="epoch",
        included=False, disabled=len(epochs) < 2,
    )  # fmt: skip
    play = html.Div(
        [
            html.Button("Play", id="play", className="main", n_clicks=0, disabled=len(epochs) < 2),
            html.Div(slider, className="track epochs"),
        ],
        className="slider",
    )
    search = dcc.Input(id="search", type="search", placeholder="id or its beginning", debounce=True)
    return html.Section(
        [
            _menu("Colour by", "colour", options["colour"], view.colour if view.colour in colours else colours[0]),
            _menu("Shape", "shape", options["shape"], view.shape, clearable=True),
            _menu("Size", "size", options["size"], view.size, clearable=True),
            _choice("Projection", "method", {"pca": "PCA", "umap": "UMAP"}, view.method or "pca"),
            _choice("Dimensions", "dimensions", {"2": "2-D", "3": "3-D"}, str(view.dimensions or 2)),
            _menu("Paths", "paths", [{"label": v, "value": k} for k, v in PATHS.items()], view.paths or "trails"),
            html.Span(className="break"),
            _control("Epoch", play, "epoch", "wide"),
            _filters(data, view),
            _control("Find a network", search, "search", "search"),
        ],
        className="controls", **_aria(label="Controls"),
    )  # fmt: skip


def _filters(data: ExplorerData, view: View) -> html.Details:
    known = {option["value"] for option in column_options(data)["filter"]}
    menu = dcc.Dropdown(
        id="filter-columns", options=column_options(data)["filter"], multi=True, maxHeight=380,
        value=[name for name in view.filters if name in known], placeholder="Show only networks by …",
    )  # fmt: skip
    return html.Details(
        [
            html.Summary(["Filters ", html.Span(id="filter-count", className="of")]),
            html.Div([html.Div(menu, className="filter-menu"), html.Div(id="filter-widgets", className="filter-widgets")], className="filter-card"),
        ],
        open=bool(view.filters), className="filters",
    )  # fmt: skip


def _panels(data: ExplorerData, view: View) -> html.Section:
    tab = view.tab if view.tab in TABS else "network"
    return html.Section(
        [
            html.Div(
                [
                    html.H2(["Latent map ", html.Span("each point is a network", className="of")]),
                    graph("map", _MAP_BUTTONS, clear_on_unhover=True, scrollZoom=True),
                    dcc.Tooltip(id="tip", direction="right"),
                    html.P("", id="map-note", className="notes"),
                    _selection_bar(),
                ],
                className="panel map",
            ),
            html.Div([_choice("", "tab", TABS, tab, "tabs"), *_views(data)], className="side"),
        ],
        className="panels",
    )  # fmt: skip


def _selection_bar() -> html.Div:
    return html.Div(
        [
            _choice("Lasso into", "lasso-into", {"a": "A", "b": "B"}, "a", "groups"),
            html.Button("Select all shown", id="select-shown", n_clicks=0),
            html.Button("Clear", id="clear", n_clicks=0),
            html.Button("Save as CSV", id="csv", n_clicks=0),
            html.Span(id="selection-count", className="of", **_aria(live="polite")),
        ],
        className="selection-bar",
    )


def _views(data: ExplorerData) -> list[Any]:
    from aelle.explorer.figures.prediction import methods_at

    methods = methods_at(data)
    return [
        _view("network", _figure("spectra", "Lyapunov spectrum"), _figure("curves", "Learning curve")),
        _view(
            "selection", _figure("bands", "Lyapunov spectra", _log_choice()), _figure("curve-bands", "Learning curves")
        ),
        _view("special", _figure("histograms", "What is special", html.P(id="special-words", className="hint"))),
        _view("table", html.Div([html.H2("Networks", id="table-title"), html.Div(id="table", className="table")], className="panel")),
        _view(
            "prediction",
            _figure("predicted", "Predicted against actual", _menu("Method", "prediction-method", methods, methods[0] if methods else None)),
            _figure("ladder", "Ladder of methods"),
        ),
        _view("walk", _walk_controls(), _figure("decoded", "Decoded spectrum")),
    ]  # fmt: skip


def _walk_controls() -> html.Div:
    def slider(axis: int) -> html.Div:
        widget = dcc.Slider(
            -3,
            3,
            value=0,
            marks={k: str(k) for k in range(-3, 4)},
            id=f"walk-{axis}",
            updatemode="drag",
            included=False,
        )
        return _control(
            f"Along PC {axis + 1} (std)",
            html.Div(widget, className="track epochs"),
            f"walk-{axis}",
        )

    return html.Div(
        [
            html.H2(["Latent walk ", html.Span(id="walk-from", className="of")]),
            html.Div([slider(0), slider(1), slider(2)], className="walk-sliders"),
            html.Div(
                [
                    html.Button("Towards better", id="walk-up", n_clicks=0),
                    html.Button("Towards worse", id="walk-down", n_clicks=0),
                    html.Button("Back to start", id="walk-reset", n_clicks=0),
                    html.Span(id="walk-predicted", className="of"),
                ],
                className="selection-bar",
            ),
            html.Div(id="walk-nearest", className="nearest"),
        ],
        className="panel",
    )  # fmt: skip


def _log_choice() -> html.Div:
    return _choice("Index", "index-scale", {"linear": "linear", "log": "logarithmic"}, "linear")


def _view(name: str, *parts: Any) -> html.Div:
    return html.Div(list(parts), id=f"view-{name}", className="view", hidden=True)


def _figure(name: str, words: str, *extra: Any) -> html.Div:
    head = html.Div([html.H2(words, id=f"{name}-title"), *extra], className="panel-head")
    return html.Div([head, graph(name)], className="panel")


def graph(
    name: str, buttons: list[list[str]] | None = None, *, scrollZoom: bool = False, **more: Any
) -> html.Div:
    """A figure that fills its panel. Only these buttons: none that sends anything anywhere."""
    config: Any = {
        "displaylogo": False, "responsive": True, "scrollZoom": scrollZoom, "modeBarButtons": buttons or _BUTTONS,
        "toImageButtonOptions": {"filename": f"aelle-{name}", "scale": 2},
    }  # fmt: skip
    return html.Div(dcc.Graph(id=name, config=config, style={"height": "100%"}, **more), className="plot")


def _menu(label: str, name: str, options: Any, value: Any, *, clearable: bool = False) -> html.Div:
    widget = dcc.Dropdown(
        id=name, options=options, value=value, clearable=clearable, maxHeight=420, placeholder="none"
    )
    return _control(label, widget, name, "medium")


def _choice(label: str, name: str, options: dict[str, str], value: str, kind: str = "") -> html.Div:
    widget = dcc.RadioItems(
        id=name, options=[{"label": v, "value": k} for k, v in options.items()], value=value, inline=True,
        className=f"choice {kind}",
    )  # fmt: skip
    return _control(label, widget, "", "choice-of") if label else html.Div(widget, className="choice-of")


def _control(label: str, widget: Any, target: str, size: str = "") -> html.Div:
    head = html.Label(label, htmlFor=target) if target else html.Span(label, className="label")
    return html.Div([head, widget], className=f"control {size}".strip())


def _aria(**words: str) -> Any:
    return {f"aria-{key}": value for key, value in words.items()}
