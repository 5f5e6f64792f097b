"""The parts that pages are put together from: figures, menus, choices, labelled controls."""

from __future__ import annotations

from typing import Any

from dash import dcc, html


def figure(name: str, title: Any, *beside: Any, shape: str = "") -> html.Div:
    """A panel with a title, controls beside it, and a figure that fills the rest."""
    head = html.Div([html.H2(title, id=f"{name}-title"), *beside], className="panel-head")
    return html.Div([head, graph(name, shape)], className="panel")


def graph(name: str, shape: str = "") -> html.Div:
    """The place of a figure; what is written to the store `<name>-figure` is drawn there by assets/figures.js.

    A `shape` ("square", "tall") asks for more height than a figure has at least.
    """
    place = html.Div(id=name, className="figure", role="figure", **aria(labelledby=f"{name}-title"))
    return html.Div([place, dcc.Store(id=f"{name}-figure")], className=f"plot {shape}".strip())


def menu(label: str, name: str, options: Any, value: Any, *, clearable: bool = False) -> html.Div:
    """A labelled menu."""
    widget = dcc.Dropdown(
        id=name, options=options, value=value, clearable=clearable, maxHeight=420, placeholder="none"
    )
    return control(label, widget, name, "medium")


def choice(label: str, name: str, options: dict[str, str], value: str, kind: str = "") -> html.Div:
    """One of few: radio buttons that look like a switch."""
    widget = dcc.RadioItems(
        id=name, options=[{"label": v, "value": k} for k, v in options.items()], value=value, inline=True,
        className=f"choice {kind}",
    )  # fmt: skip
    return control(label, widget, "", "choice-of") if label else html.Div(widget, className="choice-of")


def control(label: str, widget: Any, target: str, size: str = "") -> html.Div:
    """A widget under its label."""
    head = html.Label(label, htmlFor=target) if target else html.Span(label, className="label")
    return html.Div([head, widget], className=f"control {size}".strip())


def aria(**words: str) -> Any:
    """Attributes for screen readers, as keyword arguments."""
    return {f"aria-{key}": value for key, value in words.items()}
