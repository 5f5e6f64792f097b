"""The table of selected networks: sorted, in pages, and as CSV."""

from __future__ import annotations

from typing import Any

import pandas as pd
from dash import ALL, Dash, Input, Output, State, ctx, dcc, html, no_update

from aelle.explorer.callbacks.shared import Selection, epoch_at, short, shown_networks
from aelle.explorer.columns import column_label
from aelle.explorer.data import ExplorerData
from aelle.explorer.layout.widgets import aria
from aelle.explorer.source import Source

PAGE = 50
_COLUMNS = (
    "network_id", "group", "architecture", "hidden_size", "final_metric", "predicted", "lambda_max", "lambda_mean",
    "init_gain", "learning_rate", "outcome",
)  # fmt: skip
_HEADS = {
    "network_id": "network",
    "group": "group",
    "lambda_max": "λ₁",
    "lambda_mean": "mean λ",
    "init_gain": "initial gain",
    "predicted": "predicted",
}
_STATES = (State("selection", "data"), State("filters", "data"), State("epoch", "value"))


def register(app: Dash, source: Source) -> None:
    """Connect the table and the CSV button."""

    @app.callback(
        Output("table", "children"), Output("table-title", "children"),
        Input("table-ask", "data"), prevent_initial_call=True,
    )  # fmt: skip
    def draw(asked: dict[str, Any] | None) -> Any:
        data = source.data
        if data is None or asked is None:
            return no_update, no_update
        selection = asked["selection"]
        frame = selected_rows(data, selection, epoch_at(data, asked["epoch"]), asked["filters"])
        words = "selected" if selection["a"] or selection["b"] else "shown on the map"
        return table(data, frame, asked["colour"], asked["table"]), [
            "Networks ",
            html.Span(f"{len(frame):,} {words}", className="of"),
        ]

    @app.callback(
        Output("table-state", "data"),
        Input({"type": "sort", "column": ALL}, "n_clicks"), Input({"type": "page", "step": ALL}, "n_clicks"),
        State("table-state", "data"), prevent_initial_call=True,
    )  # fmt: skip
    def turn(sorts: list[int | None], pages: list[int | None], state: dict[str, Any]) -> Any:
        if not any([*sorts, *pages]) or not isinstance(ctx.triggered_id, dict):
            return no_update
        if ctx.triggered_id["type"] == "page":
            return state | {"page": state["page"] + int(ctx.triggered_id["step"])}
        name = ctx.triggered_id["column"]
        descending = not state["descending"] if name == state["sort"] else True
        return {"sort": name, "descending": descending, "page": 0}

    @app.callback(
        Output("download", "data", allow_duplicate=True),
        Input("csv", "n_clicks"),
        *_STATES,
        prevent_initial_call=True,
    )
    def export(clicks: int, selection: Any, filters: Any, place: int) -> Any:
        data = source.data
        if data is None or not clicks:
            return no_update
        epoch = epoch_at(data, place)
        frame = selected_rows(data, selection, epoch, filters).drop(columns="network")
        return dcc.send_string(
            without_formulas(frame).to_csv(index=False), f"aelle-{data.name}-epoch-{epoch}.csv"
        )


def without_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Put an apostrophe before words that a spreadsheet would take for a formula: they begin with = + - or @."""

    def plain(value: Any) -> Any:
        return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") else value

    words = [name for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
    return frame.assign(**{name: frame[name].astype(object).map(plain) for name in words})


def selected_rows(data: ExplorerData, selection: Selection, epoch: int, filters: Any) -> pd.DataFrame:
    """The points of the selected networks at one epoch (of all shown where none is selected), with their group."""
    points = data.points[(data.points["epoch"] == epoch).to_numpy()]
    chosen = [*selection["a"], *selection["b"]]
    wanted = chosen or shown_networks(data, epoch, filters)
    frame = points[points["network"].isin(wanted)].copy()
    frame.insert(1, "group", "")
    frame.loc[frame["network"].isin(selection["a"]), "group"] = "A"
    frame.loc[frame["network"].isin(selection["b"]), "group"] = "B"
    return frame


def table(data: ExplorerData, frame: pd.DataFrame, colour: str, state: dict[str, Any]) -> list[Any]:
    """One page of the rows, with heads that sort and ids that choose a network."""
    names = [name for name in dict.fromkeys((*_COLUMNS, colour)) if name in frame]
    if state["sort"] in frame:
        frame = frame.sort_values(state["sort"], ascending=not state["descending"], kind="stable")
    last = max(0, (len(frame) - 1) // PAGE)
    page = min(max(state["page"], 0), last)
    rows = [
        html.Tr([_cell(name, row[name], row["network"]) for name in names])
        for _, row in frame.iloc[page * PAGE : (page + 1) * PAGE].iterrows()
    ]
    numbers = frame.select_dtypes("number").columns
    heads = html.Tr([_head(data, name, state, "number" if name in numbers else "") for name in names])
    turn = html.Div(
        [
            html.Button("Previous", id={"type": "page", "step": -1}, disabled=page == 0, n_clicks=0),
            html.Span(f"page {page + 1} of {last + 1}", className="of"),
            html.Button("Next", id={"type": "page", "step": 1}, disabled=page == last, n_clicks=0),
        ],
        className="selection-bar",
    )
    return [html.Div(html.Table([html.Thead(heads), html.Tbody(rows)]), className="rows"), turn]


def _head(data: ExplorerData, name: str, state: dict[str, Any], kind: str) -> html.Th:
    arrow = "" if state["sort"] != name else " ↓" if state["descending"] else " ↑"
    words = _HEADS.get(name) or column_label(name, data.metric_name).replace("final validation", "final")
    order = "none" if state["sort"] != name else "descending" if state["descending"] else "ascending"
    button = html.Button(words + arrow, id={"type": "sort", "column": name}, n_clicks=0)
    return html.Th(button, className=kind, scope="col", **aria(sort=order))


def _cell(name: str, value: Any, network: int) -> html.Td:
    if name == "network_id":
        return html.Td(html.Button(str(value), id={"type": "row", "network": int(network)}, n_clicks=0))
    return html.Td(short(value), className="number" if isinstance(value, (int, float)) else "")
