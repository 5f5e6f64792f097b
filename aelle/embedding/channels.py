"""What the encoder sees of a recorded spectrum: named channels, resampled to one length, NaN where untrusted.

A channel is one of

    spectrum         the exponents
    temporal_std     temporal standard deviation of the local exponents, in logarithms
    standard_error   standard error of each exponent, in logarithms
    change           spectrum minus the network's first recorded spectrum
    change_of_X      the same of a record column X
    X                any record column that holds a list of numbers, such as spectrum_hidden or readout_growth
    mean_exponent    of a look: the mean of all exponents, at every position

Of a look `spectrum` is the leading exponents, and the index is normalised by their number.

An exponent of -inf (a direction that dies exactly, such as a dead unit's) and one beyond `trusted_count` have no
value here: they are NaN, which means "not recorded" to all that follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from aelle.embedding.dataset import EmbeddingError
from aelle.records import looked, resample_rows
from aelle.words import hint

_COLUMNS = {"spectrum": "spectrum", "temporal_std": "spectrum_std", "standard_error": "spectrum_se"}
_CHANGE_OF = "change_of_"
_LOGARITHMIC = ("spectrum_std", "spectrum_se")
_SMALLEST = 1e-6  # of a standard deviation, before its logarithm is taken
_BY_INDEX = ("spectrum", "spectrum_std", "spectrum_se")  # columns to which trusted_count applies


@dataclass(frozen=True)
class Measured:
    """Rows of spectra as numbers of one shape, before anything is fitted to them."""

    channels: np.ndarray  # (rows, channels, length), NaN where not trusted
    summaries: np.ndarray  # (rows, 6)
    epochs: np.ndarray  # (rows,)

    @classmethod
    def of(cls, rows: pd.DataFrame, channels: Sequence[str], length: int) -> Self:
        """Measure rows of `spectrum_rows`; a network's earlier spectra should be among them."""
        resampled = resample_channels(rows, channels, length)
        return cls(resampled, summaries(rows), rows["epoch"].to_numpy(float))

    def rows(self, chosen: np.ndarray) -> Self:
        """Return some of the rows."""
        return type(self)(self.channels[chosen], self.summaries[chosen], self.epochs[chosen])


def resample_channels(rows: pd.DataFrame, channels: Sequence[str], length: int) -> np.ndarray:
    """Resample each channel over the normalised index: (rows, channels, length), NaN where not trusted.

    Args:
        rows: rows of `spectrum_rows`; a network's earlier spectra should be among them.
        channels: names as above.
        length: number of positions.
    """
    first = _first_of_network(rows)
    parts = []
    for channel in channels:
        values = resample(_trusted_values(rows, column_of(channel)), length)
        parts.append(values - values[first] if is_change(channel) else values)
    return np.stack(parts, axis=1)


def require_channels(rows: pd.DataFrame, channels: Sequence[str]) -> None:
    """Check that the records hold every channel that is a record column of its own.

    Raises:
        EmbeddingError: naming the first one that they lack.
    """
    for channel in channels:
        column = column_of(channel)
        if column in _COLUMNS.values() or recorded(rows, channel).any():
            continue
        lists = [str(name) for name in rows if rows[name].map(_is_list).any()]
        lists = [name for name in lists if name not in _COLUMNS.values()]
        known = ["change", *_COLUMNS, *lists]
        raise EmbeddingError(
            f"channel {channel!r}: no record holds a list in a column {column!r}; {hint(channel, known)} "
            "([spectrum] also says what is recorded besides)"
        )


def column_of(channel: str) -> str:
    """Return the record column that a channel is made of."""
    if channel == "change":
        return "spectrum"
    return _COLUMNS.get(channel, channel.removeprefix(_CHANGE_OF))


def recorded(rows: pd.DataFrame, channel: str) -> np.ndarray:
    """Say which rows hold what a channel is made of, (rows,)."""
    column = column_of(channel)
    if column not in rows:
        return np.zeros(len(rows), dtype=bool)
    return np.array([len(_numbers(value)) > 0 for value in rows[column]], dtype=bool)


