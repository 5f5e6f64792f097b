"""What is special about a selection: the columns in which it differs most from the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aelle.explorer.columns import Column, colour_columns, kind_codes, quantity
from aelle.explorer.data import ExplorerData

# What a network is and how it ended; what merely numbers or times it says nothing about it.
_LEFT_OUT = {"epoch", "seed", "cohort", "split", "train_seconds", "spectrum_seconds", "certificate", "task"}


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


def contrasts(
    data: ExplorerData, selected: Sequence[int], others: Sequence[int], epoch: int
) -> list[Contrast]:
    """Compare a selection with other networks at one epoch, the most different column first.

    Columns that are constant, or missing in one of the groups, are left out.
    """
    points = data.points[data.points["epoch"] == epoch]
    inside = points[points["network"].isin(selected)]
    outside = points[points["network"].isin(others)]
    if inside.empty or outside.empty:
        return []
    found = []
    for column in colour_columns(points, data.metric_name):
        if column.constant or column.name in _LEFT_OUT or column.name.startswith("latent_"):
            continue
        compared = _compare(column, inside, outside)
        if compared is not None:
            found.append(compared)
    return sorted(found, key=lambda c: -c.difference)


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
    parts = [f"{c.column.label} ({c.words})" for c in found[:most]]
    return f"{name} differs from {against} most in " + ", then ".join(parts) + "."
