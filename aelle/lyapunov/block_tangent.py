"""Cells and maps whose Jacobians are blocks on the diagonal, as the loop in `block_run` takes them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from aelle.lyapunov.automatic import AutomaticTangent
from aelle.lyapunov.block_run import BlockSegment
from aelle.lyapunov.cell_tangent import CellTangent
from aelle.lyapunov.low_rank import LowRankTangent
from aelle.lyapunov.structure import (
    BlockDiagonal,
    Derivatives,
    DiagonalPlusLowRank,
    StructureError,
    log_abs_dets,
    recognised_structure,
)
from aelle.lyapunov.tangent import LONGEST_SEGMENT, TangentMap

CHECKED_STEPS = 8
"""Steps on which the closed form of a cell is held against automatic differentiation."""

DENSE_UP_TO = 16
"""Size up to which nothing is looked for: factorisations cost nothing there."""

NUMBERS_AT_ONCE = 1_000_000
"""Components of state differentiated together."""


class CellBlocks:
    """A recurrent cell whose units do not act on each other (`Cell.unit_jacobians`).

    Args:
        tangent: the cell with its dense tangent map.
        audited: whether its sums are held against determinants.
    """

    def __init__(self, tangent: CellTangent, audited: bool) -> None:
        self.cell, self.size, self.audited = tangent.cell, tangent.size, audited
        self.input_size, self.networks = tangent.input_size, tangent.networks
        self.splittable = tangent.splittable
        self.block_size = len(self.cell.state_parts)
        self._checked = False

    def block_segment(self, inputs: Tensor | None, state: Tensor, steps: int) -> BlockSegment:
        """Trajectory and closed-form blocks of some steps."""
        assert inputs is not None, "a recurrent cell always has inputs"
        rows = len(state)
        if self.cell.population:
            inputs = inputs.reshape(self.networks, -1, *inputs.shape[1:])
            state = state.reshape(self.networks, -1, state.shape[-1])
        states = self.cell.trajectory(inputs, state)
        if not self._checked:
            self._check(inputs[..., :CHECKED_STEPS, :], states[..., :-1, :][..., :CHECKED_STEPS, :])
        x, before = inputs.flatten(-3, -2), states[..., :-1, :].flatten(-3, -2)
        units = self.cell.unit_jacobians(x, before)
        closed = self.cell.log_abs_det(x, before) if self.audited else None
        b = self.block_size
        return BlockSegment(
            states.reshape(rows, steps + 1, -1),
            units.blocks.reshape(rows, steps, -1, b, b),
            None if units.log_scale is None else units.log_scale.reshape(rows, steps, -1),
            None if closed is None else closed.reshape(rows, steps),
        )

    def _check(self, inputs: Tensor, states: Tensor) -> None:
        x, before = inputs.flatten(-3, -2), states.flatten(-3, -2)
        blocks = self.cell.unit_jacobians(x, before).scaled()
        structure = BlockDiagonal(self.block_size, by_parts=True)
        if Derivatives(self.cell.step, x, before).outside(structure, blocks).any():
            name = type(self.cell).__name__
            raise StructureError(
                f"{name}.unit_jacobians differs from automatic differentiation of {name}.step: units act on each "
                f"other, or the closed form is wrong; return None for a dense Jacobian"
            )
        self._checked = True

    def output(self, states: Tensor) -> Tensor:
        """Hidden vectors after each step."""
        return self.cell.output(states[:, 1:])

    def segment_steps(self, rows: int) -> int:
        """All that is wanted, within a few dozen megabytes."""
        return _segment_steps(rows * self.size)


class MapBlocks:
    """A step with blocks on the diagonal, given or automatic; that there is nothing else is checked at every step.

    Args:
        tangent: the map with its dense tangent map.
        structure: of its Jacobians.
        audited: whether its sums are held against determinants.
        recognised: whether the structure was found, not declared.
    """

    def __init__(
        self, tangent: AutomaticTangent, structure: BlockDiagonal, audited: bool, recognised: bool
    ) -> None:
        self._tangent, self.structure, self.recognised = tangent, structure, recognised
        tangent.in_blocks = True
        self.size, self.block_size, self.audited = tangent.size, structure.size, audited
        self.input_size, self.networks = tangent.input_size, tangent.networks
        self.splittable = tangent.splittable

    def block_segment(self, inputs: Tensor | None, state: Tensor, steps: int) -> BlockSegment:
        """Trajectory and blocks of some steps."""
        states = self._tangent.trajectory(inputs, state, steps)
        x, before = None if inputs is None else inputs.flatten(0, 1), states[:, :-1].flatten(0, 1)
        derivatives = Derivatives(self._tangent.batched_step, x, before)
        given = self._tangent.given_jacobian
        blocks = derivatives.blocks(self.structure) if given is None else self._given(given(x, before))
        outside = derivatives.outside(self.structure, blocks)
        if outside.any():
            raise StructureError(self._complaint(int(outside.view(-1, steps).any(0).long().argmax())))
        volume = self._determinants(blocks, derivatives) if self.audited else None
        shape = len(state), steps
        return BlockSegment(
            states,
            blocks.unflatten(0, shape),
            log_abs_det=None if volume is None else volume.view(shape),
            noise=0.0 if given is not None else 4 * torch.finfo(blocks.dtype).eps,
        )

    def _given(self, found: Tensor) -> Tensor:
        return found.reshape(len(found), -1, self.block_size, self.block_size)

    def _determinants(self, blocks: Tensor, derivatives: Derivatives) -> Tensor | None:
        """ln|det J| from products from the other side, or from automatic ones where the blocks are given, (rows,).

        Blocks so nearly singular that automatic derivatives do not resolve them count as what they are taken to be.
        """
        if self._tangent.given_jacobian is None:
            other = derivatives.blocks_by_columns(self.structure)
        else:
            other = derivatives.blocks(self.structure)
        if other is None:
            return None
        taken, found = log_abs_dets(blocks), log_abs_dets(other)
        unresolved = found < torch.tensor(1e8 * torch.finfo(blocks.dtype).eps).log()
        return torch.where(unresolved, taken, found).sum(-1)

    def _complaint(self, step: int) -> str:
        what = "is not what its `jacobian` gives" if self._tangent.given_jacobian is not None else "is not so"
        return (
            f"the Jacobian was {'found to be' if self.recognised else 'declared'} {self.structure}, but {what}: it "
            f"differs from automatic differentiation of step, first at step {step} of a segment; "
            f'structure="dense" takes any Jacobian'
        )

    def output(self, states: Tensor) -> Tensor:
        """States after each step."""
        return states[:, 1:]

    def segment_steps(self, rows: int) -> int:
        """All that is wanted, within a few dozen megabytes."""
        return _segment_steps(rows * self.size * self.block_size)


def with_structure(tangent: TangentMap, count: int) -> Any:
    """The same map in blocks where its Jacobian has any, else as it is; `count` exponents are to be measured."""
    audited = count == tangent.size
    if isinstance(tangent, CellTangent):
        cell = tangent.cell
        if tangent.hidden_only or cell.unit_jacobians(*_first_point(cell)) is None:
            return tangent
        return CellBlocks(tangent, audited)
    if isinstance(tangent, AutomaticTangent):
        structure = tangent.structure
        if isinstance(structure, BlockDiagonal):
            return MapBlocks(tangent, structure, audited, recognised=False)
        if isinstance(structure, DiagonalPlusLowRank):
            return LowRankTangent(tangent, structure)
        if structure == "auto" and tangent.given_jacobian is None and tangent.size > DENSE_UP_TO:
            found = recognised_structure(tangent.batched_step, *tangent.probe(4))
            return tangent if found is None else MapBlocks(tangent, found, audited, recognised=True)
    return tangent


def _first_point(cell: Any) -> tuple[Tensor, Tensor]:
    state = cell.initial_state(1)
    return state.new_zeros(*state.shape[:-1], cell.input_size), state


def _segment_steps(numbers: int) -> int:
    return max(1, min(LONGEST_SEGMENT, NUMBERS_AT_ONCE // numbers))
