"""From sums over blocks to averages, standard errors, and what a spectrum says: dimension, entropy, trust."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

BATCHES = 20
"""Fewest batches from which a standard error is estimated, where the run is long enough to have them."""

TRUSTED_ERROR = 1e-3
"""Rounding error, in nats per step, up to which an exponent is trusted."""


def block_count(steps: int, rows: int) -> int:
    """Into how many blocks to cut a run: enough for a standard error and for the convergence series."""
    return min(steps, max(5, math.ceil(1.2 * BATCHES / rows), min(50, steps // 100)))


def block_lengths(steps: int, count: int) -> list[int]:
    """Cut `steps` into blocks of nearly equal length."""
    bounds = [round(i * steps / count) for i in range(count + 1)]
    return [b - a for a, b in pairwise(bounds)]


def batch_sums(logs: Tensor, block_steps: Tensor) -> tuple[Tensor, Tensor]:
    """Merge blocks into as few batches as give `BATCHES` over all rows: longer batches are less correlated.

    Args:
        logs: (rows, blocks, k); block_steps: (rows, blocks).

    Returns:
        sums (batches, k) and steps (batches,).
    """
    rows, blocks = block_steps.shape
    per_row = min(blocks, math.ceil(BATCHES / rows))
    label = torch.arange(blocks, device=logs.device) * per_row // blocks
    sums = logs.new_zeros(rows, per_row, logs.shape[-1]).index_add_(1, label, logs)
    steps = logs.new_zeros(rows, per_row).index_add_(1, label, block_steps.to(logs.dtype))
    return sums.flatten(0, 1), steps.flatten()


def standard_error(logs: Tensor, block_steps: Tensor) -> tuple[Tensor, int]:
    """Standard error of the pooled average by batch means, which allows for autocorrelation.

    Batches of one sequence are long against its memory, batches of different sequences independent; the
    variance between batch means, weighted by their steps, is that of the pooled average (Flegal & Jones
    2010, Annals of Statistics 38:1034). Where there are twenty sequences or more, each is one batch.

    Returns:
        standard error (k,), inf where it cannot be estimated, and its degrees of freedom.
    """
    sums, steps = batch_sums(logs, block_steps)
    count = len(steps)
    if count < 2:
        return torch.full_like(logs[0, 0], math.inf), 0
    mean = sums.sum(0) / steps.sum()
    deviation = (sums - steps.unsqueeze(1) * mean) / steps.sum()
    error = (deviation.square().sum(0) * (count / (count - 1))).sqrt()
    return torch.where(error.isfinite(), error, math.inf), count - 1


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


def kaplan_yorke_dimension(exponents: Tensor) -> float:
    """j + Σ_{i≤j} λ_i / |λ_{j+1}|, j the most leading exponents with a non-negative sum (Kaplan & Yorke 1979).

    0 where λ_1 < 0, n where the whole sum is non-negative.
    """
    sums = exponents.cumsum(0)
    j = int((sums >= 0).sum())
    if j == 0:
        return 0.0
    if j == len(exponents):
        return float(j)
    return j + float(sums[j - 1] / exponents[j].abs())


def entropy_rate(exponents: Tensor) -> float:
    """Sum of the positive exponents, in nats per step: an upper bound on the entropy rate (Ruelle 1978)."""
    return float(exponents.clamp(min=0).sum())


def trusted_count(rounding: Tensor) -> int:
    """How many leading exponents have a rounding error of at most `TRUSTED_ERROR` nats per step."""
    return int((rounding <= TRUSTED_ERROR).long().cumprod(0).sum())


def halves_agree(logs: Tensor, block_steps: Tensor, error: Tensor) -> bool:
    """Whether averages over the first and the second half of the run differ by no more than noise would.

    The difference has twice the standard error of the average; 4.5 of those in any exponent is a transient
    that the warm-up left in.
    """
    half = logs.shape[1] // 2
    if half == 0 or not bool(error.isfinite().any()):
        return False
    first = logs[:, :half].sum((0, 1)) / block_steps[:, :half].sum()
    second = logs[:, half:].sum((0, 1)) / block_steps[:, half:].sum()
    known = error.isfinite()
    drift = (first - second).abs()[known]
    return bool((drift <= 9 * error[known] + 1e-9).all())
