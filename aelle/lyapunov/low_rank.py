"""Jacobians that are a diagonal plus a matrix of low rank, through products alone: n × n is never formed.

The state transitions of delta rules and of RWKV-7 are of this kind. A product with k directions takes O(n k r), and
ln|det| is closed by the matrix determinant lemma: det(D + U Vᵀ) = det D · det(I + Vᵀ D⁻¹ U).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from aelle.lyapunov.factorise import Workspace
from aelle.lyapunov.pushes import run_step_by_step
from aelle.lyapunov.structure import Derivatives, DiagonalPlusLowRank, StructureError
from aelle.lyapunov.tangent import LONGEST_SEGMENT, Frames, taken_at_its_word


class LowRankTangent:
    """A `DrivenMap` with a declared diagonal-plus-low-rank Jacobian as a tangent map.

    Args:
        tangent: the map with its trajectory and its given parts.
        structure: of its Jacobians.
    """

    def __init__(self, tangent: Any, structure: DiagonalPlusLowRank) -> None:
        self._tangent, self._structure, self.size = tangent, structure, tangent.size
        self.input_size, self.networks = tangent.input_size, tangent.networks
        self.splittable = tangent.splittable
        self.exact_derivatives = tangent.exact_derivatives

    def segment(
        self, inputs: Tensor | None, state: Tensor, steps: int, k: int, chart: Tensor | None
    ) -> LowRankSegment:
        """Run `steps` steps from `state`; every Jacobian is held against automatic differentiation."""
        states = self._tangent.trajectory(inputs, state, steps)
        x, before = None if inputs is None else inputs.flatten(0, 1), states[:, :-1].flatten(0, 1)
        parts = self._tangent.given_jacobian(x, before)
        if Derivatives(self._tangent.batched_step, x, before).differs(lambda w: _transposed(parts, w)).any():
            raise StructureError(
                f"the Jacobian was declared {self._structure}, but is not what its `jacobian` gives: it differs from "
                f'automatic differentiation of step; structure="dense" takes any Jacobian'
            )
        return LowRankSegment(states, tuple(part.unflatten(0, (len(state), steps)) for part in parts), k)

    def output(self, states: Tensor) -> Tensor:
        """States after each step."""
        return states[:, 1:]

    def segment_steps(self, rows: int) -> int:
        """All that is wanted, within a few dozen megabytes."""
        return max(1, min(LONGEST_SEGMENT, 1_000_000 // (rows * self.size)))


class LowRankSegment:
    """A piece of trajectory with d (rows, steps, n), U and V (rows, steps, n, r)."""

    chart: Tensor | None = None

    def __init__(self, states: Tensor, parts: tuple[Tensor, ...], k: int) -> None:
        self.states, self._parts, self.chunk_steps = states, parts, LONGEST_SEGMENT
        self.log_abs_det = _log_abs_det(*parts) if k == states.shape[-1] else None

    def chunk(self, start: int, stop: int) -> LowRankProducts:
        """Jacobians of the steps from start to stop."""
        d, u, v = (part[:, start:stop] for part in self._parts)
        return LowRankProducts(d, u, v)

    def singular(self, step: int) -> Tensor:
        """Everywhere it looks so, in float64."""
        return taken_at_its_word(self.states)


class LowRankProducts:
    """Frames through diag(d) + U Vᵀ."""

    def __init__(self, d: Tensor, u: Tensor, v: Tensor) -> None:
        self._d, self._u, self._v, self.steps = d, u, v, d.shape[1]

    def run(
        self, start: int, interval: int, count: int, frame: Tensor, spare: Frames, work: Workspace
    ) -> Tensor:
        """d ∘ q + U (Vᵀ q) for each row q."""
        return run_step_by_step(self._push, start, interval, count, frame, spare, work)

    def _push(self, step: int, frame: Tensor) -> Tensor:
        along = frame @ self._v[:, step]
        return torch.baddbmm(frame * self._d[:, step].unsqueeze(1), along, self._u[:, step].mT)

    def to_state(self, step: int, frame: Tensor) -> Tensor:
        """Frames already are in the coordinates of the state."""
        return frame

    def jacobian(self, step: int) -> Tensor:
        """diag(d) + U Vᵀ."""
        return torch.diag_embed(self._d[:, step]) + self._u[:, step] @ self._v[:, step].mT


def _transposed(parts: tuple[Tensor, Tensor, Tensor], weights: Tensor) -> Tensor:
    """Wᵀ J: (rows, n) for weights (n,)."""
    d, u, v = parts
    return d * weights + (v @ (u.mT @ weights.unsqueeze(-1))).squeeze(-1)


def _log_abs_det(d: Tensor, u: Tensor, v: Tensor) -> Tensor | None:
    """ln|det| by the determinant lemma; None where an entry of d is zero, and the lemma says nothing."""
    if not bool((d != 0).all()):
        return None
    small = torch.eye(u.shape[-1], dtype=d.dtype, device=d.device) + v.mT @ (u / d.unsqueeze(-1))
    return d.abs().log().sum(-1) + torch.linalg.slogdet(small)[1]
