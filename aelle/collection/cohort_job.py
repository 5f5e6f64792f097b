"""One cohort from its first missing epoch to its last: train, take spectra, write. Runs in a worker."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from aelle.collection.backend import Backend
from aelle.collection.search_space import Cohort
from aelle.collection.training import Epoch, NativeTraining, Trainee
from aelle.collection.weight_statistics import weight_statistics
from aelle.config import Experiment
from aelle.records import (
    ExperimentFolder,
    append_pruned,
    best_of,
    discard_epochs,
    finish_cohort,
    read_table,
    write_bytes,
    write_epoch,
)
from aelle.spectra import LyapunovSpectrum, cohort_readout_growth, lyapunov_spectra
from aelle.tasks.task import Task

_OF_TRAINEE = ("train_loss", "val_loss", "val_metric", "train_seconds")

# Ids of networks to stop, or a mapping from them to the reason.
OnEpoch = Callable[[Sequence[dict[str, Any]]], Sequence[str] | Mapping[str, str]]


@dataclass
class Job:
    """What every cohort of an experiment needs besides itself.

    `on_epoch` is called with the rows of each epoch and returns the ids of networks to prune, or a mapping
    from them to the reason, which is then recorded in pruned.jsonl.
    """

    experiment: Experiment
    folder: ExperimentFolder
    task: Task
    driving: Tensor
    on_epoch: OnEpoch | None = None
    backend: Backend = field(default_factory=Backend)
    noise: Tensor | None = None  # driving sequences of the spectrum under noise, where it is asked for


@dataclass
class CohortResult:
    """What became of a cohort: final status by network, and the failures with their causes."""

    cohort_id: str
    statuses: dict[str, str]
    best_metric: float | None
    failures: list[dict[str, Any]] = field(default_factory=list)


def run_cohort(
    job: Job, cohort: Cohort, report: Callable[[int], None] = lambda networks: None
) -> CohortResult:
    """Train a cohort to its end and record every epoch; `report` hears of each network-epoch done.

    Resumes from the cohort's checkpoint where there is one. The order of writing (records, then
    checkpoint) makes a kill at any point cost at most the running epoch.
    """
    training, resumed = _start(job, cohort)
    _show_recorded(job, cohort, resumed)
    report(sum(_epochs_done(t, resumed, training.epochs) for t in training.trainees))
    failures = []
    best = None
    for epoch in training:
        spectra = _spectra(job, epoch)
        rows = [_row(job, cohort, epoch, t) | spectra.get(t.variant.network_id, {}) for t in epoch.trainees]
        failures += [_failure(epoch, t) for t in epoch.trainees if t.status == "failed"]
        pruned = _prune(job, epoch, rows)
        write_epoch(job.folder, cohort.cohort_id, epoch.number, rows)
        for network_id, reason in pruned.items():
            append_pruned(job.folder, network_id, epoch.number, reason)
        _write_checkpoint(job.folder, cohort, training)
        best = best_of([best, *(row["val_metric"] for row in rows)], job.task.higher_is_better)
        report(sum(_epochs_done(t, epoch.number, training.epochs) - epoch.number for t in epoch.trainees))
    finish_cohort(job.folder, cohort.cohort_id)
    if not job.experiment.training.keep_checkpoints:
        job.folder.checkpoint(cohort.cohort_id).unlink(missing_ok=True)
    statuses = {t.variant.network_id: t.status for t in training.trainees}
    return CohortResult(cohort.cohort_id, statuses, best, failures)


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
    return row | {"status": trainee.status}


def _spectra(job: Job, epoch: Epoch) -> dict[str, dict[str, Any]]:
    """Spectrum columns of an epoch's active networks, by network id; a spectrum that fails fails its network."""
    due = [trainee for trainee in epoch.trainees if trainee.active]
    if not due or not job.experiment.spectrum.at(epoch.number):
        return {}
    if job.backend.device != "cpu":
        # One batch for the whole cohort; should it fail, one by one tells which network is to blame.
        with suppress(Exception):
            return _timed_spectra(job, due)
    columns: dict[str, dict[str, Any]] = {}
    for trainee in due:
        try:
            columns |= _timed_spectra(job, [trainee])
        except Exception as error:
            trainee.fail(error)
    return columns


def _timed_spectra(job: Job, trainees: Sequence[Trainee]) -> dict[str, dict[str, Any]]:
    settings = job.experiment.spectrum
    started = time.perf_counter()
    found = _spectra_of(job, trainees, job.driving, settings.state)
    seconds = (time.perf_counter() - started) / len(trainees)
    also = _also(job, trainees, found)
    return {
        trainee.variant.network_id: {
            "spectrum": spectrum.exponents.tolist(),
            "spectrum_se": spectrum.standard_error.tolist(),
            "spectrum_std": spectrum.temporal_std.tolist(),
            "spectrum_state": settings.state,
            "spectrum_inputs": settings.inputs,
            "trusted_count": int(spectrum.trusted),
            "certificate": spectrum.certificate,
            "spectrum_seconds": seconds,
        }
        | columns
        for trainee, spectrum, columns in zip(trainees, found, also, strict=True)
    }


def _spectra_of(job: Job, trainees: Sequence[Trainee], driving: Tensor, state: str) -> list[LyapunovSpectrum]:
    device = job.backend.device
    networks = [trainee.network.to(device) for trainee in trainees]
    options: dict[str, Any] = {"warmup": job.experiment.spectrum.warmup, "qr_interval": "auto"}
    if job.task.learning_rule is not None:
        # Such networks run on from where learning left them; they are trained, and taken here, one by one.
        options["initial_state"] = job.task.learning_rule.running_state(trainees[0].optimiser)
    try:
        return lyapunov_spectra(networks, driving.to(device), state=state, **options)
    finally:
        for network in networks:
            network.to("cpu")


