"""Early prediction: predicted against actual with intervals, the ladder of methods, and calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from aelle.explorer.data import ExplorerData
from aelle.explorer.theme import LIGHT, Theme, as_text, axis, base_layout, legend_above
from aelle.explorer.theme import title as title_of

_LEARNED = "aelle"  # methods whose name holds this are the project's own


@dataclass(frozen=True)
class Predicted:
    """Predictions of one method at one epoch, one entry a network; lower and upper are NaN without intervals."""

    method: str
    epoch: int
    metric_name: str
    networks: NDArray[np.int64]
    ids: list[str]
    actual: NDArray[np.float64]
    predicted: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]

    @property
    def spearman(self) -> float:
        """Rank correlation of predicted with actual; NaN for fewer than three networks."""
        if len(self.actual) < 3:
            return float("nan")
        ranks = [np.unique(v, return_inverse=True, return_counts=True) for v in (self.predicted, self.actual)]
        # Ties share their mean rank.
        means = [(np.cumsum(counts) - (counts - 1) / 2)[inverse] for _, inverse, counts in ranks]
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(np.corrcoef(means[0], means[1])[0, 1])

    @property
    def coverage(self) -> float:
        """Share of networks whose actual value lies inside their interval; NaN without intervals."""
        known = np.isfinite(self.lower) & np.isfinite(self.upper)
        inside = (self.actual >= self.lower) & (self.actual <= self.upper)
        return float(inside[known].mean()) if known.any() else float("nan")

    @property
    def in_words(self) -> str:
        """How good the predictions are: `Spearman 0.84, 91% inside their interval`."""
        words = f"Spearman {self.spearman:.2f}"
        return f"{words}, {self.coverage:.0%} inside their interval" if np.isfinite(self.coverage) else words


def methods_at(data: ExplorerData, epoch: int | None = None) -> list[str]:
    """Methods that predicted (at that epoch), the project's own first."""
    frame = data.predictions
    if epoch is not None:
        frame = frame[frame["epoch"] == epoch]
    methods = list(dict.fromkeys(frame["method"].astype(str)))
    return sorted(methods, key=lambda m: (_LEARNED not in m.lower(), m))


def predicted_info(data: ExplorerData, method: str, epoch: int) -> Predicted:
    """Gather one method's predictions at one epoch, sorted by actual value."""
    frame = data.predictions
    frame = frame[(frame["method"] == method) & (frame["epoch"] == epoch)].sort_values("actual")
    columns = {name: frame[name].to_numpy(np.float64) for name in ("actual", "predicted", "lower", "upper")}
    ids = frame["network_id"].astype(str).tolist()
    return Predicted(method, epoch, data.metric_name, frame["network"].to_numpy(np.int64), ids, **columns)


def predicted_against_actual(
    info: Predicted, theme: Theme = LIGHT, *, groups: Mapping[str, tuple[Sequence[int], str]] | None = None,
    title: str = "", intervals: bool = True,
) -> go.Figure:  # fmt: skip
    """Draw predicted (up) against actual (right), on axes of one scale, with the diagonal; groups in their colours.

    `groups` maps a name to networks and a colour. Without `intervals` they are said on hover alone.
    """
    title = title or f"{info.method} at epoch {info.epoch}: {info.in_words}"
    metric = as_text(info.metric_name)
    layout = base_layout(
        theme, title=title_of(theme, as_text(title)),
        xaxis=axis(theme, f"actual final {metric}", constrain="domain"),
        yaxis=axis(theme, "predicted", scaleanchor="x", constrain="domain"),
        shapes=[_diagonal(info, theme)],
    )  # fmt: skip
    figure = go.Figure(layout=layout)
    parts = {"networks": (info.networks, theme.muted)} | dict(groups or {})
    taken = np.zeros(len(info.networks), bool)
    for name, (networks, colour) in reversed(parts.items()):
        rows = np.isin(info.networks, networks) & ~taken
        taken |= rows
        figure.add_trace(_with_intervals(info, rows, name, colour, intervals))
    figure.data = figure.data[::-1]
    figure.update_layout(showlegend=bool(groups), legend=legend_above(theme))
    return figure


def ladder_info(report: Mapping[str, Any], score: str = "spearman") -> list[dict[str, Any]]:
    """Rows of the report that hold a score, by epoch and then from the best method down."""
    rows = [row for row in report.get("rows", []) if row.get(score) is not None]
    return sorted(rows, key=lambda row: (row["epoch"], -row[score]))


def level_methods(report: Mapping[str, Any], epoch: int) -> list[str]:
    """The best method at an epoch and those that cannot be told apart from it, as the report has them."""
    comparisons = report.get("comparisons") or []
    found = next((c.get("not_told_apart") for c in comparisons if c.get("epoch") == epoch), None)
    return [str(name) for name in found or []]


