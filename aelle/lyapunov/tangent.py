"""Tangent maps: what the loop needs to know of a driven map, and the ways of linearising one.

A `TangentMap` runs the trajectory and linearises it chunk by chunk; a `Linearisation` pushes frames through
the Jacobians of one chunk. Rows, the leading dimension of everything here, are driving sequences (times
networks, in a population). Frames are stored as rows: (rows, k, n).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class Linearisation(Protocol):
    """The Jacobians of `steps` successive steps along a trajectory.

    Frames inside may live in other coordinates than the state's; `to_state` converts.
    """

    steps: int

    def push(self, step: int, frame: Tensor, out: Tensor) -> None:
        """J_step applied to each row of the frame (rows, k, n)."""

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
    """

    states: Tensor
    log_abs_det: Tensor | None
    chart: Tensor | None

    def chunk(self, start: int, stop: int) -> Linearisation:
        """Jacobians of the steps from start to stop."""


class TangentMap(Protocol):
    """A driven map s_{t+1} = f(s_t, x_t) with its linearisation.

    Attributes:
        size: dimension n of the tangent space.
    """

    size: int

    def segment(
        self, inputs: Tensor | None, state: Tensor, steps: int, k: int, chart: Tensor | None
    ) -> Segment:
        """Run `steps` steps from `state` (rows, state size) under inputs (rows, steps, input size)."""

    def output(self, states: Tensor) -> Tensor:
        """What a layer above takes as input."""

    def chunk_steps(self, rows: int, k: int) -> int:
        """How many steps to linearise at a time, so that their Jacobians stay in the cache."""


class DenseJacobians:
    """Explicit Jacobians (rows, steps, n, n)."""

    def __init__(self, jacobians: Tensor) -> None:
        self._jacobians = jacobians
        self.steps = jacobians.shape[1]

    def push(self, step: int, frame: Tensor, out: Tensor) -> None:
        """Frame times J transposed."""
        torch.bmm(frame, self._jacobians[:, step].mT, out=out)

    def to_state(self, step: int, frame: Tensor) -> Tensor:
        """Frames already are in the coordinates of the state."""
        return frame

    def jacobian(self, step: int) -> Tensor:
        """J_step."""
        return self._jacobians[:, step]


class GateProducts:
    """Σ_g diag(gain_g) W_g applied through the weights, without forming the sum.

    For k well under n, or one gate: one matrix product serves every sequence of a network.

    Args:
        weights: (networks, G, m, n).
        gains: (rows, steps, G, m); rows = networks × sequences.
    """

    def __init__(self, weights: Tensor, gains: Tensor) -> None:
        self._stacked = weights.flatten(1, 2)
        self._weights, self._gains = weights, gains

    def product(self, step: int, frame: Tensor, out: Tensor) -> None:
        """Σ_g gain_g ∘ (W_g v) for each row v of the frame."""
        rows, k, n = frame.shape
        networks, gates, gains = self._stacked.shape[0], self._gains.shape[2], self._gains[:, step]
        products = torch.bmm(frame.reshape(networks, -1, n), self._stacked.mT).view(rows, k, gates, -1)
        torch.mul(products[:, :, 0], gains[:, None, 0], out=out)
        for gate in range(1, gates):
            out.addcmul_(products[:, :, gate], gains[:, None, gate])

    def matrix(self, step: int) -> Tensor:
        """Explicit sum, (rows, m, n)."""
        return scaled_matrices([self._weights], [self._gains[:, step : step + 1].contiguous()])[:, 0]


class GateMatrices:
    """The same sum formed explicitly, for k comparable to n."""

    def __init__(self, matrices: Tensor) -> None:
        self._matrices = matrices

    def product(self, step: int, frame: Tensor, out: Tensor) -> None:
        """M v for each row v of the frame."""
        torch.bmm(frame, self._matrices[:, step].mT, out=out)

    def matrix(self, step: int) -> Tensor:
        """M, (rows, m, n)."""
        return self._matrices[:, step]


class GatedLinearisation:
    """J = M + diag(d), M either explicit or applied through the weights.

    Args:
        dense: M.
        diagonal: d, (rows, steps, n), or None.
    """

    def __init__(self, dense: GateProducts | GateMatrices, diagonal: Tensor | None, steps: int) -> None:
        self._dense, self._diagonal, self.steps = dense, diagonal, steps

    def push(self, step: int, frame: Tensor, out: Tensor) -> None:
        """M v + d ∘ v for each row v."""
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

    def push(self, step: int, frame: Tensor, out: Tensor) -> None:
        """Map (e, b) to (M_e u, M_b u + d ∘ b)."""
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


def scaled_matrices(
    weights: Sequence[Tensor], gains: Sequence[Tensor], diagonal: Tensor | None = None
) -> Tensor:
    """Σ_g diag(gain_g) W_g for each group of gates, one group below the other, with diag(d) added.

    Built by output rows, one product of (rows·steps, G) with (G, n) for each: every gate in one pass.

    Args:
        weights: per group, (networks, G, m, n).
        gains: per group, (rows, steps, G, m).
        diagonal: (rows, steps, m) or None; of the first group.

    Returns:
        matrices (rows, steps, m · groups, n); in memory by output row first where there is one network.
    """
    rows, steps, _, m = gains[0].shape
    networks, n = weights[0].shape[0], weights[0].shape[-1]
    sequences = rows // networks
    built = gains[0].new_empty(len(weights), networks, m, sequences * steps, n)
    for group, (w, gain) in enumerate(zip(weights, gains, strict=True)):
        by_output = gain.unflatten(0, (networks, sequences)).permute(0, 4, 1, 2, 3)
        factors = w.transpose(1, 2)
        torch.bmm(
            by_output.reshape(networks * m, sequences * steps, -1),
            factors.reshape(networks * m, -1, n),
            out=built[group].view(networks * m, sequences * steps, n),
        )
    # (groups, networks, m, sequences, steps, n) → (networks, sequences, steps, groups, m, n)
    matrices = built.view(-1, networks, m, sequences, steps, n).permute(1, 3, 4, 0, 2, 5)
    matrices = matrices.reshape(rows, steps, -1, n)
    if diagonal is not None:
        matrices[..., :m, :].diagonal(dim1=-2, dim2=-1).add_(diagonal)
    return matrices
