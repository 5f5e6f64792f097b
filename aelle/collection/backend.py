"""Which way cohorts are trained, and on what device."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from aelle.collection.population import PopulationTraining
from aelle.collection.search_space import Cohort
from aelle.collection.training import NativeTraining
from aelle.config import ConfigError, Training
from aelle.tasks.task import Task

_COHORT_SIZES = {"native": 5, "population": 256}


@dataclass(frozen=True)
class Backend:
    """A way of training and its device: "native" on the CPU, or "population" on any device."""

    name: str = "native"
    device: str = "cpu"

    def training(self, cohort: Cohort, task: Task, epochs: int) -> NativeTraining:
        """Set up a cohort's training."""
        if self.name == "population":
            return PopulationTraining(cohort, task, epochs, self.device)
        return NativeTraining(cohort, task, epochs)

    def cohort_size(self, settings: Training) -> int:
        """Networks a cohort: as set, or what suits the backend."""
        return settings.cohort_size or _COHORT_SIZES[self.name]

    def workers(self, settings: Training) -> int:
        """Worker processes: one alone has a GPU to itself."""
        return 1 if self.device != "cpu" and settings.workers == 0 else settings.workers


def chosen_backend(settings: Training, task: Task) -> Backend:
    """Resolve "auto" by what the machine has and the task allows.

    Raises:
        ConfigError: for a device that is not there, or a combination that cannot be.
    """
    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() and settings.backend != "native" else "cpu"
    try:
        kind = torch.device(device).type
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"training.device: {settings.device!r} cannot be used here: {reason}") from None
    name = settings.backend
    if name == "auto":
        name = "population" if kind != "cpu" and task.learning_rule is None else "native"
    if name == "native" and kind != "cpu":
        if settings.backend == "native":
            raise ConfigError(
                "training.device: the native backend trains on the CPU; use backend = 'population'"
            )
        device = "cpu"
    if name == "population" and task.learning_rule is not None:
        raise ConfigError(f"training.backend: task {task.name!r} has its own learning rule; use 'native'")
    return Backend(name, device)
