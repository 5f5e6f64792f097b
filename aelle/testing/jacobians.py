"""The Jacobian of a cell against automatic differentiation of its step."""

from __future__ import annotations

import torch
from torch import Tensor

from aelle.recurrent.cell import Cell, TangentTerms
from aelle.testing.requirement import require, speaking_of

BATCH, STEPS = 4, 6
RELATIVE, ABSOLUTE = 1e-8, 1e-10


def random_point(cell: Cell) -> tuple[Tensor, Tensor]:
    """One input and one state, standard normal."""
    leading = (*cell.population, BATCH)
    x = torch.randn(*leading, cell.input_size, dtype=torch.float64)
    return x, torch.randn(*leading, cell.state_size, dtype=torch.float64)


def check_jacobian(cell: Cell, name: str) -> None:
    """Compare the closed form, and its gates, with automatic differentiation of the step."""
    x, state = random_point(cell)
    with speaking_of(f"{name}.jacobian"):
        closed = cell.jacobian(x, state)
    expected = _automatic_jacobian(cell, x, state)
    require(
        closed.shape == expected.shape,
        f"{name}.jacobian has shape {tuple(closed.shape)}, expected (*P, batch, n, n) = {tuple(expected.shape)}",
    )
    right, error = close(closed, expected), float((closed - expected).detach().abs().max())
    require(
        right or not close(closed.mT, expected),
        f"{name}.jacobian is transposed: rows are outputs, columns the state before",
    )
    require(right, f"{name}.jacobian differs from automatic differentiation of step by up to {error:.3g}")
    with speaking_of(f"{name}.unit_jacobians"):
        units = cell.unit_jacobians(x, state)
    require(
        units is None or close(units.dense(), expected),
        f"{name}.unit_jacobians are not the blocks of its Jacobian; see UnitJacobians, or return None where units "
        f"act on each other",
    )
    for hidden_only, size in ((False, cell.state_size), (True, cell.hidden_size)):
        with speaking_of(f"{name}.tangent_terms"):
            terms = cell.tangent_terms(x, state, hidden_only)
        block = expected[..., :size, :size]
        require(
            terms is None or close(_assembled(terms), block),
            f"{name}.tangent_terms with hidden_only={hidden_only} do not add up to the Jacobian; "
            f"see TangentTerms, or return None",
        )


def _automatic_jacobian(cell: Cell, x: Tensor, state: Tensor) -> Tensor:
    """∂step/∂state by reverse mode, one component of the new state after another: rows do not mix."""
    point = state.detach().requires_grad_()
    with torch.enable_grad():
        after = cell.step(x, point)
    rows = [
        torch.autograd.grad(component.sum(), point, retain_graph=True, allow_unused=True)[0]
        if component.requires_grad
        else None
        for component in after.unbind(-1)
    ]
    return torch.stack([torch.zeros_like(state) if row is None else row for row in rows], dim=-2)


def _assembled(terms: TangentTerms) -> Tensor:
    """Jacobian of its parts; with a shear, that after a step from coordinates without one."""
    sums = [
        (gain.unsqueeze(-1) * weight.unsqueeze(-4)).sum(-3)
        for weight, gain in zip(terms.weights, terms.gains, strict=True)
    ]
    diagonal = None if terms.diagonal is None else torch.diag_embed(terms.diagonal)
    if terms.shear is None:
        return sums[0] if diagonal is None else sums[0] + diagonal
    by_e, by_u = sums
    kept = torch.zeros_like(by_u) if diagonal is None else diagonal
    shear = terms.shear.unsqueeze(-1)
    top = torch.cat([by_e + shear * by_u, shear * kept], dim=-1)
    return torch.cat([top, torch.cat([by_u, kept], dim=-1)], dim=-2)


def check_determinant(cell: Cell, name: str) -> None:
    """Compare the closed form of the determinant with that of the automatic Jacobian."""
    x, state = random_point(cell)
    with speaking_of(f"{name}.log_abs_det"):
        closed = cell.log_abs_det(x, state)
    if closed is None:
        return
    expected = torch.linalg.slogdet(_automatic_jacobian(cell, x, state))[1]
    require(
        close(closed, expected),
        f"{name}.log_abs_det differs from ln|det J| of the Jacobian, shape (*P, batch); return None where "
        f"there is no closed form",
    )


def check_linearised_trajectory(cell: Cell, name: str) -> None:
    """Compare a run that gives states and gates together with the trajectory, and with automatic Jacobians."""
    inputs = torch.randn(*cell.population, BATCH, STEPS, cell.input_size, dtype=torch.float64)
    start = random_point(cell)[1]
    with speaking_of(f"{name}.linearised_trajectory"):
        states, terms = cell.linearised_trajectory(inputs, start)
    before = states[..., :-1, :]
    good = close(states, cell.trajectory(inputs, start))
    if terms is not None:
        expected = _automatic_jacobian(cell, inputs.flatten(-3, -2), before.flatten(-3, -2))
        good = good and close(_assembled(terms), expected)
        if terms.log_abs_det is not None:
            good = good and close(terms.log_abs_det, torch.linalg.slogdet(expected)[1])
    require(good, f"{name}.linearised_trajectory differs from its trajectory and their Jacobians")


def close(found: Tensor, expected: Tensor) -> bool:
    """Say whether two tensors of one shape are equal up to rounding."""
    return found.shape == expected.shape and torch.allclose(found, expected, rtol=RELATIVE, atol=ABSOLUTE)
