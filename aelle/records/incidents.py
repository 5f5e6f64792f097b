"""Networks that failed or were stopped early, one line of JSON each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aelle.records.folder import ExperimentFolder


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
