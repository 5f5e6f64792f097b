"""The inner loops: Jacobians built by output rows, frames pushed through them, and split after each interval.

Frames are stored as rows, (rows, k, n). `frame` stays as it is; the frame after interval i is in `even` or `odd`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from aelle.compiled import compiled
from aelle.lyapunov.factorise import Workspace, split


def by_output(weights: Tensor) -> Tensor:
    """Weights (networks, G, m, n) by output row, as `scaled_matrices` takes them: (networks, m, G, n)."""
    return weights.transpose(1, 2).contiguous()


@compiled
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


@compiled
def run_matrices(
    matrices: Tensor,
    start: int,
    interval: int,
    count: int,
    frame: Tensor,
    even: Tensor,
    odd: Tensor,
    work: Workspace,
) -> Tensor:
    """Frame through explicit Jacobians (rows, steps, n, n)."""
    logs: list[Tensor] = []
    a, b = torch.empty_like(frame), torch.empty_like(frame)
    for i in range(count):
        for step in range(start + i * interval, start + (i + 1) * interval):
            torch.bmm(frame, matrices.select(1, step).transpose(1, 2), out=a)
            frame, a, b = a, b, a
        target = even if i % 2 == 0 else odd
        logs.append(split(frame, work, target))
        frame = target
    return torch.stack(logs)


@compiled
def gate_product(stacked: Tensor, gains: Tensor, step: int, frame: Tensor, out: Tensor) -> None:
    """Σ_g gain_g ∘ (W_g v) with stacked weights (networks, n, G m) and gains (rows, steps, G, m)."""
    rows, k, n = frame.shape
    products = torch.bmm(frame.reshape(stacked.shape[0], -1, n), stacked)
    by_gate, gain = products.view(rows, k, gains.shape[2], -1), gains.select(1, step).unsqueeze(1)
    torch.mul(by_gate.select(2, 0), gain.select(2, 0), out=out)
    for gate in range(1, gains.shape[2]):
        out.addcmul_(by_gate.select(2, gate), gain.select(2, gate))


@compiled
def run_gates(
    stacked: Tensor,
    gains: Tensor,
    diagonal: Tensor | None,
    start: int,
    interval: int,
    count: int,
    frame: Tensor,
    even: Tensor,
    odd: Tensor,
    work: Workspace,
) -> Tensor:
    """Frame through Σ_g diag(gain_g) W_g + diag(d)."""
    logs: list[Tensor] = []
    a, b = torch.empty_like(frame), torch.empty_like(frame)
    for i in range(count):
        for step in range(start + i * interval, start + (i + 1) * interval):
            gate_product(stacked, gains, step, frame, a)
            if diagonal is not None:
                a.addcmul_(diagonal.select(1, step).unsqueeze(1), frame)
            frame, a, b = a, b, a
        target = even if i % 2 == 0 else odd
        logs.append(split(frame, work, target))
        frame = target
    return torch.stack(logs)


@compiled
def run_sheared(
    matrices: Tensor,
    diagonal: Tensor,
    shear: Tensor,
    start: int,
    interval: int,
    count: int,
    frame: Tensor,
    even: Tensor,
    odd: Tensor,
    work: Workspace,
) -> Tensor:
    """Frame (e, b) through (M_e u, M_b u + d ∘ b), u = e + s ∘ b, with M (rows, steps, 2H, H)."""
    logs: list[Tensor] = []
    a, b, half = torch.empty_like(frame), torch.empty_like(frame), shear.shape[-1]
    for i in range(count):
        for step in range(start + i * interval, start + (i + 1) * interval):
            second = frame.narrow(-1, half, half)
            u = torch.addcmul(frame.narrow(-1, 0, half), shear.select(1, step).unsqueeze(1), second)
            torch.bmm(u, matrices.select(1, step).transpose(1, 2), out=a)
            a.narrow(-1, half, half).addcmul_(diagonal.select(1, step).unsqueeze(1), second)
            frame, a, b = a, b, a
        target = even if i % 2 == 0 else odd
        logs.append(split(frame, work, target))
        frame = target
    return torch.stack(logs)
