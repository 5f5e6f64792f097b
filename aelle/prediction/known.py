"""What is known of each network at an epoch: the inputs of the ladder, none of them from later epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from aelle.embedding.dataset import SpectraDataset
from aelle.embedding.transform import resample
from aelle.hyperparameters import NAMES as HYPERPARAMETERS
from aelle.records import weight_statistics_frame

_LOGARITHMIC = ("hidden_size", "init_scale", "init_gain", "learning_rate", "batch_size")


@dataclass(frozen=True)
class Known:
    """Inputs of early prediction at one epoch, for the networks that have a spectrum there.

    Attributes:
        epoch: the epoch.
        final_epoch: the last epoch of training.
        network: position of each of the n networks in `SpectraDataset.networks`, ascending.
        curve: (n, …) validation metric and losses of every epoch so far.
        last_value, best_so_far: (n,) validation metric, in metric units.
        training_losses: (n,) sum of the training losses so far; zero at epoch 0.
        metric_curve: (n, epoch + 1) validation metric from epoch 0 on.
        hyperparameters: (n, …) numbers that vary within the experiment; architecture one-hot.
        weight_statistics: (n, …) norms and quantiles of every matrix.
        spectrum: (n, length) resampled over the normalised index, -inf kept.
        architecture_and_size: (n, …).
    """

    epoch: int
    final_epoch: int
    network: np.ndarray
    curve: np.ndarray
    last_value: np.ndarray
    best_so_far: np.ndarray
    training_losses: np.ndarray
    metric_curve: np.ndarray
    hyperparameters: np.ndarray
    weight_statistics: np.ndarray
    spectrum: np.ndarray
    architecture_and_size: np.ndarray

    def __len__(self) -> int:
        return len(self.network)

    @property
    def curve_and_hyperparameters(self) -> np.ndarray:
        """The learning curve so far beside the hyperparameters, (n, …)."""
        return np.concatenate([self.curve, self.hyperparameters], axis=1)


def known_at(dataset: SpectraDataset, epoch: int) -> Known:
    """Gather what is known at an epoch of the networks with a spectrum there."""
    rows = dataset.spectra[dataset.spectra["epoch"] == epoch].sort_values("network")
    network = rows["network"].to_numpy()
    ids = dataset.networks.index[network]
    records = dataset.records[(dataset.records["epoch"] <= epoch) & dataset.records["network_id"].isin(ids)]
    curves = {name: _by_epoch(records, name, ids) for name in ("val_metric", "val_loss", "train_loss")}
    metric = curves["val_metric"]
    now = records[records["epoch"] == epoch].set_index("network_id").loc[ids]
    measured = np.where(np.isnan(metric), dataset.metric.worst(metric), metric)
    networks = dataset.networks.iloc[network]
    return Known(
        epoch=epoch,
        final_epoch=dataset.final_epoch,
        network=network,
        curve=np.concatenate([curve[:, ~np.isnan(curve).all(axis=0)] for curve in curves.values()], axis=1),
        last_value=measured[:, -1],
        best_so_far=dataset.metric.oriented(dataset.metric.oriented(measured).max(axis=1)),
        training_losses=np.nansum(curves["train_loss"], axis=1),
        metric_curve=measured,
        hyperparameters=_numbers(networks, HYPERPARAMETERS),
        weight_statistics=np.concatenate(
            [
                weight_statistics_frame(now).to_numpy(float),
                _numbers(networks, ["architecture", "hidden_size", "num_layers"]),
            ],
            axis=1,
        ),
        spectrum=resample(
            [np.maximum(s, -1e6) for s in rows["spectrum"]], dataset.experiment.autoencoder.length
        ),
        architecture_and_size=_numbers(networks, ["architecture", "hidden_size", "num_layers"]),
    )


def seconds_per_network(dataset: SpectraDataset, epoch: int) -> tuple[float, float]:
    """Mean wall-clock seconds a network of training up to an epoch, and of its spectra up to it.

    What `[spectrum] also` asked for besides is counted with the spectra, whether some view reads it or not.
    """
    records = dataset.records[dataset.records["epoch"] <= epoch]
    columns = ["train_seconds", "spectrum_seconds", "also_seconds"]
    spent = records.reindex(columns=columns).astype(float).fillna(0).sum() / len(dataset.networks)
    return float(spent["train_seconds"]), float(spent["spectrum_seconds"] + spent["also_seconds"])


def _by_epoch(records: pd.DataFrame, column: str, ids: pd.Index) -> np.ndarray:
    table = records.pivot(index="network_id", columns="epoch", values=column)
    values = table.reindex(ids).to_numpy(float)
    return np.where(np.isfinite(values), values, np.nan)


@dataclass(frozen=True)
class Numbers:
    """Hyperparameters → numbers: architecture one-hot, scales in logarithms; constants are left out.

    Which columns vary is found on one set of networks, and then holds for others too.
    """

    architectures: tuple[str, ...]  # none where the architecture was not asked for
    columns: tuple[str, ...]

    @classmethod
    def fit(cls, networks: pd.DataFrame, columns: Sequence[str]) -> Self:
        """Find the architectures, and the other columns that vary."""
        architectures = np.unique(networks["architecture"].to_numpy(str)) if "architecture" in columns else ()
        others = [name for name in columns if name != "architecture" and name in networks]
        varying = [name for name in others if np.unique(_number(networks, name)).size > 1]
        return cls(tuple(map(str, architectures)), tuple(varying))

    def apply(self, networks: pd.DataFrame) -> np.ndarray:
        """Return (networks, architectures + columns); an architecture that was not there is all zeros."""
        parts = [_number(networks, name)[:, None] for name in self.columns]
        if self.architectures:
            one_hot = networks["architecture"].to_numpy(str)[:, None] == np.array(self.architectures)[None]
            parts.insert(0, one_hot.astype(float))
        return np.concatenate(parts, axis=1) if parts else np.empty((len(networks), 0))


def _number(networks: pd.DataFrame, column: str) -> np.ndarray:
    number = networks[column].to_numpy(float)
    return np.log(np.where(number > 0, number, np.nan)) if column in _LOGARITHMIC else number


def _numbers(networks: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    return Numbers.fit(networks, columns).apply(networks)
