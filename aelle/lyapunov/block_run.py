"""The loop for Jacobians of small blocks on the diagonal: O(n) per step, and no factorisation of n × n.

The axes, or the planes, of the blocks stay what they are, so that each block is a system of its own. Of blocks of
one, the exponents are the averages of ln|entry|; larger blocks carry a frame of b × b each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor

from aelle.lyapunov.growth import Growth, at_rest
from aelle.lyapunov.rounding import growth_gaps, rounding_bound
from aelle.lyapunov.tangent import TangentMap
from aelle.lyapunov.workers import stop_if_cancelled

if TYPE_CHECKING:
    from typing_extensions import TypeIs

GRAM_SCHMIDT_UP_TO = 4
"""Block size up to which all blocks are orthonormalised column by column; LAPACK takes one block at a time."""


@dataclass(frozen=True)
class BlockSegment:
    """A piece of trajectory and the blocks of its Jacobians, J_i = exp(log_scale_i) B_i.

    Attributes:
        states: (rows, steps + 1, state size).
        blocks: B, (rows, steps, n/b, b, b).
        log_scale: (rows, steps, n/b), or None for zero: what would underflow as a number.
        log_abs_det: ln|det J| by another arithmetic, (rows, steps), or None.
        noise: absolute error of the entries of B beside rounding: what automatic derivatives leave of saturated ones.
    """

    states: Tensor
    blocks: Tensor
    log_scale: Tensor | None = None
    log_abs_det: Tensor | None = None
    noise: float = 0.0


@runtime_checkable
class BlockTangent(Protocol):
    """A driven map whose Jacobians are blocks on the diagonal.

    Attributes:
        size, input_size, networks, splittable: as those of a `TangentMap`.
        block_size: b.
        audited: whether the sum of all exponents is held against determinants, as the loop does where k = n.
    """

    size: int
    input_size: int | None
    networks: int
    splittable: bool
    block_size: int
    audited: bool

    def block_segment(self, inputs: Tensor | None, state: Tensor, steps: int) -> BlockSegment:
        """Run `steps` steps from `state` (rows, state size) under inputs (rows, steps, input size)."""

    def output(self, states: Tensor) -> Tensor:
        """What a layer above takes as input."""

    def segment_steps(self, rows: int) -> int:
        """How long a piece of trajectory to hold at once."""


def in_blocks(tangent: TangentMap | BlockTangent) -> TypeIs[BlockTangent]:
    """Whether the Jacobians of a map are blocks on the diagonal."""
    return hasattr(tangent, "block_segment")


class BlockRun:
    """State and frames of the blocks on their way along the trajectory.

    Args:
        tangent: the map.
        state: (rows, state size).
        frame: (rows, n/b, b, b), orthonormal columns.
    """

    def __init__(self, tangent: BlockTangent, state: Tensor, frame: Tensor) -> None:
        self.tangent, self.state, self.marked = tangent, state, frame
        self.rows = len(frame)
        self._measuring = False
        self._still = torch.zeros(self.rows, dtype=torch.bool, device=frame.device)
        self._sums: list[Tensor] = []  # of ln R since the last mark, (rows, n)
        self._blocks: list[Tensor] = []
        self._rounding = frame.new_zeros(self.rows, tangent.size)
        self._audit, self._audited_steps = frame.new_zeros(self.rows), 0

    def advance(self, inputs: Tensor | None, steps: int, marks: Sequence[int]) -> Tensor:
        """Advance by `steps` steps under inputs (rows, steps, ·); return the outputs. Marks as in `FrameRun`."""
        stop_if_cancelled()
        segment = self.tangent.block_segment(inputs, self.state, steps)
        logs, self.marked = push_blocks(segment, self.marked)
        for start, stop in pairwise(sorted({0, steps, *marks})):
            if start in marks:
                self._mark()
            if self._measuring:
                self._add(segment, logs[:, start:stop], slice(start, stop))
        if steps in marks:
            self._mark()
        first = None if inputs is None else inputs[:, :1]
        self._still = at_rest(
            segment.states, lambda state: self.tangent.block_segment(first, state, 1).states[:, -1]
        )
        self.state = segment.states[:, -1]
        return self.tangent.output(segment.states)

    def _add(self, segment: BlockSegment, logs: Tensor, where: slice) -> None:
        self._sums.append(logs.sum(1).flatten(1))
        gaps = growth_gaps(logs)
        gaps = gaps.masked_fill(
            gaps.isnan(), 0.0
        )  # nothing before it grew either: a block of zeros, or one number
        error = rounding_bound(gaps, self.tangent.block_size) + self._entry_error(segment, logs, where)
        self._rounding += error.sum(1).flatten(1)
        if segment.log_abs_det is not None and self.tangent.audited:
            found, expected = logs.flatten(2).sum(-1), segment.log_abs_det[:, where]
            self._audit += torch.where(found == expected, 0.0, found - expected).sum(1)
            self._audited_steps += logs.shape[1]

    @staticmethod
    def _entry_error(segment: BlockSegment, logs: Tensor, where: slice) -> Tensor:
        """What the error of an entry is to the logarithm: of zero, nothing where it is exact, and all where it is not."""
        finfo = torch.finfo(logs.dtype)
        noise = max(segment.noise, finfo.smallest_normal * finfo.eps)
        unscaled = logs if segment.log_scale is None else logs - segment.log_scale[:, where].unsqueeze(-1)
        error = noise * unscaled.neg().exp()
        return error if segment.noise else error.masked_fill(logs.isinf(), 0.0)

    def _mark(self) -> None:
        if self._measuring:
            self._blocks.append(torch.stack(self._sums).sum(0))
        self._sums, self._measuring = [], True

    def growth(self, blocks: Sequence[int]) -> Growth:
        """Everything added up since the first mark."""
        logs = torch.stack(self._blocks, dim=1)
        per_row = logs.new_ones(self.rows, dtype=torch.long)
        return Growth(
            logs,
            torch.tensor(blocks, device=logs.device).expand(self.rows, -1),
            self._rounding,
            self._audit,
            per_row * self._audited_steps,
            logs.isnan().flatten(1).any(dim=1) | ~self.state.isfinite().all(dim=-1),
            per_row,
            self._still,
        )


def push_blocks(segment: BlockSegment, frame: Tensor) -> tuple[Tensor, Tensor]:
    """Push a frame (rows, n/b, b, b) through every step: ln diag R of each, (rows, steps, n/b, b), and the last frame."""
    scale = 0.0 if segment.log_scale is None else segment.log_scale.unsqueeze(-1)
    if frame.shape[-1] == 1:
        return segment.blocks.squeeze(-1).abs().log() + scale, frame
    logs = []
    for block in segment.blocks.unbind(1):
        frame, log_r = _orthonormalised(block @ frame)
        logs.append(log_r)
    return torch.stack(logs, dim=1) + scale, frame


def _orthonormalised(pushed: Tensor) -> tuple[Tensor, Tensor]:
    """Q and ln diag R of blocks (rows, n/b, b, b) of columns."""
    if pushed.shape[-1] <= GRAM_SCHMIDT_UP_TO:
        basis, norms = _gram_schmidt(pushed)
        if bool((norms > 0).all()):
            return basis, norms.log()
    q, r = torch.linalg.qr(pushed)  # gives a singular block a whole basis too
    return q, r.diagonal(dim1=-2, dim2=-1).abs().log()


def _gram_schmidt(pushed: Tensor) -> tuple[Tensor, Tensor]:
    """By columns, each taken twice: orthonormal to rounding (Giraud, Langou & Rozložník 2005), for all blocks at once."""
    basis: list[Tensor] = []
    norms = []
    for column in pushed.unbind(-1):
        for _ in range(2):
            for unit in basis:
                column = column - unit * (unit * column).sum(-1, keepdim=True)
        norm = torch.linalg.vector_norm(column, dim=-1, keepdim=True)
        basis.append(column / norm)
        norms.append(norm.squeeze(-1))
    return torch.stack(basis, dim=-1), torch.stack(norms, dim=-1)
