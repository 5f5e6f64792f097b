"""A differential equation as a driven map: its state after a fixed time, by the classical Runge-Kutta method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn, zeros
from torch.func import functional_call

from aelle.lyapunov.arguments import whole_number
from aelle.lyapunov.driven_map import DrivenMap, Step


def flow_map(
    rhs: Callable[[Tensor, Tensor], Tensor],
    state_size: int,
    dt: float,
    *,
    substeps: int = 1,
    driven: bool = False,
) -> DrivenMap:
    """The map y(t) → y(t + dt) of dy/dt = rhs, whose exponents are per unit of time.

    The integrator is the classical Runge-Kutta method of fourth order with the fixed step h = dt / substeps. What is
    measured are the exponents of that map, Jacobian and all, which differ from those of the flow by O(h⁴): halve the
    step to see by how much.

    Args:
        rhs: rhs(t, y) of an autonomous equation, as `torchdiffeq.odeint` takes it, or rhs(y, x) of a driven one, x
            being held constant over each step; y of shape (state_size,), x of shape (input_size,). A module
            computes in the precision of the run; it is never modified.
        state_size: number of components of y.
        dt: time of one step of the map.
        substeps: Runge-Kutta steps in it.
        driven: whether the equation has inputs: rhs(y, x) instead of rhs(t, y).

    Returns:
        map with that `dt`; a step raises ValueError where rhs(t, y) reads t, since a map must not depend on when
        it is applied.

    Raises:
        ValueError: where state_size, dt or substeps are not positive.
    """
    substeps = whole_number("substeps", substeps, 1)
    velocity = _in_precision_of_state(rhs) if isinstance(rhs, nn.Module) else rhs

    def step(x: Tensor | None, y: Tensor) -> Tensor:
        if (x is not None) != driven:
            raise ValueError(
                "this flow is driven, rhs(y, x): it needs inputs" if driven else
                "this flow is autonomous, rhs(t, y): it takes no inputs; driven=True makes it rhs(y, x)"
            )  # fmt: skip
        along = (lambda y: velocity(_NO_TIME, y)) if x is None else (lambda y: velocity(y, x))
        for _ in range(substeps):
            y = _runge_kutta(along, y, dt / substeps)
        return y

    return DrivenMap(step, state_size, dt=dt)


def _runge_kutta(velocity: Callable[[Tensor], Tensor], y: Tensor, h: float) -> Tensor:
    first = velocity(y)
    second = velocity(y + h / 2 * first)
    third = velocity(y + h / 2 * second)
    last = velocity(y + h * third)
    return y + h / 6 * (first + 2 * second + 2 * third + last)


def _in_precision_of_state(module: nn.Module) -> Step:
    """The module as a function that computes in the precision of its second argument or, driven, of the first."""

    def function(first: Any, second: Tensor) -> Tensor:
        own = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        cast = {name: value.to(second.dtype) for name, value in own.items() if value.is_floating_point()}
        result: Tensor = functional_call(module, cast, (first, second))
        return result

    return function


class _Time(Tensor):
    """Stands for t, and refuses to be read."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _WITHOUT_VALUE:
            return super().__torch_function__(func, types, args, kwargs or {})
        raise ValueError(
            "the right-hand side reads t, but a map must not depend on when it is applied: make the time part of the "
            "state, a period as a phase θ with dθ/dt = ω"
        )


_WITHOUT_VALUE = {
    Tensor.dim,
    Tensor.size,
    *(getattr(Tensor, name).__get__ for name in ("dtype", "device", "shape", "requires_grad", "is_cuda")),
}
_NO_TIME = zeros(()).as_subclass(_Time)
