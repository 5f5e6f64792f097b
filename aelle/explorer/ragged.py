"""Rows of different lengths (spectra of networks of different sizes) in one flat array."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
        """Rows interpolated over the normalised index 0..1, as a matrix; -inf and missing become NaN."""
        matrix = np.full((len(rows), length), np.nan)
        at = np.linspace(0, 1, length)
        for target, row in enumerate(rows):
            values = self[row]
            finite = np.isfinite(values)
            if finite.any():
                place = np.linspace(0, 1, len(values)) if len(values) > 1 else np.zeros(1)
                # Nothing is drawn past the last finite exponent: what lies there is -inf, not a repetition.
                matrix[target] = np.interp(at, place[finite], values[finite], right=np.nan)
                if len(values) == 1:
                    matrix[target] = values[0]
        return matrix
