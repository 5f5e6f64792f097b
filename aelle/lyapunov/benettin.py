"""The loop: push a frame along the trajectory, split it now and then, add the logarithms.

Benettin, Galgani, Giorgilli & Strelcyn (1980), Meccanica 15:9, with the factorisation of `factorise`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

import torch
from torch import Tensor

from aelle.lyapunov.factorise import (
    AdaptiveInterval,
    growth_gaps,
    log_diagonal_of_r,
    rounding_error,
    split_lu,
)
from aelle.lyapunov.growth import Growth, Position
from aelle.lyapunov.tangent import Linearisation, TangentMap
from aelle.lyapunov.workers import map_rows

Report = Callable[[int], None]

SEGMENT = 256
"""Longest piece of trajectory held at once."""

FACTORISED_UP_TO = 16
"""Size up to which determinants without a closed form are taken of every Jacobian; above, of samples."""


def measure(
    stack: Sequence[TangentMap],
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

    splittable = all(getattr(tangent, "networks", 1) == 1 for tangent in stack)
    work = sum(tangent.size * frame.numel() for tangent, frame in zip(stack, position.frames, strict=True))
    parts = map_rows(run, rows if splittable else 1, rows, work, position.states[0].is_cuda)
    growths = [Growth.join_rows([part[0][i] for part in parts]) for i in range(len(stack))]
    return growths, Position.join_rows([part[1] for part in parts])


def _measure_rows(
    stack: Sequence[TangentMap],
    inputs: Tensor | None,
    position: Position,
    warmup: int,
    blocks: Sequence[int],
    interval: int | None,
    report: Report | None,
) -> tuple[list[Growth], Position]:
    runs = [FrameRun(tangent, frame, interval) for tangent, frame in zip(stack, position.frames, strict=True)]
    trajectory = _Trajectory(stack, inputs, position.states)
    marks = list(accumulate(blocks, initial=warmup))
    for start, stop, segment in trajectory.segments(marks[-1]):
        here = [mark - start for mark in marks if start < mark <= stop or mark == start == 0]
        for run, (driven, states) in zip(runs, segment, strict=True):
            run.advance(driven, states, here)
        if report is not None:
            report((stop - start) * len(trajectory.diverged))
    growths = [run.growth(blocks, trajectory.diverged) for run in runs]
    return growths, Position(trajectory.states, [run.frame for run in runs])


class _Trajectory:
    """States of a stack, piece by piece; a row that overflows goes on from zero and is marked."""

    def __init__(self, stack: Sequence[TangentMap], inputs: Tensor | None, states: list[Tensor]) -> None:
        self.stack, self.inputs, self.states = stack, inputs, list(states)
        self.diverged = torch.zeros(states[0].shape[0], dtype=torch.bool, device=states[0].device)

    def segments(self, steps: int) -> Iterator[tuple[int, int, list[tuple[Tensor | None, Tensor]]]]:
        """Yield start, stop, and the inputs and states of each map, for each piece of the next `steps` steps."""
        for start in range(0, steps, SEGMENT):
            stop = min(steps, start + SEGMENT)
            driven = None if self.inputs is None else self.inputs[:, start:stop]
            yield start, stop, self._piece(driven, stop - start)

    def _piece(self, driven: Tensor | None, steps: int) -> list[tuple[Tensor | None, Tensor]]:
        piece = []
        for i, tangent in enumerate(self.stack):
            states = tangent.trajectory(driven, self.states[i], steps)
            overflowed = ~states.flatten(1).isfinite().all(dim=1)
            if overflowed.any():
                self.diverged |= overflowed
                states = states.masked_fill(overflowed.view(-1, 1, 1), 0.0)
            self.states[i] = states[:, -1]
            piece.append((driven, states))
            driven = tangent.output(states)
        return piece


class FrameRun:
    """A frame on its way along the trajectory of one tangent map.

    Args:
        tangent: the map.
        frame: (rows, k, n), independent rows.
        interval: steps between factorisations, or None to adapt it to the rounding error.
    """

    def __init__(self, tangent: TangentMap, frame: Tensor, interval: int | None) -> None:
        self.tangent, self.frame = tangent, frame
        self.rows, self.k, self.n = frame.shape
        self._interval = AdaptiveInterval(self.n, frame.dtype, interval)
        self._chart: Tensor | None = None
        self._offset: Tensor | None = None  # ln diag R of the frame at the last mark; None before the first
        self._blocks: list[Tensor] = []
        self._sum = frame.new_zeros(self.rows, self.k)
        self._rounding = torch.zeros_like(self._sum)
        self._audit = frame.new_zeros(self.rows)
        self._audited_steps = 0
        self._longest_interval = 0

    def advance(self, inputs: Tensor | None, states: Tensor, marks: Sequence[int]) -> None:
        """Push the frame along states (rows, steps + 1, ·) under inputs (rows, steps, ·).

        Marks, steps from the start, end the warm-up and then each block.
        """
        steps = states.shape[1] - 1
        determinants = self.tangent.log_abs_det(inputs, states) if self.k == self.n else None
        if 0 in marks:
            self._mark(self.frame)
        position = 0
        while position < steps:
            stop = min(steps, position + self.tangent.chunk_steps(self.rows, self.k))
            driven = None if inputs is None else inputs[:, position:stop]
            chunk = self.tangent.linearise(driven, states[:, position : stop + 1], self.k, self._chart)
            if determinants is not None:
                known: Tensor | None = determinants[:, position:stop]
            else:
                known = _log_abs_dets(chunk) if self.k == self.n <= FACTORISED_UP_TO else None
            self._push_through(chunk, known, [m - position for m in marks if position < m <= stop])
            self._chart, position = chunk.chart, stop

    def growth(self, blocks: Sequence[int], diverged: Tensor) -> Growth:
        """Everything added up since the first mark."""
        logs = torch.stack(self._blocks, dim=1)
        per_row = torch.ones_like(diverged, dtype=torch.long)
        return Growth(
            logs,
            torch.tensor(blocks, device=logs.device).expand(self.rows, -1),
            self._rounding,
            self._audit,
            per_row * self._audited_steps,
            diverged | logs.isnan().flatten(1).any(dim=1),
            per_row * self._longest_interval,
        )

    def _push_through(self, chunk: Linearisation, determinants: Tensor | None, marks: Sequence[int]) -> None:
        position = 0
        for stop in sorted({*marks, chunk.steps}):
            first = True
            while position < stop:
                interval = min(self._interval.steps, stop - position)
                audit = first and determinants is None and self.k == self.n
                done = self._one_interval(chunk, determinants, position, interval, audit)
                position, first = position + done, first and done == 0
            if stop in marks:
                self._mark(chunk.to_state(stop, self.frame))
        self.frame = chunk.to_state(chunk.steps, self.frame) if chunk.chart is None else self.frame

    def _one_interval(
        self, chunk: Linearisation, determinants: Tensor | None, start: int, interval: int, audit: bool
    ) -> int:
        """Push the frame through one interval and split it; return the steps done, 0 where it was too long."""
        pushed = self.frame
        for step in range(start, start + interval):
            pushed = chunk.push(step, pushed)
        frame, log_diagonal = split_lu(pushed)
        residual = None
        if determinants is not None:
            residual = _difference(log_diagonal.sum(-1), determinants[:, start : start + interval].sum(-1))
        gaps = growth_gaps(log_diagonal)
        error = rounding_error(gaps, self.n, residual)
        if not self._interval.fits(interval, gaps, error, residual):
            return 0
        self.frame = frame
        self._sum += log_diagonal
        if self._offset is not None:
            self._rounding += error
            self._longest_interval = max(self._longest_interval, interval)
            if audit:
                residual = _difference(log_diagonal.sum(-1), _log_abs_dets(chunk, start, interval).sum(-1))
            if residual is not None:
                self._audit += residual
                self._audited_steps += interval
        return interval

    def _mark(self, state_frame: Tensor) -> None:
        """Read off ln diag R of the whole product, and with it the growth since the mark before."""
        r = log_diagonal_of_r(state_frame)
        if self._offset is not None:
            self._blocks.append(self._sum + r - self._offset)
            if self.k == self.n:
                self._audit += (r - self._offset).sum(-1)
        self._offset, self._sum = r, torch.zeros_like(r)


def _log_abs_dets(chunk: Linearisation, start: int = 0, steps: int | None = None) -> Tensor:
    """ln|det J| of some steps of a chunk, from the Jacobians: (rows, steps)."""
    stop = chunk.steps if steps is None else start + steps
    jacobians = torch.stack([chunk.jacobian(step) for step in range(start, stop)], dim=1)
    return torch.linalg.slogdet(jacobians)[1]


def _difference(a: Tensor, b: Tensor) -> Tensor:
    """a - b, with equal infinities at distance 0."""
    return torch.where(a == b, 0.0, a - b)
