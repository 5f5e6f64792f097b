"""What is written and read: the record schema, the folder layout, atomic writes and the resume ledger.

    artifacts/<experiment>/
      experiment.toml                       the resolved experiment
      records/<cohort>/epoch-0003.parquet   one atomic file an epoch; a finished cohort is records/<cohort>.parquet
      checkpoints/<cohort>.safetensors      state after the last recorded epoch
      failures.jsonl                        what failed, why, and the command that reruns it
      pruned.jsonl                          which networks were stopped early, and why

One row is one network at one epoch. `pd.read_parquet("artifacts/x/records")` just works.
"""

from __future__ import annotations

import html
import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

SCHEMA = pa.schema(
    [
        ("network_id", pa.string()),
        ("cohort", pa.string()),
        ("experiment", pa.string()),
        ("task", pa.string()),
        ("architecture", pa.string()),
        ("hidden_size", pa.int32()),
        ("num_layers", pa.int32()),
        ("bias", pa.bool_()),
        ("init_scale", pa.float64()),  # p of U(±p), on every recurrent parameter
        ("init_gain", pa.float64()),  # p·sqrt(hidden_size)
        ("learning_rate", pa.float64()),
        ("dropout", pa.float64()),
        ("weight_decay", pa.float64()),
        ("batch_size", pa.int32()),
        ("seed", pa.int64()),
        ("epoch", pa.int32()),  # 0 is before training
        ("train_loss", pa.float64()),
        ("val_loss", pa.float64()),
        ("val_metric", pa.float64()),
        ("metric_name", pa.string()),
        ("higher_is_better", pa.bool_()),
        ("status", pa.string()),  # ok, diverged, failed or pruned
        ("spectrum", pa.list_(pa.float32())),  # descending, nats per step; null where not taken
        ("spectrum_se", pa.list_(pa.float32())),  # standard error of each exponent
        ("spectrum_std", pa.list_(pa.float32())),  # temporal standard deviation of local exponents
        ("spectrum_state", pa.string()),  # full or hidden
        ("spectrum_inputs", pa.string()),  # validation or noise
        ("trusted_count", pa.int32()),
        ("certificate", pa.float64()),
        ("weight_statistics", pa.map_(pa.string(), pa.float32())),  # where the spectrum was taken
        ("layer_sizes", pa.list_(pa.int32())),  # state size of each layer
        ("train_seconds", pa.float64()),
        ("spectrum_seconds", pa.float64()),
        # Only where [spectrum] also asks for them; files of earlier versions lack these columns.
        ("spectrum_hidden", pa.list_(pa.float32())),  # as `spectrum`, with state = "hidden"
        ("spectrum_noise", pa.list_(pa.float32())),  # as `spectrum`, with inputs = "noise"
        ("readout_growth", pa.list_(pa.float32())),  # nats at each of growth_lags(sequence length)
        ("also_seconds", pa.float64()),  # what these three cost together
    ]
)
LATER_COLUMNS = ("spectrum_hidden", "spectrum_noise", "readout_growth", "also_seconds")
STATUSES = ("ok", "diverged", "failed", "pruned")
TIMINGS = (
    "train_seconds",
    "spectrum_seconds",
    "also_seconds",
)  # the only columns in which two equal runs may differ


Where = Mapping[str, Any]  # by column: the value wanted, or a list of values


class RecordsError(ValueError):
    """Records that cannot be read or written; the message names the file and what would be right."""


@dataclass(frozen=True)
class ExperimentFolder:
    """The paths of one experiment's folder. Creating it touches no file."""

    root: Path

    @property
    def experiment_file(self) -> Path:
        """The resolved experiment."""
        return self.root / "experiment.toml"

    @property
    def records(self) -> Path:
        """The folder of all records."""
        return self.root / "records"

    @property
    def checkpoints(self) -> Path:
        """The folder of cohort checkpoints."""
        return self.root / "checkpoints"

    @property
    def failures(self) -> Path:
        """One JSON object a failure."""
        return self.root / "failures.jsonl"

    @property
    def pruned(self) -> Path:
        """One JSON object a network that was stopped early, with the reason."""
        return self.root / "pruned.jsonl"

    @property
    def autoencoder(self) -> Path:
        """The folder of the fitted autoencoder: weights.safetensors and model.json."""
        return self.root / "autoencoder"

    @property
    def latents(self) -> Path:
        """Latents of every network and epoch."""
        return self.root / "latents.parquet"

    @property
    def predictions(self) -> Path:
        """Cross-validated predictions of every method, epoch and network."""
        return self.root / "predictions.parquet"

    @property
    def report(self) -> Path:
        """The prediction report as JSON; report.html stands beside it."""
        return self.root / "report.json"

    @property
    def page(self) -> Path:
        """The standalone explorer page."""
        return self.root / "explorer.html"

    def finished_file(self, cohort: str) -> Path:
        """The one file of a finished cohort."""
        return self.records / f"{cohort}.parquet"

    def epoch_file(self, cohort: str, epoch: int) -> Path:
        """One epoch of a running cohort."""
        return self.records / cohort / f"epoch-{epoch:04d}.parquet"

    def checkpoint(self, cohort: str) -> Path:
        """The state of a running cohort after its last recorded epoch."""
        return self.checkpoints / f"{cohort}.safetensors"

    def require(self) -> ExperimentFolder:
        """Return self where this is an experiment's folder.

        Raises:
            RecordsError: where the folder is missing or holds no experiment.
        """
        if not self.root.is_dir():
            raise RecordsError(f"{self.root}: no such folder; collect records first with `aelle collect`")
        if not self.experiment_file.is_file():
            raise RecordsError(f"{self.root}: not an experiment's folder (it holds no experiment.toml)")
        return self


@contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that appears under `path` whole or not at all, whatever kills the process meanwhile.

    Raises:
        RecordsError: where the disk is full or the folder cannot be written.
    """
    # A leading dot keeps the unfinished file out of every Parquet reader's listing.
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}.partial"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise RecordsError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_partial_files(folder: ExperimentFolder) -> None:
    """Remove what writers that were killed left unfinished. Only for the one process that may write."""
    for place in (folder.root, folder.records, folder.checkpoints):
        for partial in place.glob("**/.*.partial" if place == folder.records else ".*.partial"):
            partial.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file atomically."""
    with atomic(path) as stream:
        stream.write(content)


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically; NaN is refused, since JSON has none."""
    write_bytes(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def write_frame(path: Path, frame: pd.DataFrame) -> None:
    """Write a data frame as Parquet atomically."""
    write_table(path, pa.Table.from_pandas(frame, preserve_index=False))


def write_table(path: Path, table: pa.Table) -> None:
    """Write an Arrow table as Parquet atomically."""
    with atomic(path) as stream:
        pq.write_table(table, stream, compression="zstd")


def write_epoch(folder: ExperimentFolder, cohort: str, epoch: int, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one epoch of a cohort, one row a network; columns that a row lacks are null.

    Raises:
        RecordsError: for an unknown column, a wrong type, or a folder that cannot be written.
    """
    rows = [dict(row) for row in rows]
    unknown = {name for row in rows for name in row} - set(SCHEMA.names)
    if unknown:
        raise RecordsError(f"unknown record columns: {', '.join(sorted(unknown))}")
    try:
        table = pa.Table.from_pylist(rows, schema=SCHEMA)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise RecordsError(f"cohort {cohort}, epoch {epoch}: {error}") from error
    write_table(folder.epoch_file(cohort, epoch), table)


def finish_cohort(folder: ExperimentFolder, cohort: str) -> None:
    """Merge a cohort's epoch files into one and remove them; safe to repeat after a kill at any point."""
    parts = sorted((folder.records / cohort).glob("epoch-*.parquet"))
    if parts:
        write_table(folder.finished_file(cohort), pa.concat_tables([read_table(part) for part in parts]))
    discard_epochs(folder, cohort)


def discard_epochs(folder: ExperimentFolder, cohort: str, after: int = -1) -> None:
    """Remove a cohort's epoch files later than `after`, and the folder once it is empty."""
    directory = folder.records / cohort
    for part in directory.glob("epoch-*.parquet"):
        if int(part.stem.removeprefix("epoch-")) > after:
            part.unlink(missing_ok=True)
    if directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()


def read_table(path: Path, columns: list[str] | None = None, where: Where | None = None) -> pa.Table:
    """Read one Parquet file of records; columns that came with a later version are null where it lacks them.

    `where` keeps the rows in which every column named has that value, or one of those values.

    Raises:
        RecordsError: for a corrupt file or one of another schema.
    """
    try:
        with pq.ParquetFile(path) as file:
            # Unlike pq.read_table, this passes over columns that the file lacks.
            if where is None:
                table = file.read(columns=columns)
            else:
                known = [name for name in columns or SCHEMA.names if name in file.schema_arrow.names]
                table = pq.read_table(path, columns=known, use_threads=False, filters=_filters(where))
    except FileNotFoundError:
        raise RecordsError(f"{path}: no such file") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise RecordsError(
            f"{path}: not a readable Parquet file ({_first_line(error)}); remove it and rerun"
        ) from error
    missing = [name for name in (columns or SCHEMA.names) if name not in table.column_names]
    for name in [name for name in missing if name in LATER_COLUMNS]:
        table = table.append_column(SCHEMA.field(name), pa.nulls(len(table), SCHEMA.field(name).type))
        missing.remove(name)
    if missing:
        raise RecordsError(f"{path}: not a file of records; it lacks the columns {', '.join(missing[:5])}")
    return table


def _filters(where: Where) -> list[tuple[str, str, list[Any]]]:
    """The same as Arrow writes it; row groups whose statistics rule it out are not decoded."""
    for name in where:
        if name not in SCHEMA.names or name in LATER_COLUMNS:
            raise RecordsError(f"records cannot be filtered by {name!r}")
    return [
        (name, "in", list(wanted) if isinstance(wanted, list | tuple) else [wanted])
        for name, wanted in where.items()
    ]


