"""A few Adam steps that keep the best place they came by."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from aelle.conditioning.recurrent_parameters import recurrent_matrices
from aelle.conditioning.stack import Stack
from aelle.optimiser import AdamW


@torch.enable_grad()
def descend(stack: Stack, objective: Callable[[], Tensor], steps: int, rate: float, enough: float) -> int:
    """Lower an objective of the stack's parameters; the parameters of the lowest value seen stay.

    Args:
        stack: whose recurrent parameters move.
        objective: evaluated with a graph.
        steps: at most.
        rate: Adam's learning rate, as a share of the root mean square of a layer's recurrent weights.
        enough: value from which on nothing more is done.

    Returns:
        evaluations of the objective.
    """
    optimisers = [
        optimiser for layer in range(len(stack.cells)) for optimiser in _optimisers(stack, layer, rate)
    ]
    best, kept, taken = math.inf, stack.values(), 0
    for taken in range(1, steps + 2):
        loss = objective()
        value = float(loss.detach())
        if not math.isfinite(value):
            break
        if value < best:
            best, kept = value, stack.values()
        if value <= enough or taken > steps:
            break
        for optimiser in optimisers:
            optimiser.zero_grad()
        loss.backward()
        if not all(_finite(p) for o in optimisers for p in o.parameters):
            break
        for optimiser in optimisers:
            optimiser.step()
    for cell in stack.cells:
        cell.zero_grad()
    stack.restore(kept)
    return taken


def _finite(parameter: nn.Parameter) -> bool:
    return parameter.grad is None or bool(parameter.grad.isfinite().all())


def _optimisers(stack: Stack, layer: int, rate: float) -> list[AdamW]:
    """One for each parameter tensor of a layer."""
    cell = stack.cells[layer]
    own = dict(cell.named_parameters())
    matrices = recurrent_matrices(cell)
    weights = [own[name].detach()[mask] for name, mask in matrices.items()] or [
        p.detach().flatten() for p in own.values()
    ]
    size = float(torch.cat(weights).square().mean().sqrt()) or cell.hidden_size**-0.5
    moved = stack.movable(layer, [name for name in own if _moves(name, matrices)])
    return [AdamW([parameter], rate * size, 0.0) for parameter in moved]


def _moves(name: str, matrices: dict[str, Tensor]) -> bool:
    """Recurrent matrices and biases; everything where a cell's gates see the input alone."""
    return not matrices or name in matrices or "bias" in name
