"""Directions that end: at a Jacobian that is singular, or in an underflow that only looks like one.

A product of Jacobians is singular for good from its first singular factor on. The directions that end there have the
exponent -inf, exactly, and the others go on. A logarithm of -inf is believed where the step itself is known to be
singular, by its closed form or by the map's own word, and where the pushed frame shows it: some of its components
vanish altogether. A pivot that vanishes by cancellation or by underflow shows no such thing.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from aelle.lyapunov.factorise import Workspace, random_frame, split
from aelle.lyapunov.rounding import range_of


class DeadDirections:
    """Which directions of which rows have ended, and which of them without proof.

    Attributes:
        mask: (rows, k), or None while there are none.
        unproven: (rows, k), or None while there are none: lost, not known to be singular.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self._lowest, self._highest = range_of(dtype)
        self.mask: Tensor | None = None
        self.unproven: Tensor | None = None

    @property
    def inside(self) -> tuple[float, float]:
        """Logarithms between which nothing has left the range of floating-point numbers."""
        return self._lowest, self._highest

    @property
    def exact(self) -> Tensor | None:
        """Those that are known to have ended, (rows, k), or None."""
        return self.mask if self.mask is None or self.unproven is None else self.mask & ~self.unproven

    def untouched(self, log_diagonals: Tensor) -> bool:
        """Whether every direction that is not dead kept within the range of floating-point numbers."""
        low, high = torch.aminmax(log_diagonals)
        if low > self._lowest and high < self._highest:
            return True
        outside = ~((log_diagonals > self._lowest) & (log_diagonals < self._highest))
        return self.mask is not None and not bool((outside & ~self.mask).any())

    def outside(self, log_diagonals: Tensor, finite_rows: Tensor) -> bool:
        """Whether a direction that is not dead left it in a row whose state stays finite."""
        out = ~((log_diagonals > self._lowest) & (log_diagonals < self._highest))
        if self.mask is not None:
            out &= ~self.mask
        return bool((out & finite_rows.unsqueeze(-1)).any())

    def add(self, log_diagonal: Tensor, singular: Tensor, frame: Tensor) -> None:
        """Note the directions of one interval that left the range.

        Args:
            log_diagonal: (rows, k).
            singular: (rows,), whether the interval is one step known to be singular.
            frame: (rows, k, n) after it.
        """
        dead = torch.zeros_like(log_diagonal, dtype=torch.bool) if self.mask is None else self.mask
        unproven = torch.zeros_like(dead) if self.unproven is None else self.unproven
        ended = (log_diagonal == -math.inf) & ~dead
        proven = ended & singular.unsqueeze(-1) & _vanishing_components(frame, ended)
        rounded = (log_diagonal.isfinite() & (log_diagonal < self._lowest)) & ~dead
        self.mask, self.unproven = dead | ended, unproven | (ended & ~proven) | rounded

    def forget(self) -> None:
        """Take all directions for alive again."""
        self.mask = self.unproven = None


def _vanishing_components(frame: Tensor, ended: Tensor) -> Tensor:
    """Whether a direction (rows, k) was split off at a component that the whole pushed frame lacks.

    There L has a unit vector both as its column and as its row.
    """
    alone = (frame != 0).sum(-2) == 1  # (rows, n): components of one direction only
    single = (frame != 0).sum(-1) == 1  # (rows, k): directions of one component only
    own = frame.abs().argmax(-1)
    return ended & single & alone.gather(-1, own)


def renew(frame: Tensor, ended: Tensor, work: Workspace) -> None:
    """Put directions in general position in the place of those that ended, alike in every row.

    The frame is split anew, so that it is a permuted unit triangle as after every interval: of determinant ±1.
    """
    rows, k, n = frame.shape
    fresh = random_frame(n, k, frame.dtype, frame.device, torch.Generator().manual_seed(1))
    split(torch.where(ended.unsqueeze(-1), fresh.expand(rows, k, n), frame).contiguous(), work, frame)
