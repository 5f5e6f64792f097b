"""How often to factorise: what an interval between two factorisations loses to rounding."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

ROUNDING_TOLERANCE = 1e-6
"""Rounding error of an exponent, in nats per step, that the adaptive interval allows itself."""

RESIDUAL_TOLERANCE = 2e-10
"""Distance of Σ l from a closed-form determinant, in nats per step, that it allows itself."""

SAFETY = 200.0
"""How many times the measured residual is stated as error."""

LONGEST_INTERVAL = 16

RECONSIDERED = 8
"""Intervals after which a longer one is tried."""


def growth_gaps(log_diagonal: Tensor) -> Tensor:
    """How far each direction fell behind the fastest one before it: cummax(l) - l, shape (batch, k).

    Exactly singular directions (l = -inf) are exact, not lost to rounding: their gap is 0.
    """
    gaps = torch.cummax(log_diagonal, dim=-1)[0].sub_(log_diagonal)
    return gaps.masked_fill_(log_diagonal.isinf(), 0.0)


def rounding_error(gaps: Tensor, n: int, residual: Tensor | None = None) -> Tensor:
    """Rounding error that factorisations add to each sum, (..., k).

    2 n eps exp(gap) is the estimate without a closed form of the determinant, and is generous. With one, intervals
    may be longer, and the residual of Σ l against it, (...), is what tells: the error is SAFETY times the residual,
    or eight times that estimate where that is the smaller. Both are estimates: errors of neighbours cancel in the sum,
    and on a saturated LSTM (96 units, weights six times as large as usual) one of 1e-9 was stated as 3e-11.
    """
    eps = torch.finfo(gaps.dtype).eps
    bound = gaps.exp().mul_(2 * n * eps)
    if residual is None:
        return bound
    return torch.minimum(8 * bound, SAFETY * residual.abs().unsqueeze(-1) + 16 * n * eps)


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
        self._unit = 2 * n * torch.finfo(dtype).eps
        self._noise = math.sqrt(n) * torch.finfo(dtype).eps
        self._average, self._done = 0.0, 0

    @property
    def patience(self) -> int:
        """Intervals that may be run before the next look at what they lost."""
        if self._fixed:
            return RECONSIDERED
        return 1 if self._done < 2 else RECONSIDERED - self._done % RECONSIDERED

    def fits(self, interval: int, log_diagonals: Tensor, residuals: Tensor | None) -> bool:
        """Choose the next interval; False where one of these lost too much.

        Args:
            interval: steps of each interval just done.
            log_diagonals: logarithms of their S, (intervals, rows, k).
            residuals: of their sums against a closed-form determinant, (intervals, rows), or None.
        """
        if self._fixed:
            return True
        if residuals is None:
            lost, tolerance = _bounded(log_diagonals, self._unit), ROUNDING_TOLERANCE
        else:
            lost, tolerance = _largest_means(residuals.abs().unsqueeze(1)), RESIDUAL_TOLERANCE
        losses = [loss / interval for loss in lost.tolist()]
        if interval > 1 and not max(losses) <= 5 * tolerance:
            self._change_to(interval - 1)
            return False
        if interval == self.steps:
            self._learn(losses, log_diagonals[-1], tolerance)
        return True

    def _learn(self, losses: Sequence[float], log_diagonal: Tensor, tolerance: float) -> None:
        for loss in losses:
            self._average = loss if self._done == 0 else 0.7 * self._average + 0.3 * loss
            self._done += 1
        if self.steps > 1 and not self._average <= tolerance:
            self._change_to(self.steps - 1)
        elif self.steps < LONGEST_INTERVAL and (self._done <= 2 or self._done % RECONSIDERED == 0):
            self._try_longer(log_diagonal, tolerance)

    def _try_longer(self, log_diagonal: Tensor, tolerance: float) -> None:
        """As many steps more as leave the average loss below the tolerance, up to twice as many as now."""
        gap = float(growth_gaps(log_diagonal).amax(-1).nanmean()) / self.steps
        # LU overstates gaps by a seventh or so: the R of a QR is more even than the U of an LU.
        room = math.log(tolerance / max(self._average, self._noise)) if self._average < tolerance else -1.0
        more = min(int(room / max(0.85 * gap, 1e-3)), self.steps, LONGEST_INTERVAL - self.steps)
        if room >= 0 and more > 0:
            self._change_to(self.steps + more)

    def _change_to(self, steps: int) -> None:
        self.steps, self._average, self._done = steps, 0.0, 0


def _largest_means(values: Tensor) -> Tensor:
    """Largest mean over the last dimension, rows, of each interval, without rows that have overflowed."""
    means = values.mean(-1)
    if not bool(means.isfinite().all()):
        means = values.nanmean(-1)
    return means.amax(-1)


def _bounded(log_diagonals: Tensor, unit: float) -> Tensor:
    """Bound on the rounding error of each interval: the mean over rows, of the exponent that loses most."""
    return _largest_means(growth_gaps(log_diagonals).exp_().mul_(unit).transpose(1, 2))
