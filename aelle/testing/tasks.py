"""The contract of a task, checked on a few sequences of each split."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from aelle.tasks.learning_rule import LearningRule
from aelle.tasks.task import Split, Task, TaskError
from aelle.testing.requirement import require, speaking_of

SEQUENCES = 8
SPLITS = ("train", "validation", "test")


def check_task(task: type[Task] | Task, seed: int = 0) -> None:
    """Check a task against the contract of `aelle.tasks.task.Task`.

    Names; three non-empty splits with as many targets as inputs; encoded inputs of float32
    (batch, T, input_size); a finite, differentiable loss and a metric of the readout's outputs; driving
    sequences of the shape asked for, which a seed determines; equal data each time a class is built.

    Args:
        task: a class, built without arguments, or an instance.
        seed: of outputs and driving sequences.

    Raises:
        AssertionError: with one sentence on the first thing that is wrong.
    """
    kind = task if isinstance(task, type) else type(task)
    name = kind.__qualname__
    require(issubclass(kind, Task), f"{name} is not a subclass of aelle.tasks.task.Task")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built = _task(task, name)
        attributes = {
            "name": str,
            "metric_name": str,
            "higher_is_better": bool,
            "learning_rule": LearningRule,
        }
        for attribute, expected in attributes.items():
            found = getattr(built, attribute, None)
            require(
                isinstance(found, expected),
                f"{name}.{attribute} must be a {expected.__name__}, got {found!r}",
            )
        for split in SPLITS:
            _check_split(built, name, split)
        _check_loss_and_metric(built, name)
        _check_driving_sequences(built, name)
        if isinstance(task, type):
            _check_equal_data(built, _task(task, name), name)


def _task(task: type[Task] | Task, name: str) -> Task:
    if isinstance(task, Task):
        return task
    with speaking_of(f"{name}()"):
        return task()


def _check_split(task: Task, name: str, split: str) -> None:
    found = getattr(task, split, None)
    if not isinstance(found, Split):
        raise AssertionError(f"{name}.{split} must be a Split of inputs and targets, got {found!r}")
    require(len(found) > 0, f"{name}.{split} is empty")
    require(
        len(found.targets) == len(found.inputs),
        f"{name}.{split} has {len(found.inputs)} inputs but {len(found.targets)} targets",
    )
    with speaking_of(f"{name}.encode"):
        encoded = task.encode(found.inputs[:SEQUENCES])
    shape = tuple(encoded.shape)
    require(
        encoded.dim() == 3 and shape[0] == min(SEQUENCES, len(found)) and shape[-1] == task.input_size,
        f"{name}.encode gives shape {shape} for {split}; expected (batch, T, input_size = {task.input_size})",
    )
    require(encoded.dtype == torch.float32, f"{name}.encode gives {encoded.dtype}, expected torch.float32")
    require(bool(encoded.isfinite().all()), f"{name}.{split} has encoded inputs that are not finite")


def _outputs_and_targets(task: Task) -> tuple[Tensor, Tensor]:
    """Random outputs of a readout on some training sequences, and their targets."""
    some = task.train.take(torch.arange(min(SEQUENCES, len(task.train))))
    steps = len(range(task.encode(some.inputs).shape[1])[task.readout_steps])
    return torch.randn(len(some), steps, task.output_size, requires_grad=True), some.targets


def _check_loss_and_metric(task: Task, name: str) -> None:
    outputs, targets = _outputs_and_targets(task)
    with speaking_of(f"{name}.loss"):
        loss = task.loss(outputs, targets)
    require(
        isinstance(loss, Tensor) and loss.dim() == 0 and bool(loss.isfinite()),
        f"{name}.loss must give a finite scalar tensor, got {loss!r}",
    )
    with speaking_of(f"differentiating {name}.loss"):
        (gradient,) = torch.autograd.grad(loss, outputs)
    require(bool(gradient.isfinite().all()), f"{name}.loss has a gradient that is not finite")
    with speaking_of(f"{name}.metric"):
        metric = task.metric(outputs.detach(), targets)
    require(
        isinstance(metric, float) and math.isfinite(metric),
        f"{name}.metric must give a finite Python float, got {metric!r}",
    )


def _check_driving_sequences(task: Task, name: str) -> None:
    count, steps = 3, task.encode(task.validation.inputs[:1]).shape[1] + 2  # longer than one sequence
    for kind in ("validation", "noise"):
        with speaking_of(f"{name}.driving_sequences of {kind}"):
            first, second = (
                task.driving_sequences(count, steps, kind, torch.Generator().manual_seed(5)) for _ in range(2)
            )
        expected = (count, steps, task.input_size)
        require(
            tuple(first.shape) == expected and first.dtype == torch.float32,
            f"{name}.driving_sequences of {kind} are {first.dtype} {tuple(first.shape)}, "
            f"expected torch.float32 {expected}",
        )
        require(
            torch.equal(first, second),
            f"{name}.driving_sequences of {kind} draw not only from the generator they are given",
        )
    try:
        task.driving_sequences(count, steps, "no such kind", torch.Generator())
    except TaskError:
        return
    raise AssertionError(f"{name}.driving_sequences must raise TaskError for an unknown kind")


def _check_equal_data(first: Task, second: Task, name: str) -> None:
    for split in SPLITS:
        one, other = getattr(first, split), getattr(second, split)
        require(
            torch.equal(one.inputs, other.inputs) and torch.equal(one.targets, other.targets),
            f"{name} gives other data in {split} each time it is built: fix the seed of its data",
        )
