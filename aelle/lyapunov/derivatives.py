"""Jacobians and their products with vectors, of a step on rows, by automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd import forward_ad

from aelle.lyapunov.slopes import exact_slopes
from aelle.words import first_line

RowStep = Callable[[Tensor | None, Tensor], Tensor]
"""Inputs (rows, ·), or None, and states (rows, n) to states (rows, n)."""


class StepError(ValueError):
    """A step that is not a driven map, or a derivative that is not the step's."""


def jacobians(step: RowStep, x: Tensor | None, states: Tensor) -> Tensor:
    """∂step/∂state of every row, (rows, n, n), by reverse mode; rows must not act on each other.

    One forward pass serves all n backward ones, which run as one batch where every backward function allows it, and
    one after the other where not: neither needs the forward pass to be understood by vmap. Forward mode is the last
    resort, for a step that overwrites what its backward pass needs.

    Raises:
        StepError: where neither mode can follow.
    """
    rows, n = states.shape
    basis = torch.eye(n, dtype=states.dtype, device=states.device)
    try:
        return _by_reverse_mode(step, x, states, basis.unsqueeze(1).expand(n, rows, n))
    except (RuntimeError, NotImplementedError) as error:
        try:
            return products(step, x, states, basis.expand(rows, n, n)).mT
        except (RuntimeError, NotImplementedError):
            raise StepError(
                f"the step has no derivative that torch can follow ({first_line(error)}); give DrivenMap(step, n, "
                "jacobian=...)"
            ) from error


def _by_reverse_mode(step: RowStep, x: Tensor | None, states: Tensor, basis: Tensor) -> Tensor:
    with torch.enable_grad(), exact_slopes():
        leaf = states.detach().requires_grad_()
        after = step(x, leaf.clone())
        if not after.requires_grad:
            return states.new_zeros(*states.shape, states.shape[-1])
        keep = {"retain_graph": True, "materialize_grads": True}
        try:
            found = torch.autograd.grad(after, leaf, basis, is_grads_batched=True, **keep)[0]
        except RuntimeError:
            found = torch.stack([torch.autograd.grad(after, leaf, b, **keep)[0] for b in basis])
    return found.detach().movedim(0, 1)


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
