"""Jacobians and their products with vectors, of a step on rows, by automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd import forward_ad

from aelle.lyapunov.slopes import exact_slopes

RowStep = Callable[[Tensor | None, Tensor], Tensor]
"""Inputs (rows, ·), or None, and states (rows, n) to states (rows, n)."""


def jacobians(step: RowStep, x: Tensor | None, states: Tensor) -> Tensor:
    """∂step/∂state of every row, (rows, n, n), by reverse mode; rows must not act on each other.

    One forward pass serves all n backward ones, which run as one batch where every backward function allows it, and
    one after the other where not: neither needs the forward pass to be understood by vmap.
    """
    rows, n = states.shape
    with torch.enable_grad(), exact_slopes():
        leaf = states.detach().requires_grad_()
        after = step(x, leaf.clone())
        if not after.requires_grad:
            return states.new_zeros(rows, n, n)
        basis = torch.eye(n, dtype=states.dtype, device=states.device).unsqueeze(1).expand(n, rows, n)
        try:
            found = torch.autograd.grad(
                after, leaf, basis, retain_graph=True, is_grads_batched=True, allow_unused=True
            )[0]
        except RuntimeError:
            each = [
                torch.autograd.grad(after, leaf, b, retain_graph=True, allow_unused=True)[0] for b in basis
            ]
            found = None if each[0] is None else torch.stack(each)
    return states.new_zeros(rows, n, n) if found is None else found.detach().movedim(0, 1)


def products(step: RowStep, x: Tensor | None, states: Tensor, vectors: Tensor) -> Tensor:
    """J v for each of the vectors (rows, k, n) of each row, by forward mode on k copies of every row.

    Raises:
        RuntimeError, NotImplementedError: where a function in the step has no forward mode.
    """
    k = vectors.shape[1]
    copies = None if x is None else x.repeat_interleave(k, dim=0)
    with torch.enable_grad(), exact_slopes(), forward_ad.dual_level():
        dual = forward_ad.make_dual(
            states.detach().repeat_interleave(k, dim=0), vectors.flatten(0, 1).contiguous()
        )
        tangent = forward_ad.unpack_dual(step(copies, dual.clone())).tangent
    return torch.zeros_like(vectors) if tangent is None else tangent.detach().view_as(vectors)
