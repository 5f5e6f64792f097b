"""Records read from their files, all of them or those wanted."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aelle.records.folder import ExperimentFolder, RecordsError
from aelle.records.frame import Records
from aelle.records.schema import LATER_COLUMNS, SCHEMA

Where = Mapping[str, Any]  # by column: the value wanted, or a list of values


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
    if columns is not None:
        columns = list(dict.fromkeys(["network_id", "epoch", *columns]))
    while True:
        files = record_files(records)
        if not files:
            raise RecordsError(f"{records}: holds no records yet; run `aelle collect` first")
        try:
            with ThreadPoolExecutor() as pool:
                return pa.concat_tables(pool.map(lambda file: read_table(file, columns, where), files))
        except RecordsError:
            # A collection at work merges a cohort's files into one and removes them.
            if all(file.exists() for file in files):
                raise


def record_files(records: Path) -> list[Path]:
    """The finished files of records in a folder and below, in the order of their names."""
    while True:
        # A folder that a collection at work removes while it is listed fails the listing.
        with suppress(FileNotFoundError):
            return sorted(path for path in records.rglob("*.parquet") if not path.name.startswith("."))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
