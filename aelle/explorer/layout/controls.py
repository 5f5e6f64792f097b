"""The controls above the map: colour, shape, size, projection, paths, epoch, filters, search."""

from __future__ import annotations

from typing import Any

from dash import dcc, html

from aelle.explorer.columns import Column, colour_columns
from aelle.explorer.data import ExplorerData
from aelle.explorer.layout.widgets import aria, choice, control, menu
from aelle.explorer.scatter import usual_axes
from aelle.explorer.view import View

PATHS = {"none": "none", "trails": "of chosen networks", "arrows": "start → end of all"}


def controls(data: ExplorerData, view: View) -> html.Section:
    """All controls, set as `view` says."""
    options = column_options(data)
    colours = [option["value"] for option in options["colour"]]
    return html.Section(
        [
            menu("Colour by", "colour", options["colour"], view.colour if view.colour in colours else colours[0]),
            menu("Shape", "shape", options["shape"], view.shape, clearable=True),
            menu("Size", "size", options["size"], view.size, clearable=True),
            *_places(data, view, options["axis"]),
            menu("Paths", "paths", [{"label": v, "value": k} for k, v in PATHS.items()], view.paths or "trails"),
            html.Span(className="break"),
            control("Epoch", _epoch_slider(data, view), "epoch", "wide"),
            _filters(data, view),
            _search(),
        ],
        className="controls", **aria(label="Controls"),
    )  # fmt: skip


def _search() -> html.Div:
    field = dcc.Input(id="search", type="search", placeholder="id, or lstm 32, or λ₁ > 0", debounce=True)
    found = html.Span(id="search-found", className="found", **aria(live="polite"))
    take = html.Button("Select", id="select-found", n_clicks=0, hidden=True)
    head = html.Div([html.Label("Find networks", htmlFor="search"), found, take], className="search-head")
    return html.Div([head, field, dcc.Store(id="found", data=[])], className="control search")


METHODS = {"pca": "PCA", "umap": "UMAP", "columns": "Columns"}


def method_of(data: ExplorerData, view: View) -> str:
    """What places the points: without latents only columns can."""
    usual = "pca" if data.has_latents else "columns"
    return view.method if data.has_latents and view.method in METHODS else usual


def _places(data: ExplorerData, view: View, columns: list[dict[str, str]]) -> list[Any]:
    """What places the points: a projection of latents, or two columns."""
    method, axes = method_of(data, view), usual_axes(data, view.x, view.y, view.log)
    methods = METHODS if data.has_latents else {"columns": METHODS["columns"]}
    log = dcc.Checklist(
        id="log", options=[{"label": f"log {axis}", "value": axis} for axis in "xy"], value=list(axes.logarithmic),
        inline=True, className="choice many",
    )  # fmt: skip
    chosen = {
        "method": method, "dimensions": str(view.dimensions or 2), "x": axes.x, "y": axes.y, "log": axes.logarithmic
    }  # fmt: skip
    across = [
        menu("Across", "x", columns, axes.x),
        menu("Up", "y", columns, axes.y),
        control("Scale", log, ""),
    ]
    return [
        choice("Places by", "method", methods, method),
        html.Div(
            choice("Dimensions", "dimensions", {"2": "2-D", "3": "3-D"}, str(view.dimensions or 2)),
            id="dimensions-box", className="together", hidden=method == "columns",
        ),
        html.Div(across, id="axes-box", className="together", hidden=method != "columns"),
        dcc.Store(id="projection", data=chosen),
    ]  # fmt: skip


def column_options(data: ExplorerData) -> dict[str, list[dict[str, str]]]:
    """What each menu of columns offers: colour any, shape kinds, size quantities."""
    columns: list[Column] = data.kept("columns", lambda: colour_columns(data.points, data.metric_name))

    def options(chosen: list[Column]) -> list[dict[str, str]]:
        return [{"label": column.label, "value": column.name} for column in chosen]

    varying = [column for column in columns if not column.constant]
    return {
        "colour": options(columns),
        "shape": options([column for column in varying if column.is_kind]),
        "size": options([column for column in varying if not column.is_kind]),
        "filter": options(varying),
        "axis": options(varying or columns),
    }


def epoch_marks(epochs: list[int]) -> dict[int, str]:
    """Labels of the slider's places: the epochs, or every n-th where they are many."""
    step = max(1, len(epochs) // 10)
    return {place: str(epoch) for place, epoch in enumerate(epochs) if place % step == 0}


def _epoch_slider(data: ExplorerData, view: View) -> html.Div:
    epochs = data.point_epochs
    slider = dcc.Slider(
        0, max(len(epochs) - 1, 1), step=1, value=epochs.index(view.epoch) if view.epoch in epochs else 0,
        marks=epoch_marks(epochs), id="epoch", included=False, disabled=len(epochs) < 2,
    )  # fmt: skip
    play = html.Button("Play", id="play", className="main", n_clicks=0, disabled=len(epochs) < 2)
    return html.Div([play, html.Div(slider, className="track epochs")], className="slider")


def _filters(data: ExplorerData, view: View) -> html.Details:
    options = column_options(data)["filter"]
    known = {option["value"] for option in options}
    columns = dcc.Dropdown(
        id="filter-columns", options=options, multi=True, maxHeight=380,
        value=[name for name in view.filters if name in known], placeholder="Show only networks by …",
    )  # fmt: skip
    card = [
        html.Div(columns, className="filter-menu"),
        html.Div(id="filter-widgets", className="filter-widgets"),
    ]
    return html.Details(
        [
            html.Summary(["Filters ", html.Span(id="filter-count", className="of")]),
            html.Div(card, className="filter-card"),
        ],
        className="filters",
    )
