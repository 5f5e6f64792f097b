"""The loop: push a frame along the trajectory, split it now and then, add the logarithms.

Benettin, Galgani, Giorgilli & Strelcyn (1980), Meccanica 15:9, with the factorisation of `factorise`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

from torch import Tensor

from aelle.lyapunov.block_run import BlockRun, BlockTangent, in_blocks
from aelle.lyapunov.frame_run import FrameRun
from aelle.lyapunov.growth import Growth, Position
from aelle.lyapunov.tangent import TangentMap
from aelle.lyapunov.workers import map_rows

Report = Callable[[int], None]


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
        BlockRun(tangent, state, frame) if in_blocks(tangent) else FrameRun(tangent, state, frame, interval)
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
