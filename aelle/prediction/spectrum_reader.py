"""Scores of networks read off their spectra, by an ensemble of autoencoders for every view and part of the head.

The training networks are cut into as many parts as an ensemble has members; each part stops one member early, and the
other parts train it. A member thus scores its own part as it would score new networks, and what is fitted to scores
of training networks, blending and trees, is fitted to those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save

from aelle.config import Autoencoder as Settings
from aelle.embedding.channels import is_change
from aelle.embedding.ensemble_files import load_members, save_members
from aelle.embedding.members import FittedMembers, fit_members, validation_splits
from aelle.prediction.blending import readable, views_of
from aelle.prediction.table import Table
from aelle.records import write_bytes

_SCORES = "scores.safetensors"


@dataclass(frozen=True)
class FittedReader:
    """Ensembles that read spectra.

    Attributes:
        training: the networks they were fitted on.
        ensembles: one for each view.
        out_of_fold: (spectra of `training`, models, 2 heads) scores by the member that was not trained on the
            network; a model is a view and a part of the head. The first head reads the spectrum alone, the
            second one architecture and size too.
    """

    training: Table
    ensembles: list[FittedMembers]
    out_of_fold: np.ndarray

    @cached_property
    def views(self) -> list[list[str]]:
        """Channels of each view."""
        return [list(members.model.settings.channels) for members in self.ensembles]

    @property
    def first_spectrum(self) -> int | None:
        """The epoch whose spectrum every network must have, since some view counts change from it."""
        changes = any(is_change(channel) for view in self.views for channel in view)
        return int(self.training.spectra["epoch"].min()) if changes else None

    def models_of(self, views: Sequence[int]) -> np.ndarray:
        """Positions of the models that belong to some views."""
        parts = len(self.ensembles[0].parts)
        return np.concatenate([np.arange(parts) + parts * view for view in views])

    def readable(self, table: Table) -> list[tuple[int, ...]]:
        """Positions of the views that can be read of each network; all of them where none can, by averages."""
        first = self.first_spectrum
        found = readable(self.views, table, {table.epoch} if first is None else {first, table.epoch})
        return [views or tuple(range(len(self.views))) for views in found]

    def score(self, table: Table) -> np.ndarray:
        """Score networks that all have a spectrum at the table's epoch: (n, models, heads)."""
        chosen = (table.spectra["epoch"] == table.epoch).to_numpy()
        place = _described(table.networks).iloc[table.spectra["network"]]
        models = [
            part.mean(dim=1).numpy()[:, chosen]
            for members in self.ensembles
            for part in members.predict_by_parts(table.spectra, place).values()
        ]
        scores = np.empty((len(table), len(models), 2))
        scores[table.spectra.loc[chosen, "network"]] = np.stack(models).transpose(2, 0, 1)
        return scores

    def save(self, folder: Path) -> list[str]:
        """Write ensembles and scores; return the names of the files."""
        names = [f"ensemble-{place}" for place in range(len(self.ensembles))]
        written = [
            f"{name}/{file}"
            for name, members in zip(names, self.ensembles, strict=True)
            for file in save_members(folder / name, members)
        ]
        write_bytes(folder / _SCORES, save({"out_of_fold": self.out_of_fold}))
        return [*written, _SCORES]


@dataclass(frozen=True)
class SpectrumReader:
    """Fits ensembles on the spectra of training networks.

    Attributes:
        settings: of the autoencoders.
        views: channels of each view, or "auto".
        ensemble: number of autoencoders in an ensemble.
        seed: of what is drawn.
    """

    settings: Settings
    views: Literal["auto"] | list[list[str]]
    ensemble: int
    seed: int
    # The methods that read spectra share one reader, and are fitted on the same networks one after another.
    _latest: list[tuple[Table, np.ndarray, FittedReader]] = field(
        default_factory=list, repr=False, compare=False
    )

    def fit(self, table: Table, networks: np.ndarray) -> FittedReader:
        """Fit on the networks of a boolean mask; asked again for the same, give the same."""
        for known, mask, fitted in self._latest:
            if known is table and np.array_equal(mask, networks):
                return fitted
        fitted = self._fit(table.of(networks))
        self._latest[:] = [(table, networks, fitted)]
        return fitted

    def load(self, folder: Path, training: Table) -> FittedReader:
        """Read what `FittedReader.save` wrote."""
        places = range(len(list(folder.glob("ensemble-*"))))
        ensembles = [load_members(folder / f"ensemble-{place}") for place in places]
        scores = load_file(folder / _SCORES)["out_of_fold"]
        if scores.ndim != 3 or len(scores) != len(training.spectra) or not np.isfinite(scores).all():
            raise ValueError(f"{_SCORES} does not hold finite scores of each spectrum")
        return FittedReader(training, ensembles, scores)

    def _fit(self, training: Table) -> FittedReader:
        splits = validation_splits(np.ones(len(training), dtype=bool), self.ensemble, self.seed)
        place = training.networks.iloc[training.spectra["network"]]
        own = np.stack([split.validation for split in splits])[:, training.spectra["network"]]
        ensembles, scores = [], []
        for view in views_of(self.views, training):
            settings = self.settings.model_copy(update={"channels": view})
            members = fit_members(training, splits, settings, self.seed)
            ensembles.append(members)
            for part in members.predict_by_parts(training.spectra, place).values():
                scores.append((part.numpy() * own).sum(axis=1).T)
        # safetensors writes an array as it lies in memory.
        out_of_fold = np.ascontiguousarray(np.stack(scores, axis=1), dtype=np.float32)
        return FittedReader(training, ensembles, out_of_fold)


def _described(networks: pd.DataFrame) -> pd.DataFrame:
    """Architecture and size, with stand-ins where they are not known: the head that reads them is not asked there."""
    described = networks[["architecture", "hidden_size", "num_layers"]].copy()
    known = described["architecture"].notna()
    described["architecture"] = described["architecture"].astype(object).where(known, "")
    return described.astype({"hidden_size": float, "num_layers": float}).fillna(1.0)
