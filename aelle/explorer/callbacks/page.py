"""The page as a whole: theme, tabs, the link that restores the view, live updates, saving it as a file."""

from __future__ import annotations

from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, State, ctx, dcc, no_update

from aelle.explorer import layout
from aelle.explorer.callbacks.shared import projected
from aelle.explorer.data import ExplorerData
from aelle.explorer.source import Source
from aelle.explorer.standalone import page as standalone_page
from aelle.explorer.summary import next_step
from aelle.explorer.view import View, from_query, to_query


def register(app: Dash, source: Source) -> None:
    """Connect what belongs to the whole page."""
    _browser_side(app)
    _build(app, source)
    _live(app, source)
    _link(app, source)
    _save(app, source)


def _browser_side(app: Dash) -> None:
    app.clientside_callback(
        ClientsideFunction("page", "theme"), Output("theme", "data"), Output("theme-button", "children"),
        Input("theme-button", "n_clicks"), State("address", "search"),
    )  # fmt: skip
    app.clientside_callback(
        ClientsideFunction("page", "display"), Output("display", "data"), Output("size-button", "children"),
        Input("size-button", "n_clicks"), State("address", "search"),
    )  # fmt: skip
    app.clientside_callback(
        ClientsideFunction("views", "tab"),
        [Output(f"view-{name}", "hidden") for name in layout.TABS], Input("tab", "value"),
    )  # fmt: skip
    for name in layout.FIGURES:
        drawn = (
            ClientsideFunction("latent_map", "figure")
            if name == "map"
            else ClientsideFunction("figures", "draw")
        )
        zoom = [State("zoom", "data")] if name == "map" else []
        app.clientside_callback(drawn, Input(f"{name}-figure", "data"), State(f"{name}-figure", "id"), *zoom)
    _ask(app)
    app.clientside_callback(
        ClientsideFunction("page", "link"),
        Output("announce", "children"),
        Input("link", "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("page", "copy"),
        Output("copy", "children"),
        Input("copy", "n_clicks"),
        prevent_initial_call=True,
    )
    places = (State("epoch", "value"), State("epoch", "max"))
    app.clientside_callback(
        ClientsideFunction("page", "play"), Output("tick", "disabled"), Output("play", "children"), Output("epoch", "value"),
        Input("play", "n_clicks"), State("tick", "disabled"), *places, prevent_initial_call=True,
    )  # fmt: skip
    app.clientside_callback(
        ClientsideFunction("page", "tick"),
        Output("epoch", "value", allow_duplicate=True), Output("tick", "disabled", allow_duplicate=True),
        Output("play", "children", allow_duplicate=True),
        Input("tick", "n_intervals"), *places, prevent_initial_call=True,
    )  # fmt: skip


def _ask(app: Dash) -> None:
    """One request for the view that is seen, when anything it shows has changed (see assets/views.js)."""
    asked = [f"{name}-ask" for name in layout.TABS]
    app.clientside_callback(
        ClientsideFunction("views", "ask"),
        [Output(name, "data") for name in asked],
        Input("tab", "value"), Input("selection", "data"), Input("filters", "data"), Input("epoch", "value"),
        Input("theme", "data"), Input("version", "data"), Input("focus", "data"), Input("colour", "value"),
        Input("index-scale", "value"), Input("prediction-method", "value"), Input("table-state", "data"),
        *(State(name, "data") for name in asked),
    )  # fmt: skip


def _build(app: Dash, source: Source) -> None:
    @app.callback(
        Output("page", "children"), Input("state", "data"), Input("address", "search"), State("link", "data")
    )
    def build(_: str, search: str | None, link: str | None) -> Any:
        data = source.data
        went_back = ctx.triggered_id == "address"  # the browser's Back and Forward
        asked = search if went_back else link or search
        view = View() if data is None else from_query(asked or "", _ids(data))
        return layout.page(source, view)


def _live(app: Dash, source: Source) -> None:
    @app.callback(
        Output("pulse", "data"), Output("state", "data"), Output("moved", "children"), Input("watch", "n_intervals"),
        State("pulse", "data"), State("state", "data"), prevent_initial_call=True,
    )  # fmt: skip
    def look(_: int, pulse: int | None, state: str) -> Any:
        source.refresh()
        moved = "" if source.folder.experiment_file.is_file() or source.data is None else (
            f"{source.folder.root} has been moved or removed; what is shown was read before"
        )  # fmt: skip
        if pulse == source.version:
            return no_update, no_update, moved
        new = layout.state_of(source)
        # An empty page is made anew, since it may be empty for another reason now; a full one updates itself.
        return source.version, no_update if new == state != "empty" else new, moved

    # Only a full page has these; on an empty one there is nothing to update.
    app.clientside_callback(
        ClientsideFunction("page", "renewed"),
        Output("version", "data"), Input("pulse", "data"), State("version", "data"), prevent_initial_call=True,
    )  # fmt: skip

    @app.callback(
        Output("facts", "children"), Output("headline", "children"), Output("headline", "hidden"),
        Output("notes", "children"), Output("notes", "hidden"), Output("next", "children"), Output("epoch", "max"), Output("epoch", "marks"),
        Output("epoch", "disabled"), Output("play", "disabled"), Output("colour", "options"),
        Input("version", "data"), prevent_initial_call=True,
    )  # fmt: skip
    def update(_: int) -> Any:
        data = source.data
        if data is None or data.points.empty:
            return (no_update,) * 11
        facts, headline, notes = layout.facts_and_notes(data)
        epochs, options = data.point_epochs, layout.column_options(data)["colour"]
        slider = (max(len(epochs) - 1, 1), layout.epoch_marks(epochs), len(epochs) < 2, len(epochs) < 2)
        return (
            facts,
            layout.headline_parts(headline),
            not headline,
            notes,
            not notes,
            next_step(data),
            *slider,
            options,
        )


_CONTROLS: tuple[str, ...] = (
    "colour",
    "shape",
    "size",
    "method",
    "dimensions",
    "epoch",
    "paths",
    "tab",
    "x",
    "y",
    "log",
    "index-scale",
    "prediction-method",
)
_KEPT = ("display", "focus", "filters", "selection", "table-state", "zoom")


def _link(app: Dash, source: Source) -> None:
    app.clientside_callback(
        ClientsideFunction("views", "later"),
        *(Input(name, "value") for name in _CONTROLS), *(Input(name, "data") for name in _KEPT),
    )  # fmt: skip

    @app.callback(Output("link", "data"), Input("link-ask", "data"), prevent_initial_call=True)
    def write(values: list[Any] | None) -> Any:
        data = source.data
        if values is None or data is None or data.points.empty:
            return no_update
        return to_query(current_view(data, *values), _ids(data))


def current_view(data: ExplorerData, *values: Any) -> View:
    """The view that the values of the controls make, in the order of `_link`."""
    controls: dict[str, Any] = dict(zip(_CONTROLS, values[: len(_CONTROLS)], strict=True))
    display, focus, filters, selection, table, zoom = values[len(_CONTROLS) :]
    ids, epochs = data.networks["network_id"], data.point_epochs
    controls["epoch"] = epochs[min(int(controls["epoch"] or 0), len(epochs) - 1)]
    controls["dimensions"] = int(controls["dimensions"])
    controls["scale"] = "log" if controls.pop("index-scale") == "log" else None
    controls["predictor"] = controls.pop("prediction-method")
    controls["log"] = "".join(controls["log"] or []) or None
    if controls["method"] != "columns":
        controls |= {"x": None, "y": None, "log": None}
    chosen: dict[str, Any] = {key: ids[ids.index.isin(selection[key])].tolist() for key in ("a", "b")}
    return View(
        **controls,
        display=display,
        sort=("-" if table["descending"] else "") + table["sort"],
        zoom=",".join(f"{end:.6g}" for end in zoom) if zoom else None,
        focus=None if focus is None else str(ids[focus]),
        filters=filters or {},
        **chosen,
    )


def _save(app: Dash, source: Source) -> None:
    @app.callback(
        Output("download", "data"),
        Input("save", "n_clicks"),
        State("link", "data"),
        prevent_initial_call=True,
    )
    def save(clicks: int, link: str | None) -> Any:
        data = source.data
        if not clicks or data is None or data.points.empty:
            return no_update
        view = from_query(link or "", _ids(data))
        asked = {"method": view.method or "pca", "dimensions": "2", "x": view.x, "y": view.y, "log": view.log}
        return dcc.send_string(
            standalone_page(data, view, projected(source, data, asked)), f"aelle-{data.name}.html"
        )


def _ids(data: ExplorerData) -> list[str]:
    return [str(name) for name in data.networks["network_id"]]
