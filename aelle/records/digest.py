"""Digests that files carry inside themselves, so that damage is seen wherever a file has been copied.

A writer leaves a blank in the one place its format has for words (Parquet and safetensors: metadata; JSON: a key;
TOML: a comment). The digest is taken of the whole content with the blank, and then fills it. Content and digest so
appear together or not at all, and there is no list of digests that could fall out of step with the files.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from aelle.files import read_plain
from aelle.records.folder import DamagedFileError, RecordsError
from aelle.words import first_line

_BEFORE, _AFTER, _LENGTH = b"aelle-sha256:", b":end-of-aelle-sha256", 64
BLANK = (_BEFORE + b"0" * _LENGTH + _AFTER).decode()
COMMENT = f"# digest: {BLANK}\n"  # the first line of a TOML file
MADE_FROM = b"aelle.made_from"

# Files of this process found whole: by path, what the system says of the file (a changed one is another file).
_whole: dict[Path, tuple[int, int, int]] = {}


def fill(content: bytes) -> bytes:
    """Fill the last blank of a file's content with its digest; content without one stays as it is."""
    place = content.rfind(BLANK.encode())
    if place < 0:
        return content
    digest = hashlib.sha256(content).hexdigest().encode()
    start = place + len(_BEFORE)
    return content[:start] + digest + content[start + _LENGTH :]


def is_whole(content: bytes) -> bool | None:
    """Say whether content is what its digest was taken of; None where it carries no digest."""
    # One flipped bit breaks the mark before the digest or the one after it, never both.
    place = content.rfind(_BEFORE)
    if place < 0:
        return None if _AFTER not in content else False
    start = place + len(_BEFORE)
    digest = hashlib.sha256(content[:start])
    digest.update(b"0" * _LENGTH)
    digest.update(content[start + _LENGTH :])
    return digest.hexdigest().encode() == content[start : start + _LENGTH]


def digest_of(path: Path) -> str:
    """The digest a file carries; of a file without one (of an earlier version), the SHA-256 of its content.

    Raises:
        RecordsError: where the file cannot be read.
    """
    content = read_bytes(path)
    place = content.rfind(_BEFORE)
    if place < 0:
        return hashlib.sha256(content).hexdigest()
    return content[place + len(_BEFORE) :][:_LENGTH].decode()


def carries_digest(path: Path) -> bool:
    """Whether damage to a file would be seen. Files of earlier versions carry no digest.

    Raises:
        RecordsError: where it cannot be read, or is damaged.
    """
    return _BEFORE in read_bytes(path)


def read_bytes(path: Path, again: bool = False) -> bytes:
    """Read a whole file, and compare it with the digest it carries: once per process, or `again`.

    Raises:
        DamagedFileError: where the two differ.
        RecordsError: where the system refuses to give the file; the message has its reason.
    """
    try:
        content, status = read_plain(path)
    except FileNotFoundError:
        raise RecordsError(f"{path}: no such file") from None
    except OSError as error:
        raise RecordsError(f"{path}: cannot be read: {error.strerror or error}") from error
    stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
    if again or _whole.get(path) != stamp:
        if is_whole(content) is False:
            raise DamagedFileError(path, "its content is not what its digest was taken of")
        _whole[path] = stamp
    return content


def read_json(path: Path) -> Any:
    """Read JSON written by `write_json`, without the digest.

    Raises:
        DamagedFileError: where it is no JSON, or not what was written.
        RecordsError: where it cannot be read.
    """
    try:
        content = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, RecordsError):
            raise
        raise DamagedFileError(path, f"not valid JSON: {error}") from None
    if isinstance(content, dict):
        content.pop("digest", None)
    return content


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a Parquet file that was read whole and compared with its digest.

    Raises:
        DamagedFileError: where it is damaged, or no Parquet file.
        RecordsError: where it cannot be read.
    """
    content = read_bytes(path)
    try:
        return pq.ParquetFile(pa.BufferReader(content))
    except (pa.ArrowException, OSError) as error:
        reason = first_line(error)
        raise DamagedFileError(path, f"not a readable Parquet file: {reason}") from error


def made_from(path: Path) -> dict[str, str]:
    """What a derived file says it was made from: digests by name; empty where it says nothing.

    Raises:
        RecordsError: where it cannot be read, or is damaged.
    """
    if path.suffix == ".json":
        content = read_json(path)
        found = content.get("made_from") if isinstance(content, dict) else None
    else:
        try:
            found = json.loads((open_parquet(path).metadata.metadata or {}).get(MADE_FROM, b"{}"))
        except ValueError as error:
            if isinstance(error, RecordsError):
                raise
            found = None
    return {str(name): str(digest) for name, digest in found.items()} if isinstance(found, dict) else {}
