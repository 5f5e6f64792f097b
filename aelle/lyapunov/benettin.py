"""The loop: push a frame along the trajectory, split it now and then, add the logarithms.

Benettin, Galgani, Giorgilli & Strelcyn (1980), Meccanica 15:9, with the factorisation of `factorise`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from aelle.lyapunov.factorise import (
    growth_gaps,
    largest_gap,
    log_diagonal_of_r,
    next_interval,
    rounding_error,
    split_lu,
)
from aelle.lyapunov.tangent import Linearisation, TangentMap
from aelle.lyapunov.workers import map_rows

Report = Callable[[int], None]

SEGMENT = 256
"""Longest piece of trajectory held at once."""


@dataclass
class Growth:
    """What a run adds up, per row (driving sequence) and direction. Sums are in nats.

    Attributes:
        logs: (rows, blocks, k), sums of ln R_ii over each block of steps.
        block_steps: (rows, blocks), steps in each block.
        rounding: (rows, k), bound on the rounding error of the sum over all blocks.
        audit: (rows,), Σ_i ln R_ii - ln|det J| summed over the audited steps; zero up to rounding.
        audited_steps: (rows,), steps audited; 0 where k < n.
        diverged: (rows,), whether the state left the range of floating-point numbers.
        longest_interval: (rows,), the most steps between two factorisations.
    """

    logs: Tensor
    block_steps: Tensor
    rounding: Tensor
    audit: Tensor
    audited_steps: Tensor
    diverged: Tensor
    longest_interval: Tensor

    @classmethod
    def join_rows(cls, parts: Sequence[Growth]) -> Growth:
        """Put the rows of several runs of equally many blocks one below the other."""
        return cls(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def rows(self, index: Sequence[int] | slice) -> Growth:
        """Those of some rows."""
        return Growth(*(getattr(self, field.name)[index] for field in fields(self)))

    def followed_by(self, later: Growth) -> Growth:
        """Join with what the same rows added up later on."""
        return Growth(
            torch.cat([self.logs, later.logs], dim=1),
            torch.cat([self.block_steps, later.block_steps], dim=1),
            self.rounding + later.rounding,
            self.audit + later.audit,
            self.audited_steps + later.audited_steps,
            self.diverged | later.diverged,
            torch.maximum(self.longest_interval, later.longest_interval),
        )


@dataclass
class Position:
    """Where a run stands: states (rows, n) and orthonormal frames (rows, k, n) of each map of the stack."""

    states: list[Tensor]
    frames: list[Tensor]

    def rows(self, index: Sequence[int] | slice) -> Position:
        """Those of some rows."""
        return Position([s[index] for s in self.states], [f[index] for f in self.frames])

    @classmethod
    def join_rows(cls, parts: Sequence[Position]) -> Position:
        """Put the rows of several positions one below the other."""
        states = zip(*(part.states for part in parts), strict=True)
        frames = zip(*(part.frames for part in parts), strict=True)
        return cls([torch.cat(s) for s in states], [torch.cat(f) for f in frames])


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
    for segment in trajectory.segments(warmup):
        for run, (driven, states) in zip(runs, segment, strict=True):
            run.advance(driven, states, measuring=False)
    for run in runs:
        run.start_measuring()
    logs: list[list[Tensor]] = [[] for _ in runs]
    for steps in blocks:
        for segment in trajectory.segments(steps):
            for run, (driven, states) in zip(runs, segment, strict=True):
                run.advance(driven, states)
        for run, blocks_of_run in zip(runs, logs, strict=True):
            blocks_of_run.append(run.close_block())
        if report is not None:
            report(steps * len(trajectory.diverged))
    growths = [run.growth(log, blocks, trajectory.diverged) for run, log in zip(runs, logs, strict=True)]
    return growths, Position(trajectory.states, [run.orthonormal_frame() for run in runs])


class _Trajectory:
    """States of a stack, piece by piece; a row that overflows goes on from zero and is marked."""

    def __init__(self, stack: Sequence[TangentMap], inputs: Tensor | None, states: list[Tensor]) -> None:
        self.stack, self.inputs, self.states = stack, inputs, list(states)
        self.time = 0
        self.diverged = torch.zeros(states[0].shape[0], dtype=torch.bool, device=states[0].device)

    def segments(self, steps: int) -> Iterator[list[tuple[Tensor | None, Tensor]]]:
        """Yield, for each piece of the next `steps` steps, the inputs and states of each map."""
        end = self.time + steps
        while self.time < end:
            stop = min(end, self.time + SEGMENT)
            yield self._piece(
                None if self.inputs is None else self.inputs[:, self.time : stop], stop - self.time
            )
            self.time = stop

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
        frame: (rows, k, n), orthonormal rows.
        interval: steps between factorisations, or None to adapt it to the rounding error.
    """

    def __init__(self, tangent: TangentMap, frame: Tensor, interval: int | None) -> None:
        self.tangent, self.frame = tangent, frame
        self.adaptive = interval is None
        self.interval = 1 if interval is None else interval
        self.rows, self.k, self.n = frame.shape
        self.chart: Tensor | None = None
        self._last: Linearisation | None = None
        self._allowed = largest_gap(self.n, frame.dtype)
        self.start_measuring()

    def start_measuring(self) -> None:
        """Forget what was added up so far; the frame stays."""
        self._offset = log_diagonal_of_r(self.state_frame())
        self._sum = torch.zeros_like(self._offset)
        self.rounding = torch.zeros_like(self._offset)
        self.audit = self._sum.new_zeros(self.rows)
        self.audited_steps = 0
        self.longest_interval = 0
        self._determinants: Tensor | None = None

    def state_frame(self) -> Tensor:
        """Frame in the coordinates of the state, (rows, k, n)."""
        return self.frame if self._last is None else self._last.to_state(self._last.steps, self.frame)

    def close_block(self) -> Tensor:
        """Return the sums of ln R_ii since the last call, (rows, k)."""
        end = log_diagonal_of_r(self.state_frame())
        # Both are finite: the frames are well conditioned whatever the growth was.
        block = self._sum + end - self._offset
        self._offset, self._sum = end, torch.zeros_like(self._sum)
        if self._determinants is not None:
            self.audit += _difference(block.sum(-1), self._determinants)
            self._determinants = None
        return block

    def growth(self, logs: list[Tensor], blocks: Sequence[int], diverged: Tensor) -> Growth:
        """Everything added up since the measurement began."""
        per_row = torch.ones_like(diverged, dtype=torch.long)
        stacked = torch.stack(logs, dim=1)
        diverged = diverged | stacked.isnan().flatten(1).any(dim=1)
        return Growth(
            stacked,
            torch.tensor(blocks, device=per_row.device).expand(self.rows, -1),
            self.rounding,
            self.audit,
            per_row * self.audited_steps,
            diverged,
            per_row * self.longest_interval,
        )

    def orthonormal_frame(self) -> Tensor:
        """Frame in the coordinates of the state, with orthonormal rows."""
        return torch.linalg.qr(self.state_frame().mT)[0].mT.contiguous()

    def advance(self, inputs: Tensor | None, states: Tensor, measuring: bool = True) -> None:
        """Push the frame along states (rows, steps + 1, ·) under inputs (rows, steps, ·)."""
        steps = states.shape[1] - 1
        sampled = self._start_audit(inputs, states) if measuring else False
        position = 0
        while position < steps:
            stop = min(steps, position + self._chunk())
            chunk_inputs = None if inputs is None else inputs[:, position:stop]
            chunk = self.tangent.linearise(chunk_inputs, states[:, position : stop + 1], self.k, self.chart)
            self._push_through(chunk, sampled and position == 0)
            self.chart, self._last, position = chunk.chart, chunk, stop

    def _chunk(self) -> int:
        """A whole number of intervals."""
        cached = self.tangent.chunk_steps(self.rows, self.k)
        return max(cached // self.interval, 1) * self.interval

    def _start_audit(self, inputs: Tensor | None, states: Tensor) -> bool:
        """Take the closed-form determinants of every step; without them, say that one interval is to be audited."""
        if self.k < self.n:
            return False
        closed = self.tangent.log_abs_det(inputs, states)
        if closed is None:
            return True
        total = closed.sum(-1)
        self._determinants = total if self._determinants is None else self._determinants + total
        self.audited_steps += closed.shape[1]
        return False

    def _push_through(self, chunk: Linearisation, audit: bool) -> None:
        position = 0
        while position < chunk.steps:
            interval = min(self.interval, chunk.steps - position)
            pushed = self.frame
            for step in range(position, position + interval):
                pushed = chunk.push(step, pushed)
            frame, log_diagonal = split_lu(pushed)
            gaps = growth_gaps(log_diagonal)
            if self.adaptive and not self._fits(gaps, interval):
                continue
            self._record(frame, log_diagonal, gaps, interval)
            if audit and position == 0:
                self._audit(chunk, log_diagonal, interval)
            position += interval

    def _fits(self, gaps: Tensor, interval: int) -> bool:
        """Choose the next interval; False where this one lost too much and is to be done again."""
        gap = float(gaps.max())
        if interval > 1 and gap > self._allowed:
            self.interval = max(1, int(0.8 * interval * self._allowed / gap)) if math.isfinite(gap) else 1
            return False
        if interval == self.interval:
            self.interval = next_interval(interval, gap, self._allowed)
        return True

    def _record(self, frame: Tensor, log_diagonal: Tensor, gaps: Tensor, interval: int) -> None:
        self.frame = frame
        self._sum += log_diagonal
        self.rounding += rounding_error(gaps, self.n)
        self.longest_interval = max(self.longest_interval, interval)

    def _audit(self, chunk: Linearisation, log_diagonal: Tensor, interval: int) -> None:
        """Compare the growth of volume over one interval with the determinants of its Jacobians."""
        # The frame before has determinant ±1: it is orthonormal, or P L with unit diagonal.
        expected = torch.stack([torch.linalg.slogdet(chunk.jacobian(step))[1] for step in range(interval)])
        self.audit += _difference(log_diagonal.sum(-1), expected.sum(0))
        self.audited_steps += interval


def _difference(a: Tensor, b: Tensor) -> Tensor:
    """a - b, with equal infinities at distance 0."""
    return torch.where(a == b, 0.0, a - b)
