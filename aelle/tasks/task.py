"""The interface of a task: its data, loss, metric, and the sequences that drive a network for its spectrum."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from aelle.tasks.gradient_descent import GradientDescent
from aelle.tasks.learning_rule import LearningRule


class TaskError(ValueError):
    """A task that cannot be set up: a wrong name, option or data folder."""


@dataclass(frozen=True)
class Split:
    """Sequences of one split: inputs (N, T, …) and targets (N, …), in the order of their first axis."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, index: Tensor) -> Split:
        """Pick sequences by index."""
        return Split(self.inputs[index], self.targets[index])


class Task(ABC):
    """What a network learns. The splits are fixed: equal options give equal data.

    Attributes:
        learning_rule: how networks learn.
        readout_steps: the steps of a sequence at which the readout is asked.
        metric_name, higher_is_better: what `metric` gives.
    """

    name: ClassVar[str]
    metric_name: ClassVar[str]
    higher_is_better: ClassVar[bool]
    readout_steps: slice = slice(None)
    learning_rule: LearningRule = GradientDescent()
    input_size: int
    output_size: int
    train: Split
    validation: Split
    test: Split

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Scalar training loss of outputs (batch, steps read, output_size)."""

    @abstractmethod
    def metric(self, outputs: Tensor, targets: Tensor) -> float:
        """Validation metric of the same outputs."""

    def encode(self, inputs: Tensor) -> Tensor:
        """Turn stored inputs into what networks take, float32 (batch, T, input_size)."""
        return inputs

    def driving_sequences(self, count: int, steps: int, kind: str, generator: torch.Generator) -> Tensor:
        """Inputs that drive a network for its spectrum, float32 (count, steps, input_size).

        "validation" joins randomly drawn validation sequences end to end until `steps` are filled: the
        spectrum is a property of long times, and the network's state carries on from one to the next.
        "noise" is Gaussian with the mean and standard deviation of every input channel of those sequences,
        an input that the network was not trained on.

        Raises:
            TaskError: for another kind.
        """
        length = self.validation.inputs.shape[1]
        pieces = -(-steps // length)
        index = torch.randint(len(self.validation), (count * pieces,), generator=generator)
        joined = self.encode(self.validation.inputs[index]).reshape(count, pieces * length, self.input_size)
        if kind == "validation":
            return joined[:, :steps].contiguous()
        if kind == "noise":
            mean, deviation = joined.mean(dim=(0, 1)), joined.std(dim=(0, 1))
            return mean + deviation * torch.randn(count, steps, self.input_size, generator=generator)
        raise TaskError(f"unknown kind of driving sequences {kind!r}; known: validation, noise")


class Classification(Task):
    """One label a sequence, read at its last step: cross-entropy (nats) and accuracy."""

    metric_name = "accuracy"
    higher_is_better = True
    readout_steps = slice(-1, None)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy at the last step."""
        return nn.functional.cross_entropy(outputs[:, -1], targets)

    def metric(self, outputs: Tensor, targets: Tensor) -> float:
        """Share of sequences whose label is right."""
        return (outputs[:, -1].argmax(-1) == targets).float().mean().item()


def split_by_permutation(
    inputs: Tensor, targets: Tensor, shares: tuple[float, float], seed: int
) -> list[Split]:
    """Split into train, validation and test by one fixed permutation; `shares` are the first two."""
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed))
    first = round(shares[0] * len(inputs))
    second = first + round(shares[1] * len(inputs))
    parts = (order[:first], order[first:second], order[second:])
    return [Split(inputs[part], targets[part]) for part in parts]
