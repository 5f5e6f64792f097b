"""Objectives of conditioning: gradients against finite differences, a linear network against its closed form."""

import math

import pytest
import torch
from torch import nn

from aelle.conditioning.methods import Shape
from aelle.conditioning.objectives import exponents_with_graph, flatness, growth_with_graph, squared_exponents
from aelle.conditioning.parts import stacks_of
from aelle.conditioning.reach import at_horizon
from aelle.recurrent.cell import Cell
from aelle.recurrent.network import Network
from aelle.recurrent.registry import ARCHITECTURES
from aelle.spectra import leading_exponents, readout_growth

F64 = torch.float64


class Linear(Cell):
    """h' = W h + V x."""

    architecture = "linear"

    def step(self, x, state):
        return x @ self.weight_ih.mT + state @ self.weight_hh.mT

    def jacobian(self, x, state):
        return self.weight_hh.expand(*state.shape[:-1], *self.weight_hh.shape)


def sequences(rows=4, steps=12, size=3, seed=1):
    return torch.randn(rows, steps, size, generator=torch.Generator().manual_seed(seed), dtype=F64)


def stack_of(model, inputs, readout=None, horizon=None):
    return next(iter(stacks_of(model, inputs, readout, horizon, None, None, 0)))


def networks():
    torch.manual_seed(0)
    for name in sorted(ARCHITECTURES):
        cell = ARCHITECTURES[name](3, 4, dtype=F64)
        if name == "relu_rnn":  # no unit dead
            cell.bias_ih.data.fill_(3.0)
        yield name, cell
    lower, upper = ARCHITECTURES["lstm"](3, 4, dtype=F64), ARCHITECTURES["lstm"](4, 4, dtype=F64)
    yield "a stack", Network([lower, upper], nn.Linear(4, 2, dtype=F64))


OBJECTIVES = {
    "growth": lambda stack: flatness(growth_with_graph(stack, at_horizon(stack, stack.drive), [2, 5, 8]), [2, 5, 8]),
    "growth to a target": lambda stack: flatness(growth_with_graph(stack, stack.drive, [1, 11]), [1, 11], -0.1),
    "exponents": lambda stack: squared_exponents(exponents_with_graph(stack, stack.drive, 2), 0.1),
}  # fmt: skip


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name, network", networks(), ids=[name for name, _ in networks()])
def test_gradients_are_those_of_finite_differences(name, network, objective):
    stack, evaluate = stack_of(network, sequences(), horizon=12), OBJECTIVES[objective]
    moved = [p for cell in stack.cells for p in cell.parameters()]
    gradients = torch.autograd.grad(evaluate(stack), moved, allow_unused=True)
    generator = torch.Generator().manual_seed(2)
    along = [torch.randn(p.shape, generator=generator, dtype=F64) for p in moved]
    slope = sum(float((g * d).sum()) for g, d in zip(gradients, along, strict=True) if g is not None)

    def move(distance):
        with torch.no_grad():
            for p, d in zip(moved, along, strict=True):
                p.add_(distance * d)

    def at(distance):
        move(distance)
        value = float(evaluate(stack).detach())
        move(-distance)
        return value

    step = 1e-5
    differences = [(at(s) - at(-s)) / (2 * s) for s in (step, step / 2)]
    expected = (4 * differences[1] - differences[0]) / 3  # Richardson: of fourth order
    assert slope == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_growth_with_a_graph_is_readout_growth():
    torch.manual_seed(1)
    cell, readout = ARCHITECTURES["lstm"](3, 8, dtype=F64), nn.Linear(8, 2, dtype=F64)
    stack = stack_of(cell, sequences(32, 20), readout)
    found = growth_with_graph(stack, stack.drive, [20])
    known = readout_growth(cell, sequences(32, 20), readout)[[0, -1]]
    torch.testing.assert_close(found.detach(), known, rtol=0, atol=0.4)  # other directions u, of the same law


def test_growth_survives_what_underflows():
    torch.manual_seed(1)
    cell = ARCHITECTURES["rnn"](3, 8, dtype=F64)
    with torch.no_grad():
        cell.weight_hh.mul_(1e-4)
    stack = stack_of(cell, sequences(4, 200))
    loss = flatness(growth_with_graph(stack, stack.drive, [200]), [200])
    (gradient,) = torch.autograd.grad(loss, [stack.cells[0].weight_hh])
    assert math.isfinite(loss.item())
    assert loss.item() > 1000**2
    assert bool(gradient.isfinite().all())


def test_exponents_with_a_graph_are_leading_exponents():
    torch.manual_seed(1)
    cell = ARCHITECTURES["gru"](3, 8, dtype=F64)
    stack = stack_of(cell, sequences(4, 40))
    found = exponents_with_graph(stack, stack.drive, 2)
    known = leading_exponents(cell, sequences(4, 40), 2, warmup=16)
    torch.testing.assert_close(found, known, rtol=0, atol=1e-9)


@pytest.mark.parametrize("factor", [0.7, 1.2])
def test_a_scaled_rotation_has_the_closed_form(factor):
    """J = a Q with Q orthogonal: growth at lag τ is that at lag 0 plus τ ln a; its slope by W is (τ / n a) Q."""
    torch.manual_seed(2)
    cell, size, lags = Linear(3, 6, dtype=F64), 6, [3, 6, 9, 12]
    rotation = torch.linalg.qr(torch.randn(size, size, dtype=F64))[0]
    with torch.no_grad():
        cell.weight_hh.copy_(factor * rotation)
    stack = stack_of(cell, sequences(400, 12), nn.Linear(6, 6, dtype=F64))
    stack.readout.weight.copy_(torch.eye(6))
    growth = growth_with_graph(stack, stack.drive, lags)
    steps = torch.tensor([0.0, *lags], dtype=F64)
    torch.testing.assert_close(growth.detach(), steps * math.log(factor), rtol=0, atol=1e-12)
    loss = flatness(growth, lags)
    (gradient,) = torch.autograd.grad(loss, [stack.cells[0].weight_hh])
    # ∂ growth(τ) / ∂W is the mean of Σ_s (unit vectors after) (unit vectors before)ᵀ / a: along Q it is τ / a exactly.
    along = sum(2 * (tau * math.log(factor)) * tau / factor for tau in lags) / len(lags)
    assert float((gradient * rotation).sum()) == pytest.approx(along, rel=1e-10)


@pytest.mark.parametrize("factor", [0.7, 0.95, 1.2])
def test_shaping_a_scaled_rotation_makes_it_a_rotation(factor):
    torch.manual_seed(2)
    cell = Linear(3, 6, dtype=F64)
    with torch.no_grad():
        cell.weight_hh.copy_(factor * torch.linalg.qr(torch.randn(6, 6, dtype=F64))[0])
    stack = stack_of(cell, sequences(16, 12))
    Shape(steps=400, rate=0.02).move(stack, None)
    lags = [3, 6, 9, 12]
    growth = growth_with_graph(stack, stack.fitting, lags)
    assert float((growth - growth[0]).abs().max()) < 0.05 < 3 * abs(math.log(factor))
