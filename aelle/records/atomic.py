"""Files that appear whole or not at all, and carry a digest of what they hold."""

from __future__ import annotations

import ctypes
import errno
import io
import json
import math
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from aelle.records.digest import BLANK, MADE_FROM, fill
from aelle.records.folder import ExperimentFolder, RecordsError

_SURELY_LEFT_SECONDS = 24 * 3600
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


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
        _sync_folder(path.parent)
    except OSError as error:
        raise RecordsError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Have the system keep the new name too, as `fsync` of a file keeps its content alone."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some network file systems cannot, and say so
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def remove_partial_files(folder: ExperimentFolder) -> None:
    """Remove what killed writers left unfinished. Only for the one process that may write records.

    Other commands may be writing elsewhere in the folder: there, only what has lain for a day is removed.
    """
    for place in (folder.records, folder.checkpoints):
        for partial in place.rglob(".*.partial"):
            partial.unlink(missing_ok=True)
    for place in (folder.root, folder.autoencoder):
        for partial in place.glob(".*.partial"):
            with suppress(FileNotFoundError):
                if time.time() - partial.stat().st_mtime > _SURELY_LEFT_SECONDS:
                    shutil.rmtree(partial) if partial.is_dir() else partial.unlink()


def put_in_place(made: Path, folder: Path) -> None:
    """Give a folder that was made beside it the name of another one; the other one, if any, is removed.

    On Linux the two are exchanged in one step, elsewhere the name is without a folder for an instant.

    Raises:
        RecordsError: where the system refuses.
    """
    try:
        if folder.exists() and not _exchanged(made, folder):
            folder.replace(aside := made.with_name(f"{made.name}-before.partial"))
            made.replace(folder)
            shutil.rmtree(aside, ignore_errors=True)
        elif not folder.exists():
            made.replace(folder)
        _sync_folder(folder.parent)
    except OSError as error:
        raise RecordsError(f"{folder}: cannot be written: {error.strerror or error}") from error
    shutil.rmtree(made, ignore_errors=True)


def _exchanged(first: Path, second: Path) -> bool:
    """Exchange the names of two folders in one step, where the system can."""
    try:
        exchange = ctypes.CDLL(None).renameat2  # Linux
    except (AttributeError, OSError, TypeError):
        return False
    return exchange(_HERE, os.fsencode(first), _HERE, os.fsencode(second), _EXCHANGE) == 0


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file atomically; a blank that it holds is filled with its digest (see `digest`)."""
    with atomic(path) as stream:
        stream.write(fill(content))


def write_json(path: Path, content: Any, made_from: Mapping[str, str] | None = None) -> None:
    """Write JSON atomically; NaN is refused, since JSON has none. An object gets a key `digest`."""
    if isinstance(content, dict):
        content = content | ({"made_from": dict(made_from)} if made_from else {}) | {"digest": BLANK}
    write_bytes(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def without_nan(content: Any) -> Any:
    """Put None where a number is NaN or infinite, at any depth, since JSON has no such numbers; keys become words."""
    if isinstance(content, dict):
        return {str(key): without_nan(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [without_nan(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def write_frame(path: Path, frame: pd.DataFrame, made_from: Mapping[str, str] | None = None) -> None:
    """Write a data frame as Parquet atomically."""
    write_table(path, pa.Table.from_pandas(frame, preserve_index=False), made_from)


def write_table(
    path: Path,
    table: pa.Table,
    made_from: Mapping[str, str] | None = None,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write an Arrow table as Parquet atomically, with its digest, and what it was made from, in the metadata."""
    stream = io.BytesIO()
    metadata = {**(notes or {}), "aelle.digest": BLANK}
    if made_from:
        metadata[MADE_FROM.decode()] = json.dumps(dict(made_from))
    # What the table was read from may have left it notes of its own.
    inherited = {k: v for k, v in (table.schema.metadata or {}).items() if not k.startswith(b"aelle.")}
    table = table.replace_schema_metadata(inherited)
    with pq.ParquetWriter(stream, table.schema, compression="zstd") as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(metadata)
    write_bytes(path, stream.getvalue())
