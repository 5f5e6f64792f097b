"""Autoencoders that have never seen the networks they are judged on.

Of an experiment's networks every fold leaves some out; `aelle.train` fits the autoencoder on the others, in a folder
of their own, and all networks are then embedded with it. `latents.parquet` beside all the records makes the fold a
folder that `aelle.plot` draws.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from aelle import ExperimentFolder, read_records, train
from aelle.embedding.dataset import SpectraDataset, load_dataset
from aelle.embedding.fit import FittedAutoencoder, load
from aelle.explorer.projection import Projection, pca
from aelle.records import read_arrow, write_frame, write_table


@dataclass(frozen=True)
class Fold:
    """One autoencoder with the networks it has not seen.

    Attributes:
        folder: all records, with the autoencoder and its latents.
        fitted: the autoencoder.
        dataset: all networks with their outcomes.
        unseen: ids of the networks left out of its training.
    """

    folder: ExperimentFolder
    fitted: FittedAutoencoder
    dataset: SpectraDataset
    unseen: frozenset[str]

    @cached_property
    def latents(self) -> pd.DataFrame:
        """Every latent with what is known of its network: `unseen`, `target`, `good` and hyperparameters.

        `target` is the final metric; `good` says whether it is better than that of the median training network.
        """
        return self.described(pd.read_parquet(self.folder.latents))

    def described(self, latents: pd.DataFrame) -> pd.DataFrame:
        """Join latents with the outcomes and hyperparameters of their networks."""
        networks = self.dataset.networks
        oriented = pd.Series(self.dataset.metric.oriented(networks["target"].to_numpy(float)), networks.index)
        training = oriented[~networks.index.isin(list(self.unseen))]
        known = networks.assign(oriented=oriented, good=oriented > training.median())
        joined = latents.merge(known, left_on="network_id", right_index=True)
        return joined.assign(unseen=joined["network_id"].isin(self.unseen)).reset_index(drop=True)

    @property
    def columns(self) -> list[str]:
        """The columns of `latents` that span the latent space."""
        return [f"latent_{i}" for i in range(self.fitted.latent_size)]

    def at(self, epoch: int) -> pd.DataFrame:
        """The latents of one epoch."""
        return self.latents[self.latents["epoch"] == epoch].reset_index(drop=True)

    def principal(self, epoch: int) -> Projection:
        """Principal components of the training networks' latents at an epoch."""
        rows = self.at(epoch)
        return pca(rows.loc[~rows["unseen"], self.columns].to_numpy(float))

    def project(self, latents: pd.DataFrame, projection: Projection) -> np.ndarray:
        """Coordinates (rows, 3) of latents on principal components."""
        coordinates: np.ndarray = (
            latents[self.columns].to_numpy(float) - projection.mean
        ) @ projection.axes.T
        return coordinates


def folds(source: Path, work: Path, count: int, seed: int = 0, only: int | None = None) -> Iterator[Fold]:
    """Fit one autoencoder for each of `count` parts of the networks, the part left out; `only` takes the first few.

    Folders are made anew under `work`.

    Raises:
        ValueError: for fewer than two folds, and as `aelle.train`.
    """
    if count < 2:
        raise ValueError(f"--folds must be at least 2, got {count}")
    folder = ExperimentFolder(Path(source))
    dataset = load_dataset(folder).require_predictable()
    records = read_arrow(folder)
    order = np.random.default_rng(seed).permutation(dataset.networks.index.to_numpy())
    for number, left_out in enumerate(np.array_split(order, count)[:only]):
        place = Path(work) / f"fold-{number}"
        shutil.rmtree(place, ignore_errors=True)
        yield _fold(folder, dataset, records, frozenset(map(str, left_out)), place)


def _fold(
    source: ExperimentFolder, dataset: SpectraDataset, records: pa.Table, unseen: frozenset[str], place: Path
) -> Fold:
    is_unseen = pc.is_in(records["network_id"], value_set=pa.array(sorted(unseen)))
    training, everything = ExperimentFolder(place / "training"), ExperimentFolder(place / "all")
    for target, table in ((training, records.filter(pc.invert(is_unseen))), (everything, records)):
        write_table(target.cohort_file("networks"), table)
        shutil.copy(source.experiment_file, target.experiment_file)
    train(training, progress=False)
    fitted = load(training)
    shutil.copytree(training.autoencoder, everything.autoencoder)
    embedded = fitted.embed(read_records(everything))
    split = np.where(embedded["network_id"].isin(unseen), "unseen", "seen")
    write_frame(everything.latents, embedded.assign(split=split))
    return Fold(everything, fitted, dataset, unseen)


def last_epoch(dataset: SpectraDataset) -> int:
    """The last epoch at which spectra were taken."""
    return int(dataset.spectra["epoch"].max())
