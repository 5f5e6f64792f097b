"""What is special about a selection: the columns in which it differs most from the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from aelle.explorer.columns import Column, colour_columns, describe, kind_codes, quantity
from aelle.explorer.data import ExplorerData
from aelle.explorer.groups import Group

# What a network is and how it ended; what merely numbers or times it says nothing about it.
_LEFT_OUT = {
    "epoch",
    "seed",
    "cohort",
    "split",
    "train_seconds",
    "spectrum_seconds",
    "also_seconds",
    "certificate",
    "task",
}
# How a network ended, or what was foretold of it: told last, for it explains nothing.
_OUTCOMES = {
    "final_metric", "best_metric", "val_metric", "val_loss", "train_loss", "outcome", "status", "interval_width",
    "reconstruction_error",
}  # fmt: skip


@dataclass(frozen=True)
class Contrast:
    """How one column differs between a selection and the others.

    `difference` is the largest gap between the two cumulative distributions (Kolmogorov-Smirnov) for a
    quantity, and half the sum of gaps between shares (total variation) for a kind: 0 is alike, 1 apart.
    """

    column: Column
    difference: float
    words: str
    edges: NDArray[np.float64]  # of the histogram's bins; empty for kinds
    selected: NDArray[np.float64]  # share of the selection in each bin or level
    others: NDArray[np.float64]

    @property
    def is_outcome(self) -> bool:
        """Whether the column is how training went, not what the network is."""
        return self.column.name in _OUTCOMES or self.column.name.startswith("predicted")


def contrasts(data: ExplorerData, selected: ArrayLike, others: ArrayLike, epoch: int) -> list[Contrast]:
    """Compare a selection with other networks at one epoch, the most different column first.

    What networks are (hyperparameters, exponents, weights) comes before how they ended. Columns that are constant, or missing in one of the groups, are left out.
    """
    points = data.points[data.points["epoch"] == epoch]
    inside, outside = (points[_among(data, points, group)] for group in (selected, others))
    if inside.empty or outside.empty:
        return []
    found = []
    for column in colour_columns(points, data.metric_name):
        if column.name == "init_scale" and not describe(points, "init_gain").constant:
            continue  # the gain is the same, freed of the size
        if column.constant or column.name in _LEFT_OUT or column.name.startswith("latent_"):
            continue
        compared = _compare(column, inside, outside)
        if compared is not None:
            found.append(compared)
    return sorted(found, key=lambda c: (c.is_outcome, -c.difference))


def _among(data: ExplorerData, points: pd.DataFrame, networks: ArrayLike) -> NDArray[np.bool_]:
    """Which points belong to these networks."""
    wanted = np.zeros(len(data.networks), bool)
    wanted[np.asarray(networks, np.int64)] = True
    belongs: NDArray[np.bool_] = wanted[points["network"].to_numpy()]
    return belongs


def _compare(column: Column, inside: pd.DataFrame, outside: pd.DataFrame) -> Contrast | None:
    if column.is_kind:
        shares = [_shares(frame[column.name], column) for frame in (inside, outside)]
        gap = float(np.abs(shares[0] - shares[1]).sum() / 2)
        top = int(np.argmax(shares[0] - shares[1]))
        words = f"{column.levels[top]}: {shares[0][top]:.0%} against {shares[1][top]:.0%}"
        return Contrast(column, gap, words, np.empty(0), shares[0], shares[1])
    values = [quantity(frame[column.name], column).astype(np.float64) for frame in (inside, outside)]
    values = [v[np.isfinite(v)] for v in values]
    if not len(values[0]) or not len(values[1]):
        return None
    edges = np.linspace(column.low, column.high, 25)
    counts = [np.histogram(np.clip(v, column.low, column.high), edges)[0] / len(v) for v in values]
    medians = [float(np.median(v)) for v in values]
    shown = [10**m if column.logarithmic else m for m in medians]
    words = f"median {shown[0]:.3g} against {shown[1]:.3g}"
    return Contrast(column, _ks(values[0], values[1]), words, edges, counts[0], counts[1])


def _shares(values: pd.Series, column: Column) -> NDArray[np.float64]:
    codes = kind_codes(values, column)
    return np.bincount(codes[codes >= 0], minlength=len(column.levels)) / max(len(codes), 1)


def _ks(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Largest gap between two empirical distribution functions."""
    at = np.sort(np.concatenate([first, second]))
    gaps = np.searchsorted(np.sort(first), at, "right") / len(first) - np.searchsorted(
        np.sort(second), at, "right"
    ) / len(second)
    return float(np.abs(gaps).max())


def in_words(found: Sequence[Contrast], name: str, against: str, most: int = 3) -> str:
    """A sentence: in what a selection differs most."""
    if not found:
        return ""
    causes = [c for c in found if not c.is_outcome] or list(found)
    parts = [f"{c.column.label} ({c.words})" for c in causes[:most]]
    sentence = f"{name} differs from {against} most in " + ", then ".join(parts) + "."
    ended = next((c for c in found if c.column.name == "final_metric"), None)
    return (
        sentence
        if ended is None or ended in causes
        else f"{sentence} Its {ended.column.label}: {ended.words}."
    )


def exponents_in_words(data: ExplorerData, groups: Sequence[Group], epoch: int) -> str:
    """What the spectra of each group share: medians of the largest and the mean exponent, and who is unstable."""
    records = data.records[(data.records["epoch"] == epoch).to_numpy() & (data.spectra.lengths > 0)]
    parts = []
    for group in groups:
        own = records[_among(data, records, group.networks)]
        largest, mean = (own[name].dropna() for name in ("lambda_max", "lambda_mean"))
        if len(largest):
            mean_in_words = f"mean exponent {mean.median():.3g}, " if len(mean) else ""
            parts.append(
                f"{group.name}: median λ₁ {largest.median():.3g}, {mean_in_words}"
                f"{(largest > 0).mean():.0%} with λ₁ above zero"
            )
    return "; ".join(parts) + "." if parts else "No spectra were taken at this epoch."
