"""A driven map given as a plain function, linearised automatically where no Jacobian is given."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import jacfwd, jvp, vmap

from aelle.lyapunov.factorise import Workspace
from aelle.lyapunov.structure import DIAGONAL, BlockDiagonal
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
        jacobian: ∂step/∂s at (x_t, s_t), shape (n, n), rows are outputs; automatic where None. Of a declared
            structure only what is in it: the diagonal (n,), or the blocks (n/b, b, b).
        structure: "dense"; "diagonal", where no component of the state acts on another; or `BlockDiagonal(b)`. Such
            spectra take O(n) per step, and a declaration that is false is refused. "auto" finds diagonals and
            blocks of two (complex diagonals) in an automatic Jacobian of more than 16 components.
        dt: time of one step; exponents are then per unit of time, per step where None. `flow_map` makes such a map
            of a differential equation.

    Raises:
        ValueError: where state_size is not a positive integer, dt no positive number, or the structure is unknown or
            does not fit.
    """

    step: Step
    state_size: int
    jacobian: Step | None = None
    structure: str | BlockDiagonal = "auto"
    dt: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.state_size, int) or self.state_size < 1:
            raise ValueError(f"state_size must be at least 1, got {self.state_size}")
        if self.dt is not None and not 0 < self.dt < math.inf:
            raise ValueError(f"dt must be a positive number, the time of one step, got {self.dt}")
        if self.structure == "diagonal":
            object.__setattr__(self, "structure", DIAGONAL)
        if isinstance(self.structure, BlockDiagonal):
            if self.state_size % self.structure.size:
                raise ValueError(
                    f"a state of {self.state_size} does not divide into blocks of {self.structure.size}"
                )
        elif self.structure not in ("auto", "dense"):
            raise ValueError(
                f'structure must be "auto", "dense", "diagonal" or a BlockDiagonal, got {self.structure!r}'
            )

    @property
    def jacobian_shape(self) -> tuple[int, ...]:
        """Shape of what `jacobian` gives."""
        n, structure = self.state_size, self.structure
        if not isinstance(structure, BlockDiagonal):
            return n, n
        return (n,) if structure.size == 1 else (n // structure.size, structure.size, structure.size)

    @property
    def dense_jacobian(self) -> Step:
        """The whole Jacobian (n, n) at (x_t, s_t), given or automatic."""
        given, structure = self.jacobian, self.structure
        if given is None:
            return jacfwd(self.step, argnums=1)
        if not isinstance(structure, BlockDiagonal):
            return given
        b = structure.size
        return lambda x, state: structure.dense(given(x, state).reshape(-1, b, b))


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
        self.system, self.size, self.networks = system, system.state_size, 1
        self._in_dims = (None if input_dim is None else 0, 0)
        self.input_size, self._like = input_dim, torch.empty(0, dtype=dtype, device=device)
        self._check()
        self.batched_step = self._batched_step()
        self.given_jacobian = None if system.jacobian is None else _batched(system.jacobian, self._in_dims)
        self._jacobian = _batched(system.dense_jacobian, self._in_dims)

    def probe(self, rows: int) -> tuple[Tensor | None, Tensor]:
        """Inputs (rows, input size) and states (rows, n) to try the map on, the same each time."""
        input_dim, like = self.input_size, self._like
        generator = torch.Generator().manual_seed(0)
        state = torch.rand(rows, self.size, generator=generator, dtype=torch.float64)
        x = (
            None
            if input_dim is None
            else torch.rand(rows, input_dim, generator=generator, dtype=torch.float64)
        )
        return None if x is None else x.to(like), state.to(like)

    def _check(self) -> None:
        x, state = self.probe(1)
        with torch.enable_grad():
            start = state[0].detach().requires_grad_()
            after = self.system.step(None if x is None else x[0], start)
        if not isinstance(after, Tensor) or after.shape != start.shape:
            found = tuple(after.shape) if isinstance(after, Tensor) else type(after).__name__
            raise ValueError(f"step must return a state of shape ({self.size},), got {found}")
        if self.system.jacobian is not None:
            given = self.system.jacobian(None if x is None else x[0], state[0])
            expected = self.system.jacobian_shape
            if given.shape != expected:
                raise ValueError(f"jacobian must return shape {expected}, got {tuple(given.shape)}")
        elif not after.requires_grad:
            raise ValueError("step ignores the state (or detaches it): its Jacobian is zero everywhere")

    def _batched_step(self) -> Step:
        """The step itself where it treats a batch of states row by row (much the fastest), else its vmap."""
        mapped = _batched(self.system.step, self._in_dims)
        x, state = self.probe(3 if self.size != 3 else 4)
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
        formed = self.system.jacobian is not None or k * FORMED_UP_TO > self.size
        jacobian = self._jacobian if formed else None
        return MapSegment(self.system.step, jacobian, inputs, self.trajectory(inputs, state, steps))

    def trajectory(self, inputs: Tensor | None, state: Tensor, steps: int) -> Tensor:
        """All states (rows, steps + 1, n); the first is `state`."""
        states = [state]
        for t in range(steps):
            states.append(self.batched_step(None if inputs is None else inputs[:, t], states[-1]))
        return torch.stack(states, dim=1)

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
