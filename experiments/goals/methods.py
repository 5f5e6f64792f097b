"""What the goals compare AeLLE with besides the ladder: trees on its own channels, and stacks of what is known.

Every method takes the inputs of one epoch, the mask of the training networks in it and their target scores,
and returns a score for every network, like the rungs of `aelle.prediction.ladder`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline

from aelle.embedding.channels import resample
from aelle.embedding.dataset import SpectraDataset
from aelle.prediction.known import Known, known_at

LENGTH = 24
FLOOR = -15.0  # nats per step (lags for growth are fewer): deeper exponents say "gone" and nothing more
GROWTH_FLOOR = -60.0
EXTRA = {"hidden": "spectrum_hidden", "noise": "spectrum_noise", "readout": "readout_growth"}


@dataclass(frozen=True)
class Inputs:
    """Blocks of inputs at one epoch, each (networks, …), by the names that `STACKS` uses."""

    known: Known
    blocks: dict[str, np.ndarray]

    def joined(self, names: Sequence[str]) -> np.ndarray:
        """The named blocks side by side."""
        return np.concatenate([self.blocks[name] for name in names], axis=1)


def inputs_at(dataset: SpectraDataset, epoch: int) -> Inputs:
    """Gather the blocks of one epoch; channels that were not recorded are left out."""
    known = known_at(dataset, epoch)
    blocks = {
        "curve": known.curve,
        "hyperparameters": known.hyperparameters,
        "weights": known.weight_statistics,
        "shape": known.architecture_and_size,
        "channels": _channels(dataset, known),
    }
    for name, column in EXTRA.items():
        found = _extra(dataset, known, column)
        if found is not None:
            blocks[name] = found
    return Inputs(known, blocks)


def _channels(dataset: SpectraDataset, known: Known) -> np.ndarray:
    """AeLLE's channels: spectrum, its change since epoch 0, and the logarithm of its temporal spread."""
    now, first = (_of_epoch(dataset, known, "spectrum", epoch) for epoch in (known.epoch, 0))
    spread = _of_epoch(dataset, known, "spectrum_std", known.epoch)
    spectrum, before = (resample([np.maximum(s, FLOOR) for s in spectra], LENGTH) for spectra in (now, first))
    local = resample([np.log(np.maximum(s, 1e-6)) for s in spread], LENGTH)
    return np.concatenate([spectrum, spectrum - before, local], axis=1)


def _extra(dataset: SpectraDataset, known: Known, column: str) -> np.ndarray | None:
    if column not in dataset.records or dataset.records[column].isna().all():
        return None
    floor = GROWTH_FLOOR if column == "readout_growth" else FLOOR
    now, first = (
        resample([np.maximum(s, floor) for s in _of_epoch(dataset, known, column, epoch)], LENGTH)
        for epoch in (known.epoch, 0)
    )
    return np.concatenate([now, now - first], axis=1)


def _of_epoch(dataset: SpectraDataset, known: Known, column: str, epoch: int) -> list[np.ndarray]:
    rows = dataset.records[dataset.records["epoch"] == epoch].set_index("network_id")
    ids = dataset.networks.index[known.network]
    missing = np.full(1, np.nan)
    values = rows[column].reindex(ids)
    return [missing if np.ndim(v) == 0 or len(v) == 0 else np.asarray(v, float) for v in values]


Regressor = Callable[[int], object]


def trees(seed: int) -> object:
    """Extra-trees, as the ladder has them."""
    return ExtraTreesRegressor(100, min_samples_leaf=2, max_features=0.5, random_state=seed)


def boosting(seed: int) -> object:
    """Gradient boosting, as the ladder has it, but trying a third of the many inputs at each split."""
    return GradientBoostingRegressor(
        n_estimators=120, max_depth=3, learning_rate=0.07, subsample=0.7, max_features=0.33, random_state=seed
    )


