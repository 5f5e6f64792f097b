"""The page as a whole: head, controls, map and views, or what to do where there is nothing to show."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from dash import dcc, html

from aelle.explorer.data import ExplorerData
from aelle.explorer.filters import known_filters
from aelle.explorer.layout.controls import controls
from aelle.explorer.layout.views import panels
from aelle.explorer.layout.widgets import aria
from aelle.explorer.source import Source
from aelle.explorer.summary import best_network, experiment_facts, headline_of, next_step
from aelle.explorer.view import View, zoom_of


def shell(source: Source) -> html.Main:
    """What is always there; the rest is filled in once the address of the page is known."""
    # Dash loads the scripts of these when it first meets them, and never finishes where that is in a part that
    # was filled in later; so each stands here once, unseen.
    first_of_kind = [dcc.Dropdown(), dcc.Slider(0, 1, marks=None), dcc.RangeSlider(0, 1, marks=None)]
    return html.Main(
        [
            html.P(id="gone", className="gone", role="alert", hidden=True),
            html.P(id="moved", className="gone", role="alert"),
            html.Div(id="page", className="page"),
            html.Div(first_of_kind, hidden=True),
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
    return "empty" if data is None else "map" if data.has_latents else "records"


def page(source: Source, view: View) -> list[Any]:
    """The page for the data as it is now, set as `view` says."""
    data = source.data
    if data is None:
        return [_empty("Nothing to show yet", [source.problem])]
    view = replace(view, filters=known_filters(data.points, view.filters))
    focus = data.numbers_of([view.focus] if view.focus else []) or [best_network(data)]
    return [
        *_head(data, source.version),
        controls(data, view),
        panels(data, view),
        *_stores(view, focus[0], {"a": data.numbers_of(view.a), "b": data.numbers_of(view.b)}),
        dcc.Interval(id="tick", interval=900, disabled=True),
        dcc.Download(id="download"),
        html.Div(id="announce", className="visually-hidden", **aria(live="polite")),
    ]  # fmt: skip


def _stores(view: View, focus: int | None, selection: dict[str, list[int]]) -> list[dcc.Store]:
    """What is chosen, what the browser reports, and what it asks of the views that are seen."""
    sort = view.sort or "-final_metric"
    kept = {
        "focus": focus, "selection": selection, "filters": dict(view.filters),
        "table-state": {"sort": sort.removeprefix("-"), "descending": sort.startswith("-"), "page": 0},
        "zoom": zoom_of(view.zoom),
    }  # fmt: skip
    reported = ("hovered", "clicked", "lassoed", "walk-drag", "walk-point", "walk-latent", "walk-base")
    asked = (
        "link-ask",
        "marks-ask",
        "selection-ask",
        "special-ask",
        "parallel-ask",
        "table-ask",
        "prediction-ask",
        "walk-ask",
    )
    return [
        *(dcc.Store(id=name, data=value) for name, value in kept.items()),
        *(dcc.Store(id=name) for name in (*reported, *asked, "network-ask")),
    ]  # fmt: skip


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
                html.Button("Larger", id="size-button", n_clicks=0, title="Type and lines for a projector"),
                html.Button("Dark", id="theme-button", n_clicks=0),
            ],
            className="head",
        ),
        html.Details(headline_parts(headline), className="headline", id="headline", hidden=not headline),
        html.P(notes, className="notes", id="notes", hidden=not notes),
        html.P(next_step(data), className="next", id="next"),
        dcc.Store(id="theme"),
        dcc.Store(id="display"),
        dcc.Store(id="version", data=version),
    ]


def facts_and_notes(data: ExplorerData) -> tuple[str, str, str]:
    """The line of facts, the report's headline, and what could not be read."""
    return experiment_facts(data), headline_of(data), "; ".join(data.unreadable)


def headline_parts(headline: str) -> list[Any]:
    """The report's first sentence, with the others (on later epochs) folded away below it."""
    first, *rest = re.split(r"(?<=\.) (?=At epoch)", headline)
    return [html.Summary(first), *(html.P(sentence) for sentence in rest)]


def _empty(what: str, todo: list[Any], why: list[Any] | None = None) -> html.Div:
    return html.Div(
        [html.H1("aelle"), html.Strong(what), html.Span(todo), *(why or [])], className="empty panel"
    )
