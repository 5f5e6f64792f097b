"""What rounding did to the logarithms of some intervals: estimates that are never made of what they judge alone.

The sum of the logarithms is compared with ln|det J|, which comes by another way. Where there is no determinant, or
where it says nothing since it is infinite, the bound from the growth gaps stands.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

SAFETY = 200.0
"""How many times the measured residual is stated as error."""

CORRECTED_UP_TO = 0.1
"""Residual of an interval, in nats, up to which its logarithms are corrected by the determinant."""


def growth_gaps(log_diagonal: Tensor) -> Tensor:
    """How far each direction fell behind the fastest one before it: cummax(l) - l, shape (batch, k)."""
    return torch.cummax(log_diagonal, dim=-1)[0].sub_(log_diagonal)


def gaps_of(log_diagonals: Tensor, dead: Tensor | None) -> Tensor:
    """Largest growth gap up to each direction, of intervals (intervals, rows, k).

    A direction is split off from those before it: where one of them is lost, so is it. Directions (rows, k) that are
    dead are exact, and have gap 0.
    """
    gaps = torch.cummax(growth_gaps(log_diagonals), dim=-1)[0]
    return gaps if dead is None else gaps.masked_fill_(dead, 0.0)


def difference(a: Tensor, b: Tensor) -> Tensor:
    """a - b, with equal infinities at distance 0."""
    return torch.where(a == b, 0.0, a - b)


def rounding_bound(gaps: Tensor, n: int) -> Tensor:
    """2 n eps exp(gap), (..., k): the error of an interval as its growth gaps alone let one expect it; generous."""
    return gaps.exp().mul_(2 * n * torch.finfo(gaps.dtype).eps)


def rounding_error(bound: Tensor, n: int, residuals: Tensor | None, block: Tensor, blocks: int) -> Tensor:
    """Rounding error that factorisations add to each sum, (intervals, rows, k).

    The bound is what is stated without a determinant. With one, intervals may be longer, and the residuals of Σ l
    against it, (intervals, rows), are what tells: the error is SAFETY times their root mean square over the intervals of
    a block (one may be small by chance, errors of two exponents cancelling), or eight times the bound where that is the
    smaller. Both are estimates: errors of neighbours cancel in the sum, and on a saturated LSTM (96 units, weights six
    times as large as usual) one of 1e-9 was stated as 3e-11. A residual that is not finite tells nothing.

    Args:
        bound: as `rounding_bound` gives it, (intervals, rows, k).
        n: dimension of the frame's vectors.
        residuals: (intervals, rows), or None.
        block: the block of each interval, (intervals,).
        blocks: how many there are.
    """
    if residuals is None:
        return bound
    eps = torch.finfo(bound.dtype).eps
    known = residuals.isfinite()
    squares = _by_block(torch.where(known, residuals, 0.0).square(), block, blocks)
    typical = (squares / _by_block(known.to(bound.dtype), block, blocks)).sqrt()[block].unsqueeze(-1)
    stated = torch.minimum(8 * bound, SAFETY * typical + 16 * n * eps)
    return torch.where(known.unsqueeze(-1), stated, 8 * bound)


def _by_block(values: Tensor, block: Tensor, blocks: int) -> Tensor:
    return values.new_zeros(blocks, *values.shape[1:]).index_add_(0, block, values)


def corrections(bound: Tensor, residuals: Tensor, dead: Tensor | None, block: Tensor, blocks: int) -> Tensor:
    """What to take from each block's sums so that their sum is that of the determinants, (blocks, rows, k).

    The residual goes to the directions in proportion to the error that each may have. Nothing is corrected in rows
    with dead directions, whose sum is infinite, nor where the residual says that a direction was lost: the sum
    would then be right, and its terms as wrong as before. Arguments as those of `rounding_error`.
    """
    share = _by_block(bound, block, blocks)
    small = residuals.abs() <= CORRECTED_UP_TO
    residual = _by_block(torch.where(small, residuals, 0.0), block, blocks).unsqueeze(-1)
    corrected = residual * share / share.sum(-1, keepdim=True)
    if dead is not None:
        corrected = corrected.masked_fill(dead.any(-1, keepdim=True), 0.0)
    return torch.where(corrected.isfinite(), corrected, 0.0)


def range_of(dtype: torch.dtype) -> tuple[float, float]:
    """Logarithms between which a product is neither rounded by underflow nor infinite."""
    info = torch.finfo(dtype)
    return 0.98 * math.log(info.tiny), 0.98 * math.log(info.max)
