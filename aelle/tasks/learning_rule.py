"""The interface of a learning rule: how the networks of a task learn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, MutableMapping
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor


class Optimiser(Protocol):
    """What keeps tensors from one epoch to the next, by parameter and name."""

    state: MutableMapping[Any, dict[str, Tensor]]


class LearningRule(ABC):
    """A way to learn: gradient descent through time, or another that a task brings.

    Networks are those of `aelle.recurrent.network.Network`, tasks those of `aelle.tasks.task.Task`. What a rule keeps
    from one epoch to the next are tensors in `optimiser.state`, by parameter, as torch's optimisers keep their
    moments. `hyperparameters` are those of `aelle.hyperparameters` by name, and `gradient_clip`.

    Attributes:
        in_batches: many networks can learn by it as one batch (`training.backend = "population"`).
    """

    in_batches: ClassVar[bool] = False

    def prepare(self, network: Any) -> None:  # noqa: B027
        """Change an untrained network into the form that the rule trains.

        Raises:
            TaskError: for an architecture that the rule cannot train.
        """

    @abstractmethod
    def optimiser(
        self, network: Any, hyperparameters: Mapping[str, Any], generator: torch.Generator
    ) -> Optimiser:
        """Return an optimiser that holds the rule's state before the first epoch."""

    @abstractmethod
    def train_epoch(
        self, network: Any, optimiser: Optimiser, task: Any, hyperparameters: Mapping[str, Any]
    ) -> float:
        """Train for one epoch; return its mean loss."""

    @abstractmethod
    def evaluate(self, network: Any, optimiser: Optimiser, task: Any) -> tuple[float, float]:
        """Loss and metric of the validation split."""

    def running_state(self, optimiser: Optimiser) -> Tensor | None:
        """State (n,) in which the network is after its last epoch, from which spectra are taken; None for zero.

        Networks that run on have their spectra taken one by one.
        """
        return None
