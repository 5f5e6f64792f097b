"""Which way cohorts are trained, and on what device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from aelle.collection.engines import available_cores
from aelle.collection.memory import free_bytes, networks_that_fit
from aelle.collection.population import PopulationTraining
from aelle.collection.search_space import Cohort, Variant
from aelle.collection.training import NativeTraining
from aelle.config import ConfigError, Training
from aelle.tasks.task import Task
from aelle.words import first_line, shown

_NATIVE_COHORT = 5
_LARGEST_POPULATION = 1024  # larger ones gain nothing, and lose more when killed


@dataclass(frozen=True)
class Backend:
    """A way of training and its device: "native" on the CPU, or "population" on any device.

    `sharers` are the processes among which the memory of the device is divided.
    """

    name: str = "native"
    device: str = "cpu"
    sharers: int = 1

    def training(self, cohort: Cohort, task: Task, epochs: int) -> NativeTraining:
        """Set up a cohort's training."""
        if self.name == "population":
            at_once = self._that_fit(cohort.variants[0], task, len(cohort.variants))
            return PopulationTraining(cohort, task, epochs, self.device, at_once)
        return NativeTraining(cohort, task, epochs)

    def cohort_size(self, settings: Training, task: Task) -> int | Callable[[Variant], int]:
        """Networks a cohort: as set, or what suits the backend; for populations, as many as memory holds."""
        if settings.cohort_size or self.name == "native":
            return settings.cohort_size or _NATIVE_COHORT
        return lambda variant: self._that_fit(variant, task, _LARGEST_POPULATION)

    def _that_fit(self, variant: Variant, task: Task, most: int) -> int:
        try:
            return networks_that_fit(variant, task, free_bytes(self.device) // self.sharers, most)
        except Exception:  # a cell or task that raises is recorded as a failure where it trains, not here
            return most

    def workers(self, settings: Training) -> int:
        """Worker processes: one alone has a GPU to itself."""
        return 1 if self.device != "cpu" and settings.workers == 0 else settings.workers


def chosen_backend(settings: Training, task: Task, gpus: float = 0.0) -> Backend:
    """Resolve "auto" by what the machine has and the task allows.

    `gpus` is the share of a GPU that each cohort gets on other machines, which this one need not have; 0 where
    cohorts run here.

    Raises:
        ConfigError: for a device that is not there, or a combination that cannot be.
    """
    device = settings.device
    if device == "auto":
        there = gpus > 0 or torch.cuda.is_available()
        device = "cuda" if there and settings.backend != "native" else "cpu"
    try:
        kind = torch.device(device).type
        if kind == "meta":
            raise RuntimeError("it holds no numbers")
        if not gpus:
            torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = first_line(error).partition(". ")[0]
        raise ConfigError(
            f"training.device: {shown(settings.device)} cannot be used here: {reason[:120]}; there are {_devices()}"
        ) from None
    name = settings.backend
    if name == "auto":
        name = "population" if kind != "cpu" and task.learning_rule.in_batches else "native"
    if name == "native" and kind != "cpu":
        if settings.backend == "native":
            raise ConfigError(
                "training.device: the native backend trains on the CPU; use backend = 'population'"
            )
        device = "cpu"
    if name == "population" and not task.learning_rule.in_batches:
        raise ConfigError(f"training.backend: task {task.name!r} has its own learning rule; use 'native'")
    workers = settings.workers or (1 if device != "cpu" else available_cores())
    sharers = max(1, int(1 / gpus)) if gpus else workers
    return Backend(name, device, sharers=sharers if name == "population" else 1)


def _devices() -> str:
    """The devices of this machine, in the words of the setting."""
    return ", ".join(["auto", "cpu", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))])
