"""Columns of records that say how networks' trajectories grow or shrink: their spectra, or an economy look at them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from aelle.collection.training import Trainee
from aelle.config import Experiment
from aelle.records import look_columns
from aelle.spectra import LyapunovSpectrum, cohort_readout_growth, look, lyapunov_spectra
from aelle.tasks.task import Task

Columns = dict[str, Any]


@dataclass(frozen=True)
class Measurement:
    """What spectra of an experiment are taken with.

    Attributes:
        driving: sequences for all networks, of `driving_sequences`.
        noise: those of the spectrum under noise, where it is asked for.
        device: where spectra are taken; looks are taken where the networks are.
    """

    experiment: Experiment
    task: Task
    driving: Tensor
    noise: Tensor | None = None
    device: str = "cpu"


def driving_sequences(experiment: Experiment, task: Task, kind: str | None = None) -> Tensor:
    """One set of driving sequences for all networks of an experiment, warm-up included, float64.

    `kind` is "validation" or "noise"; the experiment's own where None. A look is along sequences as the task gives
    them, from their first step.
    """
    settings = experiment.spectrum
    steps = settings.warmup + settings.steps
    if settings.look == "economy":
        return task.encode(task.validation.inputs[: settings.sequences])[:, :steps].double()
    generator = torch.Generator().manual_seed(experiment.seed)
    return task.driving_sequences(settings.sequences, steps, kind or settings.inputs, generator).double()


def measured_columns(measurement: Measurement, trainees: Sequence[Trainee]) -> dict[str, Columns]:
    """Columns of each network by its id, the seconds they took among them."""
    if measurement.experiment.spectrum.look == "economy":
        return {trainee.variant.network_id: _look(measurement, trainee) for trainee in trainees}
    return _spectra(measurement, trainees)


def _look(measurement: Measurement, trainee: Trainee) -> Columns:
    start = measurement.task.learning_rule.running_state(trainee.optimiser)
    seen = look(trainee.network, measurement.driving, initial_state=start)
    return look_columns(seen.leading.tolist(), seen.mean_exponent, seen.readout_growth.tolist()) | {
        "spectrum_state": "full",
        "spectrum_inputs": "validation",
        "spectrum_seconds": seen.seconds,
    }


def _spectra(measurement: Measurement, trainees: Sequence[Trainee]) -> dict[str, Columns]:
    settings = measurement.experiment.spectrum
    started = time.perf_counter()
    found = _spectra_of(measurement, trainees, measurement.driving, settings.state)
    seconds = (time.perf_counter() - started) / len(trainees)
    also = _also(measurement, trainees, found)
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


def _spectra_of(
    measurement: Measurement, trainees: Sequence[Trainee], driving: Tensor, state: str
) -> list[LyapunovSpectrum]:
    device = measurement.device
    networks = [trainee.network.to(device) for trainee in trainees]
    try:
        return lyapunov_spectra(
            networks,
            driving.to(device),
            state=state,
            warmup=measurement.experiment.spectrum.warmup,
            qr_interval="auto",
            initial_state=measurement.task.learning_rule.running_state(trainees[0].optimiser),
        )
    finally:
        for network in networks:
            network.to("cpu")


def _also(
    measurement: Measurement, trainees: Sequence[Trainee], found: Sequence[LyapunovSpectrum]
) -> list[Columns]:
    """Columns that `[spectrum] also` asks for, one mapping a network; a spectrum at hand is not taken twice."""
    settings = measurement.experiment.spectrum
    if not settings.also:
        return [{} for _ in trainees]
    started = time.perf_counter()
    columns: dict[str, list[Any]] = {}
    if "hidden" in settings.also:
        parted = any(len(cell.state_parts) > 1 for cell in trainees[0].network.layers)
        other = settings.state == "full" and parted
        hidden = _spectra_of(measurement, trainees, measurement.driving, "hidden") if other else found
        columns["spectrum_hidden"] = [spectrum.exponents.tolist() for spectrum in hidden]
    if "noise" in settings.also:
        under_noise = found
        if measurement.noise is not None:
            under_noise = _spectra_of(measurement, trainees, measurement.noise, settings.state)
        columns["spectrum_noise"] = [spectrum.exponents.tolist() for spectrum in under_noise]
    if "layers" in settings.also:
        for name, layer in (("first", 0), ("last", -1)):
            columns[f"spectrum_{name}_layer"] = [s.layers[layer].exponents.tolist() for s in found]
    if "readout" in settings.also:
        columns["readout_growth"] = _readout_growth(measurement, trainees)
    columns["also_seconds"] = [(time.perf_counter() - started) / len(trainees)] * len(trainees)
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _readout_growth(measurement: Measurement, trainees: Sequence[Trainee]) -> list[list[float]]:
    """Along validation sequences as the task gives them, from the state in which the task starts them."""
    task, device = measurement.task, measurement.device
    inputs = task.encode(task.validation.inputs[: measurement.experiment.spectrum.sequences])
    start = task.learning_rule.running_state(trainees[0].optimiser)
    networks = [trainee.network.to(device) for trainee in trainees]
    try:
        growth: list[list[float]] = cohort_readout_growth(networks, inputs, initial_state=start).tolist()
    finally:
        for network in networks:
            network.to("cpu")
    return growth
