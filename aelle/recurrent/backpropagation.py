"""Backpropagation through time written out, for training small networks on a CPU.

Autograd records some ten operations a step and runs each of them again backwards; at hidden sizes of some
tens their overhead is the whole cost. Here a step is a few operations without a graph, and the weight
gradients of all steps are one matrix product. Gradients equal autograd's to rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


class TanhScan(Function):
    """h_{t+1} = tanh(p_t + W h_t): from p (T, batch, H), h_0 (batch, H) and W (H, H), all h (T, batch, H)."""

    @staticmethod
    def forward(ctx: Any, projected: Tensor, start: Tensor, weight: Tensor) -> Tensor:
        """Run forward, keeping the states."""
        hidden = projected.clone(memory_format=torch.contiguous_format)
        state, transposed = start, weight.t().contiguous()
        for h in hidden.unbind():
            state = h.addmm_(state, transposed).tanh_()
        ctx.save_for_backward(hidden, start, weight)
        return hidden

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give the gradients of p, h_0 and W."""
        hidden, start, weight = ctx.saved_tensors
        slopes = 1 - hidden * hidden  # tanh' from its own value: gradients need no more digits than this
        by_preactivation = gradients[0].clone(memory_format=torch.contiguous_format)
        carried = torch.zeros_like(start)
        for gradient, slope in zip(
            reversed(by_preactivation.unbind()), reversed(slopes.unbind()), strict=True
        ):
            carried = gradient.add_(carried).mul_(slope) @ weight
        earlier = torch.cat([start.unsqueeze(0), hidden[:-1]])
        return by_preactivation, carried, by_preactivation.flatten(0, 1).t() @ earlier.flatten(0, 1)


class GRUScan(Function):
    """The GRU over projected inputs p (T, batch, 3H), gates r, z, n, from h_0 (batch, H).

    `weight` is weight_hh (3H, H) and `bias` bias_hh (3H,), or zeros; gives all h (T, batch, H).
    """

    @staticmethod
    def forward(ctx: Any, projected: Tensor, start: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Run forward, keeping gates, candidates, the candidates' recurrent terms m, and states."""
        size = start.shape[1]
        # One contiguous block a step for (r, z) and one for n: slices of a joint block are slower to work on.
        doors = projected[..., : 2 * size].contiguous().add_(bias[: 2 * size])
        candidates = projected[..., 2 * size :].clone(memory_format=torch.contiguous_format)
        terms = bias[2 * size :].expand_as(candidates).contiguous()
        hidden = torch.empty_like(candidates)
        to_doors, to_term = (block.t().contiguous() for block in weight.split([2 * size, size]))
        state = start
        steps = (doors.unbind(), candidates.unbind(), terms.unbind(), hidden.unbind())
        for door, candidate, term, h in zip(*steps, strict=True):
            r, z = door.addmm_(state, to_doors).sigmoid_().split(size, 1)
            candidate.addcmul_(r, term.addmm_(state, to_term)).tanh_()
            state = torch.lerp(candidate, state, z, out=h)
        ctx.save_for_backward(doors, candidates, terms, hidden, start, weight)
        return hidden

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Give the gradients of p, h_0, weight_hh and bias_hh."""
        doors, n, terms, hidden, start, weight = ctx.saved_tensors
        r, z = doors.chunk(2, dim=-1)
        earlier = torch.cat([start.unsqueeze(0), hidden[:-1]])
        # What each part's gradient is per unit of the gradient of h', for all steps at once.
        by_n = (1 - z) * (1 - n * n)
        local = torch.stack([by_n * terms * r * (1 - r), (earlier - n) * z * (1 - z), by_n * r], dim=-2)
        totals = gradients[0].clone(memory_format=torch.contiguous_format)  # gradients of h'
        carried, kept, matrix = torch.zeros_like(start), z.contiguous(), weight
        steps = (totals.unbind(), local.unbind(), local.flatten(-2).unbind(), kept.unbind())
        for total, by_part, flat, keep in zip(*(reversed(s) for s in steps), strict=True):
            by_part.mul_(total.add_(carried).unsqueeze(1))
            carried = (flat @ matrix).addcmul_(total, keep)
        recurrent = local.flatten(-2)
        projected = torch.cat([recurrent[..., : 2 * start.shape[1]], totals * by_n], dim=-1)
        joined = recurrent.flatten(0, 1)
        return projected, carried, joined.t() @ earlier.flatten(0, 1), joined.sum(0)
