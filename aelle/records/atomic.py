"""Files that appear whole or not at all."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from aelle.records.folder import ExperimentFolder, RecordsError


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
