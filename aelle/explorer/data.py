"""Everything the page and the figures show, read from an experiment's folder.

Networks have a stable number: those already known keep theirs when a running collection adds more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from aelle.config import ConfigError, load_experiment
from aelle.explorer.errors import ExplorerError
from aelle.explorer.points import add_interval_width, latent_columns, optional_parquet, points_of
from aelle.explorer.ragged import Ragged
from aelle.records import (
    SCHEMA,
    ExperimentFolder,
    Metric,
    RecordsError,
    known_exponents,
    looks_of,
    out_of_step,
    outcomes,
    read_json,
    read_records,
)

_SCALARS = [f.name for f in SCHEMA if not pa.types.is_nested(f.type) and f.name != "mean_exponent"]
_OF_FULL_SPECTRA = ["positive_exponents", "trusted_count", "certificate"]


@dataclass(frozen=True)
class ExplorerData:
    """Records, latents and predictions of one experiment; `network` is a network's number in every table."""

    folder: ExperimentFolder
    networks: pd.DataFrame  # one row a network, in the order of numbers: identity, hyperparameters, outcome
    records: pd.DataFrame  # one row a network and epoch: scalars, and summaries of the spectrum
    spectra: Ragged  # what is known of the exponents of each row of `records`: its spectrum, of a look the leading ones
    points: (
        pd.DataFrame
    )  # one row a latent (before there are any, a spectrum): latent_0.., and the columns of `records`
    predictions: pd.DataFrame  # method, epoch, network, actual, predicted, lower, upper
    report: dict[str, Any]
    unreadable: tuple[str, ...] = field(default=())  # what could not be shown, in words
    look: str = "full"  # or "economy": `spectra` are the leading exponents of looks
    planned: int = 0  # networks that the collection will have; 0 where that is not known
    final_epoch: int = 0  # at which training ends
    _kept: dict[Any, Any] = field(
        default_factory=dict, repr=False, compare=False
    )  # computed once, by what it is

    @property
    def name(self) -> str:
        """The experiment's name."""
        return str(self.networks["experiment"].iloc[0]) if len(self.networks) else self.folder.root.name

    @property
    def metric_name(self) -> str:
        """The name of the validation metric, such as accuracy."""
        return str(self.networks["metric_name"].iloc[0]) if len(self.networks) else "metric"

    @property
    def higher_is_better(self) -> bool:
        """Whether more of the metric is better."""
        return bool(self.networks["higher_is_better"].iloc[0]) if len(self.networks) else True

    @property
    def latent_columns(self) -> list[str]:
        """The columns of `points` that span the latent space, in order."""
        return latent_columns(self.points)

    @property
    def has_latents(self) -> bool:
        """Whether an autoencoder has been fitted, so that there is a latent map."""
        return bool(self.latent_columns) and len(self.points) > 0

    @property
    def point_epochs(self) -> list[int]:
        """The epochs at which there are points."""
        return sorted(int(epoch) for epoch in self.points["epoch"].unique()) if len(self.points) else []

    @property
    def spectrum_epochs(self) -> list[int]:
        """The epochs at which there are spectra."""
        return sorted(int(epoch) for epoch in self.records["epoch"][self.spectra.lengths > 0].unique())

    @property
    def exponents_title(self) -> str:
        """What the exponents of one network are, as a title says it."""
        return "Leading exponents" if self.look == "economy" else "Lyapunov spectrum"

    def kept(self, key: Any, compute: Callable[[], Any]) -> Any:
        """What `compute` gives, computed once for these data. Two threads at once may both compute it."""
        if key not in self._kept:
            self._kept[key] = compute()
        return self._kept[key]

    def rows_of(self, network: int) -> NDArray[np.int64]:
        """The rows of `records` that belong to a network, in order of epoch."""
        return np.flatnonzero(self.records["network"].to_numpy() == network)

    def numbers_of(self, ids: Sequence[str]) -> list[int]:
        """The numbers of the networks with these ids; unknown ids are passed over."""
        known = pd.Series(self.networks.index, index=self.networks["network_id"])
        return [int(known[name]) for name in ids if name in known.index]


