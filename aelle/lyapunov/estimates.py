"""From sums over blocks to averages, standard errors, and what a spectrum says: dimension, entropy, trust."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

TRUSTED_ERROR = 1e-3
"""Rounding error, in nats per step, up to which an exponent is trusted."""


def block_count(steps: int, rows: int) -> int:
    """Into how many blocks to cut a run: enough for standard errors and tests, few enough to cost little.

    Five at least, 24 over all rows, and up to 50 where they have 20 steps each; six each where one or two rows
    have to tell their memory in time.
    """
    most = min(50, steps // (20 if rows > 2 else 6))
    return min(steps, max(5, math.ceil(24 / rows), most))


def block_lengths(steps: int, count: int) -> list[int]:
    """Cut `steps` into blocks of nearly equal length."""
    bounds = [round(i * steps / count) for i in range(count + 1)]
    return [b - a for a, b in pairwise(bounds)]


def temporal_std(logs: Tensor, block_steps: Tensor) -> Tensor:
    """Standard deviation over time of the local exponents, scaled from blocks to one step: (k,).

    That of block averages times the square root of the block length; exactly that of single steps where
    local growth is uncorrelated in time, and the rate at which averages fluctuate where it is correlated.
    """
    steps = block_steps.to(logs.dtype).unsqueeze(-1)
    mean = logs.sum((0, 1)) / steps.sum()
    scaled = (logs - steps * mean).square() / steps
    count = block_steps.numel()
    spread = (scaled.sum((0, 1)) / max(count - 1, 1)).sqrt()
    return torch.where(spread.isfinite(), spread, math.inf)


def kaplan_yorke_dimension(exponents: Tensor, widths: Tensor | None = None) -> float:
    """j + Σ_{i≤j} λ_i / |λ_{j+1}|, j the most leading exponents with a non-negative sum (Kaplan & Yorke 1979).

    0 where λ_1 < 0, n where the whole sum is non-negative.

    Args:
        exponents: descending.
        widths: half the interval of each partial sum, (k,): sums that are zero within it count as zero, so
            that a limit cycle, whose λ_1 = 0 comes out as ± 1e-6, has dimension 1. None counts them as they are.
    """
    sums = exponents.cumsum(0)
    slack = 0.0 if widths is None else torch.where(widths.isfinite(), widths, 0.0)
    j = int((sums + slack >= 0).long().cumprod(0).sum())
    if j == 0:
        return 0.0
    if j == len(exponents):
        return float(j)
    # A sum that is zero within its interval may be followed by an exponent that is, too.
    return j + min(float(sums[j - 1].clamp(min=0) / exponents[j].abs()), 1.0)


def kaplan_yorke_error(exponents: Tensor, errors: Tensor, draws: int = 400) -> float:
    """Standard deviation of the Kaplan-Yorke dimension under normal errors of the exponents; inf where unknown."""
    known = int((errors.isfinite() & exponents.isfinite()).long().cumprod(0).sum())
    if known == 0:
        return math.inf if bool(exponents[:1].isfinite().all()) else 0.0
    noise = torch.randn(draws, known, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    drawn = exponents[:known].double().cpu() + errors[:known].double().cpu() * noise
    drawn = torch.cat([drawn, exponents[known:].double().cpu().expand(draws, -1)], dim=1)
    dimensions = [kaplan_yorke_dimension(sample.sort(descending=True).values) for sample in drawn]
    return float(torch.tensor(dimensions, dtype=torch.float64).std())


def entropy_rate(exponents: Tensor) -> float:
    """Sum of the positive exponents, in nats per step: an upper bound on the entropy rate (Ruelle 1978)."""
    return float(exponents.clamp(min=0).sum())


def trusted_count(rounding: Tensor) -> int:
    """How many leading exponents have a rounding error of at most `TRUSTED_ERROR` nats per step."""
    return int((rounding <= TRUSTED_ERROR).long().cumprod(0).sum())
