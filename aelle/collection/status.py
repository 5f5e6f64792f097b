"""How far a collection has come, read from its files alone; it may be running or not."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock, Timeout

from aelle.collection.ledger import is_imported, network_count, read_ledger
from aelle.collection.search_space import variants
from aelle.collection.time_left import COLUMNS, at_work, in_words, seconds_left
from aelle.config import Experiment, load_experiment
from aelle.records import (
    ExperimentFolder,
    carries_digest,
    network_states,
    out_of_step,
    read_arrow,
    read_failures,
    record_files,
)
from aelle.words import printable

if sys.platform != "win32":
    import fcntl


@dataclass(frozen=True)
class Status:
    """Counts of one collection. `network_epochs` of a network that stopped early count to its end.

    `seconds_left` is an estimate, of a collection at work alone, and None until something tells.
    """

    experiment: str
    running: bool
    networks: int
    network_epochs_total: int
    last_failure: str | None = None
    started: int = 0
    finished: int = 0
    diverged: int = 0
    failed: int = 0
    pruned: int = 0
    network_epochs: int = 0
    best_metric: float | None = None
    metric_name: str | None = None
    seconds_left: float | None = None
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        share = self.network_epochs / max(self.network_epochs_total, 1)
        lines = [
            f"{self.experiment}: {'running' if self.running else 'not running'}, {share:.0%} done",
            f"  networks    {self.finished} of {self.networks} finished, {self.started} started",
            f"  outcomes    {self.diverged} diverged, {self.failed} failed, {self.pruned} pruned",
        ]
        if self.seconds_left is not None:
            lines.append(f"  time left   {in_words(self.seconds_left)}")
        if self.best_metric is not None:
            lines.append(f"  best so far {self.best_metric:.4g} ({self.metric_name})")
        if self.last_failure:
            lines.append(f"  last failure: {self.last_failure}")
        lines += [f"  note: {note}" for note in self.notes]
        return printable("\n".join(lines))


def status(folder: ExperimentFolder) -> Status:
    """Read the status of a collection.

    Raises:
        RecordsError: where the folder is not an experiment's, or a record file is corrupt.
        ConfigError: where its experiment.toml cannot be read.
    """
    experiment = load_experiment(folder.require().experiment_file)
    networks = network_count(folder) or len(variants(experiment))
    epochs = experiment.training.epochs
    found = Status(experiment.name, _is_locked(folder), networks, networks * (epochs + 1))
    if not record_files(folder.records):
        return found
    records = read_arrow(folder, ["status", "val_metric", "metric_name", "higher_is_better", *COLUMNS])
    states = network_states(records, epochs, sparse=is_imported(folder))
    ended = states[states["complete"]]
    outcomes = ended["status"].value_counts()
    metrics = records.filter(pc.field("val_metric").is_valid() & ~pc.field("val_metric").is_nan())[
        "val_metric"
    ]
    best = pc.max(metrics) if records["higher_is_better"][0].as_py() else pc.min(metrics)
    running = states.loc[~states["complete"], "rows"].clip(upper=epochs)
    return replace(
        found,
        last_failure=_last_failure(folder) if "failed" in outcomes else None,
        notes=_notes(folder),
        started=len(states),
        finished=len(ended),
        diverged=int(outcomes.get("diverged", 0)),
        failed=int(outcomes.get("failed", 0)),
        pruned=int(outcomes.get("pruned", 0)),
        network_epochs=len(ended) * (epochs + 1) + int(running.sum()),
        best_metric=best.as_py(),
        seconds_left=_seconds_left(folder, records, states, experiment) if found.running else None,
        metric_name=records["metric_name"][0].as_py(),
    )


def _seconds_left(
    folder: ExperimentFolder, records: pa.Table, states: pd.DataFrame, experiment: Experiment
) -> float | None:
    rows = records.select(["network_id", "epoch", *COLUMNS]).to_pandas()
    return seconds_left(rows, states, read_ledger(folder), at_work(folder), experiment)


def _notes(folder: ExperimentFolder) -> list[str]:
    bare = sum(not carries_digest(file) for file in record_files(folder.records))
    said = [
        f"{bare} files of records carry no digest (an earlier version wrote them); damage to them goes unseen"
    ]
    return out_of_step(folder) + (said if bare else [])


def _last_failure(folder: ExperimentFolder) -> str | None:
    """Cause of the last failure of a network that has not succeeded since."""
    causes = [str(failure["cause"]) for failure in read_failures(folder) if failure["cause"]]
    return causes[-1] if causes else None


def _is_locked(folder: ExperimentFolder) -> bool:
    """Whether a collection holds the folder's lock; looking takes no lock from it, and leaves no file."""
    path = folder.root / ".collect.lock"
    if sys.platform == "win32":
        return _is_locked_by_trying(path)
    try:
        with path.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except OSError:  # no lock was ever taken, or a folder that may not be read
        return False


def _is_locked_by_trying(path: Path) -> bool:
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:
        return False
