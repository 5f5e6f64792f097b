"""A driven map linearised by automatic differentiation, every answer of which is held against the map itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor

from aelle.lyapunov import audit
from aelle.lyapunov.derivatives import RowStep, jacobians, products
from aelle.lyapunov.factorise import Workspace
from aelle.lyapunov.pushes import run_step_by_step
from aelle.lyapunov.structure import BlockDiagonal, Derivatives, DiagonalPlusLowRank
from aelle.lyapunov.tangent import (
    LONGEST_SEGMENT,
    DenseJacobians,
    Frames,
    Linearisation,
    taken_at_its_word,
)
from aelle.lyapunov.workers import stop_if_cancelled

FORMED_UP_TO = 4
"""Products with the frame replace the Jacobian where k is less than n over this."""

LARGE = 256
"""Size from which derivatives are audited by products alone, given Jacobians of a declared structure aside."""

_CHUNK_BYTES = 8_000_000


class AutomaticTangent:
    """A step on rows as a tangent map, held against itself on every piece of trajectory it runs.

    Args:
        step: inputs (rows, ·), or None, and states (rows, n) to states (rows, n).
        size: n.
        name: what errors call it.
        jacobian: ∂step/∂s of rows; automatic where None.
        apart: the same step, one row at a time or by vmap; taken where `step` turns out to mix rows.
    """

    networks = 1
    in_blocks = False  # whether Jacobians are taken in blocks, so that products alone are cheap
    splittable = False  # a user's function need not be safe for several threads at once
    input_size: int | None = None

    def __init__(
        self,
        step: RowStep,
        size: int,
        name: str,
        jacobian: RowStep | None = None,
        apart: RowStep | None = None,
    ) -> None:
        self.size, self.name = size, name
        self.batched_step, self.given_jacobian = _without_traces(step), jacobian
        self.structure: str | BlockDiagonal | DiagonalPlusLowRank = "auto"
        self._apart = None if apart is None else _without_traces(apart)
        self.exact_derivatives = True
        self._pieces = 0
        self._forward_mode: bool | None = None

    def probe(self, rows: int) -> tuple[Tensor | None, Tensor]:
        """Inputs (rows, ·) and states (rows, n) to try the map on."""
        raise NotImplementedError

    def segment(
        self, inputs: Tensor | None, state: Tensor, steps: int, k: int, chart: Tensor | None
    ) -> AutomaticSegment:
        """Run `steps` steps from `state`.

        Raises:
            StepError: where the step or a derivative is not what it must be.
        """
        states = self.trajectory(inputs, state, steps)
        few = k * FORMED_UP_TO <= self.size and self.given_jacobian is None
        formed = not (few and self._has_forward_mode(inputs, states))
        return AutomaticSegment(self.batched_step, self.jacobian, inputs, states, formed)

    def trajectory(self, inputs: Tensor | None, state: Tensor, steps: int) -> Tensor:
        """All states (rows, steps + 1, n), the first is `state`; step and derivatives held against each other on them.

        Raises:
            StepError: where the step or a derivative is not what it must be.
        """
        states = [state]
        for t in range(steps):
            stop_if_cancelled()
            states.append(self.batched_step(None if inputs is None else inputs[:, t], states[-1]))
        joint = torch.stack(states, dim=1)
        x, before, after = audit.flat_points(inputs, joint)
        if not self._same_again(x, before, after):
            if self._apart is None:
                audit.require_pure(self.batched_step, x, before, after, self.name)
                raise audit.StepError(f"{self.name} gives other states when its steps are taken again")
            self.batched_step, self._apart = self._apart, None
            return self.trajectory(inputs, state, steps)
        audit.require_pure(self.batched_step, x, before, after, self.name)
        if self._pieces & (self._pieces - 1) == 0:  # the first, second, third, fifth, ninth, …
            self._audit_derivatives(x, before)
        self._pieces += 1
        return joint

    def _same_again(self, x: Tensor | None, before: Tensor, after: Tensor) -> bool:
        try:
            return audit.agree((self._apart or self.batched_step)(x, before), after)
        except RuntimeError:  # a step that remembers the shapes of another call
            return False

    def jacobian(self, x: Tensor | None, states: Tensor) -> Tensor:
        """Jacobians (rows, n, n), given or automatic."""
        given = self.given_jacobian
        return jacobians(self.batched_step, x, states) if given is None else given(x, states)

    def _audit_derivatives(self, x: Tensor | None, states: Tensor) -> None:
        finite = states.isfinite().all(dim=-1).nonzero().squeeze(-1)
        chosen = finite[audit.derivative_points(len(finite), self.size)]
        if not len(chosen):
            return
        x, states = (None if x is None else x[chosen]), states[chosen]
        refuted = lambda along: audit.differ_from_differences(self.batched_step, x, states, along)  # noqa: E731
        if not isinstance(self.structure, str) and self.given_jacobian is not None:
            return  # held against automatic differentiation at every step, where its parts are taken
        if self.in_blocks:
            with contextlib.suppress(RuntimeError):  # where the step cannot be differentiated twice
                derivatives = Derivatives(self.batched_step, x, states)
                return audit.require_true_derivatives(refuted(derivatives.along), self.name)
        few = self.size > LARGE and self.given_jacobian is None
        if few and self._has_forward_mode(None if x is None else x.unsqueeze(1), states.unsqueeze(1)):
            along = lambda v: products(self.batched_step, x, states, v.unsqueeze(1)).squeeze(1)  # noqa: E731
            return audit.require_true_derivatives(refuted(along), self.name)
        automatic = jacobians(self.batched_step, x, states)
        if self.given_jacobian is None:
            audit.require_true_derivatives(refuted(audit.along(automatic)), self.name)
        else:
            given = self.jacobian(x, states)
            audit.require_given_jacobian(given, automatic, lambda: refuted(audit.along(given)))
            self.exact_derivatives &= not audit.rounded_rows(given, automatic)

    def _has_forward_mode(self, inputs: Tensor | None, states: Tensor) -> bool:
        """Whether products can be taken without a Jacobian; compared with the Jacobian at one point, once."""
        if self._forward_mode is not None:
            return self._forward_mode
        x, state = None if inputs is None else inputs[:1, 0], states[:1, 0]
        vector = torch.ones_like(state).unsqueeze(1)
        try:
            found = products(self.batched_step, x, state, vector)
        except (RuntimeError, NotImplementedError):
            self._forward_mode = False
            return False
        expected = (jacobians(self.batched_step, x, state) @ vector.mT)[..., 0]
        self._forward_mode = audit.agree(found[:, 0], expected)
        return self._forward_mode

    def output(self, states: Tensor) -> Tensor:
        """States after each step."""
        return states[:, 1:]

    def segment_steps(self, rows: int) -> int:
        """All that is wanted: a map's states are small."""
        return LONGEST_SEGMENT


