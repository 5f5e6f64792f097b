"""A driven map given as a plain function, linearised automatically where no Jacobian is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import jacfwd, jvp, vmap

from aelle.lyapunov.factorise import Workspace
from aelle.lyapunov.tangent import LONGEST_SEGMENT, DenseJacobians, Frames, Linearisation, run_step_by_step

Step = Callable[[Tensor | None, Tensor], Tensor]

FORMED_UP_TO = 4
"""Products with the frame replace the Jacobian where k is less than n over this."""


@dataclass(frozen=True)
class DrivenMap:
    """A map s_{t+1} = step(x_t, s_t) on a flat state.

    Args:
        step: takes the input x_t, shape (input_size,), or None where the map is autonomous, and the state,
            shape (state_size,); returns the next state. Sequences are batched by `torch.func.vmap`.
        state_size: n.
        jacobian: ∂step/∂s at (x_t, s_t), shape (n, n), rows are outputs; automatic where None.

    Raises:
        ValueError: where state_size is not a positive integer.
    """

    step: Step
    state_size: int
    jacobian: Step | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.state_size, int) or self.state_size < 1:
            raise ValueError(f"state_size must be at least 1, got {self.state_size}")


class DrivenMapTangent:
    """A `DrivenMap` as a tangent map.

    Args:
        system: the map.
        input_dim: size of its inputs, or None where it is autonomous.
        dtype: of states and inputs.
        device: of states and inputs.

    Raises:
        ValueError: where the step returns another shape, or does not depend on the state.
    """

    def __init__(
        self, system: DrivenMap, input_dim: int | None, dtype: torch.dtype, device: torch.device | str = "cpu"
    ) -> None:
        self.system, self.size = system, system.state_size
        self._in_dims = (None if input_dim is None else 0, 0)
        self._check(input_dim, dtype, device)
        self._step = self._batched_step(input_dim, dtype, device)
        self._jacobian = _batched(system.jacobian or jacfwd(system.step, argnums=1), self._in_dims)

    def _probe(
        self, rows: int, input_dim: int | None, dtype: torch.dtype, device: torch.device | str
    ) -> tuple[Tensor | None, Tensor]:
        generator = torch.Generator().manual_seed(0)
        state = torch.rand(rows, self.size, generator=generator, dtype=torch.float64)
        x = (
            None
            if input_dim is None
            else torch.rand(rows, input_dim, generator=generator, dtype=torch.float64)
        )
        return None if x is None else x.to(device, dtype), state.to(device, dtype)

    def _check(self, input_dim: int | None, dtype: torch.dtype, device: torch.device | str) -> None:
        x, state = self._probe(1, input_dim, dtype, device)
        with torch.enable_grad():
            start = state[0].detach().requires_grad_()
            after = self.system.step(None if x is None else x[0], start)
        if not isinstance(after, Tensor) or after.shape != start.shape:
            found = tuple(after.shape) if isinstance(after, Tensor) else type(after).__name__
            raise ValueError(f"step must return a state of shape ({self.size},), got {found}")
        if self.system.jacobian is not None:
            given = self.system.jacobian(None if x is None else x[0], state[0])
            if given.shape != (self.size, self.size):
                raise ValueError(
                    f"jacobian must return shape {(self.size, self.size)}, got {tuple(given.shape)}"
                )
        elif not after.requires_grad:
            raise ValueError("step ignores the state (or detaches it): its Jacobian is zero everywhere")

    def _batched_step(self, input_dim: int | None, dtype: torch.dtype, device: torch.device | str) -> Step:
        """The step itself where it treats a batch of states row by row (much the fastest), else its vmap."""
        mapped = _batched(self.system.step, self._in_dims)
        x, state = self._probe(3 if self.size != 3 else 4, input_dim, dtype, device)
        expected = mapped(x, state)
        try:
            direct = self.system.step(x, state)
        except (RuntimeError, IndexError, ValueError, TypeError):
            return mapped
        same = direct.shape == expected.shape and torch.allclose(direct, expected, rtol=1e-12, atol=1e-12)
        return self.system.step if same else mapped

    def segment(
        self, inputs: Tensor | None, state: Tensor, steps: int, k: int, chart: Tensor | None
    ) -> MapSegment:
        """Run `steps` steps from `state`."""
        states = [state]
        for t in range(steps):
            states.append(self._step(None if inputs is None else inputs[:, t], states[-1]))
        formed = self.system.jacobian is not None or k * FORMED_UP_TO > self.size
        jacobian = self._jacobian if formed else None
        return MapSegment(self.system.step, jacobian, inputs, torch.stack(states, dim=1))

    def output(self, states: Tensor) -> Tensor:
        """States after each step."""
        return states[:, 1:]

    def segment_steps(self, rows: int) -> int:
        """All that is wanted: a map's states are small."""
        return LONGEST_SEGMENT


class MapSegment:
    """A piece of a map's trajectory, linearised by its Jacobian, or by products with the frame where that is None."""

    log_abs_det: Tensor | None = None
    chart: Tensor | None = None

    def __init__(self, step: Step, jacobian: Step | None, inputs: Tensor | None, states: Tensor) -> None:
        self._step, self._jacobian, self._inputs, self.states = step, jacobian, inputs, states
        # Steps whose Jacobians take a few megabytes: vmap has a high price per call.
        self.chunk_steps = max(1, 16_000_000 // (8 * states.shape[0] * states.shape[-1] ** 2))

    def chunk(self, start: int, stop: int) -> Linearisation:
        """Jacobians of the steps from start to stop."""
        inputs = None if self._inputs is None else self._inputs[:, start:stop]
        states = self.states[:, start:stop]
        if self._jacobian is None:
            return _Products(self._step, inputs, states)
        x = None if inputs is None else inputs.flatten(0, 1)
        n = states.shape[-1]
        return DenseJacobians(self._jacobian(x, states.flatten(0, 1)).view(*states.shape[:2], n, n))


class _Products:
    """Products of the Jacobians with a frame by forward-mode differentiation, at O(k) steps a step."""

    def __init__(self, step: Step, inputs: Tensor | None, states: Tensor) -> None:
        self._function, self._inputs, self._states = step, inputs, states
        self.steps = states.shape[1]

    def run(
        self, start: int, interval: int, count: int, frame: Tensor, spare: Frames, work: Workspace
    ) -> Tensor:
        """Directional derivatives along each row of the frame."""
        return run_step_by_step(self._along, start, interval, count, frame, spare, work)

    def _along(self, step: int, frame: Tensor) -> Tensor:
        x = None if self._inputs is None else self._inputs[:, step]

        def one_row(x: Tensor | None, state: Tensor, vectors: Tensor) -> Tensor:
            along = lambda v: jvp(lambda s: self._function(x, s), (state,), (v,))[1]  # noqa: E731
            return vmap(along)(vectors)

        return vmap(one_row, in_dims=(None if x is None else 0, 0, 0))(x, self._states[:, step], frame)

    def to_state(self, step: int, frame: Tensor) -> Tensor:
        """Frames already are in the coordinates of the state."""
        return frame

    def jacobian(self, step: int) -> Tensor:
        """The Jacobian, as products with the identity."""
        n = self._states.shape[-1]
        return self._along(step, torch.eye(n).to(self._states).expand(len(self._states), n, n)).mT


def _batched(function: Step, in_dims: tuple[int | None, int]) -> Step:
    return vmap(function, in_dims=in_dims)
