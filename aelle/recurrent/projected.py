"""Cells that see their input only through one affine map, which is taken for all steps at once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from aelle.recurrent.cell import Cell, log_abs_det_of

_DETERMINANTS_AT_ONCE = 64  # matrices held at a time


class ProjectedCell(Cell):
    """A cell with s' = advance(p, s, w), where p = W_ih x + b and w is worked out once per run.

    Its one bias is `bias_ih`. Subclasses write `advance` in place of `step`, and `recurrent_weight` where the
    recurrent matrix is not a parameter itself but made of one (a skew-symmetric part, an exponential).
    """

    def _parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """weight_ih (G·H, I), weight_hh (G·H, H) and bias_ih (G·H,)."""
        shapes = super()._parameter_shapes()
        shapes.pop("bias_hh", None)
        return shapes

    def recurrent_weight(self) -> Tensor:
        """Recurrent matrix (*P, rows, columns) as `advance` takes it."""
        return self.weight_hh

    @abstractmethod
    def advance(self, projected: Tensor, state: Tensor, weight: Tensor) -> Tensor:
        """State after `state` (*P, batch, n), from p (*P, batch, rows of weight_ih) and the recurrent matrix."""

    def step(self, x: Tensor, state: Tensor) -> Tensor:
        """Advance the state by one input."""
        return self.advance(self._from_input(x), state, self.recurrent_weight())

    def trajectory(self, inputs: Tensor, state: Tensor) -> Tensor:
        """All states (*P, batch, T + 1, n); the first is `state`."""
        states, weight = [state], self.recurrent_weight()
        for projected in project_inputs(self, inputs).unbind(dim=-2):
            states.append(self.advance(projected, states[-1], weight))
        return torch.stack(states, dim=-2)


def project_inputs(cell: Cell, inputs: Tensor) -> Tensor:
    """W_ih x + b for all steps of `inputs` (*P, batch, T, input_size): (*P, batch, T, rows of weight_ih)."""
    return cell._from_input(inputs.flatten(-3, -2)).unflatten(-2, inputs.shape[-3:-1])


def log_abs_det_by_parts(block: Callable[[Tensor, Tensor], Tensor], x: Tensor, state: Tensor) -> Tensor:
    """ln|det block(x, state)| (*P, batch), where block gives (*P, batch, H, H): a few matrices at a time."""
    parts = zip(x.split(_DETERMINANTS_AT_ONCE, -2), state.split(_DETERMINANTS_AT_ONCE, -2), strict=True)
    return torch.cat([log_abs_det_of(block(*part)).squeeze(-1) for part in parts], dim=-1)


def skew_symmetric(weight: Tensor) -> Tensor:
    """W - Wᵀ of each matrix (*P, H, H)."""
    return weight - weight.mT


def identity_like(weight: Tensor) -> Tensor:
    """Identity (H, H) in the precision and on the device of a weight with H columns."""
    return torch.eye(weight.shape[-1], dtype=weight.dtype, device=weight.device)