def _without_traces(step: RowStep) -> RowStep:
    """The step on copies, so that one that writes to its arguments, or to one buffer for all answers, does no harm."""

    def careful(x: Tensor | None, states: Tensor) -> Tensor:
        return step(None if x is None else x.clone(), states.clone()).clone()

    return careful


class AutomaticSegment:
    """A piece of trajectory, linearised by automatic Jacobians, or by products where only few directions are run."""

    log_abs_det: Tensor | None = None
    chart: Tensor | None = None

    def __init__(
        self,
        step: RowStep,
        jacobian: Callable[[Tensor | None, Tensor], Tensor],
        inputs: Tensor | None,
        states: Tensor,
        formed: bool,
    ) -> None:
        self._step, self._jacobian, self._formed = step, jacobian, formed
        self._inputs, self.states = inputs, states
        rows, n = states.shape[0], states.shape[-1]
        # Steps whose Jacobians take a few megabytes: automatic differentiation has a high price per call.
        self.chunk_steps = max(1, _CHUNK_BYTES // (8 * rows * n * n))

    def chunk(self, start: int, stop: int) -> Linearisation:
        """Jacobians of the steps from start to stop."""
        inputs = None if self._inputs is None else self._inputs[:, start:stop]
        states = self.states[:, start:stop]
        if not self._formed:
            return _Products(self._step, inputs, states)
        x = None if inputs is None else inputs.flatten(0, 1)
        n = states.shape[-1]
        return DenseJacobians(self._jacobian(x, states.flatten(0, 1)).reshape(*states.shape[:2], n, n))

    def singular(self, step: int) -> Tensor:
        """Everywhere it looks so, in float64."""
        return taken_at_its_word(self.states)


class _Products:
    """Products of the Jacobians with a frame, at k copies of a row a step."""

    def __init__(self, step: RowStep, inputs: Tensor | None, states: Tensor) -> None:
        self._function, self._inputs, self._states = step, inputs, states
        self.steps = states.shape[1]

    def run(
        self, start: int, interval: int, count: int, frame: Tensor, spare: Frames, work: Workspace
    ) -> Tensor:
        """Directional derivatives along each row of the frame."""
        return run_step_by_step(self._along, start, interval, count, frame, spare, work)

    def _along(self, step: int, frame: Tensor) -> Tensor:
        x = None if self._inputs is None else self._inputs[:, step]
        return products(self._function, x, self._states[:, step], frame)

    def to_state(self, step: int, frame: Tensor) -> Tensor:
        """Frames already are in the coordinates of the state."""
        return frame

    def jacobian(self, step: int) -> Tensor:
        """The Jacobian itself."""
        x = None if self._inputs is None else self._inputs[:, step]
        return jacobians(self._function, x, self._states[:, step])
