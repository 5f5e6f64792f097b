"""A driven map given as a plain function, linearised automatically where no Jacobian is given."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import jacfwd, vmap

from aelle.lyapunov.arguments import is_number, whole_number
from aelle.lyapunov.automatic import AutomaticTangent
from aelle.lyapunov.derivatives import RowStep, StepError
from aelle.lyapunov.structure import DIAGONAL, BlockDiagonal, DiagonalPlusLowRank
from aelle.words import first_line

Step = Callable[[Tensor | None, Tensor], Tensor]


@dataclass(frozen=True)
class DrivenMap:
    """A map s_{t+1} = step(x_t, s_t) on a flat state.

    The step must be a function of input and state alone, and a given Jacobian must be its own: both are checked on
    the trajectory that is measured.

    Args:
        step: takes the input x_t, shape (input_size,), or None where the map is autonomous, and the state,
            shape (state_size,); returns the next state. Sequences are batched by `torch.func.vmap` where it can
            follow the step, else taken one by one.
        state_size: n.
        jacobian: ∂step/∂s at (x_t, s_t), shape (n, n), rows are outputs; automatic where None. Of a declared
            structure only what is in it: the diagonal (n,), the blocks (n/b, b, b), or (d, U, V).
        structure: "dense"; "diagonal", where no component of the state acts on another; `BlockDiagonal(b)`; or
            `DiagonalPlusLowRank(r)`. The first two take O(n) per step, the last O(n k r) for k exponents, without
            n × n; a declaration that is false is refused. "auto" finds diagonals and
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
    structure: str | BlockDiagonal | DiagonalPlusLowRank = "auto"
    dt: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "state_size", whole_number("state_size", self.state_size, 1))
        if self.dt is not None and not (is_number(self.dt) and 0 < self.dt < math.inf):
            raise ValueError(f"dt must be a positive number, the time of one step, got {self.dt}")
        if self.structure == "diagonal":
            object.__setattr__(self, "structure", DIAGONAL)
        if isinstance(self.structure, BlockDiagonal):
            if self.state_size % self.structure.size:
                raise ValueError(
                    f"a state of {self.state_size} does not divide into blocks of {self.structure.size}"
                )
        elif isinstance(self.structure, DiagonalPlusLowRank):
            if self.jacobian is None:
                raise ValueError("structure=DiagonalPlusLowRank needs a jacobian that gives (d, U, V)")
        elif self.structure not in ("auto", "dense"):
            raise ValueError(
                f'structure must be "auto", "dense", "diagonal", a BlockDiagonal or a DiagonalPlusLowRank, '
                f"got {self.structure!r}"
            )

    @property
    def jacobian_shape(self) -> Any:
        """Shape of what `jacobian` gives; three of them for (d, U, V)."""
        if isinstance(self.structure, BlockDiagonal | DiagonalPlusLowRank):
            return self.structure.shapes(self.state_size)
        return self.state_size, self.state_size

    @property
    def dense_jacobian(self) -> Step:
        """The whole Jacobian (n, n) at (x_t, s_t), given or automatic."""
        given: Any = self.jacobian
        structure = self.structure
        if given is None:
            return jacfwd(self.step, argnums=1)
        if isinstance(structure, DiagonalPlusLowRank):
            return lambda x, state: structure.dense(given(x, state))
        if isinstance(structure, BlockDiagonal):
            b = structure.size
            return lambda x, state: structure.dense(given(x, state).reshape(-1, b, b))
        return given


class DrivenMapTangent(AutomaticTangent):
    """A `DrivenMap` as a tangent map.

    Args:
        system: the map.
        input_dim: size of its inputs, or None where it is autonomous.
        dtype: of states and inputs.
        device: of states and inputs.

    Raises:
        ValueError: where the step returns another shape or precision, or does not depend on the state.
    """

    def __init__(
        self, system: DrivenMap, input_dim: int | None, dtype: torch.dtype, device: torch.device | str = "cpu"
    ) -> None:
        self.system, self.size = system, system.state_size
        self._in_dims = (None if input_dim is None else 0, 0)
        self.input_size, self._like = input_dim, torch.empty(0, dtype=dtype, device=device)
        self._check()
        apart = self._by_rows(system.step)
        given = None if system.jacobian is None else self._by_rows(system.jacobian)
        step, apart_too = (system.step, apart) if self._takes_rows(apart) else (apart, None)
        super().__init__(step, system.state_size, "step", given, apart_too)
        self.structure = system.structure

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
            after = self.system.step(None if x is None else x[0], start.clone())
        if not isinstance(after, Tensor) or after.shape != start.shape:
            found = tuple(after.shape) if isinstance(after, Tensor) else type(after).__name__
            raise ValueError(f"step must return a state of shape ({self.size},), got {found}")
        if after.dtype != state.dtype:
            raise ValueError(f"step must return a state in {state.dtype}, as it is given, got {after.dtype}")
        if self.system.jacobian is not None:
            given = self.system.jacobian(None if x is None else x[0], state[0])
            expected = self.system.jacobian_shape
            found = tuple(given.shape) if isinstance(given, Tensor) else tuple(tuple(p.shape) for p in given)
            if found != expected:
                raise ValueError(f"jacobian must return shape {expected}, got {found}")
        elif not after.requires_grad:
            raise ValueError("step ignores the state (or detaches it): its Jacobian is zero everywhere")

    def _by_rows(self, function: Step) -> RowStep:
        """The function on rows: by vmap, or one row after the other where vmap cannot follow."""
        mapped = vmap(function, in_dims=self._in_dims)
        x, state = self.probe(2)
        try:
            mapped(x, state.clone())
        except Exception:  # what a step may do under vmap has no end; alone it speaks for itself
            return lambda x, states: torch.stack(
                [function(None if x is None else x[i], one) for i, one in enumerate(states.clone().unbind())]
            )
        return mapped

    def _takes_rows(self, apart: RowStep) -> bool:
        """Whether the step itself seems to treat a batch row by row, which is much the fastest; audited on the way."""
        x, state = self.probe(3 if self.size != 3 else 4)
        try:
            expected = apart(x, state.clone())
        except RuntimeError as error:  # it has just answered another batch
            raise StepError(
                f"step fails when it is called again ({first_line(error)}): it keeps a state of its own between calls"
            ) from error
        try:
            direct = self.system.step(x, state.clone())
        except Exception:
            return False
        return (
            isinstance(direct, Tensor)
            and direct.shape == expected.shape
            and torch.allclose(direct, expected, rtol=1e-12, atol=1e-12 * float(expected.abs().max()))
        )

    def jacobian(self, x: Tensor | None, states: Tensor) -> Tensor:
        """Jacobians (rows, n, n), given or automatic."""
        found: Any = super().jacobian(x, states)
        if self.given_jacobian is None or isinstance(self.structure, str):
            return found
        if isinstance(self.structure, DiagonalPlusLowRank):
            return self.structure.dense(found)
        b = self.structure.size
        return self.structure.dense(found.reshape(len(found), -1, b, b))
