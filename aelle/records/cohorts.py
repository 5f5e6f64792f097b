"""The records of a cohort: one file that every epoch replaces whole, so that any reader finds each row once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from aelle.records.atomic import write_table
from aelle.records.folder import ExperimentFolder, RecordsError
from aelle.records.reading import read_table
from aelle.records.schema import SCHEMA

_Stamp = tuple[int, int, int] | None


class CohortRecords:
    """The records of one cohort in the hands of the one process that writes them.

    `versions` (of the libraries, and the device) are noted in the metadata of each file written.

    Raises:
        RecordsError: where they cannot be read; DamagedFileError where they are damaged.
    """

    def __init__(
        self, folder: ExperimentFolder, cohort: str, versions: Mapping[str, str] | None = None
    ) -> None:
        self._folder, self.cohort, self._versions = folder, cohort, dict(versions or {})
        files = folder.cohort_files(cohort)
        self._stamps: dict[Path, _Stamp] = {file: _stamp(file) for file in files}
        self._tables = {file: read_table(file) for file in files}

    @property
    def rows(self) -> pa.Table:
        """All rows there are."""
        return pa.concat_tables([SCHEMA.empty_table(), *self._tables.values()])

    def holds(self, network: str, epoch: int) -> bool:
        """Whether a network has a row at each epoch from 0 to this one, and was still in training there."""
        rows = self.rows
        own = pc.and_(pc.equal(rows["network_id"], network), pc.less_equal(rows["epoch"], epoch))
        own = pc.and_(own, pc.equal(rows["status"], "ok"))
        return len(rows.filter(own)["epoch"].unique()) == epoch + 1

    def write_epoch(self, epoch: int, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write one epoch, one row a network, in the place of what these networks have there.

        Columns that a row lacks are null.

        Raises:
            RecordsError: for an unknown column, a wrong type, a folder that cannot be written, or a file that
                another process has written meanwhile.
        """
        table = self._table(epoch, rows)
        file = self._folder.cohort_file(self.cohort, epoch)
        kept = self._tables.get(file, SCHEMA.empty_table())
        again = pc.and_(pc.equal(kept["epoch"], epoch), pc.is_in(kept["network_id"], table["network_id"]))
        self._write(file, pa.concat_tables([kept.filter(pc.invert(again)), table]))

    def drop(self, networks: Iterable[str], after: int = -1) -> None:
        """Drop the rows of networks that come later than an epoch, since they are to be made again."""
        wanted = pa.array(list(networks), pa.string())
        for file, table in reversed(list(self._tables.items())):
            dropped = pc.and_(pc.greater(table["epoch"], after), pc.is_in(table["network_id"], wanted))
            if pc.any(dropped).as_py():
                self._write(file, table.filter(pc.invert(dropped)))

    def _table(self, epoch: int, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
        rows = [dict(row) for row in rows]
        unknown = {name for row in rows for name in row} - set(SCHEMA.names)
        if unknown:
            raise RecordsError(f"unknown record columns: {', '.join(sorted(unknown))}")
        try:
            return pa.Table.from_pylist(rows, schema=SCHEMA)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise RecordsError(f"cohort {self.cohort}, epoch {epoch}: {error}") from error

    def _write(self, file: Path, table: pa.Table) -> None:
        """Replace a file, unless it is no longer the one that was read or written here last.

        A second collection may be at work where the file system keeps no locks, or a worker may wake up that was
        given up for lost. Neither may write over the other.
        """
        if _stamp(file) != self._stamps.get(file):
            raise RecordsError(
                f"{file}: was written by another process meanwhile; let one collection at a time work in a folder, "
                f"then rerun: nothing is lost"
            )
        notes = {"aelle.versions": json.dumps(self._versions)} if self._versions else None
        write_table(file, table, notes=notes)
        self._stamps[file], self._tables[file] = _stamp(file), table


def write_epoch(folder: ExperimentFolder, cohort: str, epoch: int, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one epoch of a cohort beside those it has; as `CohortRecords.write_epoch`."""
    CohortRecords(folder, cohort).write_epoch(epoch, rows)


def adopt_epoch_files(folder: ExperimentFolder) -> None:
    """Take over the cohorts that an earlier version left with one file an epoch; safe to repeat after a kill."""
    for directory in sorted({file.parent for file in folder.records.glob("*/epoch-*.parquet")}):
        records = CohortRecords(folder, directory.name)
        for part in sorted(directory.glob("epoch-*.parquet")):
            records.write_epoch(int(part.stem.removeprefix("epoch-")), read_table(part).to_pylist())
        for part in directory.glob("epoch-*.parquet"):
            part.unlink()
        if not any(directory.iterdir()):
            directory.rmdir()


def _stamp(file: Path) -> _Stamp:
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return (status.st_ino, status.st_mtime_ns, status.st_size)
