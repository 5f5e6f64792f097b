"""One cohort from its first missing epoch to its last: train, take spectra, write. Runs in a worker."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from aelle.collection.backend import Backend
from aelle.collection.measurement import Measurement, driving_sequences, measured_columns
from aelle.collection.search_space import Cohort
from aelle.collection.training import Epoch, NativeTraining, Trainee
from aelle.collection.versions import versions
from aelle.collection.weight_statistics import weight_statistics
from aelle.config import Experiment
from aelle.records import (
    BLANK,
    CohortRecords,
    DamagedFileError,
    ExperimentFolder,
    RecordsError,
    best_of,
    network_states,
    read_bytes,
    write_bytes,
)
from aelle.tasks.task import Task
from aelle.words import first_line

__all__ = ["CohortResult", "Job", "OnEpoch", "driving_sequences", "run_cohort"]

_OF_TRAINEE = ("train_loss", "val_loss", "val_metric", "train_seconds")

# Ids of networks to stop, or a mapping from them to the reason.
OnEpoch = Callable[[Sequence[dict[str, Any]]], Sequence[str] | Mapping[str, str]]


@dataclass
class Job:
    """What every cohort of an experiment needs besides itself.

    `on_epoch` is called with the rows of each epoch and returns the ids of networks to prune, or a mapping
    from them to the reason, which is then recorded as their `cause`. Networks of which `again` holds the ids
    are trained anew though they have ended.
    """

    experiment: Experiment
    folder: ExperimentFolder
    task: Task
    driving: Tensor
    on_epoch: OnEpoch | None = None
    backend: Backend = field(default_factory=Backend)
    noise: Tensor | None = None  # driving sequences of the spectrum under noise, where it is asked for
    again: frozenset[str] = frozenset()

    @property
    def measurement(self) -> Measurement:
        """What spectra are taken with."""
        return Measurement(self.experiment, self.task, self.driving, self.noise, self.backend.device)


@dataclass
class CohortResult:
    """What became of a cohort: final status by network, the failures with their causes, and what is to be said."""

    cohort_id: str
    statuses: dict[str, str]
    best_metric: float | None
    failures: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def run_cohort(
    job: Job, cohort: Cohort, report: Callable[[int], None] = lambda networks: None
) -> CohortResult:
    """Train a cohort to its end and record every epoch; `report` hears of each network-epoch done.

    What is left to do is what the records say: the networks that have not reached their end are trained, from the
    cohort's checkpoint where there is one. The order of writing (records, then checkpoint) makes a kill at any
    point cost at most the running epoch.
    """
    records = CohortRecords(job.folder, cohort.cohort_id, versions(job.backend.device))
    epochs, recorded = job.experiment.training.epochs, _ended(job, records)
    left = [v for v in cohort.variants if v.network_id not in recorded]
    result = CohortResult(cohort.cohort_id, recorded, None)
    report((len(cohort.variants) - len(left)) * (epochs + 1))
    if left:
        training, resumed = _start(job, Cohort(tuple(left)), records, result.notes)
        _show_recorded(job, records, resumed)
        report(sum(_epochs_done(t, resumed, epochs) for t in training.trainees))
        for epoch in training:
            _record(job, cohort, epoch, records, result)
            _write_checkpoint(job.folder, cohort.cohort_id, training)
            report(sum(_epochs_done(t, epoch.number, epochs) - epoch.number for t in epoch.trainees))
        result.statuses |= {t.variant.network_id: t.status for t in training.trainees}
    if not job.experiment.training.keep_checkpoints:
        job.folder.checkpoint(cohort.cohort_id).unlink(missing_ok=True)
    return result


def _ended(job: Job, records: CohortRecords) -> dict[str, str]:
    """Final status by network, of those of which nothing more is to be recorded."""
    states = network_states(records.rows, job.experiment.training.epochs)
    ended = states[states["complete"]]
    failed = ended.index.isin(job.again) & (ended["status"] == "failed")
    return {str(network): str(status) for network, status in ended.loc[~failed, "status"].items()}


def _record(job: Job, cohort: Cohort, epoch: Epoch, records: CohortRecords, result: CohortResult) -> None:
    """Take the spectra of an epoch, ask which networks to stop, and write all of it down at once."""
    spectra = _spectra(job, epoch)
    rows = [_row(job, cohort, epoch, t) | spectra.get(t.variant.network_id, {}) for t in epoch.trainees]
    result.failures += [_failure(epoch, t) for t in epoch.trainees if t.status == "failed"]
    _prune(job, epoch, rows)
    records.write_epoch(epoch.number, rows)
    known = [result.best_metric, *(row["val_metric"] for row in rows)]
    result.best_metric = best_of(known, job.task.higher_is_better)


def _epochs_done(trainee: Trainee, epoch: int, epochs: int) -> int:
    """Network-epochs that need no more work: a stopped network counts as done to its end."""
    return epoch + 1 if trainee.active else epochs + 1


def _row(job: Job, cohort: Cohort, epoch: Epoch, trainee: Trainee) -> dict[str, Any]:
    variant = trainee.variant
    row = {"network_id": variant.network_id, "task": variant.task, "seed": variant.seed}
    row |= variant.hyperparameters
    row |= {name: getattr(trainee, name) for name in _OF_TRAINEE}
    row |= {
        "cohort": cohort.cohort_id,
        "experiment": job.experiment.name,
        "epoch": epoch.number,
        "metric_name": job.task.metric_name,
        "higher_is_better": job.task.higher_is_better,
        "layer_sizes": trainee.network.layer_sizes,
    }
    if job.experiment.spectrum.at(epoch.number):  # the baseline that spectra are compared with
        row["weight_statistics"] = weight_statistics(trainee.network)
    return row | {"status": trainee.status, "cause": trainee.error, "cause_at": trainee.error_line}


def _spectra(job: Job, epoch: Epoch) -> dict[str, dict[str, Any]]:
    """Spectrum columns of an epoch's active networks, by network id; a spectrum that fails fails its network."""
    due = [trainee for trainee in epoch.trainees if trainee.active]
    if not due or not job.experiment.spectrum.at(epoch.number):
        return {}
    if job.backend.device != "cpu" and job.experiment.spectrum.look == "full":
        # One batch for the whole cohort; should it fail, one by one tells which network is to blame.
        with suppress(Exception):
            return measured_columns(job.measurement, due)
    columns: dict[str, dict[str, Any]] = {}
    for trainee in due:
        try:
            columns |= measured_columns(job.measurement, [trainee])
        except Exception as error:
            trainee.fail(error)
    return columns


