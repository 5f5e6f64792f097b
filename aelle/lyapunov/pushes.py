"""The inner loop by torch's operations: Jacobians built by output rows, frames pushed through them, and split.

Frames are stored as rows, (rows, k, n).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from aelle.lyapunov.factorise import Workspace, split


def by_output(weights: Tensor) -> Tensor:
    """Weights (networks, G, m, n) by output row, as `scaled_matrices` takes them: (networks, m, G, n)."""
    return weights.transpose(1, 2).contiguous()


def scaled_matrices(factors: list[Tensor], gains: list[Tensor], diagonal: Tensor | None) -> Tensor:
    """Σ_g diag(gain_g) W_g for each group of gates, one group below the other, with diag(d) added.

    Built by output rows, one product of (rows·steps, G) with (G, n) for each: every gate in one pass.

    Args:
        factors: per group, (networks, m, G, n), of `by_output`.
        gains: per group, (rows, steps, G, m).
        diagonal: (rows, steps, m) or None; of the first group.

    Returns:
        matrices (rows, steps, m · groups, n); in memory by output row first where there is one network.
    """
    rows, steps, _, m = gains[0].shape
    networks, n = factors[0].shape[0], factors[0].shape[3]
    sequences = rows // networks
    built = gains[0].new_empty(len(factors), networks, m, sequences * steps, n)
    for group in range(len(factors)):
        gain, factor = gains[group], factors[group]
        ordered = gain.view(networks, sequences, steps, gain.shape[2], m).permute(0, 4, 1, 2, 3)
        torch.bmm(
            ordered.reshape(networks * m, sequences * steps, -1),
            factor.view(networks * m, -1, n),
            out=built.select(0, group).view(networks * m, sequences * steps, n),
        )
    # (groups, networks, m, sequences, steps, n) → (networks, sequences, steps, groups, m, n)
    matrices = built.view(-1, networks, m, sequences, steps, n).permute(1, 3, 4, 0, 2, 5)
    matrices = matrices.reshape(rows, steps, -1, n)
    if diagonal is not None:
        torch.diagonal(matrices.narrow(2, 0, m), 0, -2, -1).add_(diagonal)
    return matrices


def gate_product(stacked: Tensor, gains: Tensor, step: int, frame: Tensor, out: Tensor) -> None:
    """Σ_g gain_g ∘ (W_g v) with stacked weights (networks, n, G m) and gains (rows, steps, G, m)."""
    rows, k, n = frame.shape
    products = torch.bmm(frame.reshape(stacked.shape[0], -1, n), stacked)
    by_gate, gain = products.view(rows, k, gains.shape[2], -1), gains.select(1, step).unsqueeze(1)
    torch.mul(by_gate.select(2, 0), gain.select(2, 0), out=out)
    for gate in range(1, gains.shape[2]):
        out.addcmul_(by_gate.select(2, gate), gain.select(2, gate))


def run_intervals(
    push: Callable[[int, Tensor, Tensor], object],
    start: int,
    interval: int,
    count: int,
    frame: Tensor,
    spare: tuple[Tensor, Tensor],
    work: Workspace,
) -> Tensor:
    """What `Linearisation.run` does, by `push(step, frame, out)`, which takes the frame one step on."""
    logs = []
    a, b = torch.empty_like(frame), torch.empty_like(frame)
    for i in range(count):
        for step in range(start + i * interval, start + (i + 1) * interval):
            push(step, frame, a)
            frame, a, b = a, b, a
        logs.append(split(frame, work, spare[i % 2]))
        frame = spare[i % 2]
    return torch.stack(logs)


def run_step_by_step(
    push: Callable[[int, Tensor], Tensor],
    start: int,
    interval: int,
    count: int,
    frame: Tensor,
    spare: tuple[Tensor, Tensor],
    work: Workspace,
) -> Tensor:
    """The same by a push that gives a new frame."""
    return run_intervals(
        lambda step, before, out: out.copy_(push(step, before)), start, interval, count, frame, spare, work
    )
