"""A prediction of a saved predictor in words: what moved it, and what to beware of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from aelle.prediction.new_networks import CURVES, NewNetworks
from aelle.prediction.occlusion import BANDS, GROWTH, band_of, exponents_in_words
from aelle.prediction.stage import METRIC, Stage

if TYPE_CHECKING:
    from aelle.prediction.predictor import Predictor

_SMALLEST = 0.005  # of the range of outcomes; what moves less is not worth naming
_NAMED = 2


def explain(predictor: Predictor, new: NewNetworks, stage: Stage, aelle: np.ndarray) -> list[str]:
    """Say of each network which bands of its spectrum, its readout growth or its curve moved the prediction most.

    `aelle` holds AeLLE's scores (networks, heads) of the spectra as they are.
    """
    predicted = _predicted(stage, aelle, new.networks)
    bands = range(len(BANDS) - 1)
    moved = predicted - _without_bands(predictor, new, stage)
    curve = _moved_by_curve(predictor, new, stage, aelle, predicted)
    growth = _moved_by_growth(predictor, new, stage, predicted)
    at_epoch = new.spectra[new.spectra["epoch"] == stage.epoch].set_index("network_id")
    own, grown = at_epoch["spectrum"], at_epoch.reindex(columns=[GROWTH])[GROWTH]
    smallest = _SMALLEST * float(np.ptp(predictor.table.targets))
    sentences = []
    for i, network in enumerate(new.networks.index):
        spectrum = np.asarray(own[network], float)
        parts = [
            (moved[band, i], _band_in_words(predictor, spectrum, stage.epoch, band))
            for band in bands
            if np.ptp(band_of(band, len(spectrum))) > 0
        ]
        if growth is not None:
            parts.append((growth[i], _growth_in_words(predictor, grown[network], stage.epoch)))
        if curve is not None:
            parts.append((curve[i], "its learning curve"))
        sentences.append(_sentence(parts, smallest))
    return sentences


def _predicted(stage: Stage, aelle: np.ndarray, networks: pd.DataFrame) -> np.ndarray:
    return stage.target.invert(stage.score(aelle, networks))


def _without_bands(predictor: Predictor, new: NewNetworks, stage: Stage) -> np.ndarray:
    """Predict with each band occluded in turn: (bands, networks)."""
    occluded = (predictor.medians.occlude(new.spectra, band) for band in range(len(BANDS) - 1))
    scored = (predictor.score_spectra(spectra, new.networks, stage) for spectra in occluded)
    return np.stack([_predicted(stage, aelle, new.networks) for aelle in scored])


def _moved_by_growth(
    predictor: Predictor, new: NewNetworks, stage: Stage, predicted: np.ndarray
) -> np.ndarray | None:
    """What readout growth moved, against that of the median training network."""
    if not any(GROWTH in predictor.views[view] for view in stage.views):
        return None
    spectra = predictor.medians.occlude_growth(new.spectra)
    return predicted - _predicted(stage, predictor.score_spectra(spectra, new.networks, stage), new.networks)


def _growth_in_words(predictor: Predictor, growth: Any, epoch: int) -> str:
    if growth is None:  # read by its average
        return "its readout growth"
    higher = predictor.medians.growth_difference(np.asarray(growth, float), epoch) > 0
    return f"readout growth {'higher' if higher else 'lower'} than the median network's"


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


def warnings_of(
    predictor: Predictor, new: NewNetworks, epoch: int, views_by: Sequence[tuple[int, ...]]
) -> list[str]:
    """Say of each network in what it is unlike all that the predictor has seen; "" where in nothing.

    `views_by` holds the positions of the views that each network was read by.
    """
    table = predictor.table
    own = new.spectra[new.spectra["epoch"] == epoch].set_index("network_id")
    smallest, largest = table.frame["hidden_size"].min(), table.frame["hidden_size"].max()
    found = []
    for (network, row), views in zip(new.networks.iterrows(), views_by, strict=True):
        words = []
        if isinstance(row["architecture"], str) and row["architecture"] not in table.size.architectures:
            words.append(f"architecture {row['architecture']} was not among the training networks")
        if pd.notna(row["hidden_size"]) and not smallest <= row["hidden_size"] <= largest:
            words.append(f"size {int(row['hidden_size'])} lies outside {int(smallest)} to {int(largest)}")
        if predictor.medians.outside(np.asarray(own.at[network, "spectrum"], float), epoch):
            words.append("its spectrum lies outside all that were learnt from: another unit or drive?")
        if missing := _unread(predictor.views, views):
            words.append(f"read without {', '.join(missing)}, which its records lack")
        found.append("; ".join(words))
    return found


def _unread(views: Sequence[Sequence[str]], read: tuple[int, ...]) -> list[str]:
    """Channels of views that a network was not read by and that no view it was read by holds."""
    had = {name for place in read for name in views[place]}
    return [name for name in dict.fromkeys(n for view in views for n in view) if name not in had]
