"""The records of a cohort: one file an epoch while it runs, one file once it is finished."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from aelle.records.atomic import write_table
from aelle.records.folder import ExperimentFolder, RecordsError
from aelle.records.reading import read_table
from aelle.records.schema import SCHEMA


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
