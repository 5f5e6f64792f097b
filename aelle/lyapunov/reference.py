"""The algorithm as one reads it: what the engine does faster, on many trajectories, with errors estimated."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from aelle.lyapunov.arguments import real_tensor, whole_number
from aelle.lyapunov.driven_map import DrivenMap
from aelle.lyapunov.factorise import random_frame


def reference_exponents(
    system: DrivenMap,
    inputs: Tensor | Sequence[None],
    state: Tensor,
    *,
    frame: Tensor | None = None,
    warmup: int = 0,
) -> Tensor:
    """Lyapunov exponents of one trajectory by one Householder QR per step (Benettin et al. 1980).

    Fifteen lines for reading, and for checking the engine: from the same first frame both give the same
    numbers. In float64, exponents further than about 36 nats per step below the largest are rounding noise, and
    directions that a singular Jacobian ends in the warm-up begin anew.

    Args:
        system: the map; its Jacobian is found automatically where it has none.
        inputs: (time, input_size); for an autonomous map `[None] * time`.
        state: (n,), the state before the first input.
        frame: (n, k), independent columns; where None, the n columns that `lyapunov_spectrum` starts from.
        warmup: first steps, which turn the frame and are not measured.

    Returns:
        exponents (k,), descending, in nats per step.

    Raises:
        ValueError: where the warm-up leaves no step to measure.
    """
    if not isinstance(inputs, list):
        inputs = real_tensor("inputs", inputs).to(state)
    warmup = whole_number("warmup", warmup)
    if not 0 <= warmup < len(inputs):
        raise ValueError(f"warmup must lie between 0 and {len(inputs) - 1}, got {warmup}")
    jacobian = system.dense_jacobian
    if frame is None:
        frame = random_frame(len(state), len(state), state.dtype, state.device, None).mT
    logs = state.new_zeros(frame.shape[1])
    for t, x in enumerate(inputs):
        pushed = jacobian(x, state) @ frame
        frame, triangle = torch.linalg.qr(pushed)
        if t >= warmup:
            logs += triangle.diagonal().abs().log()
        state = system.step(x, state)
    return (logs / (len(inputs) - warmup)).sort(descending=True).values
