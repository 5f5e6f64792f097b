"""FORCE learning: recursive least squares on a readout that feeds back (Sussillo & Abbott 2009, Neuron 63:544)."""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor, nn

from aelle.tasks.learning_rule import LearningRule, Optimiser
from aelle.tasks.task import TaskError


class ForceOptimiser:
    """Holder of what FORCE keeps between epochs, as `state[weight_output]`.

    inverse_correlation: P (H, H), float64, the running inverse of α I + Σ r rᵀ.
    network_state: x (H,), float64, from which the network runs on.
    """

    def __init__(self, weight_output: nn.Parameter, learning_rate: float, network_state: Tensor) -> None:
        size = weight_output.shape[1]
        kept = {
            "inverse_correlation": learning_rate * torch.eye(size, dtype=torch.float64),
            "network_state": network_state,
        }
        self.state: MutableMapping[Any, dict[str, Tensor]] = {weight_output: kept}


class Force(LearningRule):
    """Train the output of a rate network while it feeds back, so that errors stay small from the start.

    Every `learn_every` steps the output weights take one step of recursive least squares towards the target.
    The network never starts anew: each epoch, and each evaluation with fixed weights, runs on from the state
    in which the last epoch ended. P starts as the identity times the learning rate, 1/α in the paper.

    Args:
        targets: (T,), the targets of one epoch; the next epoch takes them again.
        learn_every: steps between updates; 2 in the paper.
    """

    def __init__(self, targets: Tensor, learn_every: int) -> None:
        self.targets, self.learn_every = targets.double(), learn_every

    def prepare(self, network: Any) -> None:
        """Make the output that feeds back the network's readout.

        Raises:
            TaskError: where the network is not one layer with an output that feeds back.
        """
        cell = network.layers[0]
        if len(network.layers) != 1 or not hasattr(cell, "weight_output"):
            raise TaskError(
                "FORCE learning needs one layer whose output feeds back: architecture rate or robust_rate, "
                f"num_layers = 1; got {len(network.layers)} of {cell.architecture}"
            )
        network.readout = nn.Linear(cell.hidden_size, 1, bias=False)
        network.readout.weight = cell.weight_output

    def optimiser(
        self, network: Any, hyperparameters: Mapping[str, Any], generator: torch.Generator
    ) -> ForceOptimiser:
        """State before the first epoch: x from N(0, 1/4), P = learning_rate · I."""
        size = network.layers[0].hidden_size
        state = 0.5 * torch.randn(size, generator=generator, dtype=torch.float64)
        return ForceOptimiser(network.layers[0].weight_output, hyperparameters["learning_rate"], state)

    @torch.no_grad()
    def train_epoch(
        self, network: Any, optimiser: Optimiser, task: Any, hyperparameters: Mapping[str, Any]
    ) -> float:
        """Run over the targets once while learning; return the mean squared error before each update."""
        trained = network.layers[0].weight_output
        kept = optimiser.state[trained]
        cell, state = copy.deepcopy(network.layers[0]).double(), kept["network_state"].unsqueeze(0)
        silence = state.new_zeros(1, cell.input_size)
        total = 0.0
        for step, target in enumerate(self.targets.tolist(), start=1):
            state = cell.step(silence, state)
            rates = cell.output(state)[0]
            error = (cell.weight_output[0] @ rates).item() - target
            total += error**2
            if step % self.learn_every == 0:
                recursive_least_squares(cell.weight_output[0], kept["inverse_correlation"], rates, error)
        kept["network_state"] = state[0]
        trained.copy_(cell.weight_output)
        return total / len(self.targets)

    @torch.no_grad()
    def evaluate(self, network: Any, optimiser: Optimiser, task: Any) -> tuple[float, float]:
        """Mean squared and mean absolute error of the network left to itself, from where it is."""
        cell = copy.deepcopy(network.layers[0]).double()
        inputs = task.validation.inputs.double()
        states = cell.trajectory(inputs, self.running_state(optimiser).expand(len(inputs), -1))
        errors = cell.output(states[:, 1:]) @ cell.weight_output.mT - task.validation.targets
        return errors.square().mean().item(), errors.abs().mean().item()

    def running_state(self, optimiser: Optimiser) -> Tensor:
        """x after the last epoch, (H,)."""
        (kept,) = optimiser.state.values()
        return kept["network_state"]


def recursive_least_squares(weights: Tensor, inverse: Tensor, activity: Tensor, error: float) -> None:
    """One step, in place: P ← P - c (P r)(P r)ᵀ with c = 1 / (1 + rᵀ P r), and w ← w - c e P r.

    With P = I/α and w = 0 at the start, w is afterwards the minimiser of Σ (w · r - f)² + α |w|².

    Args:
        weights: w (H,).
        inverse: P (H, H).
        activity: r (H,).
        error: e = w · r - f with the weights before the step.
    """
    direction = inverse @ activity
    scale = 1 / (1 + (activity @ direction).item())
    inverse.addr_(direction, direction, alpha=-scale)
    weights.sub_(direction, alpha=scale * error)