_BRIEFLY = (
    "task", "architecture", "hidden_size", "num_layers", "init_gain", "learning_rate", "dropout", "train_loss",
    "val_loss", "val_metric", "status",
)  # fmt: skip


class Records(pd.DataFrame):
    """Records as a data frame that notebooks show in brief; whatever is taken out of it is a plain data frame."""

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return pd.DataFrame

    def _repr_html_(self) -> str:
        varying = [name for name in _BRIEFLY if name in self and self[name].nunique(dropna=False) > 1]
        names = [name for name in ("network_id", "epoch", *varying, "spectrum") if name in self]
        shown = pd.DataFrame(self[names].head(8))
        if "spectrum" in shown:
            shown["spectrum"] = [
                "" if s is None or not len(s) else f"{len(s)} exponents from {s[0]:.3f}"
                for s in shown["spectrum"]
            ]
        words = [f"{len(self):,} records"]
        if "network_id" in self:
            words = [f"{words[0]} of {self['network_id'].nunique():,} networks"]
        words += [
            str(self[name].iloc[0]) for name in ("experiment", "metric_name") if name in self and len(self)
        ]
        table = shown.to_html(index=False, border=0, na_rep="", float_format="{:.4g}".format)
        return f"<p>{html.escape(' · '.join(words))}; {len(self.columns)} columns, in brief:</p>{table}"


def read_records(
    folder: ExperimentFolder | str | Path, columns: list[str] | None = None, where: Where | None = None
) -> Records:
    """Read the records of an experiment, sorted by network and epoch, each pair once.

    `columns` limits what is read; network_id and epoch always come along. `where` limits the rows:
    `{"architecture": "lstm", "epoch": [0, 1]}`. List columns hold numpy arrays.

    Raises:
        RecordsError: for a missing or empty folder, a corrupt file, or a file of another schema.
    """
    table = read_arrow(folder, columns, where)
    order = _sorted_once(table)
    with ThreadPoolExecutor() as pool:
        ordered = pool.map(lambda column: _taken(column, order), table.columns)
        return Records(pa.table(list(ordered), schema=table.schema).to_pandas())


def _taken(column: pa.ChunkedArray, order: pa.Array) -> pa.Array:
    """The column in that order. One piece at a time: out of hundreds, Arrow picks several times slower."""
    if column.null_count == len(column):
        return pa.nulls(len(order), column.type)
    return column.combine_chunks().take(order)


def _sorted_once(table: pa.Table) -> pa.Array:
    """Positions of the rows by network and epoch, the first of each pair.

    A kill between writing a cohort's one file and removing its parts leaves pairs twice.
    """
    # Ten times faster than sorting by two columns: the few names are sorted, the rows by one whole number.
    encoded = table["network_id"].combine_chunks().dictionary_encode()
    rank = np.argsort(pc.sort_indices(encoded.dictionary).to_numpy())
    epochs = table["epoch"].to_numpy().astype(np.int64)
    key = rank[encoded.indices.to_numpy()] * (epochs.max(initial=0) + 1) + epochs
    order = np.argsort(key, kind="stable")
    return pa.array(order[np.diff(key[order], prepend=-1) > 0])


def read_arrow(
    folder: ExperimentFolder | str | Path, columns: list[str] | None = None, where: Where | None = None
) -> pa.Table:
    """Read records as they lie in the files, unsorted, as an Arrow table; arguments and errors as `read_records`."""
    root = (folder.root if isinstance(folder, ExperimentFolder) else Path(folder)).resolve()
    records = ExperimentFolder(root).require().records
    files = sorted(p for p in records.rglob("*.parquet") if not p.name.startswith("."))
    if not files:
        raise RecordsError(f"{records}: holds no records yet; run `aelle collect` first")
    if columns is not None:
        columns = list(dict.fromkeys(["network_id", "epoch", *columns]))
    with ThreadPoolExecutor() as pool:
        return pa.concat_tables(pool.map(lambda file: read_table(file, columns, where), files))


def weight_statistics_frame(records: pd.DataFrame) -> pd.DataFrame:
    """Spread the weight_statistics map into one float column a statistic; NaN where a network lacks it."""
    return pd.DataFrame([dict(row or ()) for row in records["weight_statistics"]], index=records.index)


def append_failure(folder: ExperimentFolder, failure: Mapping[str, Any]) -> None:
    """Append one failure as a line of JSON."""
    _append(folder.failures, failure)


def append_pruned(folder: ExperimentFolder, network_id: str, epoch: int, reason: str) -> None:
    """Append one network that was stopped early as a line of JSON."""
    _append(folder.pruned, {"network_id": network_id, "epoch": epoch, "reason": reason})


def _append(path: Path, content: Mapping[str, Any]) -> None:
    """Append a line of JSON; one this short is written in one piece."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(dict(content)) + "\n")


def read_failures(folder: ExperimentFolder) -> list[dict[str, Any]]:
    """All recorded failures; an unfinished last line is passed over."""
    if not folder.failures.exists():
        return []
    failures = []
    for line in folder.failures.read_text(encoding="utf-8").splitlines():
        try:
            failures.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return failures


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
