"""Networks that failed or were stopped early. Why stands with their records; two files list them for people."""

from __future__ import annotations

import json
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from aelle.files import read_plain
from aelle.records.atomic import write_bytes
from aelle.records.folder import ExperimentFolder
from aelle.records.reading import read_arrow, record_files

_COLUMNS = ["network_id", "cohort", "architecture", "epoch", "cause", "cause_at", "status"]


def read_failures(folder: ExperimentFolder) -> list[dict[str, Any]]:
    """The networks whose last run failed: network_id, cohort, architecture, epoch, cause, where, and rerun.

    Raises:
        RecordsError: where the records cannot be read.
    """
    rerun = shlex.join(
        ["aelle", "collect", str(folder.experiment_file), "--output", str(folder.root), "--retry-failed"]
    )
    known = _known_causes(folder.failures)
    return [
        {
            "cohort": row["cohort"],
            "network_id": row["network_id"],
            "architecture": row["architecture"],
            "epoch": row["epoch"],
            "cause": row["cause"] or known.get(row["network_id"], {}).get("cause"),
            "where": row["cause_at"] or known.get(row["network_id"], {}).get("where"),
            "rerun": rerun,
        }
        for row in _stopped(folder, "failed")
    ]


def write_incidents(folder: ExperimentFolder) -> None:
    """Write failures.jsonl and pruned.jsonl as the records have it; without such networks there is no file.

    Raises:
        RecordsError: where the records cannot be read, or the files not be written.
    """
    pruned = [
        {"network_id": row["network_id"], "epoch": row["epoch"], "reason": row["cause"]}
        for row in _stopped(folder, "pruned")
        if row["cause"] is not None
    ]
    for path, lines in ((folder.failures, read_failures(folder)), (folder.pruned, pruned)):
        if lines:
            write_bytes(path, "".join(json.dumps(line) + "\n" for line in lines).encode())
        else:
            path.unlink(missing_ok=True)


def _stopped(folder: ExperimentFolder, status: str) -> list[dict[str, Any]]:
    if not record_files(folder.records):
        return []
    rows = read_arrow(folder, _COLUMNS, {"status": status})
    rows = rows.take(pc.sort_indices(rows, sort_keys=[("network_id", "ascending"), ("epoch", "ascending")]))
    found: list[dict[str, Any]] = rows.to_pylist()
    return found


def _known_causes(path: Path) -> dict[str, dict[str, Any]]:
    """Causes by network, of records that an earlier version wrote without; an unfinished line is passed over."""
    found = {}
    with suppress(OSError, UnicodeDecodeError):
        for line in read_plain(path)[0].decode("utf-8").splitlines():
            with suppress(ValueError, KeyError, TypeError):
                entry = json.loads(line)
                found[str(entry["network_id"])] = dict(entry)
    return found