def _also(job: Job, trainees: Sequence[Trainee], found: Sequence[LyapunovSpectrum]) -> list[dict[str, Any]]:
    """Columns that `[spectrum] also` asks for, one mapping a network; a spectrum at hand is not taken twice."""
    settings = job.experiment.spectrum
    if not settings.also:
        return [{} for _ in trainees]
    started = time.perf_counter()
    columns: dict[str, list[Any]] = {}
    if "hidden" in settings.also:
        parted = any(len(cell.state_parts) > 1 for cell in trainees[0].network.layers)
        other = settings.state == "full" and parted
        hidden = _spectra_of(job, trainees, job.driving, "hidden") if other else found
        columns["spectrum_hidden"] = [spectrum.exponents.tolist() for spectrum in hidden]
    if "noise" in settings.also:
        under_noise = found
        if job.noise is not None:
            under_noise = _spectra_of(job, trainees, job.noise, settings.state)
        columns["spectrum_noise"] = [spectrum.exponents.tolist() for spectrum in under_noise]
    if "layers" in settings.also:
        for name, layer in (("first", 0), ("last", -1)):
            columns[f"spectrum_{name}_layer"] = [s.layers[layer].exponents.tolist() for s in found]
    if "readout" in settings.also:
        columns["readout_growth"] = _readout_growth(job, trainees)
    columns["also_seconds"] = [(time.perf_counter() - started) / len(trainees)] * len(trainees)
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _readout_growth(job: Job, trainees: Sequence[Trainee]) -> list[list[float]]:
    """Along validation sequences as the task gives them, from the state in which the task starts them."""
    task, device = job.task, job.backend.device
    inputs = task.encode(task.validation.inputs[: job.experiment.spectrum.sequences])
    start = None
    if task.learning_rule is not None:  # such networks are trained, and taken here, one by one
        start = task.learning_rule.running_state(trainees[0].optimiser)
    networks = [trainee.network.to(device) for trainee in trainees]
    try:
        growth: list[list[float]] = cohort_readout_growth(networks, inputs, initial_state=start).tolist()
    finally:
        for network in networks:
            network.to("cpu")
    return growth


def _prune(job: Job, epoch: Epoch, rows: list[dict[str, Any]]) -> dict[str, str]:
    """Stop the networks that `on_epoch` names; return those for which it gives a reason."""
    asked = job.on_epoch(rows) if job.on_epoch is not None else ()
    for trainee, row in zip(epoch.trainees, rows, strict=True):
        if trainee.active and row["network_id"] in asked:
            trainee.status = row["status"] = "pruned"
    return dict(asked) if isinstance(asked, Mapping) else {}


def _show_recorded(job: Job, cohort: Cohort, resumed: int) -> None:
    """Show `on_epoch` the epochs recorded before, so that it knows what it would in an uninterrupted run."""
    if job.on_epoch is None:
        return
    for number in range(resumed + 1):
        job.on_epoch(read_table(job.folder.epoch_file(cohort.cohort_id, number)).to_pylist())


def _failure(epoch: Epoch, trainee: Trainee) -> dict[str, Any]:
    return {
        "network_id": trainee.variant.network_id,
        "architecture": trainee.variant["architecture"],
        "epoch": epoch.number,
        "cause": trainee.error,
        "where": trainee.error_line,
    }


def _write_checkpoint(folder: ExperimentFolder, cohort: Cohort, training: NativeTraining) -> None:
    statuses = {trainee.variant.network_id: trainee.status for trainee in training.trainees}
    metadata = {"epoch": str(training.next_epoch - 1), "statuses": json.dumps(statuses)}
    tensors = {name: tensor.contiguous() for name, tensor in training.state().items()}
    write_bytes(folder.checkpoint(cohort.cohort_id), save(tensors, metadata))


def _start(job: Job, cohort: Cohort) -> tuple[NativeTraining, int]:
    """Build a cohort's training, restored from its checkpoint; with the checkpoint's epoch, -1 for none."""
    epochs = job.experiment.training.epochs
    training = job.backend.training(cohort, job.task, epochs)
    try:
        epoch = _restore(job.folder, cohort, training)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        # No usable checkpoint: the cohort starts anew and writes the same records again.
        training, epoch = job.backend.training(cohort, job.task, epochs), -1
    discard_epochs(job.folder, cohort.cohort_id, after=epoch)
    return training, epoch


def _restore(folder: ExperimentFolder, cohort: Cohort, training: NativeTraining) -> int:
    with safe_open(folder.checkpoint(cohort.cohort_id), framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    epoch = int(metadata["epoch"])
    if not all(folder.epoch_file(cohort.cohort_id, e).exists() for e in range(epoch + 1)):
        raise ValueError("the checkpoint is ahead of the records")
    training.restore(tensors, json.loads(metadata["statuses"]), epoch)
    return epoch


def driving_sequences(experiment: Experiment, task: Task, kind: str | None = None) -> Tensor:
    """One set of driving sequences for all networks of an experiment, warm-up included, float64.

    `kind` is "validation" or "noise"; the experiment's own where None.
    """
    settings = experiment.spectrum
    generator = torch.Generator().manual_seed(experiment.seed)
    steps = settings.warmup + settings.steps
    return task.driving_sequences(settings.sequences, steps, kind or settings.inputs, generator).double()
