"""Covariant Lyapunov vectors by the method of Ginelli et al. (2007), Phys. Rev. Lett. 99:130601.

A frame pushed forward gives, after a transient, the Gram-Schmidt vectors Q_t and J_t Q_t = Q_{t+1} R_{t+1}.
Vectors V_t = Q_t C_t with C_t upper triangular are covariant, J_t V_t ∥ V_{t+1}, if C_t ∝ R_{t+1}^{-1} C_{t+1};
iterated backwards from any C, this converges.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from aelle.lyapunov.workers import stop_if_cancelled

Jacobian = Callable[[Tensor | None, Tensor], Tensor]
"""Inputs (rows, ·) and states (rows, n) → Jacobians (rows, n, n)."""


@dataclass(frozen=True)
class CovariantVectors:
    """Covariant Lyapunov vectors along a trajectory.

    Attributes:
        vectors: (B, T + 1, n, k), unit columns, at the states.
        states: (B, T + 1, n).
        local_exponents: (B, T, k), ln |J_t v| of each vector and step, nats.
        dt: time of one step, or None.
    """

    vectors: Tensor
    states: Tensor
    local_exponents: Tensor
    dt: float | None = None

    @property
    def exponents(self) -> Tensor:
        """Averages of the local exponents, (k,), nats per step, or per unit of time where the map has a `dt`."""
        return self.local_exponents.mean((0, 1)) / (self.dt or 1.0)

    def angles(self) -> Tensor:
        """Angles between every two vectors, in [0, π/2], (B, T + 1, k, k); 0 on the diagonal."""
        # 2 atan(|u - v| / |u + v|), which is exact for small angles too (Kahan): the arc cosine of 1 - 1e-16 is 0.
        angles = []
        for vector in self.vectors.unbind(-1):
            one = vector.unsqueeze(-1)
            apart, together = (one - self.vectors).norm(dim=-2), (one + self.vectors).norm(dim=-2)
            angles.append(2 * torch.atan2(torch.minimum(apart, together), torch.maximum(apart, together)))
        found = torch.stack(angles, dim=-2)
        found.diagonal(dim1=-2, dim2=-1).zero_()
        return found

    def splitting_angle(self, leading: int) -> Tensor:
        """Smallest angle between the span of the first vectors and that of the rest, (B, T + 1).

        Zeros, tangencies, are what hyperbolic systems do not have.

        Raises:
            ValueError: where one of the two spans would be empty.
        """
        count = self.vectors.shape[-1]
        if not 1 <= leading < count:
            raise ValueError(f"leading must lie between 1 and {count - 1}, got {leading}")
        first = torch.linalg.qr(self.vectors[..., :leading])[0]
        rest = torch.linalg.qr(self.vectors[..., leading:])[0]
        left, _, right = torch.linalg.svd(first.mT @ rest, full_matrices=False)
        one = (first @ left[..., :1]).squeeze(-1)  # principal vectors: the closest of each span
        other = (rest @ right.mH[..., :1]).squeeze(-1)
        return 2 * torch.atan2((one - other).norm(dim=-1), (one + other).norm(dim=-1))

    @property
    def participation(self) -> Tensor:
        """Share of each unit in each vector: mean squared component, (n, k); columns sum to 1."""
        return self.vectors.square().mean((0, 1))

    @property
    def participation_ratio(self) -> Tensor:
        """Over how many units each vector spreads: mean of 1 / Σ v⁴, (k,), between 1 and n."""
        return (1 / self.vectors.pow(4).sum(-2)).mean((0, 1))


def ginelli(
    jacobian: Jacobian, inputs: Tensor | None, states: Tensor, frame: Tensor, warmup: int, cooldown: int
) -> CovariantVectors:
    """Run the frame forward over all states, storing Q and R after the warm-up, then the coefficients back.

    Args:
        jacobian: of a batch of states.
        inputs: (rows, steps, ·) or None.
        states: (rows, steps + 1, n).
        frame: (n, k) to start from.
        warmup: first steps, for the frame to relax.
        cooldown: last steps, for the coefficients to relax.

    Raises:
        ValueError: where a Jacobian is singular on the frame, so that a direction has no past.
    """
    bases, triangles = _forward(jacobian, inputs, states, frame, warmup)
    coefficients, logs = _backward(triangles)
    kept = len(bases) - cooldown
    vectors = torch.stack(bases[:kept], dim=1) @ torch.stack(coefficients[:kept], dim=1)
    stop = states.shape[1] - cooldown
    return CovariantVectors(vectors, states[:, warmup:stop], torch.stack(logs[: kept - 1], dim=1))


def _forward(
    jacobian: Jacobian, inputs: Tensor | None, states: Tensor, frame: Tensor, warmup: int
) -> tuple[list[Tensor], list[Tensor]]:
    """Q at each state from the warm-up on, and the R that leads from each to the next."""
    basis = torch.linalg.qr(frame)[0].expand(states.shape[0], *frame.shape)
    bases, triangles = [], []
    for t in range(states.shape[1] - 1):
        stop_if_cancelled()
        if t >= warmup:
            bases.append(basis)
        pushed = jacobian(None if inputs is None else inputs[:, t], states[:, t]) @ basis
        basis, triangle = torch.linalg.qr(pushed)
        if t >= warmup:
            triangles.append(triangle)
    return [*bases, basis], triangles


def _backward(triangles: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """C at each state, and the growth of each vector on each step."""
    if any(not bool((r.diagonal(dim1=-2, dim2=-1).abs() > 0).all()) for r in triangles):
        raise ValueError("a Jacobian is singular on the frame; ask for fewer vectors with k")
    rows, k, _ = triangles[0].shape
    coefficients = torch.ones(k, k).triu().to(triangles[0]).expand(rows, k, k) / math.sqrt(k)
    backwards, logs = [coefficients], []
    for triangle in reversed(triangles):
        before = torch.linalg.solve_triangular(triangle, backwards[-1], upper=True)
        length = before.norm(dim=-2, keepdim=True)
        logs.append(backwards[-1].norm(dim=-2).log() - length.squeeze(-2).log())
        backwards.append(before / length)
    # The last C is not of unit columns; its log enters only in the cool-down.
    return backwards[::-1], logs[::-1]