def resample(spectra: Sequence[np.ndarray], length: int) -> np.ndarray:
    """Interpolate sequences of any lengths linearly over the normalised index: (rows, length)."""
    result = np.empty((len(spectra), length))
    for n in {len(s) for s in spectra}:
        members = [i for i, s in enumerate(spectra) if len(s) == n]
        result[members] = resample_rows(
            np.stack([np.asarray(spectra[i], dtype=float) for i in members]), length
        )
    return result


def summaries(rows: pd.DataFrame) -> np.ndarray:
    """Summarise each spectrum by numbers that do not depend on its size, (rows, 6).

    λ₁; the mean of the trusted exponents and their standard deviation; the sum of the positive ones and the
    Kaplan-Yorke dimension, both per exponent; the share of trusted exponents, the rest being -inf or noise.
    A look knows the first two alone, the mean being that of all exponents; the others are NaN.
    """
    found = np.array([_summary(values) for values in _trusted_values(rows, "spectrum")]).reshape(-1, 6)
    looks = (looked(rows) == "economy").to_numpy()
    if looks.any():
        found[looks, 1] = rows.loc[looks, "mean_exponent"].astype(float).replace([-np.inf, np.inf], np.nan)
        found[looks, 2:] = np.nan
    return found


def _summary(spectrum: np.ndarray) -> list[float]:
    n, finite = len(spectrum), np.sort(spectrum[np.isfinite(spectrum)])[::-1]
    if finite.size == 0:
        return [np.nan] * 5 + [0.0]
    dimension, entropy = _dimension_and_entropy(finite)
    return [finite[0], finite.mean(), finite.std(), entropy / n, dimension / n, len(finite) / n]


def _dimension_and_entropy(exponents: np.ndarray) -> tuple[float, float]:
    # Here, since the page takes its transforms from this room and does without torch.
    import torch

    from aelle.lyapunov.estimates import entropy_rate, kaplan_yorke_dimension

    descending = torch.from_numpy(exponents.copy())
    return kaplan_yorke_dimension(descending), entropy_rate(descending)


def _trusted_values(rows: pd.DataFrame, column: str) -> list[np.ndarray]:
    """Return a column's lists with NaN for what is not recorded, infinite, or beyond the trusted count."""
    if column not in rows:
        return [np.full(1, np.nan)] * len(rows)
    counted = column in _BY_INDEX and "trusted_count" in rows
    counts = rows["trusted_count"].to_numpy() if counted else [None] * len(rows)
    return [_values(v, column, count) for v, count in zip(rows[column], counts, strict=True)]


def _values(recorded: object, column: str, trusted: float | None) -> np.ndarray:
    values = _numbers(recorded)
    if len(values) == 0:
        return np.full(1, np.nan)
    values[~np.isfinite(values)] = np.nan
    if trusted is not None and not pd.isna(trusted):
        values[int(trusted) :] = np.nan
    return np.log(np.maximum(values, _SMALLEST)) if column in _LOGARITHMIC else values


def _numbers(recorded: object) -> np.ndarray:
    """A copy of a recorded list, or of the one number that stands for it; empty where nothing was recorded."""
    single = isinstance(recorded, float) and not np.isnan(recorded)
    return np.array(recorded, dtype=float, ndmin=1) if single or _is_list(recorded) else np.empty(0)


def _is_list(value: object) -> bool:
    return isinstance(value, (list, np.ndarray)) and np.ndim(value) == 1


def is_change(channel: str) -> bool:
    """Say whether a channel is the change of something since the network's first spectrum."""
    return channel == "change" or channel.startswith(_CHANGE_OF)


def _first_of_network(rows: pd.DataFrame) -> np.ndarray:
    """Position of the earliest row of each row's network."""
    positions = pd.Series(np.arange(len(rows)), index=rows.index)
    ordered = positions.loc[rows.sort_values("epoch", kind="stable").index]
    return (
        ordered.groupby(rows["network_id"].loc[ordered.index]).transform("first").loc[rows.index].to_numpy()
    )
