"""A whole system, all layers together, as one batched step with its Jacobian."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor
from torch.func import jacfwd, vmap

from aelle.lyapunov.automatic import AutomaticTangent
from aelle.lyapunov.cell_tangent import CellTangent
from aelle.lyapunov.tangent import TangentMap
from aelle.recurrent.flat import flat_step


def whole_map(stack: Sequence[TangentMap]) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """Step and Jacobian on batches of flat states: inputs (rows, ·) or None, states (rows, n)."""
    if isinstance(stack[0], AutomaticTangent):
        return stack[0].batched_step, stack[0].jacobian
    cells = [tangent.cell for tangent in stack if isinstance(tangent, CellTangent)]
    if len(cells) == 1:
        return cells[0].step, cells[0].jacobian
    one = lambda x, s: flat_step(cells, x.unsqueeze(0), s.unsqueeze(0)).squeeze(0)  # noqa: E731
    return (lambda x, s: flat_step(cells, x, s)), vmap(jacfwd(one, argnums=1))
