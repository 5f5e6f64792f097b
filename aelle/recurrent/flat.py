"""A stack of layers as one map on one flat state, driven by inputs or by its own output."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from aelle.recurrent.cell import Cell
from aelle.recurrent.network import Network


def flat_step(cells: Sequence[Cell], x: Tensor, state: Tensor) -> Tensor:
    """Advance every layer by one input: x (..., input_size), state (..., Σ n), layers one after the other."""
    after = []
    for cell, part in zip(cells, state.split([cell.state_size for cell in cells], dim=-1), strict=True):
        after.append(cell.step(x, part))
        x = cell.output(after[-1])
    return torch.cat(after, dim=-1)


def flat_output(cells: Sequence[Cell], state: Tensor) -> Tensor:
    """Hidden vector of the last layer."""
    return cells[-1].output(state.split([cell.state_size for cell in cells], dim=-1)[-1])


def closed_loop(
    cells: Sequence[Cell], readout: Callable[[Tensor], Tensor]
) -> Callable[[Tensor | None, Tensor], Tensor]:
    """Return the autonomous map in which readout(hidden vector) is the next input."""

    def step(_: Tensor | None, state: Tensor) -> Tensor:
        batch = state if state.dim() > 1 else state.unsqueeze(0)
        after = flat_step(cells, readout(flat_output(cells, batch)), batch)
        return after.view_as(state)

    return step


def readout_of(
    system: nn.Module, given: Callable[[Tensor], Tensor] | None, dtype: torch.dtype
) -> Callable[[Tensor], Tensor]:
    """Return the map from the hidden vector to the next input, modules copied into `dtype`.

    Raises:
        ValueError: where the system has no readout and none is given.
    """
    readout = given if given is not None else (system.readout if isinstance(system, Network) else None)
    if readout is None:
        raise ValueError("the closed loop needs a readout from the hidden vector to the next input")
    return copy.deepcopy(readout).to(dtype) if isinstance(readout, nn.Module) else readout


def attached_cells(system: nn.Module, cells: Sequence[Cell], dtype: torch.dtype) -> list[Cell]:
    """Return cells that compute with the system's own parameters, cast to `dtype`, graph and all.

    `cells` are the layers as `convert.cells_of` gives them: the system's own, or copies whose parameters are
    replaced by tensors here.
    """
    own = system.layers if isinstance(system, Network) else [system]
    if all(any(cell is layer for layer in own) for cell in cells):
        return list(cells)
    attached = []
    for layer, cell in enumerate(cells):
        owner = _owner(system, layer)
        suffix = f"_l{layer}" if isinstance(system, nn.RNNBase) else ""
        clone = copy.deepcopy(cell)
        for name, _ in list(cell.named_parameters()):
            del clone._parameters[name]
            setattr(clone, name, getattr(owner, name + suffix).to(dtype))
        attached.append(clone)
    return attached


def _owner(system: nn.Module, layer: int) -> nn.Module:
    return system.layers[layer] if isinstance(system, Network) else system