def _prune(job: Job, epoch: Epoch, rows: list[dict[str, Any]]) -> None:
    """Stop the networks that `on_epoch` names, for the reason that it may give."""
    asked = job.on_epoch(rows) if job.on_epoch is not None else ()
    for trainee, row in zip(epoch.trainees, rows, strict=True):
        if trainee.active and row["network_id"] in asked:
            trainee.status = row["status"] = "pruned"
            row["cause"] = asked[row["network_id"]] if isinstance(asked, Mapping) else None


def _show_recorded(job: Job, records: CohortRecords, resumed: int) -> None:
    """Show `on_epoch` the epochs recorded before, so that it knows what it would in an uninterrupted run."""
    if job.on_epoch is None:
        return
    rows = records.rows.to_pylist()
    for number in range(resumed + 1):
        job.on_epoch([row for row in rows if row["epoch"] == number])


def _failure(epoch: Epoch, trainee: Trainee) -> dict[str, Any]:
    return {
        "network_id": trainee.variant.network_id,
        "architecture": trainee.variant["architecture"],
        "epoch": epoch.number,
        "cause": trainee.error,
        "where": trainee.error_line,
    }


def _write_checkpoint(folder: ExperimentFolder, cohort_id: str, training: NativeTraining) -> None:
    statuses = {trainee.variant.network_id: trainee.status for trainee in training.trainees}
    metadata = {"epoch": str(training.next_epoch - 1), "statuses": json.dumps(statuses), "digest": BLANK}
    tensors = {name: tensor.contiguous() for name, tensor in training.state().items()}
    write_bytes(folder.checkpoint(cohort_id), save(tensors, metadata))


def _start(job: Job, left: Cohort, records: CohortRecords, notes: list[str]) -> tuple[NativeTraining, int]:
    """Build the training of what is left, from the checkpoint where it fits; with its epoch, -1 for none."""
    epochs = job.experiment.training.epochs
    training = job.backend.training(left, job.task, epochs)
    checkpoint = job.folder.checkpoint(records.cohort)
    epoch = -1
    if checkpoint.exists():
        try:
            epoch = _restore(checkpoint, records, training)
        except (OSError, RecordsError, SafetensorError, KeyError, TypeError, ValueError) as error:
            # The cohort starts anew and comes to the same records again.
            notes.append(f"{checkpoint}: cannot be resumed from ({_brief(error)}); its networks began anew")
            training = job.backend.training(left, job.task, epochs)
    records.drop([v.network_id for v in left.variants], after=epoch)
    return training, epoch


def _restore(checkpoint: Path, records: CohortRecords, training: NativeTraining) -> int:
    content = read_bytes(checkpoint)
    tensors = load(content)
    metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    epoch, statuses = int(metadata["epoch"]), json.loads(metadata["statuses"])
    for trainee in training.trainees:
        network = trainee.variant.network_id
        if statuses.get(network) != "ok" or not records.holds(network, epoch):
            raise ValueError("it is not of these records")
    training.restore(tensors, statuses, epoch)
    return epoch


def _brief(error: Exception) -> str:
    if isinstance(error, DamagedFileError):
        return error.what
    return first_line(error)
