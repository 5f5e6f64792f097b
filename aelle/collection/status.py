"""How far a collection has come, read from its files alone; it may be running or not."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock, Timeout

from aelle.collection.ledger import network_count
from aelle.collection.search_space import variants
from aelle.config import load_experiment
from aelle.records import ExperimentFolder, read_arrow, read_failures, record_files


@dataclass(frozen=True)
class Status:
    """Counts of one collection. `network_epochs` of a network that stopped early count to its end."""

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
        if self.best_metric is not None:
            lines.append(f"  best so far {self.best_metric:.4g} ({self.metric_name})")
        if self.last_failure:
            lines.append(f"  last failure: {self.last_failure}")
        return "\n".join(lines)


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
    records = read_arrow(folder, ["status", "val_metric", "metric_name", "higher_is_better"])
    stopped = {
        name: records.filter(pc.field("status") == name)["network_id"].unique()
        for name in ("diverged", "failed", "pruned")
    }
    lasted = records.filter((pc.field("epoch") == epochs) & (pc.field("status") == "ok"))[
        "network_id"
    ].unique()
    ended = pa.concat_arrays([lasted, *stopped.values()]).unique()
    running = (
        records.filter(~pc.field("network_id").isin(ended))
        .group_by("network_id")
        .aggregate([("epoch", "max")])
    )
    metrics = records.filter(pc.field("val_metric").is_valid() & ~pc.field("val_metric").is_nan())[
        "val_metric"
    ]
    best = pc.max(metrics) if records["higher_is_better"][0].as_py() else pc.min(metrics)
    return replace(
        found,
        last_failure=_last_failure(folder, stopped["failed"]),
        started=len(ended) + len(running),
        finished=len(ended),
        diverged=len(stopped["diverged"]),
        failed=len(stopped["failed"]),
        pruned=len(stopped["pruned"]),
        network_epochs=len(ended) * (epochs + 1) + (pc.sum(running["epoch_max"]).as_py() or 0) + len(running),
        best_metric=best.as_py(),
        metric_name=records["metric_name"][0].as_py(),
    )


def _last_failure(folder: ExperimentFolder, failed: pa.ChunkedArray) -> str | None:
    """Cause of the last failure of a network that has not succeeded since."""
    if not len(failed):
        return None
    still = set(failed.to_pylist())
    causes = [str(f["cause"]) for f in read_failures(folder) if f.get("network_id") in still]
    return causes[-1] if causes else None


def _is_locked(folder: ExperimentFolder) -> bool:
    try:
        with FileLock(folder.root / ".collect.lock", timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # a folder that may only be read
        return False
