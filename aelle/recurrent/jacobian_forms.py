"""Jacobians of cells taken apart: by gates, or unit by unit."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TangentTerms:
    """A Jacobian taken apart by gates: J = Σ_g diag(gain_g) W_g + diag(d), H rows of gains instead of H² numbers.

    A cell with a one-part state gives one group of gates, and no `shear`. A cell with a two-part state (a, b)
    whose Jacobian is, in the coordinates (e, b) with e = da - s ∘ db and u = e + s ∘ db,
    e' = Σ diag(gain_g) W_g u over the first group and b' = Σ diag(gain_g) W_g u + d ∘ db over the second,
    gives two groups, and s after the step as `shear`.

    Attributes:
        weights: per group, (*P, G, H, H).
        gains: per group, (*P, batch, G, H).
        diagonal: d, (*P, batch, H), or None for zero.
        shear: s after the step, (*P, batch, H), or None.
        log_abs_det: ln|det J|, (*P, batch), where it comes for little; None leaves it to `Cell.log_abs_det`.
    """

    weights: tuple[Tensor, ...]
    gains: tuple[Tensor, ...]
    diagonal: Tensor | None = None
    shear: Tensor | None = None
    log_abs_det: Tensor | None = None


@dataclass(frozen=True)
class UnitJacobians:
    """The Jacobian of a cell whose units do not act on each other: one small block for each unit.

    Attributes:
        blocks: (*P, batch, H, b, b), b = len(state_parts): row and column p are the unit's component in part p.
        log_scale: (*P, batch, H), logarithm of a factor of each block, or None. Where a gate closes, the factor
            would underflow as a number; its logarithm does not.
    """

    blocks: Tensor
    log_scale: Tensor | None = None

    def scaled(self) -> Tensor:
        """Blocks with their factors, (*P, batch, H, b, b)."""
        if self.log_scale is None:
            return self.blocks
        return self.blocks * self.log_scale.exp()[..., None, None]

    def dense(self) -> Tensor:
        """The whole Jacobian, (*P, batch, n, n)."""
        by_part = [[torch.diag_embed(entry) for entry in row.unbind(-1)] for row in self.scaled().unbind(-2)]
        return torch.cat([torch.cat(row, dim=-1) for row in by_part], dim=-2)
