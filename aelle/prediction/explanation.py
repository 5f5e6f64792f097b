"""A prediction of a saved predictor in words: what moved it, and what to beware of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from aelle.prediction.new_networks import CURVES, NewNetworks
from aelle.prediction.occlusion import BANDS, band_of, exponents_in_words
from aelle.prediction.stage import METRIC, Stage

if TYPE_CHECKING:
    from aelle.prediction.predictor import Predictor

_SMALLEST = 0.005  # of the range of outcomes; what moves less is not worth naming
_NAMED = 2


def explain(predictor: Predictor, new: NewNetworks, stage: Stage, aelle: np.ndarray, epoch: int) -> list[str]:
    """Say of each network which bands of its spectrum, or its learning curve, moved the prediction most.

    `aelle` holds AeLLE's scores (networks, heads) of the spectra as they are.
    """
    predicted = _predicted(stage, aelle, new.networks)
    bands = range(len(BANDS) - 1)
    moved = predicted - _without_bands(predictor, new, stage)
    curve = _moved_by_curve(predictor, new, stage, aelle, predicted)
    own = new.spectra[new.spectra["epoch"] == epoch].set_index("network_id")["spectrum"]
    smallest = _SMALLEST * float(np.ptp(predictor.table.targets))
    sentences = []
    for i, network in enumerate(new.networks.index):
        spectrum = np.asarray(own[network], float)
        parts = [
            (moved[band, i], _band_in_words(predictor, spectrum, epoch, band))
            for band in bands
            if np.ptp(band_of(band, len(spectrum))) > 0
        ]
        if curve is not None:
            parts.append((curve[i], "its learning curve"))
        sentences.append(_sentence(parts, smallest))
    return sentences


def _predicted(stage: Stage, aelle: np.ndarray, networks: pd.DataFrame) -> np.ndarray:
    return stage.target.invert(stage.score(aelle, networks))


def _without_bands(predictor: Predictor, new: NewNetworks, stage: Stage) -> np.ndarray:
    """Predict with each band occluded in turn, all in one go: (bands, networks)."""
    spectra, networks = [], []
    for band in range(len(BANDS) - 1):
        occluded = predictor.medians.occlude(new.spectra, band)
        spectra.append(occluded.assign(network_id=f"{band}/" + occluded["network_id"].astype(str)))
        networks.append(new.networks.set_axis(f"{band}/" + new.networks.index.astype(str)))
    every = pd.concat(networks)
    aelle = predictor.score_spectra(pd.concat(spectra, ignore_index=True), every, stage.epoch)
    return _predicted(stage, aelle, every).reshape(len(networks), -1)


def _moved_by_curve(
    predictor: Predictor, new: NewNetworks, stage: Stage, aelle: np.ndarray, predicted: np.ndarray
) -> np.ndarray | None:
    """What the learning curve moved, against that of the median training network."""
    if METRIC not in stage.used:
        return None
    columns = predictor.table.curve(CURVES, stage.epoch)
    networks = new.networks.copy()
    networks[columns] = predictor.table.frame[columns].median().to_numpy()
    return predicted - _predicted(stage, aelle, networks)


def _band_in_words(predictor: Predictor, spectrum: np.ndarray, epoch: int, band: int) -> str:
    higher = predictor.medians.difference(spectrum, epoch, band) > 0
    return f"{exponents_in_words(band, len(spectrum))} {'higher' if higher else 'lower'} than the median network's"


def _sentence(parts: list[tuple[float, str]], smallest: float) -> str:
    named = sorted((p for p in parts if abs(p[0]) >= smallest), key=lambda p: -abs(p[0]))[:_NAMED]
    if not named:
        return f"nothing in it moves the prediction by more than {smallest:.2g} from the median network's"
    return "; ".join(f"{words}: {_signed(change)}" for change, words in named)


def _signed(change: float) -> str:
    return f"{change:+.2g}".replace("-", "−")


def warnings_of(predictor: Predictor, new: NewNetworks, epoch: int) -> list[str]:
    """Say of each network in what it is unlike all that the predictor has seen; "" where in nothing."""
    table = predictor.table
    own = new.spectra[new.spectra["epoch"] == epoch].set_index("network_id")
    smallest, largest = table.frame["hidden_size"].min(), table.frame["hidden_size"].max()
    found = []
    for network, row in new.networks.iterrows():
        words = []
        if isinstance(row["architecture"], str) and row["architecture"] not in table.size.architectures:
            words.append(f"architecture {row['architecture']} was not among the training networks")
        if pd.notna(row["hidden_size"]) and not smallest <= row["hidden_size"] <= largest:
            words.append(f"size {int(row['hidden_size'])} lies outside {int(smallest)} to {int(largest)}")
        if predictor.medians.outside(np.asarray(own.at[network, "spectrum"], float), epoch):
            words.append("its spectrum lies outside all that were learnt from: another unit or drive?")
        if predictor.reads("temporal_std") and own.at[network, "spectrum_std"] is None:
            words.append("without the temporal spread of its exponents, taken as average")
        found.append("; ".join(words))
    return found
