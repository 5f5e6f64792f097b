"""A whole system, all layers together, as one batched step with its Jacobian."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import jacfwd, vmap

from aelle.lyapunov.driven_map import DrivenMap
from aelle.recurrent.convert import cells_of
from aelle.recurrent.flat import flat_step
from aelle.spectra.systems import System


def whole_map(
    system: System, driven: bool, dtype: torch.dtype
) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """Step and Jacobian on batches of flat states: inputs (rows, ·) or None, states (rows, n)."""
    if isinstance(system, DrivenMap):
        dims = (0 if driven else None, 0)
        return vmap(system.step, in_dims=dims), vmap(system.dense_jacobian, in_dims=dims)
    cells = cells_of(system, dtype)
    if len(cells) == 1:
        return cells[0].step, cells[0].jacobian
    one = lambda x, s: flat_step(cells, x.unsqueeze(0), s.unsqueeze(0)).squeeze(0)  # noqa: E731
    return (lambda x, s: flat_step(cells, x, s)), vmap(jacfwd(one, argnums=1))
