"""Whether averages over a finite run say what they seem to: tests that can fail, and in words why they did.

What an average over time and sequences takes for granted is that the run is stationary, that its sequences
agree, and that it is long against its memory. Each is tested on the sums over blocks of steps, against noise
estimated from what the hypothesis leaves free: trends against what is left of them, differences between
sequences against fluctuation within them. The chance of a false alarm is about `LEVEL` for each test.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from aelle.lyapunov.standard_error import BATCHES, merge_coinciding

SHORTEST_WARMUP = 30
SHORTEST_RUN = 20
LEVEL = 0.005
NEGLIGIBLE = 1e-4
"""Nats per step; what differs by less agrees, whatever its noise."""

LONG_MEMORY = 0.3
"""Correlation of successive blocks above which a run is short against its memory: about 50 memories long."""

LONG_MEMORY_OF_MANY = 0.7
"""The same where there are sequences enough to know the error without regard to time: about two memories long."""


class Blocks(NamedTuple):
    """Averages over blocks of the distinct sequences, (rows, blocks, k), their steps, and what is known of them.

    Attributes:
        values: by direction, the last one their mean, which no turning of the frame touches.
        steps: (rows, blocks, 1).
        relaxation: what the turning of the frame may leave, (k,).
        settled: directions where that is small against noise: only there rows and times can be compared, (k,).
    """

    values: Tensor
    steps: Tensor
    relaxation: Tensor
    settled: Tensor

    @classmethod
    def of(cls, logs: Tensor, block_steps: Tensor, noise: Tensor, relaxation: Tensor) -> Blocks:
        """Of sums over blocks; directions that are infinite somewhere are left out."""
        finite = logs.isfinite().all(0).all(0)
        logs, steps = merge_coinciding(logs[..., finite].double(), block_steps)
        steps = steps.double().unsqueeze(-1)
        values, noise, relaxation = logs / steps, noise[finite].double(), relaxation[finite].double()
        free = torch.zeros_like(relaxation[:1])
        return cls(
            torch.cat([values, values.mean(-1, keepdim=True)], dim=-1),
            steps,
            torch.cat([relaxation, free]),
            torch.cat([relaxation < 0.7 * noise, free == 0]),
        )

    @property
    def mean(self) -> Tensor:
        """Overall average, (k,)."""
        return (self.values * self.steps).sum((0, 1)) / self.steps.sum()

    @property
    def rows(self) -> Tensor:
        """Average of each row, (rows, k)."""
        return (self.values * self.steps).sum(1) / self.steps.sum(1)

    @property
    def in_time(self) -> Tensor:
        """Average over rows of each block, (blocks, k)."""
        return (self.values * self.steps).sum(0) / self.steps.sum(0)

    @property
    def memory(self) -> Tensor:
        """Correlation of each block with the next one of its row, (k,)."""
        deviation = self.values - self.mean
        together = (deviation[:, 1:] * deviation[:, :-1]).mean((0, 1)) / deviation.square().mean((0, 1))
        rows, blocks = deviation.shape[:2]
        return together.nan_to_num(0.0) + 1 / (rows * blocks)

    def named(self, direction: int) -> str:
        """A direction in words."""
        return "the mean exponent" if direction == self.values.shape[-1] - 1 else f"exponent {direction + 1}"


def doubts(logs: Tensor, block_steps: Tensor, noise: Tensor, relaxation: Tensor) -> list[str]:
    """Why the averages of a run should not be believed, one sentence each; none where nothing speaks against it.

    Args:
        logs: (rows, blocks, k).
        block_steps: (rows, blocks).
        noise: standard errors over time and sequences, (k,).
        relaxation: what the turning of the frame may leave in each exponent, (k,).
    """
    shortest = int(block_steps.sum(1).min())
    if shortest < SHORTEST_RUN:
        return [f"{shortest} steps were measured, fewer than {SHORTEST_RUN}"]
    finite = logs.isfinite().all(0).all(0)
    if not finite.any():
        return ["no exponent is finite in every sequence"]
    if not noise[finite].isfinite().all():
        return ["the run has no standard errors: it is one block of one sequence"]
    blocks = Blocks.of(logs, block_steps, noise, relaxation)
    found = [
        _disagreement(logs, block_steps, blocks),
        _drift(blocks),
        _long_memory(blocks),
    ]
    return [doubt for doubt in found if doubt]


def _disagreement(logs: Tensor, block_steps: Tensor, blocks: Blocks) -> str | None:
    groups = attractor_rows(logs, block_steps)
    if len(groups) > 1:
        counts = " and ".join(str(len(group)) for group in groups)
        return f"the sequences fall into groups of {counts} with spectra of their own: see `attractors`"
    rows, count, k = blocks.values.shape
    if rows < 2 or count < 2:
        return None
    within = (blocks.values - blocks.rows.unsqueeze(1)).square().sum((0, 1)) / (rows * (count - 1))
    between = blocks.rows.var(0) * count
    limit = _quantile_of_f(1 - LEVEL / k, rows - 1, rows * (count - 1))
    differ = (between > max(limit, 5.0) * within) & (between > count * NEGLIGIBLE**2) & blocks.settled
    if not differ.any():
        return None
    i = int((between / within).masked_fill(~differ, 0).argmax())
    times = float((between[i] / within[i]).sqrt())
    return f"{blocks.named(i)} differs between sequences {times:.1f} times as much as its fluctuation in time explains"


def _drift(blocks: Blocks) -> str | None:
    """A trend of the average over rows, or a difference of its halves, against noise that it does not explain."""
    rows, count = blocks.values.shape[:2]
    if count < 4:
        return None
    slope = torch.linspace(-1, 1, count, dtype=blocks.values.dtype, device=blocks.values.device)
    halves = torch.where(slope.abs() < 1 / count, 0.0, slope.sign())
    for contrast in (slope, halves):
        contrast = contrast / contrast.square().sum()
        size = contrast @ blocks.in_time
        allowed = _noise_in_time(blocks, contrast)
        if rows >= 5 and count < 20:  # too few blocks for a verdict from time alone
            allowed = torch.minimum(allowed, _noise_between_rows(blocks, contrast))
        drifts = (size.abs() > allowed) & (size.abs() > NEGLIGIBLE / 2 + 4 * blocks.relaxation)
        if drifts.any():
            i = int(size.abs().masked_fill(~drifts, 0).argmax())
            return f"{blocks.named(i)} drifts by {2 * float(size[i]):+.3g} nats per step over the run"
    return None


def _noise_in_time(blocks: Blocks, contrast: Tensor) -> Tensor:
    """Most that a contrast over time may be by chance, (k,), from what it leaves of the average over rows."""
    series, (count, k) = blocks.in_time, blocks.in_time.shape
    size = contrast @ series
    residual = series - series.mean(0) - contrast.unsqueeze(1) / contrast.square().sum() * size
    # Successive blocks that are alike are fewer than they seem.
    memory = blocks.memory.clamp(0, 0.8)
    variance = residual.square().sum(0) / (count - 2) * contrast.square().sum() * (1 + memory) / (1 - memory)
    return _quantile_of_t(1 - LEVEL / (4 * k), count - 2) * variance.sqrt()


def _noise_between_rows(blocks: Blocks, contrast: Tensor) -> Tensor:
    """The same from how much the contrast differs between rows."""
    rows, _, k = blocks.values.shape
    each = torch.einsum("b,rbk->rk", contrast, blocks.values)
    return _quantile_of_t(1 - LEVEL / (4 * k), rows - 1) * each.std(0) / math.sqrt(rows)


def _long_memory(blocks: Blocks) -> str | None:
    rows, count, k = blocks.values.shape
    if count < 4:
        return None
    memory, spread = blocks.memory, blocks.values.std((0, 1))
    significant = _quantile_of_t(1 - 4 * LEVEL / k, rows * count - 1) / math.sqrt(rows * count)
    limit = LONG_MEMORY if rows < BATCHES else LONG_MEMORY_OF_MANY
    long = (memory > max(limit, significant)) & (spread > 10 * NEGLIGIBLE) & blocks.settled
    if not long.any():
        return None
    i, block = int(memory.masked_fill(~long, 0).argmax()), float(blocks.steps.mean())
    return (
        f"the run is short against its memory: {blocks.named(i)} over {block:.0f} steps still has a correlation of "
        f"{float(memory[i]):.2f} with that over those before"
    )


def attractor_rows(logs: Tensor, block_steps: Tensor) -> list[list[int]]:
    """Rows in groups with spectra of their own, largest group first; one group where all agree.

    A group is left by a gap six times the error of a row and four times the spread inside the groups, and
    stays on its side of it in both halves of the run.
    """
    rows, count, _ = logs.shape
    values = logs[..., logs.isfinite().all(0).all(0)].double() / block_steps.double().unsqueeze(-1)
    if rows < 2 or count < 2 or values.shape[-1] == 0:
        return [list(range(rows))]
    weights = block_steps.double().unsqueeze(-1)
    halves = torch.stack(
        [
            (values * weights)[:, part].sum(1) / weights[:, part].sum(1)
            for part in (slice(count // 2), slice(count // 2, None))
        ]
    )
    means = (values * weights).sum(1) / weights.sum(1)
    deviation = values - means.unsqueeze(1)
    memory = (deviation[:, 1:] * deviation[:, :-1]).mean((0, 1)) / deviation.square().mean((0, 1))
    memory = memory.nan_to_num(0.0).clamp(0, 0.8)
    error = (
        deviation.square().sum((0, 1)) / (rows * (count - 1) * count) * (1 + memory) / (1 - memory)
    ).sqrt()
    groups = _split(list(range(rows)), means, halves, error)
    return sorted(groups, key=lambda group: (-len(group), group[0]))


def _split(index: list[int], means: Tensor, halves: Tensor, error: Tensor) -> list[list[int]]:
    """Split rows at the clearest gap in any direction, and what comes of it again."""
    if len(index) < 2:
        return [index]
    ordered, order = means[index].sort(dim=0)
    gaps = ordered.diff(dim=0)
    widest, place = gaps.max(dim=0)
    clearest = int((widest / (error + NEGLIGIBLE)).argmax())
    cut = int(place[clearest]) + 1
    below = [index[i] for i in order[:cut, clearest].tolist()]
    above = [index[i] for i in order[cut:, clearest].tolist()]
    inside = torch.cat([means[part, clearest] - means[part, clearest].mean() for part in (below, above)])
    spread = float((inside.square().sum() / max(len(index) - 2, 1)).sqrt())
    gap = float(widest[clearest])
    middle = float(ordered[cut - 1 : cut + 1, clearest].mean())
    stay = bool((halves[:, below, clearest] < middle).all() and (halves[:, above, clearest] > middle).all())
    if not stay or gap <= max(6 * float(error[clearest]), 4 * spread, 10 * NEGLIGIBLE):
        return [sorted(index)]
    return [group for part in (below, above) for group in _split(part, means, halves, error)]


def _quantile_of_t(probability: float, freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))


def _quantile_of_f(probability: float, first: int, second: int) -> float:
    from scipy.special import fdtri

    return float(fdtri(first, second, probability))
