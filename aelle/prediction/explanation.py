"""AeLLE's predictions in words: what moved them, what they rest on, and what to beware of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from aelle.prediction.aelle import FittedAelle
from aelle.prediction.occlusion import BANDS, GROWTH, MedianSpectra, band_of, exponents_in_words
from aelle.prediction.table import CURVES, Table
from aelle.records import looks_of

_SMALLEST = 0.005  # of the range of outcomes; what moves less is not worth naming
_NAMED = 2


@dataclass(frozen=True)
class Explainer:
    """Explains the predictions of a fitted AeLLE."""

    method: FittedAelle

    @cached_property
    def medians(self) -> MedianSpectra:
        """The median spectra of the training networks."""
        length = self.method.reader.ensembles[0].model.settings.length
        return MedianSpectra.fit(self.method.training.spectra, length)

    @cached_property
    def _seen(self) -> str:
        return "look" if "economy" in looks_of(self.method.training.spectra) else "spectrum"

    def describe(self, table: Table, explain: bool) -> pd.DataFrame:
        """Say of networks that can be predicted why, what is used and what to beware of; one row each.

        Without `explain` no reason is given, which takes most of the time.
        """
        read: dict[int, tuple[tuple[int, ...], str]] = {}  # views and what else is used, by position
        for (views, known), chosen in self.method.groups(table).items():
            words = ", ".join((self._seen, *known))
            read |= dict.fromkeys(np.flatnonzero(chosen).tolist(), (views, words))
        views_read, used = zip(*(read[i] for i in range(len(table))), strict=True)
        why = self._why(table) if explain else [""] * len(table)
        return pd.DataFrame(
            {"why": why, "used": used, "warning": self._warnings(table, views_read)},
            index=table.networks.index,
        )

    def _why(self, table: Table) -> list[str]:
        """Say which bands of the spectrum, the readout growth or the curve moved each prediction most."""
        predicted, medians = self._predicted(table), self.medians
        moved = [
            predicted - self._predicted(replace(table, spectra=medians.occlude(table.spectra, band)))
            for band in range(len(BANDS) - 1)
        ]
        views = [set(self.method.reader.views[place]) for place in range(len(self.method.reader.views))]
        grown = np.array(
            [any(GROWTH in views[p] for p in read) for read in self.method.reader.readable(table)]
        )
        growth = np.zeros(len(table))
        if grown.any():
            without = replace(table, spectra=medians.occlude_growth(table.spectra))
            growth = predicted - self._predicted(without)
        curve = predicted - self._predicted(self._with_median_curves(table))
        smallest = _SMALLEST * float(np.ptp(self.method.training.targets))
        spectra = table.list_at("spectrum", table.epoch)
        growths = table.list_at(GROWTH, table.epoch) if GROWTH in table.spectra else spectra
        sentences = []
        for i, spectrum in enumerate(spectra):
            parts = [
                (moved[band][i], self._band_in_words(spectrum, table.epoch, band))
                for band in range(len(BANDS) - 1)
                if np.ptp(band_of(band, len(spectrum))) > 0
            ]
            if grown[i]:
                parts.append((growth[i], self._growth_in_words(growths[i], table.epoch)))
            parts.append((curve[i], "its learning curve"))
            sentences.append(_sentence(parts, smallest))
        return sentences

    def _predicted(self, table: Table) -> np.ndarray:
        predicted = self.method.predict(table, np.ones(len(table), dtype=bool))["predicted"]
        return predicted.to_numpy(float)

    def _with_median_curves(self, table: Table) -> Table:
        """Put the medians of the training networks in the place of the learning curves, where there are any."""
        records = table.records.copy()
        for name in CURVES:
            curves = self.method.training.curve(name)
            medians = {e: np.nanmedian(c) for e, c in enumerate(curves.T) if np.isfinite(c).any()}
            median = records["epoch"].map(medians)
            records[name] = median.where(pd.to_numeric(records[name], errors="coerce").notna())
        return replace(table, records=records)

    def _growth_in_words(self, growth: np.ndarray, epoch: int) -> str:
        if not np.isfinite(growth).all():  # read by its average
            return "its readout growth"
        higher = self.medians.growth_difference(growth, epoch) > 0
        return f"readout growth {'higher' if higher else 'lower'} than the median network's"

    def _band_in_words(self, spectrum: np.ndarray, epoch: int, band: int) -> str:
        higher = self.medians.difference(spectrum, epoch, band) > 0
        exponents = exponents_in_words(band, len(spectrum))
        return f"{exponents} {'higher' if higher else 'lower'} than the median network's"

    def _warnings(self, table: Table, views: Sequence[tuple[int, ...]]) -> list[str]:
        """Say of each network in what it is unlike all that were learnt from; "" where in nothing."""
        training = self.method.training.networks
        architectures, sizes = set(training["architecture"].dropna()), training["hidden_size"].astype(float)
        smallest, largest = sizes.min(), sizes.max()
        spectra, found = table.list_at("spectrum", table.epoch), []
        for i, (architecture, size) in enumerate(
            zip(table.networks["architecture"], table.networks["hidden_size"], strict=True)
        ):
            words = []
            if isinstance(architecture, str) and architecture not in architectures:
                words.append(f"architecture {architecture} was not among the training networks")
            if pd.notna(size) and not smallest <= size <= largest:
                words.append(f"size {int(size)} lies outside {int(smallest)} to {int(largest)}")
            if self.medians.outside(spectra[i], table.epoch):
                words.append(
                    f"its {self._seen} lies outside all that were learnt from: another unit or drive?"
                )
            if missing := _unread(self.method.reader.views, views[i]):
                words.append(f"read without {', '.join(missing)}, which its records lack")
            found.append("; ".join(words))
        return found


def _sentence(parts: list[tuple[float, str]], smallest: float) -> str:
    named = sorted((p for p in parts if abs(p[0]) >= smallest), key=lambda p: -abs(p[0]))[:_NAMED]
    if not named:
        return f"nothing in it moves the prediction by more than {smallest:.2g} from the median network's"
    return "; ".join(f"{words}: {_signed(change)}" for change, words in named)


def _signed(change: float) -> str:
    return f"{change:+.2g}".replace("-", "−")


def _unread(views: Sequence[Sequence[str]], read: tuple[int, ...]) -> list[str]:
    """Channels of views that a network was not read by and that no view it was read by holds."""
    had = {name for place in read for name in views[place]}
    return [name for name in dict.fromkeys(n for view in views for n in view) if name not in had]
