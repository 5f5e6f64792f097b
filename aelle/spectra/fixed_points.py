"""Fixed and slow points of a network or map under a constant input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from aelle.lyapunov.arguments import generator_of, real_tensor, whole_number
from aelle.lyapunov.driven_map import DrivenMap
from aelle.lyapunov.fixed_points import FixedPoints, points_from
from aelle.lyapunov.inputs import Inputs, group_by_length
from aelle.lyapunov.tangent import TangentMap
from aelle.modules.wrappers import unwrapped
from aelle.spectra.systems import System, stack_and_states
from aelle.spectra.whole_map import whole_map

_TRANSIENT = 100  # steps under the constant input, from random states, where there are no driving sequences


def fixed_points(
    system: System,
    input: Tensor | None = None,
    *,
    inputs: Inputs | None = None,
    starts: Tensor | None = None,
    count: int = 256,
    noise: float = 0.1,
    slowest: float = 1e-4,
    iterations: int = 500,
    generator: torch.Generator | int | None = None,
) -> FixedPoints:
    """Fixed and slow points of a system under one constant input, with their eigenvalues and stability.

    The speed q(s) = ½ |F(s) - s|², F one step under that input, is minimised from many starts (Sussillo & Barak
    2013; Golub & Sussillo 2018), in float64, by the method of Levenberg and Marquardt. Points that agree within
    the error of their location are one. No number of starts proves that there are no other points.

    Args:
        system: as `lyapunov_spectrum` takes it; the layers of a stack are one state here. Never modified.
        input: (input_size,), held constant. None: zeros for a network, and no input for an autonomous map.
        inputs: driving sequences, as `lyapunov_spectrum` takes them: the starts are drawn from the states of the
            trajectories that they drive. Where None, from trajectories under the constant input.
        starts: (m, n), taken as they are, without noise, in place of all that.
        count: number of starts drawn.
        noise: standard deviation of the noise added to each start, in standard deviations of the states.
        slowest: largest speed at which a minimum above zero counts as a slow point.
        iterations: at most, from each start.
        generator: for the starts; a fixed seed where None.

    Returns:
        points, the slowest first; `to_frame` gives one row a point.

    Raises:
        TypeError: for a system or inputs of an unknown kind.
        ValueError: for an input, starts or settings that do not fit the system.
    """
    _check(count, noise, slowest, iterations)
    system = unwrapped(system)
    generator = generator_of(0 if generator is None else generator)
    assert generator is not None
    with torch.no_grad():
        driven = _one_sequence(system, input) if inputs is None else inputs
        taken = stack_and_states(system, driven, False, torch.float64, None)
        stack, sequences = taken.stack, (None if inputs is None else taken.sequences)
        start = torch.cat(taken.states, dim=-1)
        constant = _constant_input(system, input, stack, start)
        step, jacobian = whole_map(stack)
        under = lambda s: None if constant is None else constant.expand(len(s), -1)  # noqa: E731
        held: Callable[[Tensor], Tensor] = lambda s: step(under(s), s)  # noqa: E731
        if starts is not None:
            begin = _given(starts, start)
        else:
            visited = (
                _settled(held, start, count, generator)
                if sequences is None
                else _driven(step, sequences, start, count, generator)
            )
            spread = visited.std(dim=0, correction=0)
            begin = visited + noise * spread * torch.randn(visited.shape, generator=generator).to(visited)
        points = points_from(
            held, lambda s: jacobian(under(s), s), begin, slowest=slowest, iterations=iterations
        )
    return replace(points, dt=getattr(system, "dt", None))


def _check(count: int, noise: float, slowest: float, iterations: int) -> None:
    for name, value in (("count", count), ("iterations", iterations)):
        whole_number(name, value, 1)
    for name, size in (("noise", noise), ("slowest", slowest)):
        if not size >= 0:
            raise ValueError(f"{name} must not be negative, got {size!r}")


def _one_sequence(system: System, constant: Any) -> Tensor | None:
    """The constant input of a module as one sequence of one step; what is wrong with it is said later."""
    size = getattr(system, "input_size", None)
    if isinstance(system, DrivenMap) or (constant is None and not isinstance(size, int)):
        return None
    value = torch.zeros(size) if constant is None and isinstance(size, int) else torch.as_tensor(constant)
    if isinstance(size, int) and tuple(value.shape) != (size,):
        return None
    return value.detach().double().nan_to_num(0.0, 0.0, 0.0).reshape(1, 1, -1)


def _constant_input(
    system: System, given: Tensor | None, stack: list[TangentMap], like: Tensor
) -> Tensor | None:
    size = stack[0].input_size
    if given is None:
        return None if isinstance(system, DrivenMap) or size is None else like.new_zeros(size)
    value = real_tensor("input", given).to(like)
    if value.dim() != 1 or size not in (None, len(value)):
        expected = "(input_size,)" if size is None else f"({size},)"
        raise ValueError(f"input must have shape {expected}, one constant input, got {tuple(value.shape)}")
    if not value.isfinite().all():
        raise ValueError("input holds NaN or infinite values")
    return value


def _given(starts: Tensor, like: Tensor) -> Tensor:
    states = real_tensor("starts", starts).to(like)
    if states.dim() != 2 or states.shape[1] != like.shape[1] or not len(states):
        raise ValueError(f"starts must have shape (m, {like.shape[1]}), got {tuple(states.shape)}")
    if not states.isfinite().all():
        raise ValueError("starts hold NaN or infinite values")
    return states


def _settled(
    step: Callable[[Tensor], Tensor], like: Tensor, count: int, generator: torch.Generator
) -> Tensor:
    """States at random times of trajectories from standard normal states; the last finite one where they diverge."""
    state = torch.randn(count, like.shape[1], generator=generator).to(like)
    last = torch.randint(0, _TRANSIENT, (count,), generator=generator).to(like.device)
    for t in range(_TRANSIENT):
        after = step(state)
        going = (t < last) & (after.abs() < 1e6).all(-1)
        last = torch.where(going, last, 0)
        state = torch.where(going.unsqueeze(-1), after, state)
    return state


def _driven(
    step: Callable[..., Tensor],
    sequences: list[Tensor],
    start: Tensor,
    count: int,
    generator: torch.Generator,
) -> Tensor:
    """States drawn from the trajectories that the sequences drive."""
    total = sum(len(sequence) for sequence in sequences)
    wanted = torch.randperm(total, generator=generator)[:count] if total > count else torch.arange(total)
    taken, passed = torch.zeros(total, dtype=torch.bool), 0
    taken[wanted] = True
    visited = []
    for group in group_by_length(sequences, None, 0, start):
        assert group.inputs is not None
        state = start[group.index]
        for x in group.inputs.unbind(1):
            state = step(x, state)
            here = taken[passed : passed + len(state)]
            visited.append(state[here.to(state.device)])
            passed += len(state)
    return torch.cat(visited)
