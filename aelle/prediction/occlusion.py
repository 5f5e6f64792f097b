"""Which part of a spectrum moved a prediction: put the training median in its place and predict again.

Occlusion (Zeiler & Fergus 2014) over bands of the normalised index: the leading exponents, then ever wider
bands; and growth backward from the readout as a whole, where it was recorded. What a part moved is the
prediction less what it would be with that part of the median network.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from aelle.embedding.transform import resample
from aelle.records import normalised_index

BANDS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
GROWTH = "readout_growth"
_CHANNELS = ("spectrum", "spectrum_se", "spectrum_std")
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@dataclass(frozen=True)
class MedianSpectra:
    """The median spectrum of the training networks at each epoch, over `length` places of the index."""

    # epoch, position; spectrum, spectrum_se, spectrum_std, readout_growth (by lag); lowest, highest exponent
    table: pd.DataFrame

    @classmethod
    def fit(cls, spectra: pd.DataFrame, length: int) -> MedianSpectra:
        """Take the medians of rows of `spectrum_rows`."""
        parts = []
        for epoch, rows in spectra.groupby("epoch"):
            columns: dict[str, Any] = {
                name: _median(rows[name], length) for name in (*_CHANNELS, GROWTH) if name in rows
            }
            exponents = resample([np.maximum(s, -1e6) for s in rows["spectrum"]], length)
            columns |= {"lowest": exponents.min(axis=0), "highest": exponents.max(axis=0)}
            parts.append(pd.DataFrame({"epoch": epoch, "position": np.arange(length), **columns}))
        return cls(pd.concat(parts, ignore_index=True))

    @cached_property
    def _values(self) -> dict[tuple[int, str], np.ndarray]:
        return {
            (epoch, channel): rows[channel].to_numpy(float)
            for epoch in map(int, self.table["epoch"].unique())
            for rows in [self.table[self.table["epoch"] == epoch]]
            for channel in (*_CHANNELS, GROWTH, "lowest", "highest")
            if channel in rows
        }

    def at(self, epoch: int, channel: str, n: int) -> np.ndarray | None:
        """Return the median channel as n exponents; None at an epoch without one."""
        values = self._values.get((epoch, channel))
        if values is None or not np.isfinite(values).all():
            return None
        places = normalised_index(len(values))
        median: np.ndarray = np.interp(normalised_index(n), places, values)
        return median

    def occlude(self, spectra: pd.DataFrame, band: int) -> pd.DataFrame:
        """Put the medians into one band of every spectrum; rows without exponents there stay as they are."""
        occluded = spectra.copy()
        for channel in _CHANNELS:
            filled = [
                self._filled(values, channel, epoch, band)
                for values, epoch in zip(spectra[channel], spectra["epoch"], strict=True)
            ]
            occluded[channel] = pd.Series(filled, index=spectra.index, dtype=object)
        return occluded

    def occlude_growth(self, spectra: pd.DataFrame) -> pd.DataFrame:
        """Put the medians in the place of readout growth."""
        filled = [
            self._filled(values, GROWTH, epoch, None)
            for values, epoch in zip(spectra[GROWTH], spectra["epoch"], strict=True)
        ]
        return spectra.assign(**{GROWTH: pd.Series(filled, index=spectra.index, dtype=object)})

    def growth_difference(self, growth: np.ndarray, epoch: int) -> float:
        """Mean of a network's readout growth less the median's, in nats."""
        median = self.at(epoch, GROWTH, len(growth))
        return 0.0 if median is None else float(np.mean(growth - median))

    def _filled(
        self, values: np.ndarray | None, channel: str, epoch: int, band: int | None
    ) -> np.ndarray | None:
        if values is None or np.ndim(values) == 0 or len(values) == 0:
            return values
        median = self.at(epoch, channel, len(values))
        if median is None:
            return values
        filled = np.array(values, dtype=float)
        start, end = (0, len(filled)) if band is None else band_of(band, len(filled))
        filled[start:end] = median[start:end]
        return filled

    def outside(self, spectrum: np.ndarray, epoch: int) -> bool:
        """Say whether most of a spectrum lies further outside the training spectra than half their range."""
        lowest, highest = (self.at(epoch, name, len(spectrum)) for name in ("lowest", "highest"))
        if lowest is None or highest is None:
            return False
        slack = np.maximum(0.5 * (highest - lowest), 0.05)
        beyond = (spectrum < lowest - slack) | (spectrum > highest + slack)
        return bool(beyond.mean() > 0.5)

    def difference(self, spectrum: np.ndarray, epoch: int, band: int) -> float:
        """Mean of a spectrum less the median's in one band, in nats per step; zero where the band is empty."""
        start, end = band_of(band, len(spectrum))
        median = self.at(epoch, "spectrum", len(spectrum))
        if median is None or start == end:
            return 0.0
        return float(np.mean(np.maximum(spectrum[start:end], -1e6) - median[start:end]))


def band_of(band: int, n: int) -> tuple[int, int]:
    """Positions [start, end) of a band of n exponents; a band may be empty for few of them."""
    # An exponent belongs to the band that holds the middle of its place.
    places = normalised_index(n)
    start, end = np.searchsorted(places, [BANDS[band], BANDS[band + 1]])
    return int(start), int(end)


def exponents_in_words(band: int, n: int) -> str:
    """Name the exponents of a band: "λ₁ to λ₅"."""
    start, end = band_of(band, n)
    first, last = (f"λ{str(i).translate(_SUBSCRIPTS)}" for i in (start + 1, end))
    return first if first == last else f"{first} to {last}"


def _median(values: pd.Series, length: int) -> np.ndarray:
    kept = [np.asarray(v, float) for v in values if v is not None and np.ndim(v) == 1 and len(v) > 0]
    if not kept:
        return np.full(length, np.nan)
    resampled = resample([np.maximum(v, -1e6) for v in kept], length)
    finite = np.where(np.isfinite(resampled), resampled, np.nan)
    median: np.ndarray = np.nanmedian(finite, axis=0)
    return median
