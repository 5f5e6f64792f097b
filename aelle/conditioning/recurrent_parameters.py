"""Which parameters of a cell act on its state: found by what they do, not by what they are called."""

from __future__ import annotations

import torch
from torch import Tensor

from aelle.recurrent.cell import Cell

_POINTS = 8


def recurrent_matrices(cell: Cell) -> dict[str, Tensor]:
    """Masks, by name, of the entries that multiply the state: those of `weight_hh`, else those that a probe finds.

    An entry multiplies the state where the derivative of a step with respect to it vanishes at state 0 and nowhere near.
    Of a matrix that acts on input and state side by side, that holds for the columns of the state. Empty where a cell
    has none, as where its gates see the input alone.
    """
    own = dict(cell.named_parameters())
    if "weight_hh" in own:
        return {"weight_hh": torch.ones_like(own["weight_hh"], dtype=torch.bool)}
    generator = torch.Generator().manual_seed(0)
    x, state, weights = (
        torch.randn(_POINTS, size, generator=generator, dtype=torch.float64)
        for size in (cell.input_size, cell.state_size, cell.state_size)
    )
    at_zero = _derivatives(cell, x, torch.zeros_like(state), weights)
    elsewhere = _derivatives(cell, x, state, weights)
    masks = {name: (at_zero[name] == 0) & (elsewhere[name] != 0) for name in own}
    found = {name: _whole_columns(mask) for name, mask in masks.items() if bool(mask.any())}
    matrices = {name: mask for name, mask in found.items() if mask.dim() > 1}
    return matrices or found


def _whole_columns(mask: Tensor) -> Tensor:
    """A column acts on one number of the state, though the unit that it leads to may be dead at the points tried."""
    return mask if mask.dim() < 2 else mask.any(0, keepdim=True).expand_as(mask)


def _derivatives(cell: Cell, x: Tensor, state: Tensor, weights: Tensor) -> dict[str, Tensor]:
    own = dict(cell.named_parameters())
    with torch.enable_grad():
        like = next(iter(own.values()))
        found = (weights.to(like) * cell.step(x.to(like), state.to(like))).sum()
        gradients = torch.autograd.grad(found, list(own.values()), allow_unused=True)
    return {
        name: torch.zeros_like(parameter) if gradient is None else gradient
        for (name, parameter), gradient in zip(own.items(), gradients, strict=True)
    }
