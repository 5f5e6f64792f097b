"""How far back a network's gradients reach: leading exponents by layer, and readout growth by lag."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from aelle.conditioning.stack import Drive, Stack
from aelle.lyapunov.inputs import plan_steps
from aelle.spectra.look import finite_time_exponents
from aelle.spectra.readout import growth_lags, growth_of_layers

_DIRECTIONS = 3
"""Run for the largest exponent: finite averages of neighbours may come out of order."""


@dataclass(frozen=True)
class Reach:
    """What was measured of a stack, in nats.

    Attributes:
        exponents: leading finite-time exponent of each layer, per step, float64 (layers,).
        standard_errors: of these, from the spread over sequences; NaN where there is one.
        lags: steps back from the last, 0 to the horizon.
        growth: ln ‖∂(u · y_T)/∂s_{T-τ}‖ at each lag, as `aelle.readout_growth` gives it, float64 (lags,).
    """

    exponents: Tensor
    standard_errors: Tensor
    lags: list[int]
    growth: Tensor

    @property
    def exponent(self) -> float:
        """Leading exponent λ₁ of all layers, per step."""
        return float(self.exponents.max())

    @property
    def standard_error(self) -> float:
        """Standard error of `exponent`."""
        return float(self.standard_errors[self.exponents.argmax()])

    @property
    def memory_horizon(self) -> float:
        """1/|λ₁|, in steps: over so many, gradients shrink or grow by a factor e."""
        return math.inf if self.exponent == 0 else 1 / abs(self.exponent)

    @property
    def change(self) -> float:
        """Readout growth at the horizon less that at lag 0: what is lost of a gradient, or gained."""
        return float(self.growth[-1] - self.growth[0])

    @property
    def finite(self) -> bool:
        """Whether everything measured is a number."""
        return bool(self.exponents.isfinite().all()) and bool(self.growth.isfinite().all())


@torch.no_grad()
def reach_of(stack: Stack, drive: Drive) -> Reach:
    """Measure a stack along some sequences."""
    means, errors, inputs = [], [], drive.inputs
    for layer in range(len(stack.cells)):
        by_row = layer_exponents(stack, layer, inputs, drive.states[layer])
        means.append(by_row.mean())
        errors.append(
            by_row.std() / math.sqrt(len(by_row)) if len(by_row) > 1 else by_row.new_tensor(math.nan)
        )
        cell = stack.cells[layer]
        if layer + 1 < len(stack.cells):
            inputs = cell.output(cell.trajectory(inputs, drive.states[layer])[:, 1:])
    lags, growth = readout_growth_of(stack, drive)
    return Reach(torch.stack(means).cpu(), torch.stack(errors).cpu(), lags, growth)


def layer_exponents(stack: Stack, layer: int, inputs: Tensor, state: Tensor) -> Tensor:
    """Leading exponent of one layer along each sequence, (rows,)."""
    tangent, steps = stack.tangents[layer], inputs.shape[1]
    transient, _ = plan_steps(steps, None, "auto")
    k = min(_DIRECTIONS, tangent.size)
    segment = tangent.segment(inputs, state, steps, min(k, tangent.size), None)
    found = finite_time_exponents(segment, k, transient, tangent.size)
    return found[:, found.mean(0).argmax()]


def readout_growth_of(stack: Stack, drive: Drive) -> tuple[list[int], Tensor]:
    """Readout growth over the last `horizon` steps, the lags and (lags,)."""
    start = at_horizon(stack, drive)
    growth = growth_of_layers(stack.cells, start.inputs, [stack.readout], torch.cat(start.states, dim=-1))[0]
    return growth_lags(stack.horizon), growth


@torch.no_grad()
def at_horizon(stack: Stack, drive: Drive) -> Drive:
    """The last `horizon` steps, from the states that the steps before lead to."""
    before = drive.inputs.shape[1] - stack.horizon
    if not before:
        return drive
    inputs, states = drive.inputs[:, :before], []
    for cell, state in zip(stack.cells, drive.states, strict=True):
        trajectory = cell.trajectory(inputs, state)
        states.append(trajectory[:, -1])
        inputs = cell.output(trajectory[:, 1:])
    return Drive(drive.inputs[:, before:], states)
