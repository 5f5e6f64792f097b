"""How many networks train at once in the memory that is free.

What a network needs is not guessed from its architecture: one forward pass of one network is run, and what
autograd keeps of it for the backward pass is counted. So it holds for users' own cells too.
"""

from __future__ import annotations

import math
from pathlib import Path

import psutil
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from aelle.collection.population import EVALUATION_SEQUENCES, Population
from aelle.collection.search_space import Cohort, Variant
from aelle.collection.training import NativeTraining
from aelle.tasks.task import Task

_SHARE = (
    0.6  # of the free memory; the rest is for gradients in flight, the allocator's gaps, and other people
)
_COPIES_OF_PARAMETERS = 6  # weights, gradients, two moments, and the snapshot of a captured step
_PASSES = 2  # the backward pass holds about as much again as the forward pass kept
_CGROUP = Path("/sys/fs/cgroup")


def free_bytes(device: torch.device | str) -> int:
    """Memory that is free now: the GPU's, or the machine's within the limit of a container."""
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    available = int(psutil.virtual_memory().available)
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        return min(available, limit - int((_CGROUP / "memory.current").read_text()))
    except (OSError, ValueError):  # no container, or one without a limit
        return available


def bytes_per_network(variant: Variant, task: Task) -> int:
    """Bytes that one network adds to a population: parameters, what backpropagation keeps, evaluation."""
    training = NativeTraining(Cohort((variant,)), task, 1)
    population = Population(training.trainees, torch.device("cpu"), epoch=1)
    parameters = sum(parameter.nbytes for parameter in population.parameters.values())
    kept = _kept_for_backward(population, task, variant["batch_size"])
    return _COPIES_OF_PARAMETERS * parameters + max(_PASSES * kept, _evaluation_bytes(variant, task))


def networks_that_fit(variant: Variant, task: Task, free: int, most: int) -> int:
    """Networks of one shape that train at once in `free` bytes: at least one, at most `most`."""
    return max(1, min(most, int(_SHARE * free / bytes_per_network(variant, task))))


def _kept_for_backward(population: Population, task: Task, batch_size: int) -> int:
    storages: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    batch = task.train.take(torch.arange(min(batch_size, len(task.train))))
    with saved_tensors_hooks(count, lambda tensor: tensor):
        outputs = population(task.encode(batch.inputs).unsqueeze(0), task.readout_steps, torch.Generator())
        loss = task.loss(outputs[0], batch.targets)
    return sum(storages.values()) + loss.nbytes


def _evaluation_bytes(variant: Variant, task: Task) -> int:
    """Two copies of all states of one batch of sequences, and the outputs of the whole validation split."""
    steps = task.validation.inputs.shape[1]
    read = len(range(steps)[task.readout_steps])
    floats = 2 * min(EVALUATION_SEQUENCES, len(task.validation)) * steps * 8 * variant["hidden_size"]
    floats += 2 * math.prod((len(task.validation), read, task.output_size))
    return 4 * floats
