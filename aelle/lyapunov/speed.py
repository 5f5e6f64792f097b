"""Minimising the speed q(s) = ½ |F(s) - s|² of a map F from many starts at once.

With r = F(s) - s and A = ∂F/∂s - I the step is that of Levenberg and Marquardt, s ← s - (AᵀA + μI)⁻¹ Aᵀr, which
near a regular fixed point is Newton's method.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

StateMap = Callable[[Tensor], Tensor]
"""States (rows, n) → states (rows, n), or Jacobians (rows, n, n)."""

_BATCHED_UP_TO = 128  # batched factorisations of larger matrices hang on some CPUs (pytorch#141358)
_SHORTEST_STEP = 1e-10  # relative; where even that does not lower the speed, it is at a minimum
_PATIENCE = 50  # iterations


def size_of(states: Tensor) -> Tensor:
    """1 + |s|: the scale of relative distances."""
    return 1 + states.norm(dim=-1)


def minimise(
    step: StateMap, jacobian: StateMap, starts: Tensor, rows: int, slowest: float, iterations: int
) -> tuple[Tensor, Tensor, Tensor]:
    """States, their residuals F(s) - s, and whether the minimisation came to an end there."""
    parts = [_minimise_rows(step, jacobian, part, slowest, iterations) for part in starts.split(rows)]
    states, residuals, ended = (torch.cat(column) for column in zip(*parts, strict=True))
    return states, residuals, ended


def _minimise_rows(
    step: StateMap, jacobian: StateMap, starts: Tensor, slowest: float, iterations: int
) -> tuple[Tensor, Tensor, Tensor]:
    states, residuals = starts.clone(), step(starts) - starts
    damping = torch.full_like(states[:, 0], 1e-3)
    lost = ~residuals.isfinite().all(-1)
    going = ~lost
    before = residuals.norm(dim=-1)
    for i in range(iterations):
        if (
            i % _PATIENCE == _PATIENCE - 1
        ):  # give up what has come to a halt at a speed too large to be of use
            now = residuals.norm(dim=-1)
            going &= (now.square() / 2 <= slowest) | (now < 0.99 * before)
            before = now
        rows = going.nonzero().squeeze(-1)
        if not len(rows):
            break
        change = _damped_step(jacobian(states[rows]), residuals[rows], damping[rows])
        proposal = states[rows] - change
        residual = step(proposal) - proposal
        better = residual.norm(dim=-1) < residuals[rows].norm(dim=-1)  # False for NaN
        states[rows[better]], residuals[rows[better]] = proposal[better], residual[better]
        damping[rows] = (damping[rows] * torch.where(better, 0.1, 8.0)).clamp(1e-16, 1e100)
        short = change.norm(dim=-1) <= _SHORTEST_STEP * size_of(states[rows])
        going[rows] = ~(short | (residuals[rows] == 0).all(-1))
    return states, residuals.nan_to_num(torch.inf, torch.inf, torch.inf), ~going & ~lost


def _damped_step(jacobians: Tensor, residuals: Tensor, damping: Tensor) -> Tensor:
    """(AᵀA + μI)⁻¹ Aᵀr, μ in units of the largest entry of the diagonal of AᵀA."""
    matrix = jacobians.clone()
    matrix.diagonal(dim1=-2, dim2=-1).sub_(1)
    gram, gradient = matrix.mT @ matrix, (matrix.mT @ residuals.unsqueeze(-1)).squeeze(-1)
    scale = gram.diagonal(dim1=-2, dim2=-1).amax(-1)
    gram.diagonal(dim1=-2, dim2=-1).add_((damping * scale + 1e-300).unsqueeze(-1))
    return _solve(gram, gradient)


def newton_step(jacobians: Tensor, residuals: Tensor) -> Tensor:
    """A⁻¹ r, (rows, n)."""
    matrix = jacobians.clone()
    matrix.diagonal(dim1=-2, dim2=-1).sub_(1)
    return _solve(matrix, residuals)


def _solve(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Solutions (rows, n); whatever comes out, NaN too, of singular matrices."""
    if matrices.is_cuda or matrices.shape[-1] <= _BATCHED_UP_TO:
        return torch.linalg.solve_ex(matrices, vectors)[0]
    return torch.stack([torch.linalg.solve_ex(m, v)[0] for m, v in zip(matrices, vectors, strict=True)])
