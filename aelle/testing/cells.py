"""The contract of a cell, checked at random points in float64."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch

from aelle.recurrent.cell import Cell
from aelle.testing.jacobians import (
    BATCH,
    STEPS,
    check_determinant,
    check_jacobian,
    check_linearised_trajectory,
    close,
    random_point,
)
from aelle.testing.requirement import require, speaking_of

NETWORKS = 3


def check_cell(cell: type[Cell] | Cell, seed: int = 0) -> None:
    """Check a cell against the contract of `aelle.recurrent.cell.Cell`.

    Shapes; a step that is pure, and treats each row by itself; the Jacobian, its gates and its determinant
    against automatic differentiation; trajectory and scans against the loop of steps; the round trip through
    `state_dict`; a population against its networks one by one; seeds; finite gradients of every parameter.

    Args:
        cell: a class, which is built with 3 inputs and 5 units, with and without bias; or an instance, whose
            sizes and options are taken, but not its parameters.
        seed: of parameters, states and inputs.

    Raises:
        AssertionError: with one sentence on the first thing that is wrong.
    """
    kind = cell if isinstance(cell, type) else type(cell)
    require(issubclass(kind, Cell), f"{kind.__qualname__} is not a subclass of aelle.recurrent.cell.Cell")
    name = kind.__qualname__
    architecture = getattr(kind, "architecture", None)
    named = isinstance(architecture, str) and bool(architecture)
    require(named, f"{name} needs a class attribute `architecture`, its name in records")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for built in _built(cell, name):
            for check in _CELL_CHECKS:
                check(built, name)


def _built(cell: type[Cell] | Cell, name: str) -> Iterator[Cell]:
    """Cells with random parameters, in float64: with and without bias where a class is given."""
    if isinstance(cell, Cell):
        found = copy.deepcopy(cell).double()
        found.reset_parameters(1.0)
        yield found
        return
    for bias in (True, False):
        with speaking_of(f"{name}(3, 5, bias={bias}, dtype=torch.float64)"):
            built = cell(3, 5, bias, dtype=torch.float64)
            built.reset_parameters(1.0)
        yield built


def _check_step(cell: Cell, name: str) -> None:
    x, state = random_point(cell)
    kept_x, kept_state = x.clone(), state.clone()
    with speaking_of(f"{name}.step"):
        after, again = cell.step(x, state), cell.step(x, state)
    shape, expected = tuple(after.shape), tuple(state.shape)
    require(
        shape == expected,
        f"{name}.step gives a state of shape {shape} where (*P, batch, state_size) is {expected}; "
        f"state_size is len(state_parts) × hidden_size = {cell.state_size}",
    )
    require(
        torch.equal(x, kept_x) and torch.equal(state, kept_state),
        f"{name}.step changes its arguments in place; it must be pure",
    )
    require(torch.equal(after, again), f"{name}.step is not deterministic: two equal calls differ")
    rows = [slice(i, i + 1) for i in range(BATCH)]
    alone = torch.cat([cell.step(x[..., row, :], state[..., row, :]) for row in rows], dim=-2)
    require(close(alone, after), f"{name}.step mixes the rows of a batch: a row alone gives another state")
    require(
        tuple(cell.output(state).shape) == (*state.shape[:-1], cell.hidden_size),
        f"{name}.output must give the first hidden_size = {cell.hidden_size} components of the state",
    )


def _check_runs(cell: Cell, name: str) -> None:
    """Every way of running over a sequence is the loop of steps."""
    inputs = torch.randn(*cell.population, BATCH, STEPS, cell.input_size, dtype=torch.float64)
    states = [random_point(cell)[1]]
    for x in inputs.unbind(-2):
        states.append(cell.step(x, states[-1]))
    expected = torch.stack(states, dim=-2)
    for method in ("trajectory", "scan", "scan_with_gradients"):
        with speaking_of(f"{name}.{method}"):
            found = getattr(cell, method)(inputs, states[0])
        pairs = [(found, expected)] if method == "trajectory" else []
        pairs = pairs or [(found[0], cell.output(expected[..., 1:, :])), (found[1], states[-1])]
        require(
            all(close(one, other) for one, other in pairs),
            f"{name}.{method} differs from a loop of steps",
        )


def _check_population(cell: Cell, name: str) -> None:
    if cell.population:
        return
    cells = [copy.deepcopy(cell) for _ in range(NETWORKS)]
    for number, one in enumerate(cells):
        one.reset_parameters(0.5 + number)
    with speaking_of(f"{name}.stack"):
        population = type(cell).stack(cells)
    points = [random_point(one) for one in cells]
    x, state = (torch.stack(tensors) for tensors in zip(*points, strict=True))
    for method in ("step", "jacobian", "log_abs_det"):
        with speaking_of(f"{name}.{method} of a population"):
            together = getattr(population, method)(x, state)
        if together is None:
            continue
        alone = torch.stack([getattr(c, method)(*point) for c, point in zip(cells, points, strict=True)])
        require(
            close(together, alone),
            f"{name}.{method} of a population of {NETWORKS} networks differs from theirs one by one: "
            f"parameters with leading dimensions must broadcast",
        )


def _check_state_dict(cell: Cell, name: str) -> None:
    twin = copy.deepcopy(cell)
    twin.reset_parameters(2.0)
    with speaking_of(f"{name}.load_state_dict"):
        twin.load_state_dict(cell.state_dict())
    x, state = random_point(cell)
    require(
        torch.equal(twin.step(x, state), cell.step(x, state)),
        f"{name} is not restored by its state_dict: something that a step depends on is no parameter",
    )


def _check_initialisation(cell: Cell, name: str) -> None:
    twins = [copy.deepcopy(cell), copy.deepcopy(cell)]
    for twin in twins:
        with speaking_of(f"{name}.reset_parameters(scale, generator)"):
            twin.reset_parameters(0.7, torch.Generator().manual_seed(1))
    pairs = zip(*(twin.parameters() for twin in twins), strict=True)
    require(
        all(torch.equal(first, second) for first, second in pairs),
        f"{name}.reset_parameters draws not only from the generator it is given",
    )


def _check_gradients(cell: Cell, name: str) -> None:
    inputs = torch.randn(*cell.population, BATCH, STEPS, cell.input_size, dtype=torch.float64)
    twin = copy.deepcopy(cell)
    outputs, last = twin.scan_with_gradients(inputs, random_point(cell)[1])
    with speaking_of(f"differentiating {name}"):
        (outputs.square().sum() + last.square().sum()).backward()
    for parameter_name, parameter in twin.named_parameters():
        require(parameter.grad is not None, f"{name}.{parameter_name} gets no gradient: no step uses it")
        require(
            bool(torch.as_tensor(parameter.grad).isfinite().all()),
            f"{name}.{parameter_name} gets a gradient that is not finite",
        )


_CELL_CHECKS = (
    _check_step,
    check_jacobian,
    check_determinant,
    _check_runs,
    check_linearised_trajectory,
    _check_state_dict,
    _check_population,
    _check_initialisation,
    _check_gradients,
)
