"""The report of early prediction: its headline in words, its tables, its JSON."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from aelle.records import without_nan


@dataclass(frozen=True)
class Report:
    """Cross-validated results of every method at every epoch.

    Attributes:
        headline: which method won at each epoch, in words; nobody where an interval holds 0.
        target: which validation metric is predicted, `final` or `best`.
        networks: networks with an outcome and a spectrum; of these `diverged` count as the worst.
        excluded: reason → number of networks left out.
        without_spectrum: epoch → networks that have no spectrum there (they diverged before).
        rows: one dictionary per method and epoch: family, `reads` (curve, hyperparameters, weights, spectrum); spearman, spearman_low, spearman_high, spearman_within_folds
            (mean of the folds' own), kendall, weighted_tau,
            r2, mae, top_recall, f1_median; `seconds` is the wall-clock per network that the inputs cost
            (training up to the epoch, spectra), `fit_seconds` what fitting all folds for all epochs cost, with what
            methods share counted at the first of them; `coverage`, the share
            of networks that ended inside their prediction interval, and `interval_width`, its mean width in
            metric units.
        comparisons: one dictionary per epoch: the best AeLLE row, the best baseline row, the paired difference
            of their Spearman correlations with its interval; `not_told_apart`, the best method and those whose
            difference from it may be chance; `informative`, the methods whose interval lies above 0, and
            `informative_spectra`, those of them that read the spectrum alone.
        interval: nominal level of the prediction intervals, against which to read `coverage`.
        costs: one dictionary per epoch: mean seconds per network of training up to it, of the spectra up to it,
            and of the whole training.
        warnings: what makes the numbers say less than they seem to.
    """

    headline: str
    experiment: str
    task: str
    metric_name: str
    higher_is_better: bool
    target: str
    networks: int
    diverged: int
    infinite_exponents: int
    excluded: dict[str, int]
    without_spectrum: dict[int, int]
    folds: int
    leave_out: str
    confidence: float
    epochs: list[int]
    rows: list[dict[str, Any]]
    comparisons: list[dict[str, Any]]
    interval: float
    costs: list[dict[str, Any]]
    warnings: list[str]
    look: str = "full"

    def rows_at(self, epoch: int) -> list[dict[str, Any]]:
        """Return the rows of one epoch, in the order of the ladder."""
        return [row for row in self.rows if row["epoch"] == epoch]

    def not_told_apart(self, epoch: int) -> list[str]:
        """Name the best method of an epoch, and those that cannot be told apart from it."""
        found: list[str] = next(c["not_told_apart"] for c in self.comparisons if c["epoch"] == epoch)
        return found

    def to_json(self) -> dict[str, Any]:
        """Return plain data; what is undefined (NaN) is null."""
        content: dict[str, Any] = without_nan(asdict(self))
        return content

    def __str__(self) -> str:
        """Return the headline, the counts and a table per epoch."""
        return "\n".join(
            [
                self.headline,
                *(f"Warning: {warning}." for warning in self.warnings),
                "",
                counts_of(self),
                "* best; = cannot be told apart from the best",
                *(_table(self, epoch) for epoch in self.epochs),
            ]
        )


def counts_of(report: Report) -> str:
    """Say what the numbers rest on."""
    left_out = ", ".join(f"{count} {reason}" for reason, count in report.excluded.items()) or "none"
    missing = ", ".join(f"{n} at epoch {e}" for e, n in report.without_spectrum.items() if n) or "none"
    return (
        f"{report.target} validation {report.metric_name} of {report.networks} networks on {report.task}, "
        f"{report.folds} folds by {report.leave_out}; {report.diverged} diverged (counted as the worst), "
        f"left out: {left_out}; without a spectrum: {missing}; "
        f"{report.infinite_exponents} exponents of -inf floored"
        + ("; economy looks: the spectrum is their leading exponents" if report.look == "economy" else "")
    )


def cost_of(report: Report, epoch: int) -> str:
    """Say what the spectra up to an epoch cost, against training."""
    cost = next(cost for cost in report.costs if cost["epoch"] == epoch)
    share = cost["spectrum_share_of_whole_training"]
    return (
        f"up to here a network cost {cost['train_seconds']:.3g} s of training and {cost['spectrum_seconds']:.3g} s "
        f"of spectra"
        + (
            ""
            if math.isnan(share)
            else f", {share:.0%} of its whole training of {cost['whole_training_seconds']:.3g} s"
        )
    )


def headline_of(comparisons: list[dict[str, Any]]) -> str:
    """Say for each epoch which won, AeLLE or a baseline; nobody wins where the difference may be chance."""
    return " ".join(_sentence(comparison) for comparison in comparisons)


def _sentence(comparison: dict[str, Any]) -> str:
    at = f"At epoch {comparison['epoch']}"
    if not comparison["informative"]:
        return f"{at} nothing carries information about the outcome: no method's interval lies above 0."
    verdict = f"{at} {_verdict(comparison)}"
    if not comparison["informative_spectra"]:
        verdict += " Nothing learnt from the spectra alone carries information: no such method's interval lies above 0."
    return verdict


def _verdict(comparison: dict[str, Any]) -> str:
    ours, theirs, difference = comparison["aelle"], comparison["baseline"], comparison["difference"]
    if math.isnan(difference):
        silent = [row["method"] for row in (ours, theirs) if math.isnan(row["spearman"])]
        return f"there is no winner: {' and '.join(silent)} ranks no network."
    winner, loser = (ours, theirs) if difference > 0 else (theirs, ours)
    low, high = sorted(
        math.copysign(1, difference) * comparison[f"difference_{end}"] for end in ("low", "high")
    )
    clear = low > 0
    who = "AeLLE wins" if winner is ours else "a baseline wins"
    verdict = (
        f"{who if clear else 'there is no clear winner'}: {_described(winner, 'Spearman ')} against "
        f"{_described(loser)}, a difference of {abs(difference):.3f} [{low:.3f}, {high:.3f}]"
    )
    return (
        f"{verdict}." if clear else f"{verdict}; not told apart: {', '.join(comparison['not_told_apart'])}."
    )


def _described(row: dict[str, Any], prefix: str = "") -> str:
    interval = f"[{row['spearman_low']:.3f}, {row['spearman_high']:.3f}]"
    return f"{row['method']} ({prefix}{row['spearman']:.3f} {interval})"


def _table(report: Report, epoch: int) -> str:
    rows = report.rows_at(epoch)
    best = report.not_told_apart(epoch)
    width = max(len(row["method"]) for row in rows)
    groups = report.leave_out != "network"  # whole groups shift against each other, so within them counts too
    lines = [
        "",
        f"epoch {epoch}, {rows[0]['networks']} networks",
        f"  {cost_of(report, epoch)}",
        f"  {'method':<{width}}  Spearman  {report.confidence:.0%} interval      R²      MAE  "
        f"inside {report.interval:.0%}   width  seconds" + ("  within folds" if groups else ""),
    ]
    for row in rows:
        interval = f"[{_number(row['spearman_low'])}, {_number(row['spearman_high'])}]"
        lines.append(
            f"{_mark(row['method'], best)} {row['method']:<{width}}  {_number(row['spearman']):>8}  "
            f"{interval:<16}  {_number(row['r2'], 2):>6}  {row['mae']:>7.3g}  "
            f"{_number(row['coverage'], 2):>10}  {_number(row['interval_width']):>6}  {row['seconds']:>7.2f}"
            + (f"  {_number(row['spearman_within_folds']):>12}" if groups else "")
        )
    return "\n".join(lines)


def _mark(method: str, best: list[str]) -> str:
    """A star for a best method, an equals sign for those that cannot be told apart from the best."""
    return " " if method not in best else "*" if len(best) == 1 else "="


def _number(value: float, digits: int = 3) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"
