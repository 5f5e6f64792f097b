"""Networks that failed or were stopped early, one line of JSON each."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aelle.records.folder import ExperimentFolder, RecordsError


def append_failure(folder: ExperimentFolder, failure: Mapping[str, Any]) -> None:
    """Append one failure as a line of JSON; raises RecordsError where it cannot be written."""
    _append(folder.failures, failure)


def append_pruned(folder: ExperimentFolder, network_id: str, epoch: int, reason: str) -> None:
    """Append one network that was stopped early as a line of JSON."""
    _append(folder.pruned, {"network_id": network_id, "epoch": epoch, "reason": reason})


def _append(path: Path, content: Mapping[str, Any]) -> None:
    """Append a line of JSON, in one piece; after a line that a kill left unfinished it begins a new one."""
    line = json.dumps(dict(content)).encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as stream:
            if stream.seek(0, os.SEEK_END):
                stream.seek(-1, os.SEEK_END)
                line = line if stream.read(1) == b"\n" else b"\n" + line
            stream.write(line)
    except OSError as error:
        raise RecordsError(f"{path}: cannot be written: {error.strerror or error}") from error


def read_failures(folder: ExperimentFolder) -> list[dict[str, Any]]:
    """All recorded failures; an unfinished line is passed over."""
    if not folder.failures.exists():
        return []
    failures = []
    for line in folder.failures.read_text(encoding="utf-8").splitlines():
        try:
            failures.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return failures