@dataclass(frozen=True)
class Stack:
    """A regressor on blocks of inputs, at the epochs at which it is asked for."""

    name: str
    blocks: tuple[str, ...]
    regressor: Regressor = trees
    epochs: tuple[int, ...] = (1,)

    def predict(self, inputs: Inputs, training: np.ndarray, scores: np.ndarray, seed: int) -> np.ndarray:
        """Fit on the training networks and score all; what a network lacks takes the training median."""
        values = inputs.joined(self.blocks)
        values = np.where(np.isfinite(values), values, np.nan)
        values = values[:, ~np.isnan(values[training]).all(axis=0)]
        model = make_pipeline(SimpleImputer(strategy="median"), self.regressor(seed))
        model.fit(values[training], scores)
        predicted: np.ndarray = model.predict(values)
        return predicted


ALL_EPOCHS = (0, 1, 3)
KNOWN = ("curve", "hyperparameters")
# Added to the name of AeLLE where it is not as by default:
BARE = " without readout growth"  # blended from the views that do not see it
ALONE = ", network alone"  # without the trees in its head


def _both(name: str, *blocks: str, epochs: tuple[int, ...] = (1,)) -> tuple[Stack, Stack]:
    return (
        Stack(f"extra-trees on {name}", blocks, trees, epochs),
        Stack(f"gradient boosting on {name}", blocks, boosting, epochs),
    )


_SHAPE = "AeLLE + architecture/size"
_ON_BARE = _both("the channels", "channels"), _both("the channels + architecture/size", "channels", "shape")
_ON_ALL = (
    _both("the channels + readout growth", "channels", "readout"),
    _both("the channels + readout growth + architecture/size", "channels", "readout", "shape"),
)
# What AeLLE's heads are compared with, on the same inputs: by the name of the head.
TREES = {
    "AeLLE": _ON_ALL[0],
    _SHAPE: _ON_ALL[1],
    f"AeLLE{BARE}": _ON_BARE[0],
    f"{_SHAPE}{BARE}": _ON_BARE[1],
    f"AeLLE{ALONE}": _ON_ALL[0],
    f"{_SHAPE}{ALONE}": _ON_ALL[1],
}
WEIGHTS = _both("curve + hyperparameters + weight statistics", *KNOWN, "weights", epochs=ALL_EPOCHS)
# The blocks "aelle" and "aelle without readout growth" are AeLLE's out-of-fold scores, both heads.
STACKED = "AeLLE + curve + hyperparameters"
ATTEMPTS = (
    Stack(STACKED, ("aelle", *KNOWN), epochs=ALL_EPOCHS),
    Stack(f"{STACKED}{BARE}", (f"aelle{BARE}", *KNOWN), epochs=ALL_EPOCHS),
    Stack(f"{STACKED}, trees see the channels too", ("aelle", *KNOWN, "channels", "readout")),
    Stack(f"{STACKED} with the spectrum under noise", ("aelle", *KNOWN, "noise")),
    Stack(f"{STACKED} with the hidden spectrum", ("aelle", *KNOWN, "hidden")),
    Stack(
        f"{STACKED}, trees see readout growth, noise and hidden spectra",
        ("aelle", "readout", "noise", "hidden", *KNOWN),
    ),
)
# Beside the goals: what remains once weight statistics are known, and what readout growth gives without AeLLE.
BESIDE = (
    Stack(f"{STACKED} + weight statistics", ("aelle", *KNOWN, "weights"), epochs=ALL_EPOCHS),
    Stack("curve + hyperparameters + weight statistics + readout growth", (*KNOWN, "weights", "readout")),
    Stack("curve + hyperparameters + readout growth", (*KNOWN, "readout")),
    Stack("readout growth alone", ("readout",)),
)
STACKS = (
    *{tree.name: tree for pair in TREES.values() for tree in pair}.values(),
    *WEIGHTS,
    *ATTEMPTS,
    *BESIDE,
)


def aelle_block(scored: pd.DataFrame, known: Known, heads: Sequence[str]) -> np.ndarray:
    """AeLLE's scores of one fold at one epoch, (networks, heads)."""
    at_epoch = scored[scored["epoch"] == known.epoch]
    table = at_epoch.pivot(index="network", columns="method", values="score")
    return table.loc[known.network, list(heads)].to_numpy()
