"""Standard errors of averages over finite runs: correlation in time, between sequences, and frames still turning.

Sums over blocks of steps are all that is known of a run, (rows, blocks, k), with the steps of each block.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

BATCHES = 10
"""Fewest batches over all rows from which a variance is estimated, where the run is long enough to have them."""

COINCIDING = 1e-3
"""Rows whose difference is below this share of their fluctuation are one row seen twice."""

MOST_COMPARED = 4096
"""Rows up to which every two are compared."""

TURNING = 2.0
"""Times its root mean square that a frame's turning is stated: all rows share one first frame, which may be unlucky,
and where Jacobians vary it costs up to 1.7 times as much as where they are constant, as measured."""

_WINDOW, _DRAWS, _RESOLVED = 64, 8, 8.0


def standard_error(logs: Tensor, block_steps: Tensor) -> tuple[Tensor, Tensor]:
    """Standard error of the pooled average, and its degrees of freedom.

    Batches of one row are long against its memory, batches of different rows independent; the variance
    between batch means, weighted by their steps, is that of the pooled average (Flegal & Jones 2010, Annals of
    Statistics 38:1034). Where a row has to give several batches, what they lack of its memory is extrapolated
    from batches a third as long (lugsail batch means: Vats & Flegal 2022, Biometrika 109:735). Rows that
    coincide count once. Where all rows move together in time, as under a common drive, time alone tells.

    Returns:
        standard error (k,), inf where it cannot be estimated, and degrees of freedom (k,).
    """
    from scipy.special import fdtri

    logs, block_steps = merge_coinciding(logs, block_steps)
    rows, blocks = block_steps.shape
    per_row = min(blocks, math.ceil(BATCHES / rows))
    variance, freedom = _batch_variance(logs, block_steps, per_row)
    if per_row > 1:
        shorter, _ = _batch_variance(logs, block_steps, min(blocks, 3 * per_row))
        variance = torch.maximum(variance, 2 * variance - shorter)
    free = torch.full_like(variance, freedom)
    if rows > 1 and freedom > 0:
        in_time, time_freedom = _batch_variance(
            logs.sum(0, keepdim=True), block_steps.sum(0, keepdim=True), min(blocks, BATCHES)
        )
        together = (
            in_time > (float(fdtri(time_freedom, freedom, 0.98)) if time_freedom else math.inf) * variance
        )
        variance = torch.where(together, in_time, variance)
        free = free.masked_fill(together, time_freedom)
    error = variance.sqrt()
    return torch.where(error.isfinite(), error, math.inf), free


def _batch_variance(logs: Tensor, block_steps: Tensor, per_row: int) -> tuple[Tensor, int]:
    """Variance of the pooled average from so many batches of each row, (k,), and its degrees of freedom."""
    rows, blocks = block_steps.shape
    label = torch.arange(blocks, device=logs.device) * per_row // blocks
    sums = logs.new_zeros(rows, per_row, logs.shape[-1]).index_add_(1, label, logs).flatten(0, 1)
    steps = logs.new_zeros(rows, per_row).index_add_(1, label, block_steps.to(logs.dtype)).flatten()
    count = len(steps)
    if count < 2:
        return torch.full_like(logs[0, 0], math.inf), 0
    mean = sums.sum(0) / steps.sum()
    deviation = (sums - steps.unsqueeze(1) * mean) / steps.sum()
    return deviation.square().sum(0) * (count / (count - 1)), count - 1


def merge_coinciding(logs: Tensor, block_steps: Tensor) -> tuple[Tensor, Tensor]:
    """Add up rows that coincide in the later half of the run, so that they count once."""
    first = coinciding_rows(logs, block_steps)
    if bool((first == torch.arange(len(first), device=first.device)).all()):
        return logs, block_steps
    distinct, label = first.unique(return_inverse=True)
    merged = logs.new_zeros(len(distinct), *logs.shape[1:]).index_add_(0, label, logs)
    return merged, block_steps.new_zeros(len(distinct), block_steps.shape[1]).index_add_(
        0, label, block_steps
    )


def coinciding_rows(logs: Tensor, block_steps: Tensor) -> Tensor:
    """For each row the first one that it coincides with, (rows,)."""
    rows, blocks = block_steps.shape
    if not 1 < rows <= MOST_COMPARED:
        return torch.arange(rows, device=logs.device)
    late = (logs / block_steps.unsqueeze(-1))[:, blocks // 2 :]
    late = late[..., late.isfinite().all(0).all(0)]
    # One trajectory is one in every direction; a few directions tell.
    late = late[..., torch.linspace(0, max(late.shape[-1] - 1, 0), min(late.shape[-1], 16)).long()]
    fluctuation = (late - late.mean((0, 1))).square().mean((0, 1)).sqrt()
    scaled = (late / (fluctuation + 1e-7)).flatten(1).double()
    if scaled.shape[1] == 0:
        return torch.zeros(rows, dtype=torch.long, device=logs.device)
    limit = COINCIDING * math.sqrt(scaled.shape[1])
    distance = torch.cdist(scaled, scaled, compute_mode="donot_use_mm_for_euclid_dist")
    return (distance <= limit).to(torch.uint8).argmax(dim=1)


def relaxation_error(exponents: Tensor, warmup: int, steps: int) -> Tensor:
    """Error that a frame still turning leaves in each exponent, (k,): `TURNING` times a root mean square.

    A frame tells two directions apart only after about 1/(λ_i - λ_j) steps. Until then they share their
    growth, in every row alike, so that no comparison between rows shows it. What it costs is read off a
    diagonal map that has these exponents, started from random frames: ln diag R of exp(λ t) Q_0 is known at
    both ends of the measurement. The mean is over first frames.

    Args:
        exponents: descending, in nats per step.
        warmup: steps before the measurement.
        steps: steps of the measurement.
    """
    values, error = exponents.double().cpu(), torch.zeros(len(exponents), dtype=torch.float64)
    finite = int(values.isfinite().long().cumprod(0).sum())
    if finite < 2 or steps < 1:
        return error.to(exponents)
    for start in range(0, max(finite - _WINDOW // 2, 1), _WINDOW // 2):
        stop = min(start + _WINDOW, finite)
        found = _relaxation_in(values[start:stop], warmup, steps)
        first = 0 if start == 0 else _WINDOW // 4  # neighbours on both sides count
        error[start + first : stop] = found[first:]
    return error.to(exponents)


def _relaxation_in(values: Tensor, warmup: int, steps: int) -> Tensor:
    frames = torch.linalg.qr(
        torch.randn(
            _DRAWS, len(values), len(values), dtype=torch.float64, generator=torch.Generator().manual_seed(1)
        )
    )[0]
    turned = [_turning(frames, values, time) for time in (warmup, warmup + steps)]
    return TURNING * ((turned[1] - turned[0]) / steps).square().mean(0).sqrt()


def _turning(frames: Tensor, values: Tensor, time: int) -> Tensor:
    """ln diag R of exp(λ t) Q_0, less λ t, (draws, k)."""
    # Neighbours e^-8 apart are told apart; wider gaps would only leave the range of numbers.
    gaps = (values.diff() * time).clamp(min=-_RESOLVED)
    growth = torch.cat([gaps.new_zeros(1), gaps.cumsum(0)])
    pushed = growth.exp().unsqueeze(1) * frames
    return torch.linalg.qr(pushed, mode="r")[1].diagonal(dim1=-2, dim2=-1).abs().log() - growth
