"""State and frame on their way along the trajectory of one tangent map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from aelle.lyapunov.factorise import Workspace, log_diagonal_of_r
from aelle.lyapunov.growth import Growth, at_rest
from aelle.lyapunov.interval import AdaptiveInterval
from aelle.lyapunov.rounding import (
    corrections,
    difference,
    gaps_of,
    rounding_bound,
    rounding_error,
)
from aelle.lyapunov.singular import DeadDirections, renew
from aelle.lyapunov.tangent import Linearisation, Segment, TangentMap
from aelle.lyapunov.workers import stop_if_cancelled

FACTORISED_UP_TO = 16
"""Size up to which determinants without a closed form are taken of every Jacobian; above, of samples."""


class FrameRun:
    """State and frame on their way along the trajectory of one tangent map.

    Args:
        tangent: the map.
        state: (rows, state size).
        frame: (rows, k, n), independent rows.
        interval: steps between factorisations, or None to adapt it to the rounding error.
    """

    def __init__(self, tangent: TangentMap, state: Tensor, frame: Tensor, interval: int | None) -> None:
        self.tangent, self.state = tangent, state
        self.frame = frame.clone(memory_format=torch.contiguous_format)  # overwritten on the way
        self.rows, self.k, self.n = frame.shape
        self._interval = AdaptiveInterval(self.n, frame.dtype, interval)
        self._work = Workspace.of(self.frame)
        self._spare = torch.empty_like(self.frame), torch.empty_like(self.frame)
        self._chart: Tensor | None = None
        self.marked = self.frame  # the frame at the last mark, in the coordinates of the state
        self._offset: Tensor | None = None  # ln diag R of the frame at the last mark; None before the first
        self._blocks: list[Tensor] = []
        self._logs: list[Tensor] = []  # of the intervals since the last mark, (intervals, rows, k)
        self._residuals: list[Tensor] = []
        self._rounding = frame.new_zeros(self.rows, self.k)
        self._audit = frame.new_zeros(self.rows)
        self._audited_steps = torch.zeros(self.rows, dtype=torch.long, device=frame.device)
        self._sampled = False  # whether an interval without closed forms has been audited
        self._longest_interval = 0
        self._still = torch.zeros(self.rows, dtype=torch.bool, device=frame.device)
        self._dead = DeadDirections(frame.dtype)
        self._one_by_one = 0  # intervals to run one at a time, since one of them left the range

    def advance(self, inputs: Tensor | None, steps: int, marks: Sequence[int]) -> Tensor:
        """Advance by `steps` steps under inputs (rows, steps, ·); return the outputs.

        Marks, steps from the start, end the warm-up and then each block.
        """
        segment = self.tangent.segment(inputs, self.state, steps, self.k, self._chart)
        if 0 in marks:
            self._mark(self.frame)
        cached, position = segment.chunk_steps, 0
        while position < steps:
            # A whole number of intervals, and none across a mark.
            whole = max(cached // self._interval.steps, 1) * self._interval.steps
            stop = min([steps, position + whole, *(mark for mark in marks if mark > position)])
            chunk = segment.chunk(position, stop)
            self._push_through(segment, chunk, position)
            if stop in marks:
                self._mark(chunk.to_state(chunk.steps, self.frame))
            position = stop
        first = None if inputs is None else inputs[:, :1]
        self._still = at_rest(
            segment.states, lambda state: self.tangent.segment(first, state, 1, self.k, None).states[:, -1]
        )
        self.state, self._chart = segment.states[:, -1], segment.chart
        return self.tangent.output(segment.states)

    def growth(self, blocks: Sequence[int]) -> Growth:
        """Everything added up since the first mark."""
        logs, rounding = torch.stack(self._blocks, dim=1), self._rounding
        if self._dead.unproven is not None:
            rounding = rounding.masked_fill(self._dead.unproven, math.inf)
        if not self.tangent.exact_derivatives:  # what looks singular may be an entry rounded to nothing
            rounding = rounding.masked_fill(logs.isinf().any(dim=1), math.inf)
        overflowed = logs.isnan().flatten(1).any(dim=1) | ~self.state.isfinite().all(dim=-1)
        return Growth(
            logs,
            torch.tensor(blocks, device=logs.device).expand(self.rows, -1),
            rounding,
            self._audit,
            self._audited_steps,
            overflowed,
            torch.full_like(self._audited_steps, self._longest_interval),
            self._still,
        )

    def _push_through(self, segment: Segment, chunk: Linearisation, start: int) -> None:
        determinants = None
        if segment.log_abs_det is not None:
            determinants = segment.log_abs_det[:, start : start + chunk.steps]
        elif self.k == self.n <= FACTORISED_UP_TO:
            determinants = _log_abs_dets(chunk, 0, chunk.steps)
        # Determinants without a closed form cost as much as the run: one interval is audited, the first measured.
        sampled = determinants is None and self.k == self.n and self._offset is not None and not self._sampled
        position = 0
        while position < chunk.steps:
            stop_if_cancelled()
            left = chunk.steps - position
            interval = min(self._interval.steps, left)
            count = 1 if sampled or self._one_by_one else min(self._interval.patience, left // interval)
            piece = Piece(chunk, position, interval, count)
            if not self._try(piece, segment, start + position, determinants):
                continue
            if sampled:
                expected = _log_abs_dets(chunk, position, interval).sum(-1).unsqueeze(0)
                self._add_audit(self._logs[-1].sum(-1), expected, interval)
                self._sampled, sampled = True, False
            position = piece.stop

    def _try(self, piece: Piece, segment: Segment, at: int, determinants: Tensor | None) -> bool:
        """Push the frame through some intervals, splitting it after each.

        False where the intervals were too long; the frame is then what it was.
        """
        logs = piece.chunk.run(
            piece.start, piece.interval, piece.intervals, self.frame, self._spare, self._work
        )
        if not self._dead.untouched(logs):
            finite = segment.states[:, -1].isfinite().all(-1)
            if self._dead.outside(logs, finite):
                if piece.intervals > 1 or (piece.interval > 1 and not self._interval.fixed):
                    self._one_by_one = piece.intervals
                    self._interval.halve(piece.interval)
                    return False
                one_step = piece.interval == 1
                singular = segment.singular(at) & finite if one_step else torch.zeros_like(finite)
                self._dead.add(logs[0], singular, self._spare[0])
        sums = logs.sum(-1)
        expected = None if determinants is None else piece.sum_of(determinants)
        residuals = None if expected is None else sums - expected
        if not self._interval.fits(piece.interval, logs, residuals, self._dead.mask):
            return False
        self._accept(piece, logs, residuals)
        if expected is not None and self._offset is not None:
            self._add_audit(sums, expected, piece.interval)
        return True

    def _accept(self, piece: Piece, logs: Tensor, residuals: Tensor | None) -> None:
        last = (piece.intervals - 1) % 2
        self._spare, self.frame = (self.frame, self._spare[1 - last]), self._spare[last]
        self._logs.append(logs if self._dead.mask is None else self._without_dead(logs, self._dead.mask))
        self._one_by_one = max(self._one_by_one - piece.intervals, 0)
        if residuals is not None:
            self._residuals.append(residuals)
        if self._offset is not None:
            self._longest_interval = max(self._longest_interval, piece.interval)

    def _without_dead(self, logs: Tensor, mask: Tensor) -> Tensor:
        """Logarithms with -inf for good where a direction has ended; in the warm-up it begins anew instead."""
        if self._offset is not None:
            return logs.masked_fill(mask, -math.inf)
        exact = self._dead.exact
        if exact is not None:
            renew(self.frame, exact, self._work)
            level = logs.amax(-1, keepdim=True).clamp(min=0.0)
            logs = torch.where(exact, level, logs)  # a gap of 0
        self._dead.forget()
        return logs

    def _add_audit(self, sums: Tensor, expected: Tensor, interval: int) -> None:
        """Compare sums of intervals, (intervals, rows), with their determinants, where these say something."""
        told = expected.isfinite() | (sums == expected)
        self._audit += torch.where(told, difference(sums, expected), 0.0).sum(0)
        self._audited_steps += interval * told.sum(0)

    def _mark(self, state_frame: Tensor) -> None:
        """Read off ln diag R of the whole product, and with it the growth since the mark before."""
        r, self.marked = log_diagonal_of_r(state_frame), state_frame
        if self._logs:
            self._add_block(r)
        self._offset = r
        self._logs.clear()
        self._residuals.clear()

    def _add_block(self, r: Tensor) -> None:
        """Add what the intervals since the last mark make up: growth, unless they are warm-up, and rounding errors.

        A direction lost in the warm-up starts the measurement elsewhere, which no measured interval tells.
        """
        logs = torch.cat(self._logs)
        residuals = torch.cat(self._residuals) if self._residuals else None
        if not self.tangent.exact_derivatives:
            residuals = None  # determinants are of the same entries, rounded to noise, and say nothing
        bound = rounding_bound(gaps_of(logs, self._dead.exact), self.n)
        self._rounding += rounding_error(bound, self.n, residuals).sum(0)
        if self._offset is None:
            return
        growth = logs.sum(0) + r - self._offset
        if self.k == self.n:
            self._audit += (r - self._offset).sum(-1)
        if residuals is not None:
            growth -= corrections(bound, residuals, self._dead.mask)
        self._blocks.append(growth)


class Piece(NamedTuple):
    """Some intervals of one chunk.

    Attributes:
        chunk: whose Jacobians they are.
        start: first step in the chunk.
        interval: steps of each.
        intervals: how many.
    """

    chunk: Linearisation
    start: int
    interval: int
    intervals: int

    @property
    def stop(self) -> int:
        """The step after the last."""
        return self.start + self.interval * self.intervals

    def sum_of(self, per_step: Tensor) -> Tensor:
        """Sums over each interval, (intervals, rows), of numbers (rows, steps) of the chunk."""
        covered = per_step[:, self.start : self.stop]
        return covered.unflatten(1, (self.intervals, self.interval)).sum(-1).mT


def _log_abs_dets(chunk: Linearisation, start: int, steps: int) -> Tensor:
    """ln|det J| of some steps of a chunk, from the Jacobians: (rows, steps)."""
    jacobians = torch.stack([chunk.jacobian(step) for step in range(start, start + steps)], dim=1)
    return torch.linalg.slogdet(jacobians)[1]
