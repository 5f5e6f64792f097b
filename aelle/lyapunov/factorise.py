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

RESIDUAL_TOLERANCE = 2e-10
"""Distance of Σ l from a closed-form determinant, in nats per step, that it allows itself."""

SAFETY = 10.0
"""How many times the measured residual is stated as error."""

LONGEST_INTERVAL = 16


class TelescopedLU:
    """Pivoted LU of pushed frames, with its workspace: nothing is allocated anew from one step to the next.

    Args:
        like: a frame (batch, k, n).
    """

    def __init__(self, like: Tensor) -> None:
        batch, self._k, n = like.shape
        self._pivots = like.new_empty(batch, min(self._k, n), dtype=torch.int32)
        self._info = like.new_empty(batch, dtype=torch.int32)
        self._positions = torch.arange(n, dtype=like.dtype, device=like.device)
        # Few pivots are applied one by one; a matrix of permutation costs n² however small k is.
        self._permutation = like.new_empty(batch, n, n) if self._k > 24 or like.is_cuda else None
        self._unused = like.new_empty(0), like.new_empty(0)

    def split(self, pushed: Tensor, out: Tensor) -> Tensor:
        """Split pushed frames (batch, k, n), which are overwritten, into P L and U.

        Returns:
            the logarithms of |diag U|, (batch, k), -inf where the product is singular; P L goes to `out`.
        """
        packed = pushed.mT
        torch.linalg.lu_factor_ex(packed, out=(packed, self._pivots, self._info))
        order = self._row_order(packed)
        diagonal = pushed.diagonal(dim1=-2, dim2=-1)
        log_diagonal = diagonal.abs().log_()
        diagonal.fill_(1)
        pushed.triu_()
        torch.gather(pushed, 2, order.unsqueeze(1).expand_as(pushed), out=out)
        return log_diagonal

    def _row_order(self, packed: Tensor) -> Tensor:
        """Row of L that stands in each row of P L: (batch, n)."""
        if self._permutation is not None:
            torch.lu_unpack(packed, self._pivots, unpack_data=False, out=(self._permutation, *self._unused))
            return (self._permutation @ self._positions).long()
        batch, n, k = packed.shape
        taken = torch.arange(n).repeat(batch, 1)  # row of the pushed frame in each row of L
        for i in range(k):
            swap = self._pivots[:, i : i + 1].long() - 1
            moved = taken.gather(1, swap)
            taken.scatter_(1, swap, taken[:, i : i + 1].clone())
            taken[:, i : i + 1] = moved
        return torch.empty_like(taken).scatter_(1, taken, torch.arange(n).expand(batch, n))


def log_diagonal_of_r(frame: Tensor) -> Tensor:
    """Return ln diag R of the QR factorisation of frames (batch, k, n) stored as rows: (batch, k)."""
    r = torch.linalg.qr(frame.mT, mode="r")[1]
    return r.diagonal(dim1=-2, dim2=-1).abs().log()


def growth_gaps(log_diagonal: Tensor) -> Tensor:
    """How far each direction fell behind the fastest one before it: cummax(l) - l, shape (batch, k).

    Exactly singular directions (l = -inf) are exact, not lost to rounding: their gap is 0.
    """
    gaps = torch.cummax(log_diagonal, dim=-1)[0].sub_(log_diagonal)
    return gaps.masked_fill_(log_diagonal.isinf(), 0.0)


def rounding_error(gaps: Tensor, n: int, residual: Tensor | None = None) -> Tensor:
    """Rounding error that factorisations add to each sum, (..., k).

    2 n eps exp(gap) bounds it. Where the determinant of the product is known in closed form, the residual of
    Σ l against it, (...), measures the error of the last exponent, and the others have less by the difference of their
    gaps; SAFETY times that is used where it is the smaller.
    """
    unit = 2 * n * torch.finfo(gaps.dtype).eps
    bound = gaps.exp().mul_(unit)
    if residual is None:
        return bound
    shape = (gaps - gaps.max(dim=-1, keepdim=True).values).exp_()
    return torch.minimum(bound, shape.mul_(SAFETY * residual.abs().unsqueeze(-1)).add_(unit))


class AdaptiveInterval:
    """Steps between factorisations: as many as the rounding error allows, learnt on the way.

    The error of an interval grows like exp(gap), and gaps in proportion to the interval, so that one interval
    tells what the next may be. What counts is the average over rows and time, which is what exponents are: one
    interval may lose five times the tolerance before it is done again.

    Args:
        n: dimension of the frame's vectors.
        dtype: precision of the frame.
        fixed: a fixed number of steps, or None.
    """

    def __init__(self, n: int, dtype: torch.dtype, fixed: int | None = None) -> None:
        self.steps = fixed or 1
        self._fixed = fixed is not None
        self._n = n
        self._noise = math.sqrt(n) * torch.finfo(dtype).eps
        self._average, self._done = 0.0, 0

    def fits(self, interval: int, log_diagonal: Tensor, residual: Tensor | None) -> bool:
        """Choose the next interval; False where this one lost too much.

        Args:
            interval: steps of the interval just done.
            log_diagonal: logarithms of its S, (rows, k).
            residual: of their sum against a closed-form determinant, (rows,), or None.
        """
        if self._fixed:
            return True
        if residual is None:
            error = rounding_error(growth_gaps(log_diagonal), self._n)
            loss, tolerance = _mean_of_finite(error, 0) / interval, ROUNDING_TOLERANCE
        else:
            loss, tolerance = _mean_of_finite(residual.abs(), -1) / interval, RESIDUAL_TOLERANCE
        if interval > 1 and not loss <= 5 * tolerance:
            self._change_to(interval - 1)
            return False
        if interval == self.steps:
            self._average = loss if self._done == 0 else 0.7 * self._average + 0.3 * loss
            self._done += 1
            if self.steps > 1 and not self._average <= tolerance:
                self._change_to(self.steps - 1)
            elif self.steps < LONGEST_INTERVAL and (self._done <= 2 or self._done % 8 == 0):
                self._try_longer(log_diagonal, tolerance)
        return True

    def _try_longer(self, log_diagonal: Tensor, tolerance: float) -> None:
        """One step more where the average loss would still be below the tolerance."""
        gap = _mean_of_finite(growth_gaps(log_diagonal).amax(-1), -1) / self.steps
        # LU overstates gaps by a seventh or so: the R of a QR is more even than the U of an LU.
        longer = max(self._average, self._noise) * math.exp(min(0.85 * gap, 700.0))
        if longer <= tolerance:
            self._change_to(self.steps + 1)

    def _change_to(self, steps: int) -> None:
        self.steps, self._average, self._done = steps, 0.0, 0


def _mean_of_finite(values: Tensor, dim: int) -> float:
    """Largest mean along a dimension, over rows that have not overflowed."""
    largest = float(values.mean(dim).amax())
    return largest if math.isfinite(largest) else float(values.nanmean(dim).amax())


def random_frame(
    n: int, k: int, dtype: torch.dtype, device: torch.device, generator: torch.Generator | None
) -> Tensor:
    """Orthonormal (k, n) frame in general position; axes would never leave an invariant subspace.

    Drawn on the CPU from `generator` (seed 0 where None), so that every device starts alike.
    """
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    draw = torch.randn(n, k, dtype=torch.float64, generator=generator, device=generator.device)
    return torch.linalg.qr(draw)[0].mT.contiguous().to(device=device, dtype=dtype)
