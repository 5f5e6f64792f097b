"""Is a step what a driven map must be? Asked on the states of the very trajectory that is measured.

A spectrum is that of s_{t+1} = f(s_t, x_t) only where the step is a function of those two alone, treats rows one by one,
and has the derivatives that it is said to have. None of it is believed: the answers are compared with another batch,
another call and another arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from aelle.lyapunov.derivatives import RowStep, StepError

Along = Callable[[Tensor], Tensor]

_POINTS = 12
"""Points at which derivatives are compared; all points, up to `_ENTRIES` numbers, where states are small."""
_ENTRIES = 4096


def agree(found: Tensor, expected: Tensor) -> bool:
    """Whether two evaluations (rows, n) are one up to rounding, component by component; rows that left the range aside."""
    kept = expected.isfinite().all(dim=-1) & found.isfinite().all(dim=-1)
    if not bool(kept.any()):
        return True
    found, expected = found[kept], expected[kept]
    scale = expected.abs().amax(dim=0)
    scale = torch.maximum(scale, 1e-6 * scale.amax())
    tolerance = torch.finfo(expected.dtype).eps ** 0.5
    return bool(((found - expected).abs() <= tolerance * scale).all())


def flat_points(inputs: Tensor | None, states: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
    """Inputs, states before and states after each step of a piece of trajectory, (rows · steps, ·)."""
    x = None if inputs is None else inputs.flatten(0, 1)
    return x, states[:, :-1].flatten(0, 1), states[:, 1:].flatten(0, 1)


def sample(count: int, wanted: int) -> list[int]:
    """At most `wanted` numbers below `count`, evenly spread."""
    return (
        sorted({(2 * i + 1) * count // (2 * wanted) for i in range(wanted)})
        if count > wanted
        else list(range(count))
    )


def require_pure(step: RowStep, x: Tensor | None, states: Tensor, after: Tensor, name: str) -> None:
    """Refuse a step that answers the same row differently: later, again, or alone.

    Args:
        step: takes rows.
        x: inputs (points, ·) or None.
        states: (points, n).
        after: what the trajectory made of them, (points, n).
        name: of what is measured.

    Raises:
        StepError: where any answer differs.
    """
    alone = [i for i in sample(len(states), 6) if bool(after[i].isfinite().all())]
    for i in alone + alone[:1]:
        one = None if x is None else x[i : i + 1]
        first, second = (step(one, states[i : i + 1]) for _ in range(2))
        if not agree(second, first):
            raise StepError(
                f"{name} gives two answers at one point: it draws noise, or keeps a clock or a state of its own "
                "between calls; make it a function of input and state alone (noise as a further input)"
            )
        if not agree(first, after[i : i + 1]):
            raise StepError(
                f"{name} answers one sequence alone differently than among others, or differently later: it mixes the "
                "sequences of a batch (batch normalisation in training, a norm over all rows), or keeps a state of its own"
            )


def require_given_jacobian(given: Tensor, automatic: Tensor, refuted: Callable[[], Tensor]) -> None:
    """Refuse a given Jacobian (points, n, n) that is not that of the step.

    Where it differs from automatic differentiation, differences decide: the step may hide itself from torch.

    Raises:
        StepError: naming the entry.
    """
    scale = automatic.abs().amax(dim=(1, 2), keepdim=True)
    root = torch.finfo(given.dtype).eps ** 0.5
    wrong = (given - automatic).abs() > 10 * root * automatic.abs() + 1e3 * root**2 * scale
    wrong &= given.isfinite() & automatic.isfinite()
    if bool(wrong.any()) and bool(refuted().any()):
        point, row, column = wrong.nonzero()[0].tolist()
        raise StepError(
            f"the given Jacobian is not that of the step: entry ({row}, {column}) is "
            f"{float(given[point, row, column]):.6g}, automatic differentiation gives "
            f"{float(automatic[point, row, column]):.6g}"
        )


def rounded_rows(given: Tensor, automatic: Tensor) -> bool:
    """Whether rows of a given Jacobian are rounding noise, or nothing, where automatic differentiation has a number."""
    size = automatic.norm(dim=-1)
    return bool(((given - automatic).norm(dim=-1) > 1e-5 * size).any())


def differ_from_differences(step: RowStep, x: Tensor | None, states: Tensor, along: Along) -> Tensor:
    """At which points J v is not the central difference of the step along v: (points,) bool.

    Only where two differences at steps four times apart agree is anything said: not at a kink, nor where the step's
    own precision is too low. Several lengths are tried, for states that decay and steps in single precision inside.
    """
    generator = torch.Generator().manual_seed(1)
    wrong = torch.zeros(len(states), dtype=torch.bool, device=states.device)
    for _ in range(2):
        v = torch.randn(states.shape, generator=generator, dtype=torch.float64).to(states)
        v = v / v.norm(dim=-1, keepdim=True)
        expected = along(v)
        refuted = torch.zeros_like(expected, dtype=torch.bool)
        confirmed = torch.zeros_like(refuted)
        size = states.abs().amax(dim=-1, keepdim=True)
        size = torch.where(size > 0, size, 1e-3)
        reach = step(x, states).abs().amax(dim=-1, keepdim=True)
        for length, precision in (
            (1e-6 * size, 1e-14),
            (1e-6 * size.clamp(min=1e-3), 1e-14),
            (1e-3 * size, 1e-6),
        ):
            near, far = _central(step, x, states, v, length), _central(step, x, states, v, 4 * length)
            noise, largest = precision * reach / length, near.abs().amax(dim=-1, keepdim=True)
            slack = 1e-3 * near.abs() + 1e-6 * largest + noise
            steady = ((near - far).abs() <= slack) & (noise <= 1e-2 * largest)
            close = (near - expected).abs() <= 2 * slack
            refuted, confirmed = refuted | (steady & ~close), confirmed | (steady & close)
        wrong |= (refuted & ~confirmed & expected.isfinite()).any(dim=-1)
    return wrong


def _central(step: RowStep, x: Tensor | None, states: Tensor, v: Tensor, h: Tensor) -> Tensor:
    return (step(x, states + h * v) - step(x, states - h * v)) / (2 * h)


def require_true_derivatives(wrong: Tensor, name: str) -> None:
    """Refuse automatic derivatives that differences refute at a quarter of the points or more.

    Raises:
        StepError: where they do.
    """
    if len(wrong) and float(wrong.double().mean()) >= 0.25:
        raise StepError(
            f"{name} does not have the derivatives that torch finds for it: a part of the state is detached or computed "
            "under no_grad, or a gradient is a surrogate; measure DrivenMap(step, n, jacobian=...)"
        )


def along(jacobian: Tensor) -> Along:
    """J v of each point as a function of v (points, n)."""
    return lambda v: (jacobian @ v.unsqueeze(-1)).squeeze(-1)


def derivative_points(count: int, n: int) -> list[int]:
    """Points, of `count`, at which derivatives are compared."""
    return sample(count, max(_POINTS, _ENTRIES // n**2))
