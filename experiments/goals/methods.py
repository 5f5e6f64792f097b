"""What the goals judge: the package's own methods, AeLLE with less, and trees on the very inputs of AeLLE's trees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from aelle.config import Autoencoder, Experiment
from aelle.embedding.forest import Forest
from aelle.embedding.members import Transforms, fit_transforms, forest_inputs
from aelle.prediction.aelle import SPECTRUM_ALONE, WITH_ALL, WITH_SIZE, Aelle, aelle_methods
from aelle.prediction.baselines import boosting, curve_and_hyperparameters, regression
from aelle.prediction.blending import BARE, WIDE, WITH_READOUT
from aelle.prediction.inputs import Beside, WeightStatistics
from aelle.prediction.ladder import ladder
from aelle.prediction.method import Method
from aelle.prediction.regression import Model, trees
from aelle.prediction.table import Table

# Added to the name of AeLLE where it is not as by default:
NO_READOUT = " without readout growth"  # only the views that do not see it
ALONE = ", network alone"  # without the trees in its head
_WEIGHTS = "curve + hyperparameters + weight statistics"
WEIGHTS = (f"extra-trees on {_WEIGHTS}", f"gradient boosting on {_WEIGHTS}")


@dataclass(frozen=True)
class TreeInputs:
    """What the trees of AeLLE's head see of one view, with architecture and size or without."""

    settings: Autoencoder
    in_context: bool
    transforms: Transforms | None = None

    def fit(self, table: Table) -> TreeInputs:
        """Fit the transforms on the spectra up to the epoch."""
        transforms = fit_transforms(table, np.ones(len(table), dtype=bool), self.settings)
        return replace(self, transforms=transforms)

    def apply(self, table: Table) -> np.ndarray:
        """Return (networks, inputs) at the table's epoch."""
        assert self.transforms is not None, "not fitted"
        networks = table.networks.iloc[table.spectra["network"]]
        both = forest_inputs([self.transforms], table.spectra, networks, self.settings.summaries)
        values = np.full((len(table), both[self.in_context].shape[2]), np.nan)
        now = (table.spectra["epoch"] == table.epoch).to_numpy()
        values[table.spectra.loc[now, "network"]] = both[self.in_context][0, now]
        return values


def grown(inputs: np.ndarray, scores: np.ndarray, seed: int) -> Model:
    """Gradient boosting as the head of AeLLE has it."""
    return Forest.boosting(inputs, scores, seed)


def names_on(view: Sequence[str], in_context: bool) -> tuple[str, str]:
    """Names of extra-trees and gradient boosting on one view."""
    growth = " + readout growth" if "readout_growth" in view else ""
    words = f"the channels{growth}{' + architecture/size' if in_context else ''}"
    return f"extra-trees on {words}", f"gradient boosting on {words}"


def rivals(has_readout: bool) -> dict[str, tuple[str, str]]:
    """Trees on the same inputs, by the name of the AeLLE method that they are compared with."""
    found = {}
    for name, in_context in ((SPECTRUM_ALONE, False), (WITH_SIZE, True)):
        widest = names_on(WITH_READOUT if has_readout else WIDE, in_context)
        found |= {name: widest, name + ALONE: widest}
        if has_readout:
            found[name + NO_READOUT] = names_on(WIDE, in_context)
    return found


def methods_of(experiment: Experiment, has_readout: bool) -> tuple[Method, ...]:
    """Every method that the goals speak of; those with readout growth only where it was recorded."""
    level = experiment.prediction.interval
    fitted = partial(regression, reads={"curve"}, level=level, seed=experiment.seed)
    found: list[Method] = list(ladder(experiment))
    found += [
        fitted(name, inputs=_known_and_weights, fit=fit)
        for name, fit in zip(WEIGHTS, (trees, boosting), strict=True)
    ]
    for view in (WIDE, WITH_READOUT) if has_readout else (WIDE,):
        settings = experiment.autoencoder.model_copy(update={"channels": list(view)})
        for in_context in (False, True):
            inputs = TreeInputs(settings, in_context).fit
            named = zip(names_on(view, in_context), (trees, grown), strict=True)
            found += [fitted(name, inputs=inputs, fit=fit) for name, fit in named]
    network = experiment.autoencoder.model_copy(update={"head": "network"})
    found += _less(experiment.model_copy(update={"autoencoder": network}), ALONE)[:2]
    if has_readout:
        views = experiment.prediction.model_copy(update={"views": [list(BARE), list(WIDE)]})
        found += _less(experiment.model_copy(update={"prediction": views}), NO_READOUT)
    return tuple(found)


def _less(experiment: Experiment, suffix: str) -> list[Aelle]:
    """AeLLE under other settings, by names that say so."""
    return [replace(method, name=method.name + suffix) for method in aelle_methods(experiment)]


def _known_and_weights(table: Table) -> Beside:
    return Beside((curve_and_hyperparameters(table), WeightStatistics.fit(table)))


STACKED = (WITH_ALL, WITH_ALL + NO_READOUT)
