"""Leading exponents that can be differentiated: exponents as a regulariser."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.func import jvp

from aelle.lyapunov.factorise import random_frame

Step = Callable[[Tensor, Tensor], Tensor]


class ChaoticGradientWarning(UserWarning):
    """Gradients through a chaotic trajectory grow exponentially in time and say nothing about averages."""


def differentiable_exponents(
    steps: Sequence[Step],
    outputs: Sequence[Callable[[Tensor], Tensor]],
    inputs: Tensor,
    states: Sequence[Tensor],
    frames: Sequence[Tensor],
    *,
    warmup: int,
    frozen: bool,
) -> Tensor:
    """Exponents of a stack of maps, (layers · k,), descending, with a graph behind them.

    Frames are pushed by forward-mode products and factorised by QR at every step; ln diag R is differentiated
    through both, and through the trajectory unless that is frozen.

    Args:
        steps: one map a layer, (x, state) → state on batches of rows.
        outputs: what each layer passes on.
        inputs: (rows, time, input size).
        states: first state of each layer, (rows, n).
        frames: first frame of each layer, (n, k).
        warmup: steps before the measurement.
        frozen: differentiate at fixed states, only through how the Jacobian depends on the parameters.
    """
    driven, exponents = inputs, []
    for step, output, state, frame in zip(steps, outputs, states, frames, strict=True):
        passed_on, exponent = _one_layer(step, output, driven, state, frame, warmup, frozen)
        exponents.append(exponent)
        driven = passed_on
    spectrum = torch.cat(exponents).sort(descending=True).values
    if not frozen and spectrum.requires_grad and float(spectrum[0].detach()) > 0:
        warnings.warn(
            f"the leading exponent is {float(spectrum[0].detach()):.3g} > 0: gradients through the trajectory of a "
            'chaotic network explode; use trajectory="frozen"',
            ChaoticGradientWarning,
            stacklevel=3,
        )
    return spectrum


def _one_layer(
    step: Step,
    output: Callable[[Tensor], Tensor],
    inputs: Tensor,
    state: Tensor,
    frame: Tensor,
    warmup: int,
    frozen: bool,
) -> tuple[Tensor, Tensor]:
    n, k = frame.shape
    rows = len(state)
    vectors = frame.expand(rows, n, k)
    anew = random_frame(n, k, state.dtype, state.device, torch.Generator().manual_seed(1)).mT
    logs, passed_on = [], []
    for t, x in enumerate(inputs.unbind(dim=1)):
        # All columns in one product, at k copies of each row: a call costs more than its arithmetic.
        columns = vectors.movedim(-1, 0).reshape(k * rows, n)
        pair = jvp(lambda s, x=x: step(x.repeat(k, 1), s), (state.repeat(k, 1),), (columns,))
        after = pair[0][:rows]
        pushed_frame = pair[1].view(k, rows, n).movedim(0, -1)
        lost = _lost(pushed_frame)
        # Where nothing is left of a direction QR has no derivative: it begins anew, as a constant.
        vectors, triangle = torch.linalg.qr(torch.where(lost.unsqueeze(-2), anew, pushed_frame))
        state = after.detach() if frozen else after
        passed_on.append(output(state))
        if t >= warmup:
            grown = triangle.diagonal(dim1=-2, dim2=-1).abs().log()
            logs.append(grown.masked_fill(lost, -math.inf))
    return torch.stack(passed_on, dim=1), torch.stack(logs).mean((0, 1))


@torch.no_grad()
def _lost(pushed: Tensor) -> Tensor:
    """Directions (rows, k) of which those before leave rounding noise: a singular Jacobian ended them."""
    left = torch.linalg.qr(pushed.detach(), mode="r")[1].diagonal(dim1=-2, dim2=-1).abs()
    return left <= 8 * torch.finfo(pushed.dtype).eps * pushed.norm(dim=-2)
