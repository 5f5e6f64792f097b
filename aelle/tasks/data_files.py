"""Where tasks find their data: a folder given, the folder in AELLE_DATA, or a download into a cache folder.

A folder is never written to and never filled by a download. Files whose SHA-256 is known are checked each
time they are read, wherever they come from.
"""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from aelle.files import read_plain
from aelle.tasks.task import TaskError
from aelle.words import first_line

DATA_VARIABLE = "AELLE_DATA"


@dataclass(frozen=True)
class DataFile:
    """One file: its path inside a data folder, and where it can be had with which SHA-256, where known.

    `alternatives` are other forms of the same content, which a folder may hold instead.
    """

    path: str
    sha256: str | None = None
    url: str | None = None
    alternatives: tuple[DataFile, ...] = ()


def locate(file: DataFile, data_folder: str | Path | None = None) -> Path:
    """Find a file, or download it, and check its hash.

    Looks in `data_folder`; where that is None, in the folder named by the environment variable AELLE_DATA;
    where that is unset or empty, in the user's cache folder, into which missing files are downloaded.

    Raises:
        TaskError: for a folder that does not exist, a file missing from it, a wrong hash, or a failed download.
    """
    given = data_folder if data_folder is not None else os.environ.get(DATA_VARIABLE) or None
    if given is None:
        return _downloaded(file)
    folder = Path(given).expanduser()
    if not folder.is_dir():
        origin = "[task] data_folder" if data_folder is not None else DATA_VARIABLE
        raise TaskError(f"the data folder {folder} ({origin}) does not exist")
    for form in (file, *file.alternatives):
        path = folder / form.path
        if path.is_file():
            if form.sha256 is not None:
                _check(path, form.sha256)
            return path
    others = f", nor {' or '.join(f.path for f in file.alternatives)}" if file.alternatives else ""
    raise TaskError(f"the data folder {folder} has no file {file.path}{others}")


def read_bytes(file: DataFile, data_folder: str | Path | None = None) -> bytes:
    """Content of a file that `locate` finds.

    Raises:
        TaskError: where it cannot be found or read.
    """
    return read_found(locate(file, data_folder))


def read_found(path: Path) -> bytes:
    """Content of a file.

    Raises:
        TaskError: where it cannot be read.
    """
    try:
        return read_plain(path)[0]
    except OSError as error:
        raise TaskError(f"{path}: cannot be read: {error.strerror or error}") from error


def _check(path: Path, expected: str) -> None:
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise TaskError(f"{path}: cannot be read: {error.strerror or error}") from error
    if found != expected:
        raise TaskError(
            f"{path}: its SHA-256 is {found[:12]}…, not {expected[:12]}…; the file is damaged or another one"
        )


def _downloaded(file: DataFile) -> Path:
    if file.url is None or file.sha256 is None:
        raise TaskError(
            f"{file.path} cannot be downloaded; name the folder that has it in [task] data_folder or {DATA_VARIABLE}"
        )
    import pooch  # slow to import, and only needed where nothing local was given

    pooch.get_logger().setLevel(logging.WARNING)
    target = Path(pooch.os_cache("aelle")) / file.path
    try:
        found = pooch.retrieve(file.url, f"sha256:{file.sha256}", fname=target.name, path=target.parent)
    # pooch passes on the errors of whichever downloader it used; all of them mean that there is no file.
    except Exception as error:
        raise TaskError(
            f"{file.path} could not be downloaded from {file.url}: {_reason(error)}; "
            f"or name a folder that has it in [task] data_folder or {DATA_VARIABLE}"
        ) from error
    return Path(found)


def _reason(error: BaseException) -> str:
    """The first line of what began it: a failed connection is reported by four libraries, each in more words."""
    if isinstance(error, OSError):
        while error.__context__ is not None:
            error = error.__context__
    return first_line(error)
