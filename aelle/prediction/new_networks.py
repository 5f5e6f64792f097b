"""Records of new networks, finished or still running, as a saved predictor reads them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aelle.embedding.dataset import spectrum_rows
from aelle.hyperparameters import NAMES as HYPERPARAMETERS
from aelle.prediction.errors import PredictorError
from aelle.records import SCHEMA, ExperimentFolder, RecordsError, read_records

CURVES = ("val_metric", "val_loss", "train_loss")
_ATTEMPTS = 5


@dataclass(frozen=True)
class NewNetworks:
    """Networks to be predicted at an epoch.

    Attributes:
        networks: one row a network that can be predicted, indexed by network_id: hyperparameters (NaN where
            not known) and the curve so far, `val_metric@0` …, as in the predictor's own table.
        spectra: rows of `spectrum_rows` of these networks up to the epoch, earlier ones first.
        left_out: network_id → why it cannot be predicted.
    """

    networks: pd.DataFrame
    spectra: pd.DataFrame
    left_out: dict[str, str]


def read_running(folder: ExperimentFolder) -> pd.DataFrame:
    """Read the records of a folder to which a collection may be writing.

    Files appear whole, but an epoch's file goes once its cohort is merged into one; the listing is then out of
    date, and is read again.

    Raises:
        RecordsError: for a missing, empty, corrupt or foreign folder.
    """
    for attempt in range(_ATTEMPTS):
        started = _cohorts(folder)
        try:
            records = read_records(folder)
            # A cohort merged between two looks at the folder is in neither of them.
            if started <= set(records["cohort"].dropna()) or attempt == _ATTEMPTS - 1:
                return records
        except (RecordsError, FileNotFoundError) as error:
            vanished = isinstance(error, FileNotFoundError) or str(error).endswith("no such file")
            if not vanished or attempt == _ATTEMPTS - 1:
                raise
        time.sleep(0.05 * 2**attempt)
    raise AssertionError("unreachable")


def _cohorts(folder: ExperimentFolder) -> set[str]:
    """Names of the cohorts of which there are records; of those at work at this moment perhaps not all."""
    try:
        return {
            p.stem if p.suffix == ".parquet" else p.name for p in folder.records.iterdir() if p.name[0] != "."
        }
    except OSError:
        return set()


def select(
    records: pd.DataFrame, epoch: int, first_spectrum: int | None, curve_epochs: Iterable[int]
) -> NewNetworks:
    """Gather what is known of each network at an epoch.

    Args:
        records: rows in the columns of records; columns that are missing are unknown.
        epoch: the epoch at which to predict; later rows are not looked at.
        first_spectrum: epoch whose spectrum the networks must have too, if any.
        curve_epochs: epochs whose curve values are gathered.
    """
    for name in ("network_id", "epoch", "spectrum"):
        if name not in records:
            raise PredictorError(f"the records lack the column {name!r}")
    every = records["network_id"].unique()
    records = records[records["epoch"] <= epoch].reindex(
        columns=list(dict.fromkeys([*SCHEMA.names, *records.columns]))
    )
    spectra = spectrum_rows(records).sort_values(["network_id", "epoch"], ignore_index=True)
    needed = {epoch} if first_spectrum is None else {epoch, first_spectrum}
    at = {e: set(spectra.loc[spectra["epoch"] == e, "network_id"]) for e in needed}
    left_out = _left_out(records, every, epoch, at, first_spectrum)
    ids = pd.Index([i for i in every if i not in left_out], name="network_id")
    first = records.groupby("network_id").first().reindex(ids)
    networks = first[list(HYPERPARAMETERS)].copy()
    for name in CURVES:
        values = pd.to_numeric(records[name], errors="coerce").replace([np.inf, -np.inf], np.nan)
        table = records.assign(value=values).pivot_table(
            index="network_id", columns="epoch", values="value", aggfunc="last", dropna=False
        )
        for e in curve_epochs:
            column = table[e].reindex(ids) if e in table else pd.Series(np.nan, index=ids)
            networks[f"{name}@{e}"] = column.astype(float)
    return NewNetworks(networks, spectra[spectra["network_id"].isin(ids)].reset_index(drop=True), left_out)


def _left_out(
    records: pd.DataFrame, ids: Iterable[str], epoch: int, at: dict[int, set[str]], first_spectrum: int | None
) -> dict[str, str]:
    """Say of every network that cannot be predicted why."""
    status = records.groupby("network_id")["status"].agg(lambda s: next((x for x in s if x != "ok"), "ok"))
    reached = set(records.loc[records["epoch"] == epoch, "network_id"])
    reasons = {}
    for network in ids:
        if status.get(network) in ("diverged", "failed", "pruned"):
            reasons[network] = str(status[network])
        elif network not in reached:
            reasons[network] = f"has not reached epoch {epoch}"
        elif network not in at[epoch]:
            reasons[network] = f"no usable spectrum at epoch {epoch}"
        elif first_spectrum is not None and network not in at[first_spectrum]:
            reasons[network] = (
                f"no spectrum at epoch {first_spectrum}, from which the predictor counts change"
            )
    return reasons
