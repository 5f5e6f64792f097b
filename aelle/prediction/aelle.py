"""AeLLE as methods: from the spectrum alone, with architecture and size, and with all that is known.

They share what reads the spectra and differ in what they may use beside it. Of a network that lacks something, a
method uses the rest, with the interval of predictions that rest on the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from aelle.config import Experiment
from aelle.prediction.combination import KNOWN, Combination, Known, KnownInputs
from aelle.prediction.intervals import as_frame
from aelle.prediction.method import Source
from aelle.prediction.spectrum_reader import FittedReader, SpectrumReader
from aelle.prediction.table import Table

SPECTRUM_ALONE = "AeLLE"
WITH_SIZE = "AeLLE + architecture/size"
WITH_ALL = "AeLLE + curve + hyperparameters"


@dataclass(frozen=True)
class Aelle:
    """One of AeLLE's rungs.

    Attributes:
        allowed: what it may use beside the spectrum.
        reader: what reads the spectra.
        level: probability with which its intervals are to cover.
        seed: of what is drawn.
    """

    name: str
    allowed: tuple[Known, ...]
    reads: frozenset[Source]
    reader: SpectrumReader
    level: float
    seed: int
    first_epoch: int = 0
    family: Literal["AeLLE", "baseline"] = "AeLLE"

    def fit(self, table: Table, networks: np.ndarray) -> FittedAelle:
        """Fit on the networks of the mask, as `Method.fit`."""
        return FittedAelle(self.allowed, self.level, self.seed, self.reader.fit(table, networks))

    def load(self, folder: Path, training: Table) -> FittedAelle:
        """Read what `FittedAelle.save` wrote."""
        return FittedAelle(self.allowed, self.level, self.seed, self.reader.load(folder, training))


@dataclass(frozen=True)
class FittedAelle:
    """What reads the spectra, fitted; combinations with what else is known are fitted when first needed.

    They follow from the training networks and their out-of-fold scores, always the same.
    """

    allowed: tuple[Known, ...]
    level: float
    seed: int
    reader: FittedReader
    _inputs: dict[int, KnownInputs] = field(default_factory=dict, repr=False, compare=False)
    _combinations: dict[tuple[int, tuple[int, ...], tuple[Known, ...]], Combination] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def training(self) -> Table:
        """The networks it was fitted on."""
        return self.reader.training

    def predict(self, table: Table, networks: np.ndarray) -> pd.DataFrame:
        """Predict the networks of the mask, as `FittedMethod.predict`."""
        table = table.of(networks)
        known = table.of(self.readable(table))
        predicted = np.full((3, len(known)), np.nan)
        if len(known):
            scores = self.reader.score(known)
            for (views, used), chosen in self.groups(known).items():
                combination = self.combination(table.epoch, views, used)
                predicted[:, chosen] = combination.predict(scores[chosen], known.of(chosen))
        found = (predicted[0], predicted[1], predicted[2])
        return as_frame(known.networks.index, found).reindex(table.networks.index)

    def why_not(self, table: Table) -> dict[str, str]:
        """Say of each network that cannot be predicted why."""
        first = self.reader.first_spectrum
        words = f"no spectrum at epoch {first}, from which the predictor counts change"
        lacking = table.predictable & ~self.readable(table)
        return table.why_not() | dict.fromkeys(table.networks.index[lacking], words)

    def save(self, folder: Path) -> list[str]:
        """Write the ensembles and the training networks' scores."""
        return self.reader.save(folder)

    def readable(self, table: Table) -> np.ndarray:
        """Networks that can be predicted: change, where some view sees it, counts from the first spectrum."""
        first = self.reader.first_spectrum
        return table.predictable if first is None else table.predictable & table.has_spectrum(first)

    def groups(self, table: Table) -> dict[tuple[tuple[int, ...], tuple[Known, ...]], np.ndarray]:
        """Networks by the views that can be read of them and by what else is known, as masks."""
        used = self.inputs(table.epoch).usable(table, self.allowed)
        keys = list(zip(self.reader.readable(table), used, strict=True))
        return {key: np.array([other == key for other in keys]) for key in dict.fromkeys(keys)}

    def inputs(self, epoch: int) -> KnownInputs:
        """What is known beside the spectrum at an epoch."""
        if epoch not in self._inputs:
            known = self.training.up_to(epoch)
            self._inputs[epoch] = KnownInputs.fit(known.of(known.predictable))
        return self._inputs[epoch]

    def combination(self, epoch: int, views: tuple[int, ...], used: tuple[Known, ...]) -> Combination:
        """What says something at an epoch from some views and what else is used."""
        key = (epoch, views, used)
        if key not in self._combinations:
            self._combinations[key] = Combination.fit(
                self.reader, epoch, views, used, self.inputs(epoch), self.level, self.seed
            )
        return self._combinations[key]


def aelle_methods(experiment: Experiment) -> tuple[Aelle, ...]:
    """AeLLE's rungs under the settings of an experiment."""
    setting, seed = experiment.prediction, experiment.seed
    reader = SpectrumReader(experiment.autoencoder, setting.views, setting.ensemble, seed)
    size: frozenset[Source] = frozenset({"spectrum", "hyperparameters"})
    rungs: tuple[tuple[str, tuple[Known, ...], frozenset[Source]], ...] = (
        (SPECTRUM_ALONE, (), frozenset({"spectrum"})),
        (WITH_SIZE, ("architecture and size",), size),
        (WITH_ALL, KNOWN, size | {"curve"}),
    )
    return tuple(
        Aelle(name, allowed, reads, reader, setting.interval, seed) for name, allowed, reads in rungs
    )
