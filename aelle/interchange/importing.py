"""Spectra computed elsewhere → an experiment's folder that every later stage reads.

What no file of numbers says of itself is declared: the unit, the convention of the state, and the size of the
networks. Records are kept in nats per step, exponents descending, as those of `aelle collect`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from aelle.config import Experiment, dump_experiment, parse_experiment
from aelle.interchange.checks import CHANGING, Declaration, check_columns, check_sizes, completed
from aelle.interchange.tables import LISTS, SpectraFileError, read_spectra_file
from aelle.records import COMMENT, SCHEMA, ExperimentFolder, write_bytes, write_json, write_table
from aelle.words import first_line


@dataclass(frozen=True)
class Imported:
    """What an import wrote, and in `notes` what it read otherwise than it stands in the file."""

    folder: ExperimentFolder
    networks: int
    spectra: int
    epochs: list[int]
    declared: Declaration
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        better = "higher" if self.declared.higher_is_better else "lower"
        epochs = ", ".join(map(str, self.epochs))
        said = "".join(f"{note}\n" for note in self.notes)
        return (
            f"{said}wrote {self.folder.root}: {self.spectra} spectra of {self.networks} networks at epochs {epochs}, "
            f"{self.declared.state} state, from {self.declared.unit}; {self.declared.metric}, {better} is better\n"
            f"go on with: aelle train {self.folder.root}"
        )


def import_spectra(
    file: str | Path, folder: str | Path | ExperimentFolder, declared: Declaration, name: str | None = None
) -> Imported:
    """Write a file of spectra as an experiment's folder. `name` of the experiment defaults to the folder's.

    One row of the file is one network at one epoch. Besides the spectrum it may have any column of the records
    (network_id, epoch, val_metric, learning_rate, …), and `final_metric`: the metric that the network reached
    at the end of training, for files that hold no learning curves.

    Raises:
        SpectraFileError: for a file that cannot be read, contradicts what is declared, or gives no outcome;
            or a folder that holds an experiment already. Nothing has been written then.
        ConfigError: for a name that cannot name an experiment.
        RecordsError: where the folder cannot be written.
    """
    file = Path(file)
    folder = folder if isinstance(folder, ExperimentFolder) else ExperimentFolder(Path(folder))
    written = folder.cohort_file("imported")
    if folder.experiment_file.exists() or any(set(folder.records.rglob("*.parquet")) - {written}):
        raise SpectraFileError(f"{folder.root}: holds an experiment already; choose another --output")
    frame, notes = read_spectra_file(file)
    check_columns(frame, file)
    frame = completed(frame, declared, file)
    check_sizes(frame, declared, file)
    frame = _in_nats_descending(frame, declared)
    frame = _with_outcomes(frame, declared, file)
    experiment = _experiment(frame, declared, name or folder.root.resolve().name)
    write_table(written, _records(frame, declared, experiment, file))
    # So that `aelle status` counts these networks, and no collection takes the folder for its own.
    write_json(folder.root / "cohorts.json", {"imported": sorted(frame["network_id"].unique())})
    # Last, since a folder is an experiment's once it holds this file.
    write_bytes(folder.experiment_file, (COMMENT + dump_experiment(experiment)).encode())
    taken = frame["spectrum"].notna()
    epochs = sorted(int(epoch) for epoch in frame.loc[taken, "epoch"].unique())
    return Imported(folder, frame["network_id"].nunique(), int(taken.sum()), epochs, declared, notes)


def _in_nats_descending(frame: pd.DataFrame, declared: Declaration) -> pd.DataFrame:
    scale = math.log(2) if declared.unit == "bits" else 1.0
    orders = [None if s is None else np.argsort(-s, kind="stable") for s in frame["spectrum"]]
    for name in [name for name in LISTS if name in frame]:
        values = [
            None if v is None or order is None else scale * v[order]
            for v, order in zip(frame[name], orders, strict=True)
        ]
        frame[name] = pd.Series(values, index=frame.index, dtype=object)
    return frame


def _with_outcomes(frame: pd.DataFrame, declared: Declaration, file: Path) -> pd.DataFrame:
    """Give every network whose end is known a row at the last epoch with its metric."""
    last = int(frame["epoch"].max()) if declared.epochs is None else declared.epochs
    if last < frame["epoch"].max():
        raise SpectraFileError(f"{file}: has rows of epoch {frame['epoch'].max()}, beyond --epochs {last}")
    if "final_metric" in frame:
        if declared.epochs is None:
            raise SpectraFileError(f"{file}: final_metric needs --epochs, the epochs of training it is of")
        frame = _with_final_rows(frame, last)
    at_end = frame.loc[frame["epoch"] == last] if "val_metric" in frame else frame.iloc[:0]
    if last == 0 or at_end.empty or at_end["val_metric"].isna().all():
        raise SpectraFileError(
            f"{file}: no network has an outcome; give val_metric of rows at the last epoch, "
            "or a column final_metric with --epochs"
        )
    return frame.sort_values(["network_id", "epoch"], ignore_index=True)


def _with_final_rows(frame: pd.DataFrame, last: int) -> pd.DataFrame:
    final = frame.groupby("network_id")["final_metric"].first()
    frame = frame.drop(columns="final_metric")
    if "val_metric" not in frame:
        frame["val_metric"] = np.nan
    at_end = frame["epoch"] == last
    frame["val_metric"] = frame["val_metric"].mask(at_end, frame["network_id"].map(final).astype(float))
    missing = final.dropna().index.difference(pd.Index(frame.loc[at_end, "network_id"]))
    fixed = [name for name in frame.columns if name not in CHANGING or name == "status"]
    ends = (
        frame.drop_duplicates("network_id", keep="last")
        .set_index("network_id", drop=False)
        .loc[missing, fixed]
    )
    ends = ends.assign(epoch=last, val_metric=final.loc[missing])
    return pd.concat([frame, ends], ignore_index=True)


def _experiment(frame: pd.DataFrame, declared: Declaration, name: str) -> Experiment:
    def values(column: str) -> list[Any]:
        return sorted(frame[column].unique().tolist())

    taken = frame.loc[frame["spectrum"].notna(), "epoch"]
    content = {
        "name": name,
        "task": {"name": declared.task},
        "networks": {column: values(column) for column in ("architecture", "hidden_size", "num_layers")},
        "training": {"epochs": int(frame["epoch"].max())},
        "spectrum": {
            "epochs": sorted(taken.unique().tolist()), "state": declared.state, "inputs": declared.inputs,
        },
    }  # fmt: skip
    return parse_experiment(content, source="import")


def _records(frame: pd.DataFrame, declared: Declaration, experiment: Experiment, file: Path) -> pa.Table:
    taken = frame["spectrum"].notna()
    constant = {
        "experiment": experiment.name, "cohort": "imported", "task": declared.task, "metric_name": declared.metric,
        "higher_is_better": declared.higher_is_better, "spectrum_state": declared.state,
        "spectrum_inputs": declared.inputs,
    }  # fmt: skip
    for name, value in constant.items():
        frame[name] = pd.Series([value] * len(frame), dtype=object)
    frame.loc[~taken, ["spectrum_state", "spectrum_inputs"]] = None
    frame["trusted_count"] = [
        len(s) if known else None for s, known in zip(frame["spectrum"], taken, strict=True)
    ]
    columns = []
    for column in SCHEMA:
        values = frame[column.name].tolist() if column.name in frame else [None] * len(frame)
        try:
            columns.append(pa.array(values, column.type, from_pandas=True))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise SpectraFileError(f"{file}: column {column.name!r}: {first_line(error)}") from None
    return pa.Table.from_arrays(columns, schema=SCHEMA)
