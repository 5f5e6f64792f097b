"""Colours and type, light and dark. Palettes are safe for colour-blind readers and for print in grey."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

ThemeName = Literal["light", "dark"]
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'

# Okabe & Ito (2008), eight colours that stay distinct under every common colour blindness. The last is
# black there; it follows the theme so that it is seen on both grounds.
_OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442")
VIRIDIS = (
    (0.0, "#440154"), (0.125, "#482878"), (0.25, "#3e4989"), (0.375, "#31688e"), (0.5, "#26828e"),
    (0.625, "#1f9e89"), (0.75, "#35b779"), (0.875, "#6ece58"), (1.0, "#fde725"),
)  # fmt: skip
CIVIDIS = (
    (0.0, "#00224e"), (0.125, "#1a386f"), (0.25, "#434e6c"), (0.375, "#61656f"), (0.5, "#7d7c78"),
    (0.625, "#9b9476"), (0.75, "#bcae6c"), (0.875, "#dfca58"), (1.0, "#fee838"),
)  # fmt: skip

_SEEN = {"light": (0.0, 1.0), "dark": (0.22, 1.0)}  # the part of the scale that stands out from the ground


@dataclass(frozen=True)
class Theme:
    """Colours by their use."""

    name: ThemeName
    page: str
    card: str
    ink: str
    muted: str
    line: str
    faint: str
    accent: str
    group_a: str
    group_b: str

    @property
    def edge(self) -> str:
        """The thin outline of points: keeps neighbours apart, and dark points visible on a dark ground."""
        return self.card if self.name == "light" else self.muted

    @property
    def scale(self) -> list[list[Any]]:
        """Colour scale of quantities as plotly takes it; its end that fades into the ground is left out."""
        low, high = _SEEN[self.name]
        colours = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for _, c in VIRIDIS])
        places, stops = np.linspace(0, 1, len(VIRIDIS)), [stop for stop, _ in VIRIDIS]
        parts = [
            np.interp(low + (high - low) * places, stops, part).round().astype(int) for part in colours.T
        ]
        return [[float(p), f"#{r:02x}{g:02x}{b:02x}"] for p, r, g, b in zip(places, *parts, strict=True)]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Colours of kinds, in order."""
        return (*_OKABE_ITO, self.ink)


LIGHT = Theme(
    "light", "#f3f4f6", "#ffffff", "#1b2430", "#5a6675", "#dde1e7", "#b3bcc8", "#0b5a94", "#0072B2", "#D55E00"
)
DARK = Theme(
    "dark", "#11161d", "#1a212b", "#e7ecf2", "#9aa7b6", "#303b48", "#4c5968", "#6cb6ee", "#56B4E9", "#E69F00"
)
THEMES: dict[str, Theme] = {"light": LIGHT, "dark": DARK}


def theme_named(name: str | None) -> Theme:
    """The theme of that name; light where the name is unknown."""
    return THEMES.get(name or "light", LIGHT)


def as_text(value: object) -> str:
    """Make a string safe for plotly, which reads some HTML in labels: tags are shown, never followed."""
    return html.escape(str(value), quote=False)


def axis(theme: Theme, title: str = "", **more: Any) -> dict[str, Any]:
    """One axis: quiet grid, no box, title in the muted ink."""
    return {
        "title": {"text": title, "font": {"size": 12, "color": theme.muted}, "standoff": 8},
        "gridcolor": theme.line, "zeroline": False, "linecolor": theme.line, "automargin": True,
        "tickfont": {"size": 11, "color": theme.muted}, "ticks": "", **more,
    }  # fmt: skip


def base_layout(theme: Theme, **more: Any) -> dict[str, Any]:
    """The layout common to all figures."""
    layout: dict[str, Any] = {
        "template": "none",
        "paper_bgcolor": theme.card, "plot_bgcolor": theme.card,
        "font": {"family": FONT, "size": 12, "color": theme.ink},
        "margin": {"l": 56, "r": 16, "t": 36, "b": 44},
        "hoverlabel": {"bgcolor": theme.card, "bordercolor": theme.faint,
                       "font": {"family": FONT, "size": 12, "color": theme.ink}, "align": "left"},
        "legend": {"font": {"size": 11, "color": theme.muted}, "bgcolor": "rgba(0,0,0,0)", "itemsizing": "constant"},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": theme.faint, "activecolor": theme.accent},
        "hovermode": "closest", "dragmode": "zoom",
    }  # fmt: skip
    return layout | more


def legend_above(theme: Theme) -> dict[str, Any]:
    """A legend in one line above the plot, at the right: it takes no width from the curves."""
    return {"font": {"size": 11, "color": theme.muted}, "bgcolor": "rgba(0,0,0,0)", "itemsizing": "constant",
            "orientation": "h", "x": 1, "xanchor": "right", "y": 1.01, "yanchor": "bottom"}  # fmt: skip


def title(theme: Theme, text: str) -> dict[str, Any]:
    """A figure's title: one line, left-aligned, above the plot."""
    return {"text": text, "font": {"size": 13, "color": theme.ink}, "x": 0, "xref": "paper", "xanchor": "left",
            "y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 10}}  # fmt: skip


def title_above_bar(theme: Theme, text: str) -> list[dict[str, Any]]:
    """A title above a colour bar, as an annotation: plotly pushes real titles out of the picture there."""
    if not text:
        return []
    return [{"text": text, "font": {"size": 13, "color": theme.ink}, "showarrow": False, "x": 0, "xref": "paper",
             "xanchor": "left", "y": 1, "yref": "paper", "yanchor": "bottom", "yshift": 52}]  # fmt: skip


def colour_bar(theme: Theme, label: str, **more: Any) -> dict[str, Any]:
    """A thin colour bar above the plot, at the left, under its words."""
    return {
        "title": {"text": label, "side": "top", "font": {"size": 12, "color": theme.muted}},
        "orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "xpad": 0, "ypad": 4,
        "thickness": 9, "outlinewidth": 0, "len": 0.46, "ticks": "",
        "tickfont": {"size": 11, "color": theme.muted}, **more,
    }  # fmt: skip
