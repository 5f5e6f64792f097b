"""How often to factorise: what an interval between two factorisations loses to rounding."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from aelle.kernels.structures import Schedule
from aelle.lyapunov.rounding import gaps_of, growth_gaps, range_of

ROUNDING_TOLERANCE = 1e-6
"""Rounding error of an exponent, in nats per step, that the adaptive interval allows itself."""

RESIDUAL_TOLERANCE = 2e-10
"""Distance of Σ l from a closed-form determinant, in nats per step, that it allows itself."""

LONGEST_INTERVAL = 16

RECONSIDERED = 8
"""Intervals after which a longer one is tried."""

LARGEST_LOSS = 100.0
"""Multiple of the tolerance beyond which one loss is not averaged, so that it is forgotten in time."""


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
        self.fixed = fixed is not None
        self._unit = 2 * n * torch.finfo(dtype).eps
        self._noise = math.sqrt(n) * torch.finfo(dtype).eps
        self._range = range_of(dtype)[1]
        self._average, self._done = 0.0, 0

    def schedule(self) -> Schedule:
        """This, as the compiled loops take it and learn in it by the same rule."""
        return Schedule(
            self.steps, self._done, self.fixed, LONGEST_INTERVAL, RECONSIDERED,
            self._average, self._unit, self._noise, self._range,
            ROUNDING_TOLERANCE, RESIDUAL_TOLERANCE, LARGEST_LOSS,
        )  # fmt: skip

    def go_on(self, schedule: Schedule) -> None:
        """Take over what the compiled loops have learnt."""
        self.steps, self._done, self._average = schedule.steps, schedule.done, schedule.average

    @property
    def patience(self) -> int:
        """Intervals that may be run before the next look at what they lost."""
        if self.fixed:
            return RECONSIDERED
        return 1 if self._done < 2 else RECONSIDERED - self._done % RECONSIDERED

    def halve(self, interval: int) -> None:
        """Go on with half of an interval that left the range of floating-point numbers, or met a singular step."""
        if not self.fixed:
            self._change_to(max(interval // 2, 1))

    def fits(
        self, interval: int, log_diagonals: Tensor, residuals: Tensor | None, dead: Tensor | None = None
    ) -> bool:
        """Choose the next interval; False where one of these lost too much.

        Args:
            interval: steps of each interval just done.
            log_diagonals: logarithms of their S, (intervals, rows, k).
            residuals: of their sums against a determinant, (intervals, rows), or None.
            dead: directions (rows, k) that a singular step has ended, or None.
        """
        if self.fixed:
            return True
        tolerance = ROUNDING_TOLERANCE if residuals is None else RESIDUAL_TOLERANCE
        lost = self._lost(log_diagonals, residuals, dead)
        losses = [loss / interval for loss in lost.tolist()]
        if interval > 1 and not max(losses) <= 5 * tolerance:
            self._change_to(interval - 1)
            return False
        if interval == self.steps:
            last = log_diagonals[-1] if dead is None else log_diagonals[-1].masked_fill(dead, math.nan)
            self._learn(losses, last, tolerance)
        return True

    def _lost(self, log_diagonals: Tensor, residuals: Tensor | None, dead: Tensor | None) -> Tensor:
        """What each interval lost, (intervals,): mean over rows, of the worst direction; as residual, if there are any."""
        if residuals is None:
            return self._bounded(log_diagonals, dead)
        sizes = residuals.abs()
        known = sizes.isfinite()
        if bool(known.all()):
            return sizes.mean(-1)
        # Where the determinant is infinite it says nothing: those rows are judged by the bound.
        silent = self._bounded(log_diagonals.masked_fill(known.unsqueeze(-1), math.nan), dead)
        sizes = sizes.masked_fill(~known, math.nan).nanmean(-1)
        return torch.fmax(sizes, silent * (RESIDUAL_TOLERANCE / ROUNDING_TOLERANCE)).nan_to_num(0.0, math.inf)

    def _bounded(self, log_diagonals: Tensor, dead: Tensor | None) -> Tensor:
        """Bound on the rounding error of each interval: the mean over rows, of the exponent that loses most."""
        if dead is None:
            return _bounded(log_diagonals, self._unit)
        return _largest_means(gaps_of(log_diagonals, dead).exp_().mul_(self._unit).transpose(1, 2))

    def _learn(self, losses: Sequence[float], log_diagonal: Tensor, tolerance: float) -> None:
        for loss in losses:
            loss = min(loss, LARGEST_LOSS * tolerance)
            self._average = loss if self._done == 0 else 0.7 * self._average + 0.3 * loss
            self._done += 1
        if self.steps > 1 and not self._average <= tolerance:
            self._change_to(self.steps - 1)
        elif self.steps < LONGEST_INTERVAL and (self._done <= 2 or self._done % RECONSIDERED == 0):
            self._try_longer(log_diagonal, tolerance)

    def _try_longer(self, log_diagonal: Tensor, tolerance: float) -> None:
        """As many steps more as leave the average loss below the tolerance, up to twice as many as now."""
        known = log_diagonal.nan_to_num(0.0, 0.0, 0.0)
        steepest = float(known.abs().max()) / self.steps
        longest = min(LONGEST_INTERVAL, int(0.8 * self._range / max(steepest, 1.0)))
        gap = _mean_gap(log_diagonal) / self.steps
        # LU overstates gaps by a seventh or so: the R of a QR is more even than the U of an LU.
        room = math.log(tolerance / max(self._average, self._noise)) if self._average < tolerance else -1.0
        more = min(int(room / max(0.85 * gap, 1e-3)), self.steps, longest - self.steps)
        if room >= 0 and more > 0:
            self._change_to(self.steps + more)

    def _change_to(self, steps: int) -> None:
        self.steps, self._average, self._done = steps, 0.0, 0


def _mean_gap(log_diagonal: Tensor) -> float:
    """Mean over rows of the largest gap, of rows and directions that have one."""
    gaps = growth_gaps(log_diagonal)
    if not bool(gaps.isfinite().all()):
        dead = log_diagonal.isnan()
        gaps = growth_gaps(log_diagonal.masked_fill(dead, -math.inf)).masked_fill(dead, 0.0)
    mean = float(gaps.amax(-1).nanmean())
    return mean if math.isfinite(mean) else math.inf


def _largest_means(values: Tensor) -> Tensor:
    """Largest mean over the last dimension, rows, of each interval, without rows that have overflowed."""
    means = values.mean(-1)
    if not bool(means.isfinite().all()):
        means = values.nanmean(-1)
    return means.amax(-1)


def _bounded(log_diagonals: Tensor, unit: float) -> Tensor:
    """Bound on the rounding error of each interval: the mean over rows, of the exponent that loses most."""
    return _largest_means(growth_gaps(log_diagonals).exp_().mul_(unit).transpose(1, 2))
