"""A user's own aelle cell: its closed forms are held against its step before they are believed."""

from __future__ import annotations

import torch
from torch import Tensor

from aelle.lyapunov import audit
from aelle.lyapunov.derivatives import StepError, jacobians
from aelle.recurrent.cell import Cell

_ROWS, _STEPS = 3, 8


def is_own(cell: Cell) -> bool:
    """Whether a cell is not one of the package's, whose closed forms its tests hold."""
    return not type(cell).__module__.startswith("aelle.recurrent.") or "step" in vars(cell)


@torch.no_grad()
def require_true_forms(cell: Cell, x: Tensor, state: Tensor) -> None:
    """Refuse a cell whose trajectory, Jacobian, tangent terms or determinant is not that of its step.

    Args:
        cell: of one network.
        x: inputs (rows, time, input_size).
        state: initial (rows, n).

    Raises:
        StepError: naming the method that is wrong.
    """
    x, state, name = x[:_ROWS, :_STEPS], state[:_ROWS], type(cell).__name__
    states = [state]
    for t in range(x.shape[1]):
        states.append(cell.step(x[:, t], states[-1]))
    stepped = torch.stack(states, dim=1)
    inputs, before, after = audit.flat_points(x, stepped)
    assert inputs is not None
    if not audit.agree(cell.trajectory(x, state).flatten(0, 1), stepped.flatten(0, 1)):
        raise StepError(f"{name}.trajectory gives other states than {name}.step")
    step = lambda x, s: cell.step(x, s)  # noqa: E731
    audit.require_pure(step, inputs, before, after, name)
    automatic = jacobians(step, inputs, before)
    for method, found in _closed_forms(cell, inputs, before):
        wrong = lambda found=found: audit.differ_from_differences(step, inputs, before, audit.along(found))  # noqa: E731
        try:
            audit.require_given_jacobian(found, automatic, wrong)
        except StepError as error:
            raise StepError(f"{name}.{method}: {error}; aelle.testing.check_cell finds where") from None
    determinant, expected = cell.log_abs_det(inputs, before), torch.linalg.slogdet(automatic)[1]
    if determinant is not None:
        known = expected.isfinite() & (expected > -20.0 * cell.state_size)
        if bool(((determinant - expected)[known].abs() > 1e-5 * cell.state_size).any()):
            raise StepError(f"{name}.log_abs_det is not that of the Jacobian of {name}.step")


def _closed_forms(cell: Cell, x: Tensor, state: Tensor) -> list[tuple[str, Tensor]]:
    """Jacobians (points, n, n) by each method that gives one."""
    forms = [("jacobian", cell.jacobian(x, state))]
    terms = cell.tangent_terms(x, state)
    if terms is None:
        return forms
    by_group = [(g.unsqueeze(-1) * w).sum(-3) for g, w in zip(terms.gains, terms.weights, strict=True)]
    diagonal = torch.zeros_like(by_group[0][..., 0]) if terms.diagonal is None else terms.diagonal
    if terms.shear is None:
        return [*forms, ("tangent_terms", by_group[0] + torch.diag_embed(diagonal))]
    first, second = by_group
    shear = terms.shear.unsqueeze(-1)
    top = torch.cat([first + shear * second, torch.diag_embed(terms.shear * diagonal)], dim=-1)
    return [
        *forms,
        ("tangent_terms", torch.cat([top, torch.cat([second, torch.diag_embed(diagonal)], dim=-1)], dim=-2)),
    ]
