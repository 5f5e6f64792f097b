"""One recurrent part of a network under its inputs: float64 copies of its layers, and whose parameters they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from aelle.lyapunov.cell_tangent import CellTangent
from aelle.lyapunov.tangent import TangentMap
from aelle.recurrent.cell import Cell


class Drive(NamedTuple):
    """What drives a stack.

    Attributes:
        inputs: (rows, time, input size), float64.
        states: initial state of each layer, (rows, n).
    """

    inputs: Tensor
    states: list[Tensor]

    def rows(self, index: slice) -> Drive:
        """Some of the sequences."""
        return Drive(self.inputs[index], [state[index] for state in self.states])


@dataclass
class Stack:
    """Layers of one direction of time.

    Attributes:
        name: of the part, as `named_modules` gives it; "" where the network is one part.
        cells: private copies in float64, which methods change.
        tangents: their tangent maps.
        owners: by layer, the user's own name and parameter, by the name that the cell has for it; None where it is derived.
        drive: inputs and initial states.
        readout: weight (outputs, last hidden size) of what reads the last hidden vector; None for the vector itself.
        horizon: steps over which gradients are to reach.
    """

    name: str
    cells: list[Cell]
    tangents: list[TangentMap]
    owners: list[dict[str, tuple[str, nn.Parameter | None]]]
    drive: Drive
    readout: nn.Linear | None
    horizon: int

    @property
    def fitting(self) -> Drive:
        """The sequences that methods see: every other one."""
        return self.drive.rows(slice(0, None, 2))

    @property
    def judging(self) -> Drive:
        """The sequences by which a method is judged; the only one where there is one."""
        return self.drive.rows(slice(1, None, 2)) if len(self.drive.inputs) > 1 else self.drive

    @torch.no_grad()
    def below(self, layer: int, drive: Drive) -> Tensor:
        """What drives a layer, (rows, time, size)."""
        inputs = drive.inputs
        for cell, state in zip(self.cells[:layer], drive.states, strict=False):
            inputs = cell.output(cell.trajectory(inputs, state)[:, 1:])
        return inputs

    @torch.no_grad()
    def values(self) -> list[dict[str, Tensor]]:
        """Copies of all parameters, by layer."""
        return [{n: p.detach().clone() for n, p in cell.named_parameters()} for cell in self.cells]

    @torch.no_grad()
    def restore(self, values: Sequence[dict[str, Tensor]]) -> None:
        """Put parameters back that `values` gave."""
        for cell, kept in zip(self.cells, values, strict=True):
            for name, parameter in cell.named_parameters():
                parameter.copy_(kept[name])

    def changed(self, before: Sequence[dict[str, Tensor]]) -> Iterator[tuple[nn.Parameter, Tensor]]:
        """The user's parameters that are to change, with their new values."""
        for cell, kept, owned in zip(self.cells, before, self.owners, strict=True):
            for name, parameter in cell.named_parameters():
                owner = owned[name][1]
                if owner is not None and not torch.equal(parameter, kept[name]):
                    yield owner, parameter.detach()

    def movable(self, layer: int, names: Sequence[str]) -> list[nn.Parameter]:
        """Parameters of a layer that a method may move.

        Raises:
            ValueError: where one of them is frozen, or derived from others (weight_norm, a parametrization).
        """
        for name in names:
            label, owner = self.owners[layer][name]
            if owner is None:
                raise ValueError(
                    f"{label} is derived from other parameters (weight_norm, parametrization, prune); condition the module "
                    "before they are put on"
                )
            if not owner.requires_grad:
                raise ValueError(f"{label} is frozen (requires_grad=False), and conditioning would move it")
        return [self.cells[layer].get_parameter(name) for name in names]


def tangent_of(cell: Cell) -> TangentMap:
    """The tangent map of a cell, or the one that it brings."""
    own: TangentMap | None = getattr(cell, "tangent", None)
    return CellTangent(cell) if own is None else own
