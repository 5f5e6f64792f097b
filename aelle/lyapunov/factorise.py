"""Splitting a pushed frame Z into W S, S upper triangular, W well conditioned.

The exponents depend only on the R of the whole product J_T … J_1 Q_0. With any Z = W S at every
factorisation, the whole product is W_T S_T … S_1, so ln diag R = ln diag R(W_T) + Σ ln|diag S|: the sums
*telescope*, and a pivoted LU (W = P L, 2/3 n³ flops) replaces the Householder QR (8/3 n³) everywhere but at
the points where finite-time values are read off. Pivoting keeps |W| ≤ 1, and LU is backward stable row by
row, which is why it also survives saturated networks, whose rows differ by many orders of magnitude.

Frames are stored as rows: shape (batch, k, n), so that a push is `frame @ J.mT` and LAPACK's column-major
layout needs no copy.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
from torch import Tensor

from aelle.kernels import library

KEPT = 128 * 128
"""Numbers of a first frame up to which it is kept for the next run."""


class Workspace(NamedTuple):
    """What `split` writes to on the way: nothing is allocated anew from one step to the next."""

    pivots: Tensor
    info: Tensor
    positions: Tensor
    permutation: Tensor
    unused: Tensor
    unused_too: Tensor

    @classmethod
    def of(cls, frame: Tensor) -> Workspace:
        """Workspace for frames like (batch, k, n)."""
        batch, k, n = frame.shape
        # Few pivots are applied one by one; a matrix of permutation costs n² however small k is.
        by_matrix = k > 24 or frame.is_cuda
        return cls(
            pivots=frame.new_empty(batch, min(k, n), dtype=torch.int32),
            info=frame.new_empty(batch, dtype=torch.int32),
            positions=torch.arange(n, dtype=frame.dtype, device=frame.device),
            permutation=frame.new_empty(batch, n, n) if by_matrix else frame.new_empty(0),
            unused=frame.new_empty(0),
            unused_too=frame.new_empty(0),
        )


def _order_by_swaps(pivots: Tensor, n: int) -> Tensor:
    """Row of L that stands in each row of P L, (batch, n), swap by swap."""
    batch, count = pivots.shape
    taken = torch.arange(n).repeat(batch, 1)  # row of the pushed frame in each row of L
    for i in range(count):
        swap = pivots.narrow(1, i, 1).long() - 1
        moved = taken.gather(1, swap)
        taken.scatter_(1, swap, taken.narrow(1, i, 1).clone())
        taken.narrow(1, i, 1).copy_(moved)
    return torch.empty_like(taken).scatter_(1, taken, torch.arange(n).expand(batch, n))


def split(pushed: Tensor, work: Workspace, out: Tensor) -> Tensor:
    """Split pushed frames (batch, k, n), which are overwritten, into P L and U, by a pivoted LU.

    Returns:
        the logarithms of |diag U|, (batch, k), -inf where the product is singular; P L goes to `out`.
    """
    packed = pushed.transpose(-2, -1)
    by_matrix = work.permutation.numel() > 0
    torch.linalg.lu_factor_ex(packed, out=(packed, work.pivots, work.info))
    if by_matrix:
        unpacked = work.permutation, work.unused, work.unused_too
        torch.lu_unpack(packed, work.pivots, unpack_data=False, out=unpacked)
    if by_matrix:
        order = torch.matmul(work.permutation, work.positions).long()
    else:
        order = _order_by_swaps(work.pivots, pushed.shape[2])
    diagonal = torch.diagonal(pushed, 0, -2, -1)
    log_diagonal = diagonal.abs().log_()
    diagonal.fill_(1)
    pushed.triu_()
    torch.gather(pushed, 2, order.unsqueeze(1).expand_as(pushed), out=out)
    return log_diagonal


def log_diagonal_of_r(frame: Tensor) -> Tensor:
    """Return ln diag R of the QR factorisation of frames (batch, k, n) stored as rows: (batch, k)."""
    if library.applies(frame, frame.shape[-1]):
        return library.log_diagonal_of_r(frame)
    r = torch.linalg.qr(frame.mT, mode="r")[1]
    return r.diagonal(dim1=-2, dim2=-1).abs().log()


def random_frame(
    n: int, k: int, dtype: torch.dtype, device: torch.device, generator: torch.Generator | None
) -> Tensor:
    """Orthonormal (k, n) frame in general position; axes would never leave an invariant subspace.

    The directions of a frame are the first ones of every larger frame: k exponents are then those of the full run.
    Drawn on the CPU by a seed taken from `generator` (0 where None), so that every device starts alike.
    """
    if generator is not None:
        seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        frame = _drawn_frame(n, k, seed)
    else:
        frame = _kept_frame(n, k) if k * n <= KEPT else _drawn_frame(n, k, 0)
    return frame.to(device=device, dtype=dtype, copy=True)


def _drawn_frame(n: int, k: int, seed: int) -> Tensor:
    own = torch.Generator().manual_seed(seed)
    draw = torch.stack([torch.randn(n, dtype=torch.float64, generator=own) for _ in range(k)], dim=1)
    return torch.linalg.qr(draw)[0].mT.contiguous()


@functools.lru_cache(maxsize=64)
def _kept_frame(n: int, k: int) -> Tensor:
    """The frame of seed 0: small ones take as long to draw as the run that they begin."""
    return _drawn_frame(n, k, 0)
