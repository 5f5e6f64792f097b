"""Tangent maps: what the loop needs to know of a driven map, and the ways of linearising one.

A `TangentMap` runs the trajectory and linearises it chunk by chunk; a `Linearisation` pushes frames through
the Jacobians of one chunk. Rows, the leading dimension of everything here, are driving sequences (times
networks, in a population). Frames are stored as rows: (rows, k, n).
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from aelle.kernels.library import CompiledJacobians, applies
from aelle.lyapunov.factorise import Workspace
from aelle.lyapunov.pushes import (
    by_output,
    gate_product,
    run_intervals,
    scaled_matrices,
)

Frames = tuple[Tensor, Tensor]

LONGEST_SEGMENT = 256
"""Most steps of trajectory held at once."""


class Linearisation(Protocol):
    """The Jacobians of `steps` successive steps along a trajectory.

    Frames inside may live in other coordinates than the state's; `to_state` converts.
    """

    steps: int

    def run(
        self, start: int, interval: int, count: int, frame: Tensor, spare: Frames, work: Workspace
    ) -> Tensor:
        """Push each row of the frame (rows, k, n) through intervals of Jacobians, and split it after each.

        Args:
            start: first step.
            interval: steps of an interval.
            count: number of intervals.
            frame: the frame before, which stays as it is.
            spare: two frames to write to by turns: the frame after interval i (from 0) is in spare[i % 2].
            work: workspace of the splitting.

        Returns:
            logarithms of the diagonals of S, (count, rows, k).
        """

    def to_state(self, step: int, frame: Tensor) -> Tensor:
        """Frame after `step` steps, in the coordinates of the state."""

    def jacobian(self, step: int) -> Tensor:
        """J_step itself up to a factor of determinant ±1, (rows, n, n): what an audit takes the determinant of."""


class Segment(Protocol):
    """A piece of trajectory, and what its Jacobians are made of.

    Attributes:
        states: (rows, steps + 1, state size).
        log_abs_det: closed form of ln|det J| at each step, (rows, steps), or None.
        chart: what the next segment needs to go on in the same coordinates.
        chunk_steps: how many steps to linearise at a time, so that their Jacobians stay in the cache.
    """

    states: Tensor
    log_abs_det: Tensor | None
    chart: Tensor | None
    chunk_steps: int

    def chunk(self, start: int, stop: int) -> Linearisation:
        """Jacobians of the steps from start to stop."""

    def singular(self, step: int) -> Tensor:
        """Whether the Jacobian of a step is known to be singular, and not only by rounding or underflow: (rows,)."""


def taken_at_its_word(states: Tensor) -> Tensor:
    """That zeros are zeros, (rows,): a map is what its own function says in float64. In float32, underflow is near."""
    return torch.full((len(states),), states.dtype == torch.float64, device=states.device)


class TangentMap(Protocol):
    """A driven map s_{t+1} = f(s_t, x_t) with its linearisation.

    Attributes:
        size: dimension n of the tangent space.
        input_size: of an input; None for an autonomous map.
        networks: how many networks the rows belong to, in equal parts.
        splittable: whether rows may run in several threads at once.
        exact_derivatives: whether small entries of the Jacobians are as good as large ones, relative to themselves;
            1 - tanh² of a saturated unit is not.
    """

    size: int
    input_size: int | None
    networks: int
    splittable: bool
    exact_derivatives: bool

    def segment(
        self, inputs: Tensor | None, state: Tensor, steps: int, k: int, chart: Tensor | None
    ) -> Segment:
        """Run `steps` steps from `state` (rows, state size) under inputs (rows, steps, input size)."""

    def output(self, states: Tensor) -> Tensor:
        """What a layer above takes as input."""

    def segment_steps(self, rows: int) -> int:
        """How long a piece of trajectory to hold at once."""


class DenseJacobians:
    """Explicit Jacobians (rows, steps, n, n)."""

    def __init__(self, jacobians: Tensor) -> None:
        self.jacobian_of_each = jacobians
        self.steps = jacobians.shape[1]

    def run(
        self, start: int, interval: int, count: int, frame: Tensor, spare: Frames, work: Workspace
    ) -> Tensor:
        """Frame times each J transposed."""
        if applies(frame, frame.shape[-1]):
            compiled = CompiledJacobians.dense(self.jacobian_of_each)
            return compiled.run(start, interval, count, frame, spare[(count - 1) % 2])
        return run_intervals(self._push, start, interval, count, frame, spare, work)

    def _push(self, step: int, frame: Tensor, out: Tensor) -> None:
        torch.bmm(frame, self.jacobian_of_each[:, step].mT, out=out)

    def to_state(self, step: int, frame: Tensor) -> Tensor:
        """Frames already are in the coordinates of the state."""
        return frame

    def jacobian(self, step: int) -> Tensor:
        """J_step."""
        return self.jacobian_of_each[:, step]


class GateProducts:
    """Σ_g diag(gain_g) W_g applied through the weights, without forming the sum.

    For k well under n, or one gate: one matrix product serves every sequence of a network.

    Args:
        weights: (networks, G, m, n).
        gains: (rows, steps, G, m); rows = networks × sequences.
    """

    def __init__(self, weights: Tensor, gains: Tensor) -> None:
        self.stacked = weights.flatten(1, 2).mT
        self._factors, self.gains = by_output(weights), gains

    def product(self, step: int, frame: Tensor, out: Tensor) -> None:
        """Σ_g gain_g ∘ (W_g v) for each row v of the frame."""
        gate_product(self.stacked, self.gains, step, frame, out)

    def matrix(self, step: int) -> Tensor:
        """Explicit sum, (rows, m, n)."""
        return scaled_matrices([self._factors], [self.gains[:, step : step + 1].contiguous()], None)[:, 0]


class GateMatrices:
    """The same sum formed explicitly, for k comparable to n: matrices (rows, steps, m, n)."""

    def __init__(self, matrices: Tensor) -> None:
        self.matrices = matrices

    def product(self, step: int, frame: Tensor, out: Tensor) -> None:
        """M v for each row v of the frame."""
        torch.bmm(frame, self.matrices[:, step].mT, out=out)

    def matrix(self, step: int) -> Tensor:
        """M, (rows, m, n)."""
        return self.matrices[:, step]


class GatedLinearisation:
    """J = M + diag(d), M either explicit, d included, or applied through the weights.

    Args:
        dense: M.
        diagonal: d, (rows, steps, n), or None; of gates only.
    """

    def __init__(self, dense: GateProducts | GateMatrices, diagonal: Tensor | None, steps: int) -> None:
        self._dense, self._diagonal, self.steps = dense, diagonal, steps

    def run(
        self, start: int, interval: int, count: int, frame: Tensor, spare: Frames, work: Workspace
    ) -> Tensor:
        """M v + d ∘ v for each row v."""
        return run_intervals(self._push, start, interval, count, frame, spare, work)

    def _push(self, step: int, frame: Tensor, out: Tensor) -> None:
        self._dense.product(step, frame, out)
        if self._diagonal is not None:
            out.addcmul_(self._diagonal[:, step].unsqueeze(1), frame)

    def to_state(self, step: int, frame: Tensor) -> Tensor:
        """Frames already are in the coordinates of the state."""
        return frame

    def jacobian(self, step: int) -> Tensor:
        """M + diag(d)."""
        matrix = self._dense.matrix(step)
        return matrix if self._diagonal is None else matrix + torch.diag_embed(self._diagonal[:, step])


class ShearedLinearisation:
    """A two-part state (a, b) in the coordinates (e, b), e = da - s ∘ db, of an LSTM-like map.

    With u = e + s ∘ db (which is da), the map is e' = M_e u, db' = M_b u + d ∘ db: half the dense work of
    the full Jacobian, and none of the cancellation between h and c.

    Args:
        dense: M_e on top of M_b, (2H, H).
        diagonal: d, (rows, steps, H).
        shear: s before each step and after the last, (rows, steps + 1, H).
    """

    def __init__(self, dense: GateProducts | GateMatrices, diagonal: Tensor, shear: Tensor) -> None:
        self._dense, self._diagonal, self._shear = dense, diagonal, shear
        self.steps, self._half = diagonal.shape[1:]

    def _first_part(self, step: int, frame: Tensor) -> Tensor:
        e, b = frame[..., : self._half], frame[..., self._half :]
        return torch.addcmul(e, self._shear[:, step].unsqueeze(1), b)

    def run(
        self, start: int, interval: int, count: int, frame: Tensor, spare: Frames, work: Workspace
    ) -> Tensor:
        """Map (e, b) to (M_e u, M_b u + d ∘ b)."""
        return run_intervals(self._push, start, interval, count, frame, spare, work)

    def _push(self, step: int, frame: Tensor, out: Tensor) -> None:
        self._dense.product(step, self._first_part(step, frame), out)
        out[..., self._half :].addcmul_(self._diagonal[:, step].unsqueeze(1), frame[..., self._half :])

    def to_state(self, step: int, frame: Tensor) -> Tensor:
        """(e, b) → (a, b)."""
        return torch.cat([self._first_part(step, frame), frame[..., self._half :]], dim=-1)

    def jacobian(self, step: int) -> Tensor:
        """The map on (e, b) before to (e, b) after: the shears have determinant 1."""
        by_u = self._dense.matrix(step)
        by_b = by_u * self._shear[:, step].unsqueeze(1)
        by_b[:, self._half :].diagonal(dim1=-2, dim2=-1).add_(self._diagonal[:, step])
        return torch.cat([by_u, by_b], dim=-1)
