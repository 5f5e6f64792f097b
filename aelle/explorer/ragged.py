"""Rows of different lengths (spectra of networks of different sizes) in one flat array."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aelle.records import resample_rows


@dataclass(frozen=True)
class Ragged:
    """Row i is `values[offsets[i]:offsets[i + 1]]`; a missing row is empty."""

    values: NDArray[np.float32]
    offsets: NDArray[np.int64]

    @classmethod
    def from_lists(cls, rows: Iterable[Any]) -> Ragged:
        """Join arrays, lists and missing rows (None or NaN)."""
        empty = np.empty(0, dtype=np.float32)
        arrays = [
            empty if row is None or isinstance(row, float) else np.asarray(row, np.float32) for row in rows
        ]
        offsets = np.concatenate([[0], np.cumsum([len(array) for array in arrays], dtype=np.int64)])
        return cls(np.concatenate([empty, *arrays]), offsets.astype(np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> NDArray[np.float32]:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of values of each row."""
        return np.diff(self.offsets)

    def reduce_finite(self, function: np.ufunc, neutral: float) -> NDArray[np.float64]:
        """Reduce the finite values of each row with a ufunc (np.add, np.maximum); NaN where there are none.

        `neutral` is the value that does not change the result, 0 for a sum and -inf for a maximum.
        """
        result = np.full(len(self), np.nan)
        filled = np.flatnonzero(self.lengths)
        if not len(filled):
            return result
        finite = np.isfinite(self.values)
        values = np.where(finite, self.values, neutral).astype(np.float64)
        starts = self.offsets[filled]
        result[filled] = np.where(
            np.logical_or.reduceat(finite, starts), function.reduceat(values, starts), np.nan
        )
        return result

    def resampled(self, rows: NDArray[np.int64], length: int) -> NDArray[np.float64]:
        """Rows interpolated over the normalised index, as a matrix; -inf and missing become NaN.

        Nothing is drawn past the last finite exponent: what lies there is -inf, not a repetition.
        """
        rows = np.asarray(rows, dtype=np.int64)
        matrix = np.full((len(rows), length), np.nan)
        lengths = self.lengths[rows]
        for n in np.unique(lengths[lengths > 0]):  # sizes are few, networks are many
            same = np.flatnonzero(lengths == n)
            values = self.values[self.offsets[rows[same], None] + np.arange(n)].astype(np.float64)
            resampled = resample_rows(values, length)
            matrix[same] = np.where(np.isfinite(resampled), resampled, np.nan)
        return matrix
