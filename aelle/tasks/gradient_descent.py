"""Gradient descent through time, by AdamW in batches of sequences: how networks learn unless a task says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from aelle.optimiser import AdamW
from aelle.tasks.learning_rule import LearningRule, Optimiser

_EVALUATION_BATCH = 512  # sequences


class GradientDescent(LearningRule):
    """Backpropagation through time: learning_rate, weight_decay, batch_size and gradient_clip are its hyperparameters."""

    in_batches = True

    def optimiser(
        self, network: Any, hyperparameters: Mapping[str, Any], generator: torch.Generator
    ) -> AdamW:
        """AdamW without moments."""
        return AdamW(network.parameters(), hyperparameters["learning_rate"], hyperparameters["weight_decay"])

    def train_epoch(
        self, network: Any, optimiser: Optimiser, task: Any, hyperparameters: Mapping[str, Any]
    ) -> float:
        """Run one pass over the training split in a fresh order; return the mean loss."""
        if not isinstance(optimiser, AdamW):
            raise TypeError(f"gradient descent needs AdamW, got {type(optimiser).__name__}")
        network.train()
        optimiser.learning_rate = hyperparameters["learning_rate"]  # it may decay from epoch to epoch
        order = torch.randperm(len(task.train))
        total = torch.zeros(())
        for index in order.split(hyperparameters["batch_size"]):
            batch = task.train.take(index)
            outputs, _ = network(task.encode(batch.inputs), readout_steps=task.readout_steps)
            loss = task.loss(outputs, batch.targets)
            optimiser.zero_grad()
            loss.backward()
            if hyperparameters["gradient_clip"] is not None:
                nn.utils.clip_grad_norm_(network.parameters(), hyperparameters["gradient_clip"])
            optimiser.step()
            total += loss.detach() * len(index)
        return total.item() / len(order)

    @torch.no_grad()
    def evaluate(self, network: Any, optimiser: Optimiser, task: Any) -> tuple[float, float]:
        """Loss and metric over the whole validation split, without dropout."""
        network.eval()
        split = task.validation
        outputs = torch.cat(
            [
                network(task.encode(inputs), readout_steps=task.readout_steps)[0]
                for inputs in split.inputs.split(_EVALUATION_BATCH)
            ]
        )
        return task.loss(outputs, split.targets).item(), task.metric(outputs, split.targets)