def load(folder: ExperimentFolder, known: Sequence[str] = ()) -> ExplorerData:
    """Read an experiment's folder; latents, predictions and report may be missing.

    `known` are ids of networks in the order of numbers they already have.

    Raises:
        ExplorerError: for a folder without records, or files that cannot be read.
    """
    try:
        records = read_records(folder, [*_SCALARS, "spectrum", "leading_exponents", "mean_exponent"])
    except RecordsError as error:
        raise ExplorerError(str(error)) from error
    look = "economy" if "economy" in looks_of(records) else "full"
    spectra = Ragged.from_lists(known_exponents(records))
    _summarise_spectra(records, spectra)
    mean = records.pop("mean_exponent").astype(float)
    records = records.drop(columns=["spectrum", "leading_exponents"])
    if look == "economy":
        records = records.assign(lambda_mean=mean.where(np.isfinite(mean))).drop(columns=_OF_FULL_SPECTRA)
    ids = pd.Index(known).append(pd.Index(sorted(set(records["network_id"]) - set(known))))
    records.insert(0, "network", ids.get_indexer(pd.Index(records["network_id"])))
    final_epoch = _final_epoch(folder)
    networks = _networks(records, final_epoch).reindex(range(len(ids)))
    networks["network_id"] = ids
    notes = out_of_step(folder)
    points = points_of(folder, records, networks, spectra.lengths > 0, notes)
    predictions = _predictions(folder, ids, notes)
    add_interval_width(points, predictions)
    return ExplorerData(
        folder, networks, records, spectra, points, predictions, _report(folder, notes), tuple(notes), look,
        _planned(folder), final_epoch,
    )  # fmt: skip


def open_data(experiment: ExplorerData | ExperimentFolder | str | PathLike[str]) -> ExplorerData:
    """Load an experiment by its folder or path; what is loaded already is given back as it is.

    Raises:
        ExplorerError: as `load`.
    """
    if isinstance(experiment, ExplorerData):
        return experiment
    folder = experiment if isinstance(experiment, ExperimentFolder) else ExperimentFolder(Path(experiment))
    return load(folder)


def _summarise_spectra(records: pd.DataFrame, spectra: Ragged) -> None:
    """Add the largest and the mean exponent and the number above zero (finite exponents only)."""
    counted = Ragged(np.isfinite(spectra.values).astype(np.float32), spectra.offsets)
    positive = Ragged((spectra.values > 0).astype(np.float32), spectra.offsets)
    with np.errstate(invalid="ignore", divide="ignore"):
        records["lambda_max"] = spectra.reduce_finite(np.maximum, -np.inf)
        records["lambda_mean"] = spectra.reduce_finite(np.add, 0) / counted.reduce_finite(np.add, 0)
    records["positive_exponents"] = positive.reduce_finite(np.add, 0)


def _networks(records: pd.DataFrame, final_epoch: int) -> pd.DataFrame:
    """One row a network: what never changes, and how it ended."""
    changing = ("epoch", "train_loss", "val_loss", "val_metric", "status", "trusted_count", "certificate")
    groups = records.groupby("network")
    fixed = [name for name in _SCALARS if name not in changing and not name.endswith("_seconds")]
    networks = groups[fixed].first()
    networks["last_epoch"] = groups["epoch"].last()
    known = networks["higher_is_better"].dropna()
    metric = Metric(str(networks["metric_name"].iloc[0]), bool(known.iloc[0]) if len(known) else True)
    final, best = (outcomes(records, metric, final_epoch, target) for target in ("final", "best"))
    ids = networks["network_id"]
    networks["outcome"] = ids.map(final["outcome"])
    networks["final_metric"], networks["best_metric"] = ids.map(final["target"]), ids.map(best["target"])
    return networks


def _planned(folder: ExperimentFolder) -> int:
    """The networks on the list that a collection writes when it begins."""
    file = folder.root / "cohorts.json"
    try:
        cohorts = read_json(file) if file.is_file() else {}
    except RecordsError:
        return 0  # `aelle collect` says so, and makes it again
    return sum(len(ids) for ids in cohorts.values()) if isinstance(cohorts, dict) else 0


def _final_epoch(folder: ExperimentFolder) -> int:
    try:
        return load_experiment(folder.require().experiment_file).training.epochs
    except (ConfigError, RecordsError) as error:
        raise ExplorerError(str(error)) from error


def _predictions(folder: ExperimentFolder, ids: pd.Index, notes: list[str]) -> pd.DataFrame:
    needed = ["method", "epoch", "network_id", "actual", "predicted"]
    predictions = optional_parquet(folder.predictions, needed, notes)
    if predictions is None:
        return pd.DataFrame(columns=[*needed, "network", "lower", "upper"])
    for name in ("lower", "upper"):
        if name not in predictions:
            predictions[name] = np.nan
    predictions["network"] = ids.get_indexer(pd.Index(predictions["network_id"]))
    return predictions[predictions["network"] >= 0].reset_index(drop=True)


def _report(folder: ExperimentFolder, notes: list[str]) -> dict[str, Any]:
    if not folder.report.is_file():
        return {}
    try:
        report = read_json(folder.report)
    except RecordsError as error:
        notes.append(str(error))
        return {}
    return report if isinstance(report, dict) else {}