def ladder(
    rows: Sequence[Mapping[str, Any]], epoch: int, theme: Theme = LIGHT, *, level: Sequence[str] = (), title: str = ""
) -> go.Figure:  # fmt: skip
    """Draw Spearman of every method at one epoch as a dot with its bootstrap interval, the highest on top.

    Methods outside `level`, those that cannot be told apart from the best, are hollow.
    """
    title = title or f"Rank correlation of predictions at epoch {epoch}"
    shown = [row for row in rows if row["epoch"] == epoch][::-1]
    names = [as_text(row["method"]) for row in shown]
    score = np.array([row["spearman"] for row in shown], float)
    low = np.array([row.get("spearman_low", np.nan) for row in shown], float)
    high = np.array([row.get("spearman_high", np.nan) for row in shown], float)
    colours = [theme.group_a if _LEARNED in row["method"].lower() else theme.muted for row in shown]
    symbols = ["circle" if not level or row["method"] in level else "circle-open" for row in shown]
    layout = base_layout(
        theme, title=title_of(theme, title), showlegend=False,
        xaxis=axis(theme, "Spearman correlation with the actual value (95 % interval)",
                   range=[min(0.0, float(np.nanmin(low, initial=0.0)) - 0.05), 1.04]),
        yaxis=axis(theme, dtick=1) | {"tickfont": {"size": 10, "color": theme.muted}},  # every name, however low the panel
        margin={"l": 56, "r": 16, "t": 36 if title.strip() else 8, "b": 40},
    )  # fmt: skip
    figure = go.Figure(layout=layout)
    figure.add_scatter(
        x=score, y=names, mode="markers", marker={"size": 11, "color": colours, "line": {"width": 2}, "symbol": symbols},
        error_x={"type": "data", "symmetric": False, "array": high - score, "arrayminus": score - low,
                 "color": theme.faint, "thickness": 2, "width": 0},
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )  # fmt: skip
    return figure


@dataclass(frozen=True)
class Reliability:
    """Mean actual against mean predicted value in bins of equally many networks."""

    predicted: NDArray[np.float64]
    actual: NDArray[np.float64]
    count: NDArray[np.int64]


def calibration_info(info: Predicted, bins: int = 10) -> Reliability:
    """Sort networks by predicted value, cut them into bins of equal count, and average each."""
    order = np.argsort(info.predicted, kind="stable")
    parts = [part for part in np.array_split(order, min(bins, len(order)) or 1) if len(part)]
    means = [[float(values[part].mean()) for part in parts] for values in (info.predicted, info.actual)]
    return Reliability(np.array(means[0]), np.array(means[1]), np.array([len(part) for part in parts]))


def calibration(info: Predicted, theme: Theme = LIGHT, *, bins: int = 10, title: str = "") -> go.Figure:
    """Draw whether predicted values are right on average: points on the diagonal are."""
    points = calibration_info(info, bins)
    metric = as_text(info.metric_name)
    figure = go.Figure(
        layout=base_layout(
            theme, title=title_of(theme, as_text(title or f"Calibration of {info.method} at epoch {info.epoch}")),
            xaxis=axis(theme, f"mean predicted {metric} of a bin"), yaxis=axis(theme, f"mean actual {metric}"),
            shapes=[_diagonal(info, theme)], showlegend=False,
        )
    )  # fmt: skip
    figure.add_scatter(
        x=points.predicted, y=points.actual, mode="lines+markers", line={"color": theme.group_a, "width": 2},
        marker={"size": 8}, text=[f"{n} networks" for n in points.count],
        hovertemplate="%{x:.3f} → %{y:.3f}<br>%{text}<extra></extra>",
    )  # fmt: skip
    return figure


def _with_intervals(
    info: Predicted, rows: NDArray[np.bool_], name: str, colour: str, drawn: bool
) -> go.Scatter:
    error = None
    if drawn and np.isfinite(info.lower[rows]).any() and rows.sum() <= 3000:
        error = {
            "type": "data", "symmetric": False, "array": info.upper[rows] - info.predicted[rows],
            "arrayminus": info.predicted[rows] - info.lower[rows], "color": colour, "thickness": 1, "width": 0,
        }  # fmt: skip
    kind = go.Scatter if rows.sum() <= 3000 else go.Scattergl
    return kind(
        x=info.actual[rows], y=info.predicted[rows], mode="markers", name=as_text(name), error_y=error,
        marker={"size": 6, "color": colour, "opacity": 0.8}, customdata=info.networks[rows].tolist(),
        text=[as_text(words) for words, is_in in zip(_hover(info), rows, strict=True) if is_in],
        hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip


def _hover(info: Predicted) -> list[str]:
    """What is said of each network: its id, what it reached, and what was predicted with its interval."""
    lines = []
    for name, actual, predicted, low, high in zip(
        info.ids, info.actual, info.predicted, info.lower, info.upper, strict=True
    ):
        interval = f" [{low:.3f}, {high:.3f}]" if np.isfinite(low) and np.isfinite(high) else ""
        lines.append(f"{name}: actual {actual:.3f}, predicted {predicted:.3f}{interval}")
    return lines


def _diagonal(info: Predicted, theme: Theme) -> dict[str, Any]:
    values = np.concatenate([info.actual, info.predicted])
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    return {"type": "line", "x0": low, "y0": low, "x1": high, "y1": high, "layer": "below",
            "line": {"color": theme.faint, "width": 1, "dash": "dash"}}  # fmt: skip
