"""report.html: one self-contained page, no script and no request. First plain data, then a thin rendering."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import jinja2

from aelle.prediction.report import Report, cost_of, counts_of

_LABEL_WIDTH, _PLOT_WIDTH, _ROW_HEIGHT = 250, 760, 26


@dataclass(frozen=True)
class _Mark:
    """One method in an epoch's chart; positions in pixels, None where Spearman is undefined."""

    row: dict[str, Any]
    y: float
    x: float | None
    low: float | None
    high: float | None
    best: bool  # or not told apart from the best
    alone: bool  # the best is told apart from all others
    comes_first: bool  # first of its family: a rule above it


def _report_info(report: Report) -> dict[str, Any]:
    """Compute everything the page shows as plain data."""
    lowest = min(
        (row["spearman_low"] for row in report.rows if not math.isnan(row["spearman_low"])), default=0.0
    )
    start = max(-1.0, math.floor(min(lowest, 0.0) * 5) / 5)
    return {
        "report": report,
        "counts": counts_of(report),
        "sentences": [s if s.endswith(".") else f"{s}." for s in report.headline.split(". ") if s],
        "ticks": [(tick / 5, _position(tick / 5, start)) for tick in range(round(start * 5), 6)],
        "zero": _position(0.0, start),
        "sections": [_section_info(report, epoch, start) for epoch in report.epochs],
        "width": _LABEL_WIDTH + _PLOT_WIDTH + 24,
        "label_width": _LABEL_WIDTH,
        "row_height": _ROW_HEIGHT,
    }


def _section_info(report: Report, epoch: int, start: float) -> dict[str, Any]:
    rows = report.rows_at(epoch)
    best = report.not_told_apart(epoch)
    marks = [
        _Mark(
            row=row,
            y=(index + 0.5) * _ROW_HEIGHT,
            x=_position(row["spearman"], start),
            low=_position(row["spearman_low"], start),
            high=_position(row["spearman_high"], start),
            best=row["method"] in best,
            alone=len(best) == 1,
            comes_first=index > 0 and row["family"] != rows[index - 1]["family"],
        )
        for index, row in enumerate(rows)
    ]
    return {
        "epoch": epoch,
        "networks": rows[0]["networks"],
        "cost": cost_of(report, epoch),
        "without_spectrum": report.without_spectrum[epoch],
        "marks": marks,
        "height": len(rows) * _ROW_HEIGHT,
    }


def _position(value: float, start: float) -> float | None:
    """Horizontal place of a correlation, the axis running from `start` to 1."""
    if math.isnan(value):
        return None
    return round(_LABEL_WIDTH + (max(value, start) - start) / (1 - start) * _PLOT_WIDTH, 1)


def render_page(report: Report) -> str:
    """Render the report as one HTML document that opens offline."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["number"] = lambda value, digits=3: (
        "–" if math.isnan(value) else f"{value:.{digits}f}"
    )
    template = files("aelle.prediction").joinpath("report.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(template).render(_report_info(report))
