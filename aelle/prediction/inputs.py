"""What regressors read of a table: each kind of input is fitted on training networks and then holds for others.

Which columns there are, and the scale of what has one, follow from the networks that an input is fitted on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import pandas as pd

from aelle.embedding.channels import resample
from aelle.hyperparameters import LOGARITHMIC, NAMES, WORDS
from aelle.hyperparameters import SHAPE as SIZE
from aelle.prediction.table import CURVES, Table
from aelle.records import looked, weight_statistics_frame

OTHER_HYPERPARAMETERS = tuple(name for name in NAMES if name not in SIZE)
_DEEPEST = -1e6  # stands for exponents of -inf
_LOWEST_SHARE = 0.002  # quantile of the training exponents at which a spectrum is floored


class FittedInput(Protocol):
    """An input that knows its columns."""

    def apply(self, table: Table) -> np.ndarray:
        """Return (networks, columns) at the table's epoch, NaN where something is missing."""
        ...


@dataclass(frozen=True)
class Curves:
    """Values of learning curves at every epoch so far, of the columns in which some training network has one."""

    columns: tuple[tuple[str, int], ...]

    @classmethod
    def fit(cls, table: Table, names: Sequence[str] = CURVES) -> Self:
        """Find the columns."""
        found = {name: np.isfinite(table.curve(name)).any(axis=0) for name in names}
        return cls(tuple((name, int(e)) for name, there in found.items() for e in np.flatnonzero(there)))

    def apply(self, table: Table) -> np.ndarray:
        """Return (networks, columns)."""
        curves = {name: table.curve(name) for name in dict(self.columns)}
        return _beside([curves[name][:, epoch] for name, epoch in self.columns], len(table))


@dataclass(frozen=True)
class Hyperparameters:
    """Hyperparameters as numbers: architecture one-hot, scales in logarithms; constants are left out."""

    architectures: tuple[str, ...]  # none where the architecture was not asked for
    columns: tuple[str, ...]

    @classmethod
    def fit(cls, table: Table, names: Sequence[str] = NAMES) -> Self:
        """Find the architectures, and the other columns that vary."""
        networks = table.networks
        known = networks["architecture"].dropna().unique() if "architecture" in names else ()
        others = [name for name in names if name not in WORDS]
        varying = [name for name in others if np.unique(_number(networks, name)).size > 1]
        return cls(tuple(sorted(map(str, known))), tuple(varying))

    def apply(self, table: Table) -> np.ndarray:
        """Return (networks, architectures + columns); an architecture that was not there is all zeros."""
        networks = table.networks
        named = networks["architecture"].to_numpy(object)
        columns = [(named == architecture).astype(float) for architecture in self.architectures]
        return _beside([*columns, *(_number(networks, name) for name in self.columns)], len(table))


@dataclass(frozen=True)
class WeightStatistics:
    """Norms and quantiles of every weight matrix at the epoch."""

    columns: tuple[str, ...]

    @classmethod
    def fit(cls, table: Table) -> Self:
        """Find the statistics that were recorded."""
        return cls(tuple(map(str, _statistics(table).columns)))

    def apply(self, table: Table) -> np.ndarray:
        """Return (networks, statistics)."""
        return _statistics(table).reindex(columns=list(self.columns)).to_numpy(float)


@dataclass(frozen=True)
class Spectrum:
    """The exponents over the normalised index, floored where hardly any training exponent lies."""

    length: int
    lowest: float

    @classmethod
    def fit(cls, table: Table, length: int) -> Self:
        """Find the floor."""
        values = _exponents(table, length)
        finite = values[values > 0.1 * _DEEPEST]
        return cls(length, float(np.quantile(finite, _LOWEST_SHARE)) if finite.size else 0.0)

    def apply(self, table: Table) -> np.ndarray:
        """Return (networks, length)."""
        return np.maximum(_exponents(table, self.length), self.lowest)


@dataclass(frozen=True)
class LeadingAndMean:
    """λ₁ and the mean exponent; of a look that of all exponents, missing where there is no closed form for it."""

    spectrum: Spectrum

    @classmethod
    def fit(cls, table: Table, length: int) -> Self:
        """Find the floor of the exponents."""
        return cls(Spectrum.fit(table, length))

    def apply(self, table: Table) -> np.ndarray:
        """Return (networks, 2)."""
        values = self.spectrum.apply(table)
        mean = values.mean(axis=1)
        rows = table.spectra[table.spectra["epoch"] == table.epoch]
        looks = rows[looked(rows) == "economy"]
        mean[looks["network"]] = looks["mean_exponent"].astype(float)
        return np.stack([values[:, 0], mean], axis=1)


class TrainingLosses:
    """The sum of the training losses so far (Ru et al. 2021, "Speedy performance estimation")."""

    @classmethod
    def fit(cls, table: Table) -> Self:
        """There is nothing to find."""
        return cls()

    def apply(self, table: Table) -> np.ndarray:
        """Return (networks, 1)."""
        return np.nansum(table.curve("train_loss"), axis=1)[:, None]


@dataclass(frozen=True)
class Beside:
    """Several inputs side by side."""

    parts: tuple[FittedInput, ...]

    def apply(self, table: Table) -> np.ndarray:
        """Return (networks, all columns)."""
        return np.concatenate([part.apply(table) for part in self.parts], axis=1)


def _exponents(table: Table, length: int) -> np.ndarray:
    return resample([np.maximum(s, _DEEPEST) for s in table.list_at("spectrum", table.epoch)], length)


def _statistics(table: Table) -> pd.DataFrame:
    """One row per network; empty where nothing was recorded at the epoch."""
    now = table.records[table.records["epoch"] == table.epoch].set_index("network")
    return weight_statistics_frame(now.dropna(subset=["weight_statistics"])).reindex(range(len(table)))


def _number(networks: pd.DataFrame, column: str) -> np.ndarray:
    number = pd.to_numeric(networks[column], errors="coerce").to_numpy(float)
    return np.log(np.where(number > 0, number, np.nan)) if column in LOGARITHMIC else number


def _beside(columns: Sequence[np.ndarray], rows: int) -> np.ndarray:
    return np.stack(columns, axis=1) if len(columns) else np.empty((rows, 0))
