"""State and frame on their way along the trajectory of one tangent map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from aelle.kernels.library import Advance
from aelle.lyapunov.block_sums import BlockSums
from aelle.lyapunov.compiled_linearisation import compiled_jacobians
from aelle.lyapunov.factorise import Workspace, log_diagonal_of_r
from aelle.lyapunov.growth import Growth, at_rest
from aelle.lyapunov.interval import AdaptiveInterval
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
        self._sums = BlockSums(frame, tangent.exact_derivatives)
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
            # A whole number of intervals, but for the last.
            whole = max(cached // self._interval.steps, 1) * self._interval.steps
            stop = steps if steps - position <= cached else min(steps, position + whole)
            self._go_through(segment, position, stop, marks)
            position = stop
        first = None if inputs is None else inputs[:, :1]
        self._still = at_rest(
            segment.states, lambda state: self.tangent.segment(first, state, 1, self.k, None).states[:, -1]
        )
        self.state, self._chart = segment.states[:, -1], segment.chart
        return self.tangent.output(segment.states)

    def growth(self, blocks: Sequence[int]) -> Growth:
        """Everything added up since the first mark."""
        logs, rounding, sums = self._sums.logs, self._sums.rounding, self._sums
        if self._dead.unproven is not None:
            rounding = rounding.masked_fill(self._dead.unproven, math.inf)
        if not self.tangent.exact_derivatives:  # what looks singular may be an entry rounded to nothing
            rounding = rounding.masked_fill(logs.isinf().any(dim=1), math.inf)
        overflowed = logs.isnan().flatten(1).any(dim=1) | ~self.state.isfinite().all(dim=-1)
        return Growth(
            logs,
            torch.tensor(blocks, device=logs.device).expand(self.rows, -1),
            rounding,
            sums.audit,
            sums.audited_steps,
            overflowed,
            torch.full_like(sums.audited_steps, self._longest_interval),
            self._still,
        )

    def _go_through(self, segment: Segment, start: int, stop: int, marks: Sequence[int]) -> None:
        """Take the frame through one chunk, from mark to mark, or at once where the compiled loops can."""
        chunk, done = segment.chunk(start, stop), 0
        determinants = self._determinants(segment, chunk, start)
        while True:
            done = self._by_compiled_loops(chunk, start, done, marks, determinants)
            if done == chunk.steps:
                break
            end = min([chunk.steps, *(mark - start for mark in marks if mark > start + done)])
            self._push_through(segment, chunk, start, done, end, determinants)
            done = end
            if start + done in marks:
                self._mark(chunk.to_state(done, self.frame))
        if stop in marks:
            self.marked = chunk.to_state(done, self.frame)

    def _determinants(self, segment: Segment, chunk: Linearisation, start: int) -> Tensor | None:
        """ln|det J| of the steps of a chunk, (rows, steps), where they come for little."""
        if segment.log_abs_det is not None:
            return segment.log_abs_det[:, start : start + chunk.steps]
        return (
            _log_abs_dets(chunk, 0, chunk.steps, self.frame) if self.k == self.n <= FACTORISED_UP_TO else None
        )

    def _by_compiled_loops(
        self, chunk: Linearisation, start: int, done: int, marks: Sequence[int], determinants: Tensor | None
    ) -> int:
        """Go on through a chunk, whose first step is `start`, as far as the compiled loops take it; the steps done."""
        taken = None
        if done < chunk.steps and self._dead.mask is None and not self._one_by_one:
            taken = compiled_jacobians(chunk, self.frame)
        if taken is None:
            return done
        stop_if_cancelled()
        (jacobians, first), schedule = taken, self._interval.schedule()
        here = [mark - start + first for mark in marks if start + done < mark <= start + chunk.steps]
        way = first + done, first + chunk.steps, here
        found = jacobians.advance(self.frame, *way, schedule, determinants, first, self._dead.inside)
        self._interval.go_on(schedule)
        if found.lengths:
            self._add(chunk, done, found)
        return found.position - first

    def _add(self, chunk: Linearisation, start: int, found: Advance) -> None:
        """Add what became of the frame in the compiled loops, from one step of a chunk on."""
        pending, before, lengths = self._sums.pending, found.intervals_before, found.lengths
        measured = 0 if self._sums.measuring else before[0] if before else len(lengths)
        self._sums.add(found.logs, found.residuals)
        if before:
            self._sums.mark(found.read_off, [pending + count for count in before])
        if measured == len(lengths):
            return
        self._longest_interval = max(self._longest_interval, *lengths[measured:])
        if found.residuals is not None:
            self._sums.add_residuals(found.residuals[measured:], sum(lengths[measured:]))
        elif self.k == self.n and not self._sampled:
            steps = lengths[measured]
            expected = (
                _log_abs_dets(chunk, start + sum(lengths[:measured]), steps, self.frame).sum(-1).unsqueeze(0)
            )
            self._sums.add_audit(found.logs[measured].sum(-1).unsqueeze(0), expected, steps)
            self._sampled = True

    def _push_through(
        self,
        segment: Segment,
        chunk: Linearisation,
        start: int,
        position: int,
        stop: int,
        determinants: Tensor | None,
    ) -> None:
        """Push the frame from one step of a chunk, whose first is `start`, to another."""
        measuring = self._sums.measuring
        # Determinants without a closed form cost as much as the run: one interval is audited, the first measured.
        sampled = determinants is None and self.k == self.n and measuring and not self._sampled
        while position < stop:
            stop_if_cancelled()
            left = stop - position
            interval = min(self._interval.steps, left)
            count = 1 if sampled or self._one_by_one else min(self._interval.patience, left // interval)
            piece = Piece(chunk, position, interval, count)
            logs = self._try(piece, segment, start + position, determinants)
            if logs is None:
                continue
            if sampled:
                expected = _log_abs_dets(chunk, position, interval, self.frame).sum(-1).unsqueeze(0)
                self._sums.add_audit(logs.sum(-1), expected, interval)
                self._sampled, sampled = True, False
            position = piece.stop

    def _try(self, piece: Piece, segment: Segment, at: int, determinants: Tensor | None) -> Tensor | None:
        """Push the frame through some intervals, splitting it after each; their logarithms.

        None where the intervals were too long; the frame is then what it was.
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
                    return None
                one_step = piece.interval == 1
                singular = segment.singular(at) & finite if one_step else torch.zeros_like(finite)
                self._dead.add(logs[0], singular, self._spare[0])
        sums = logs.sum(-1)
        expected = None if determinants is None else piece.sum_of(determinants)
        residuals = None if expected is None else sums - expected
        if not self._interval.fits(piece.interval, logs, residuals, self._dead.mask):
            return None
        last = (piece.intervals - 1) % 2
        self._spare, self.frame = (self.frame, self._spare[1 - last]), self._spare[last]
        logs = logs if self._dead.mask is None else self._without_dead(logs, self._dead.mask)
        self._sums.add(logs, residuals)
        self._one_by_one = max(self._one_by_one - piece.intervals, 0)
        if self._sums.measuring:
            self._longest_interval = max(self._longest_interval, piece.interval)
            if expected is not None:
                self._sums.add_audit(sums, expected, piece.interval)
        return logs

    def _without_dead(self, logs: Tensor, mask: Tensor) -> Tensor:
        """Logarithms with -inf for good where a direction has ended; in the warm-up it begins anew instead."""
        if self._sums.measuring:
            return logs.masked_fill(mask, -math.inf)
        exact = self._dead.exact
        if exact is not None:
            renew(self.frame, exact, self._work)
            level = logs.amax(-1, keepdim=True).clamp(min=0.0)
            logs = torch.where(exact, level, logs)  # a gap of 0
        self._dead.forget()
        return logs

    def _mark(self, state_frame: Tensor) -> None:
        """Read off ln diag R of the whole product, and with it the growth since the mark before."""
        self.marked = state_frame
        read_off = log_diagonal_of_r(state_frame).unsqueeze(0)
        self._sums.mark(read_off, dead=self._dead.mask, ended=self._dead.exact)


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


def _log_abs_dets(chunk: Linearisation, start: int, steps: int, like: Tensor) -> Tensor:
    """ln|det J| of some steps of a chunk, from the Jacobians: (rows, steps). Frames are like (rows, k, n)."""
    compiled = compiled_jacobians(chunk, like)
    if compiled is not None:
        return compiled[0].log_abs_dets(compiled[1] + start, steps)
    jacobians = torch.stack([chunk.jacobian(step) for step in range(start, start + steps)], dim=1)
    return torch.linalg.slogdet(jacobians)[1]
