"""Records → spectra with targets: one row a spectrum, one row a network, and a count of all that is left out.

A network's target is its outcome by `aelle.records.outcomes`: its final (or best) validation metric. A network that
diverged counts as the worst finished one, and is marked, so that no outcome is dropped or invented in silence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import pandas as pd

from aelle.config import ConfigError, Experiment, load_experiment
from aelle.hyperparameters import NAMES
from aelle.records import (
    ExperimentFolder,
    Metric,
    RecordsError,
    known_exponents,
    looks_of,
    outcomes,
    read_records,
)

MINIMUM_NETWORKS = 20
SPECTRUM_COLUMNS = ("spectrum", "spectrum_se", "spectrum_std", "trusted_count", "mean_exponent")
_UNIFORM = {
    "experiment": "experiments",
    "task": "tasks",
    "metric_name": "metrics",
    "higher_is_better": "directions of the metric",
    "spectrum_state": "state conventions of the spectrum",
    "spectrum_inputs": "driving inputs of the spectrum",
}


class EmbeddingError(ValueError):
    """Data or a checkpoint that the autoencoder cannot use; the message says what would be right."""


class KnownOutcomes(Protocol):
    """Spectra of networks whose outcomes are known, such as a `SpectraDataset`, whose attributes these are."""

    @property
    def networks(self) -> pd.DataFrame:
        """One row per network."""
        ...

    @property
    def spectra(self) -> pd.DataFrame:
        """One row per spectrum."""
        ...

    @property
    def targets(self) -> np.ndarray:
        """Outcomes in metric units."""
        ...

    @property
    def diverged(self) -> np.ndarray:
        """Whether each network diverged."""
        ...

    @property
    def metric(self) -> Metric:
        """The metric."""
        ...

    @property
    def final_epoch(self) -> int:
        """The last epoch of training."""
        ...


@dataclass(frozen=True)
class SpectraDataset:
    """Spectra of an experiment with the outcome of each network.

    Attributes:
        experiment: the resolved experiment.
        networks: one row a network, indexed by network_id: hyperparameters, `target` in metric units (a
            diverged network has the worst finished value), `diverged`.
        spectra: one row a spectrum, sorted by network and epoch: network_id, `network` (position in
            `networks`), epoch, and the columns of `SPECTRUM_COLUMNS` (ragged arrays, nats per step). Of a look
            `spectrum` holds the leading exponents, which are what is known of it.
        records: all records of these networks (learning curves, weight statistics), sorted likewise.
        metric: the metric's name and direction.
        state, inputs: state convention and driving inputs of all spectra.
        look: "full", or "economy" where they are looks.
        excluded: why networks were left out → how many.
    """

    experiment: Experiment
    networks: pd.DataFrame
    spectra: pd.DataFrame
    records: pd.DataFrame
    metric: Metric
    state: str
    inputs: str
    look: str = "full"
    excluded: dict[str, int] = field(default_factory=dict)

    @property
    def targets(self) -> np.ndarray:
        """Targets in metric units, one a network."""
        return self.networks["target"].to_numpy(float)

    @property
    def diverged(self) -> np.ndarray:
        """Whether each network diverged."""
        return self.networks["diverged"].to_numpy(bool)

    @property
    def final_epoch(self) -> int:
        """The last epoch of training."""
        return self.experiment.training.epochs

    @property
    def infinite_exponents(self) -> int:
        """Number of exponents that are -inf."""
        return int(sum(np.isneginf(spectrum).sum() for spectrum in self.spectra["spectrum"]))

    @property
    def untrusted_exponents(self) -> int:
        """Number of finite exponents beyond the trusted count of their spectrum."""
        counted = self.spectra[self.spectra["trusted_count"].notna()]
        pairs = zip(counted["spectrum"], counted["trusted_count"], strict=True)
        return int(sum(np.isfinite(spectrum[int(count) :]).sum() for spectrum, count in pairs))

    def require_predictable(self) -> SpectraDataset:
        """Return self where an outcome can be learnt from it.

        Raises:
            EmbeddingError: for too few networks, no finished network, or only one outcome.
        """
        left_out = f" ({describe_excluded(self.excluded)} left out)" if self.excluded else ""
        if len(self.networks) < MINIMUM_NETWORKS:
            raise EmbeddingError(
                f"needs at least {MINIMUM_NETWORKS} networks with an outcome and a spectrum, "
                f"got {len(self.networks)}{left_out}"
            )
        if self.diverged.all():
            raise EmbeddingError(
                f"all {len(self.networks)} networks diverged: there is no outcome to predict"
            )
        if np.ptp(self.targets) == 0:
            raise EmbeddingError(
                f"all {len(self.networks)} networks have the same {self.metric.name} ({self.targets[0]:g}): "
                "there is nothing to predict"
            )
        return self


def describe_excluded(excluded: dict[str, int]) -> str:
    """Say in words how many networks were left out and why."""
    return ", ".join(f"{count} {reason}" for reason, count in excluded.items()) or "none"


def load_dataset(folder: ExperimentFolder, target: Literal["final", "best"] | None = None) -> SpectraDataset:
    """Read an experiment's records as spectra with targets; `target` defaults to the experiment's own.

    Raises:
        RecordsError: for a missing, empty, corrupt or foreign folder.
        EmbeddingError: where spectra of several conventions, tasks or metrics are mixed in one set, or no
            network has both an outcome and a spectrum.
    """
    experiment = read_experiment(folder)
    records = read_records(folder)
    described = _one_of_each(records, experiment)
    metric = Metric(described["metric_name"], bool(described["higher_is_better"]))
    networks, excluded = _with_outcome(
        records, metric, experiment.training.epochs, target or experiment.prediction.target
    )
    spectra = spectrum_rows(records)
    unseen = ~networks.index.isin(spectra["network_id"])
    if unseen.any():
        excluded["without a spectrum"] = int(unseen.sum())
        networks = networks[~unseen]
    if networks.empty:
        raise EmbeddingError(
            f"{folder.records}: no network has both an outcome and a spectrum ({describe_excluded(excluded)})"
        )
    spectra = spectra[spectra["network_id"].isin(networks.index)].reset_index(drop=True)
    spectra.insert(1, "network", networks.index.get_indexer(pd.Index(spectra["network_id"])))
    return SpectraDataset(
        experiment=experiment,
        networks=networks,
        spectra=spectra,
        records=records[records["network_id"].isin(networks.index)].reset_index(drop=True),
        metric=metric,
        state=described["spectrum_state"],
        inputs=described["spectrum_inputs"],
        look=looks_of(records)[0],
        excluded=excluded,
    )


def read_experiment(folder: ExperimentFolder) -> Experiment:
    """Read the resolved experiment of a folder.

    Raises:
        RecordsError: where the folder is missing or its experiment.toml cannot be used.
    """
    try:
        return load_experiment(folder.require().experiment_file)
    except ConfigError as error:
        raise RecordsError(str(error)) from None


def spectrum_rows(records: pd.DataFrame) -> pd.DataFrame:
    """Select the rows that hold a usable spectrum or look: at least one exponent and none of them NaN or +inf.

    All list-valued columns come along; `spectrum` is what is known of the exponents, of a look the leading ones.
    """
    columns = ["network_id", "epoch", *SPECTRUM_COLUMNS, *_further_lists(records)]
    known = known_exponents(records)
    rows = records.assign(spectrum=known).reindex(columns=columns)[known.notna()]
    usable = [len(s) > 0 and not np.isnan(s).any() and not np.isposinf(s).any() for s in rows["spectrum"]]
    return rows[np.array(usable, dtype=bool)].reset_index(drop=True)


def _further_lists(records: pd.DataFrame) -> list[str]:
    """Names of the other columns that hold lists of numbers: each may be a channel of the encoder."""
    others = records.columns.difference([*SPECTRUM_COLUMNS, "weight_statistics"], sort=False)
    return [
        name
        for name in others
        if records[name].dtype == object
        and records[name].map(lambda v: isinstance(v, (list, np.ndarray))).any()
    ]


def _one_of_each(records: pd.DataFrame, experiment: Experiment) -> dict[str, str]:
    """Return the one value of every column that must not vary within a set."""
    values = {}
    for column, words in _UNIFORM.items():
        found = records[column].dropna().unique()
        if len(found) > 1:
            listed = ", ".join(sorted(map(str, found)))
            raise EmbeddingError(
                f"the records mix several {words} ({listed}); keep each in a folder of its own"
            )
        if len(found) == 0:
            missing = "no spectrum" if column.startswith("spectrum") else f"no {column}"
            raise EmbeddingError(f"the records hold {missing} yet; let `aelle collect` finish")
        values[column] = found[0]
    if len(looks_of(records)) > 1:
        raise EmbeddingError(
            "the records mix full spectra and economy looks; keep each in a folder of its own"
        )
    if values["experiment"] != experiment.name:
        raise RecordsError(
            f"the records are of experiment {values['experiment']!r}, but experiment.toml describes {experiment.name!r}"
        )
    return values


def _with_outcome(
    records: pd.DataFrame, metric: Metric, final_epoch: int, target: Literal["final", "best"]
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Networks that have an outcome, with their hyperparameters; and how many have none, by the reason."""
    first = records.groupby("network_id", sort=True).first()
    networks = first[[name for name in NAMES if name in first]].copy()
    ended = outcomes(records, metric, final_epoch, target)
    networks["diverged"] = ended["outcome"] == "diverged"
    networks["target"] = ended["target"]
    has_outcome = ended["outcome"].isin(["ok", "diverged"])
    excluded = ended.loc[~has_outcome, "outcome"].value_counts().sort_index().to_dict()
    return networks[has_outcome], {str(why): int(count) for why, count in excluded.items()}
