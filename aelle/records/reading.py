"""Records read from their files, all of them or those wanted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aelle.records.digest import open_parquet
from aelle.records.folder import DamagedFileError, ExperimentFolder, RecordsError
from aelle.records.frame import Records
from aelle.records.schema import LATER_COLUMNS, SCHEMA
from aelle.words import first_line

Where = Mapping[str, Any]  # by column: the value wanted, or a list of values


def read_table(path: Path, columns: list[str] | None = None, where: Where | None = None) -> pa.Table:
    """Read one Parquet file of records; columns that came with a later version are null where it lacks them.

    `where` keeps the rows in which every column named has that value, or one of those values.

    Raises:
        DamagedFileError: where it is not what was written, or no Parquet file.
        RecordsError: where it cannot be read, or is of another schema.
    """
    try:
        with open_parquet(path) as file:
            # Unlike pq.read_table, this passes over columns that the file lacks.
            names = columns or SCHEMA.names
            table = file.read(columns=columns) if where is None else _filtered(file, names, where)
    except KeyError as error:
        raise RecordsError(f"{path}: cannot be filtered: {error.args[0]}") from None
    except (pa.ArrowException, OSError) as error:
        raise DamagedFileError(path, f"not a readable Parquet file: {first_line(error)}") from error
    missing = [name for name in names if name not in table.column_names]
    for name in [name for name in missing if name in LATER_COLUMNS]:
        table = table.append_column(SCHEMA.field(name), pa.nulls(len(table), SCHEMA.field(name).type))
        missing.remove(name)
    if missing:
        raise RecordsError(f"{path}: not a file of records; it lacks the columns {', '.join(missing[:5])}")
    return table.select(names).replace_schema_metadata(None)


def _filtered(file: pq.ParquetFile, columns: list[str], where: Where) -> pa.Table:
    """The rows wanted, picked out file by file, so that the others never lie in memory together."""
    table = file.read(columns=list(dict.fromkeys([*columns, *where])))
    kept = pa.array(np.ones(len(table), dtype=bool))
    for name, wanted in where.items():
        values = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
        kept = pc.and_(kept, pc.is_in(table[name], value_set=pa.array(values, SCHEMA.field(name).type)))
    return table.select([name for name in columns if name in table.column_names]).filter(kept)


def _check(where: Where) -> None:
    for name, wanted in where.items():
        try:
            pa.array(wanted if isinstance(wanted, list | tuple) else [wanted], SCHEMA.field(name).type)
        except (KeyError, pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise RecordsError(
                f"records cannot be filtered by {name!r} = {wanted!r}: {first_line(error)}"
            ) from None


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

    Earlier versions left pairs twice where they were killed between writing a cohort's one file and removing its
    parts.
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
    if columns is not None:
        columns = list(dict.fromkeys(["network_id", "epoch", *columns]))
    _check(where or {})
    while True:
        files = record_files(records)
        if not files:
            raise RecordsError(f"{records}: holds no records yet; run `aelle collect` first")
        try:
            with ThreadPoolExecutor() as pool:
                return pa.concat_tables(pool.map(lambda file: read_table(file, columns, where), files))
        except RecordsError:
            # A collection at work takes over files of an earlier version, and removes them.
            if all(file.exists() for file in files):
                raise


def record_files(records: Path) -> list[Path]:
    """The finished files of records in a folder and below, in the order of their names.

    Raises:
        RecordsError: where a folder cannot be listed.
    """
    found: list[Path] = []
    pending = [records]
    while pending:
        folder = pending.pop()
        try:
            entries = list(os.scandir(folder))
        except FileNotFoundError:  # not made yet, or removed meanwhile by a collection at work
            continue
        except OSError as error:
            raise RecordsError(f"{folder}: cannot be listed: {error.strerror or error}") from error
        pending += [Path(entry) for entry in entries if entry.is_dir(follow_symlinks=False)]
        found += [
            Path(entry)
            for entry in entries
            if entry.name.endswith(".parquet") and not entry.name.startswith(".") and entry.is_file()
        ]
    return sorted(found)


def network_states(table: pa.Table, epochs: int, sparse: bool = False) -> pd.DataFrame:
    """What the records say of every network, by `network_id`: `last_epoch`, `status` there, `rows`, `complete`.

    A network is complete where it has a row at each epoch from 0 to its last, and the last is `epochs` or one
    whose status is not "ok". `sparse` records, such as imported ones, need not have the epochs between.

    Args:
        table: records with network_id, epoch and status, in any order.
        epochs: the last epoch of training.
    """
    frame = table.select(["network_id", "epoch", "status"]).to_pandas(strings_to_categorical=True)
    frame = frame.drop_duplicates(["network_id", "epoch"]).sort_values("epoch", kind="stable")
    groups = frame.groupby("network_id", observed=True, sort=False)
    states = groups.agg(last_epoch=("epoch", "last"), status=("status", "last"), rows=("epoch", "size"))
    states["status"] = states["status"].astype(str)
    reached = (states["last_epoch"] >= epochs) | (states["status"] != "ok")
    states["complete"] = reached & (sparse | (states["rows"] == states["last_epoch"] + 1))
    return states
