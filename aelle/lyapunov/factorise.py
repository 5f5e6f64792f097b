"""Splitting a pushed frame Z into W S, S upper triangular, W well conditioned; and how often to do it.

The exponents depend only on the R of the whole product J_T … J_1 Q_0. With any Z = W S at every
factorisation, the whole product is W_T S_T … S_1, so ln diag R = ln diag R(W_T) + Σ ln|diag S|: the sums
*telescope*, and a pivoted LU (W = P L, 2/3 n³ flops) replaces the Householder QR (8/3 n³) everywhere but at
the points where finite-time values are read off. Pivoting keeps |W| ≤ 1, and LU is backward stable row by
row, which is why it also survives saturated networks, whose rows differ by many orders of magnitude.

Frames are stored as rows: shape (batch, k, n), so that a push is `frame @ J.mT` and LAPACK's column-major
layout needs no copy.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

ROUNDING_TOLERANCE = 1e-6
"""Rounding error of an exponent, in nats per step, that the adaptive interval allows itself."""

LONGEST_INTERVAL = 16


def split_lu(pushed: Tensor) -> tuple[Tensor, Tensor]:
    """Split pushed frames (batch, k, n) into P L and the log-diagonal of U.

    Returns:
        frame (batch, k, n), entries at most 1; log_diagonal (batch, k), -inf where the product is singular.
    """
    packed, pivots, _ = torch.linalg.lu_factor_ex(pushed.mT)
    lower = packed.mT
    diagonal = lower.diagonal(dim1=-2, dim2=-1)
    log_diagonal = diagonal.abs().log()
    lower = lower.triu(1)
    lower.diagonal(dim1=-2, dim2=-1).fill_(1)
    order = _row_order(packed, pivots)
    return torch.gather(lower, 2, order.unsqueeze(1).expand_as(lower)), log_diagonal


def _row_order(packed: Tensor, pivots: Tensor) -> Tensor:
    """Row of L that stands in each row of P L: (batch, n)."""
    batch, n, k = packed.shape
    if k > 24 or packed.is_cuda:
        permutation = torch.lu_unpack(packed, pivots, unpack_data=False)[0]
        positions = torch.arange(n, dtype=packed.dtype, device=packed.device)
        return (permutation @ positions).long()
    taken = torch.arange(n, device=packed.device).repeat(batch, 1)  # row of Z in each row of L
    for i in range(k):
        swap = pivots[:, i : i + 1].long() - 1
        moved = taken.gather(1, swap)
        taken.scatter_(1, swap, taken[:, i : i + 1].clone())
        taken[:, i : i + 1] = moved
    return torch.empty_like(taken).scatter_(1, taken, torch.arange(n, device=packed.device).expand(batch, n))


def log_diagonal_of_r(frame: Tensor) -> Tensor:
    """Return ln diag R of the QR factorisation of frames (batch, k, n) stored as rows: (batch, k)."""
    r = torch.linalg.qr(frame.mT, mode="r")[1]
    return r.diagonal(dim1=-2, dim2=-1).abs().log()


def growth_gaps(log_diagonal: Tensor) -> Tensor:
    """How far each direction fell behind the fastest one before it: cummax(l) - l, shape (batch, k).

    Exactly singular directions (l = -inf) are exact, not lost to rounding: their gap is 0.
    """
    finite = torch.where(log_diagonal.isinf(), -math.inf, log_diagonal)
    gaps = finite.cummax(dim=-1).values - finite
    return torch.where(log_diagonal.isinf(), 0.0, gaps)


def rounding_error(gaps: Tensor, n: int) -> Tensor:
    """Bound on the rounding error that one factorisation adds to each sum: 2 n eps exp(gap)."""
    return (2 * n * torch.finfo(gaps.dtype).eps) * gaps.exp()


def largest_gap(n: int, dtype: torch.dtype, tolerance: float = ROUNDING_TOLERANCE) -> float:
    """Gap at which the rounding error of one factorisation reaches `tolerance`."""
    return math.log(tolerance / (2 * n * torch.finfo(dtype).eps))


def next_interval(interval: int, gap: float, allowed: float) -> int:
    """Steps to the next factorisation: gaps grow in proportion to the interval; leave a tenth of margin."""
    if not math.isfinite(gap):
        return 1
    if gap <= 0:
        return min(interval + 1, LONGEST_INTERVAL)
    fitting = int(0.9 * allowed * interval / gap)
    return max(1, min(fitting, 2 * interval, LONGEST_INTERVAL))


def random_frame(
    n: int, k: int, dtype: torch.dtype, device: torch.device, generator: torch.Generator | None
) -> Tensor:
    """Orthonormal (k, n) frame in general position; axes would never leave an invariant subspace.

    Drawn on the CPU from `generator` (seed 0 where None), so that every device starts alike.
    """
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    draw = torch.randn(n, k, dtype=torch.float64, generator=generator, device=generator.device)
    return torch.linalg.qr(draw)[0].mT.contiguous().to(device=device, dtype=dtype)
