"""The loop: push a frame along the trajectory, split it now and then, add the logarithms.

Benettin, Galgani, Giorgilli & Strelcyn (1980), Meccanica 15:9, with the factorisation of `factorise`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

import torch
from torch import Tensor

from aelle.lyapunov.block_run import BlockRun, BlockTangent
from aelle.lyapunov.factorise import Workspace, log_diagonal_of_r
from aelle.lyapunov.growth import Growth, Position
from aelle.lyapunov.interval import AdaptiveInterval, growth_gaps, rounding_error
from aelle.lyapunov.tangent import Linearisation, Segment, TangentMap
from aelle.lyapunov.workers import map_rows

Report = Callable[[int], None]

FACTORISED_UP_TO = 16
"""Size up to which determinants without a closed form are taken of every Jacobian; above, of samples."""


def measure(
    stack: Sequence[TangentMap | BlockTangent],
    inputs: Tensor | None,
    position: Position,
    *,
    warmup: int,
    blocks: Sequence[int],
    interval: int | None = None,
    report: Report | None = None,
) -> tuple[list[Growth], Position]:
    """Warm state and frame up, then add up the growth over blocks of steps, for a stack of maps.

    Each map is driven by the outputs of the one before it. The Jacobian of the stack is block
    lower-triangular, so its exponents are those of the maps taken one by one.

    Args:
        stack: the maps, first to last.
        inputs: (rows, warmup + sum(blocks), input size), or None for an autonomous map.
        position: where to start.
        warmup: steps not measured, factorised like the others.
        blocks: steps in each measured block.
        interval: steps between factorisations; None adapts it to the rounding error.
        report: called with the number of row-steps done since its last call.

    Returns:
        what each map added up, and where the run ended.
    """
    rows = position.states[0].shape[0]

    def run(start: int, stop: int) -> tuple[list[Growth], Position]:
        driven = None if inputs is None else inputs[start:stop]
        return _measure_rows(
            stack, driven, position.rows(slice(start, stop)), warmup, blocks, interval, report
        )

    splittable = all(tangent.splittable for tangent in stack)
    work = sum(tangent.size * frame.numel() for tangent, frame in zip(stack, position.frames, strict=True))
    parts = map_rows(run, rows if splittable else 1, rows, work, position.states[0].is_cuda)
    growths = [Growth.join_rows([part[0][i] for part in parts]) for i in range(len(stack))]
    return growths, Position.join_rows([part[1] for part in parts])


def _measure_rows(
    stack: Sequence[TangentMap | BlockTangent],
    inputs: Tensor | None,
    position: Position,
    warmup: int,
    blocks: Sequence[int],
    interval: int | None,
    report: Report | None,
) -> tuple[list[Growth], Position]:
    runs: list[FrameRun | BlockRun] = [
        BlockRun(tangent, state, frame)
        if isinstance(tangent, BlockTangent)
        else FrameRun(tangent, state, frame, interval)
        for tangent, state, frame in zip(stack, position.states, position.frames, strict=True)
    ]
    marks = list(accumulate(blocks, initial=warmup))
    length = min(run.tangent.segment_steps(run.rows) for run in runs)
    for start in range(0, marks[-1], length):
        stop = min(marks[-1], start + length)
        here = [mark - start for mark in marks if start < mark <= stop or mark == start == 0]
        driven = None if inputs is None else inputs[:, start:stop]
        for run in runs:
            driven = run.advance(driven, stop - start, here)
        if report is not None:
            report((stop - start) * runs[0].rows)
    return [run.growth(blocks) for run in runs], Position([r.state for r in runs], [r.marked for r in runs])


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
        self._audited_steps = 0
        self._longest_interval = 0

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
            self._push_through(chunk, self._determinants(segment, chunk, position, stop))
            if stop in marks:
                self._mark(chunk.to_state(chunk.steps, self.frame))
            position = stop
        self.state, self._chart = segment.states[:, -1], segment.chart
        return self.tangent.output(segment.states)

    def _determinants(self, segment: Segment, chunk: Linearisation, start: int, stop: int) -> Tensor | None:
        if segment.log_abs_det is not None:
            return segment.log_abs_det[:, start:stop]
        return _log_abs_dets(chunk, 0, chunk.steps) if self.k == self.n <= FACTORISED_UP_TO else None

    def growth(self, blocks: Sequence[int]) -> Growth:
        """Everything added up since the first mark."""
        logs = torch.stack(self._blocks, dim=1)
        per_row = logs.new_ones(self.rows, dtype=torch.long)
        overflowed = logs.isnan().flatten(1).any(dim=1) | ~self.state.isfinite().all(dim=-1)
        return Growth(
            logs,
            torch.tensor(blocks, device=logs.device).expand(self.rows, -1),
            self._rounding,
            self._audit,
            per_row * self._audited_steps,
            overflowed,
            per_row * self._longest_interval,
        )

    def _push_through(self, chunk: Linearisation, determinants: Tensor | None) -> None:
        # Determinants without a closed form cost as much as the run: one interval is audited, the first measured.
        position, audit = 0, determinants is None and self.k == self.n and self._audited_steps == 0
        while position < chunk.steps:
            left = chunk.steps - position
            interval = min(self._interval.steps, left)
            count = 1 if audit else min(self._interval.patience, left // interval)
            done = self._intervals(chunk, determinants, position, interval, count, audit)
            position, audit = position + done, audit and done == 0

    def _intervals(
        self,
        chunk: Linearisation,
        determinants: Tensor | None,
        start: int,
        interval: int,
        count: int,
        audit: bool,
    ) -> int:
        """Push the frame through some intervals, splitting it after each; return the steps done.

        That is none where the intervals were too long; the frame is then what it was.
        """
        stop = start + count * interval
        log_diagonals = chunk.run(start, interval, count, self.frame, self._spare, self._work)
        residuals = None
        if determinants is not None:
            expected = determinants[:, start:stop].unflatten(1, (count, interval)).sum(-1).mT
            residuals = _difference(log_diagonals.sum(-1), expected)
        if not self._interval.fits(interval, log_diagonals, residuals):
            return 0
        last = (count - 1) % 2
        self._spare, self.frame = (self.frame, self._spare[1 - last]), self._spare[last]
        self._logs.append(log_diagonals)
        if residuals is not None:
            self._residuals.append(residuals)
        if self._offset is not None:
            self._longest_interval = max(self._longest_interval, interval)
            if audit:
                residuals = _difference(
                    log_diagonals.sum(-1), _log_abs_dets(chunk, start, stop - start).sum(-1)
                )
            if residuals is not None:
                self._audit += residuals.sum(0)
                self._audited_steps += stop - start
        return stop - start

    def _mark(self, state_frame: Tensor) -> None:
        """Read off ln diag R of the whole product, and with it the growth since the mark before."""
        r, self.marked = log_diagonal_of_r(state_frame), state_frame
        if self._offset is not None:
            logs = torch.cat(self._logs)
            # One residual may be small by chance, errors of two exponents cancelling: their root mean square is not.
            residuals = torch.cat(self._residuals).square().mean(0).sqrt() if self._residuals else None
            self._blocks.append(logs.sum(0) + r - self._offset)
            self._rounding += rounding_error(growth_gaps(logs), self.n, residuals).sum(0)
            if self.k == self.n:
                self._audit += (r - self._offset).sum(-1)
        self._offset = r
        self._logs.clear()
        self._residuals.clear()


def _log_abs_dets(chunk: Linearisation, start: int, steps: int) -> Tensor:
    """ln|det J| of some steps of a chunk, from the Jacobians: (rows, steps)."""
    jacobians = torch.stack([chunk.jacobian(step) for step in range(start, start + steps)], dim=1)
    return torch.linalg.slogdet(jacobians)[1]


def _difference(a: Tensor, b: Tensor) -> Tensor:
    """a - b, with equal infinities at distance 0."""
    return torch.where(a == b, 0.0, a - b)
