"""What may be wrong with a network, each claim made only where its number says so."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from aelle.conditioning.reach import Reach
from aelle.conditioning.stack import Stack
from aelle.recurrent.cell import Cell
from aelle.recurrent.elman import ReluRNN, TanhRNN
from aelle.recurrent.gru import GRU
from aelle.recurrent.lstm import LSTM

LOST = 5.0
"""Nats by which a gradient may change over the horizon, a factor of 150, before it is said to vanish or explode."""

_SIGMAS = 3.0  # standard errors that λ₁ must be above 0 to be called chaotic
_SATURATED, _MOSTLY, _MANY = 0.99, 0.9, 0.25  # |tanh|, share of steps, share of units
_DEAD = 0.1  # share of units


@dataclass(frozen=True)
class Finding:
    """One claim.

    Attributes:
        kind: "vanishing", "exploding", "chaotic", "saturated", "dead" or "narrow".
        part: of the network it is about, "" for the only one.
        layer: that it is about, counted from 0; None for all together.
        number: that it rests on.
        text: it in words, with its number.
        remedy: what to do.
    """

    kind: str
    part: str
    layer: int | None
    number: float
    text: str
    remedy: str


def findings_of(stack: Stack, reach: Reach, surviving: int | None) -> list[Finding]:
    """All claims about one part."""
    found = [*_of_gradients(stack, reach), *_of_chaos(stack, reach), *_of_units(stack)]
    outputs = None if stack.readout is None else stack.readout.out_features
    if surviving is not None and outputs is not None and 0 < surviving < outputs:
        text = (
            f"{surviving} of {sum(t.size for t in stack.tangents)} directions of the state keep 1 % over {stack.horizon} "
            f"steps, fewer than the {outputs} outputs"
        )
        found.append(
            Finding("narrow", stack.name, None, surviving, text, 'condition(method="floss"), or more units')
        )
    return found


def lasting(reach: Reach) -> int | None:
    """Lag at which a gradient has shrunk by a factor e; None where it never has."""
    for lag, growth in zip(reach.lags, reach.growth.tolist(), strict=True):
        if growth < float(reach.growth[0]) - 1:
            return lag
    return None


def _of_gradients(stack: Stack, reach: Reach) -> Iterator[Finding]:
    change, steps = reach.change, stack.horizon
    layer = int(reach.exponents.argmin()) if change < 0 else int(reach.exponents.argmax())
    which = "" if len(stack.cells) == 1 else f", most of all in layer {layer}"
    if change < -LOST:
        text = (
            f"gradients vanish: over {steps} steps by {-change:.1f} nats, and by a factor e in {lasting(reach)}{which} "
            f"(λ₁ = {float(reach.exponents[layer]):.3g})"
        )
        yield Finding("vanishing", stack.name, layer, change, text, "condition")
    elif change > LOST or not math.isfinite(change):
        text = (
            f"gradients explode: over {steps} steps by {change:.1f} nats{which} "
            f"(λ₁ = {float(reach.exponents[layer]):.3g})"
        )
        yield Finding("exploding", stack.name, layer, change, text, "condition, or clip gradients")


def _of_chaos(stack: Stack, reach: Reach) -> Iterator[Finding]:
    for layer, (exponent, error) in enumerate(
        zip(reach.exponents.tolist(), reach.standard_errors.tolist(), strict=True)
    ):
        if exponent > _SIGMAS * error:  # false where the error is not known
            text = f"layer {layer} is chaotic: λ₁ = {exponent:.3g} ± {error:.1g} per step"
            yield Finding(
                "chaotic", stack.name, layer, exponent, text, "condition, or smaller recurrent weights"
            )


@torch.no_grad()
def _of_units(stack: Stack) -> Iterator[Finding]:
    inputs = stack.drive.inputs
    for layer, (cell, state) in enumerate(zip(stack.cells, stack.drive.states, strict=True)):
        states = cell.trajectory(inputs, state)[:, 1:]
        inputs = cell.output(states)
        bounded = _bounded(cell, states)
        if bounded is not None:
            mostly = (bounded.abs() > _SATURATED).double().mean((0, 1)) > _MOSTLY
            yield from _share(
                stack, layer, "saturated", mostly, _MANY, f"|tanh| > {_SATURATED} at most steps"
            )
        if isinstance(cell, ReluRNN):
            dead = (inputs == 0).all(1).all(0)
            yield from _share(stack, layer, "dead", dead, _DEAD, "relu 0 at every step")


def _bounded(cell: Cell, states: Tensor) -> Tensor | None:
    """Values of the tanh of each unit, (rows, steps, units), of the kinds in which it can be read off the state."""
    if isinstance(cell, LSTM):
        return torch.tanh(cell.split(states)[1])
    return states if isinstance(cell, TanhRNN | GRU) and not isinstance(cell, ReluRNN) else None


def _share(stack: Stack, layer: int, kind: str, which: Tensor, least: float, how: str) -> Iterator[Finding]:
    share = float(which.double().mean())
    remedies = {
        "saturated": "condition, smaller weights or inputs, or a smaller learning rate",
        "dead": "a positive bias, or a smaller learning rate",
    }
    if share > least:
        text = f"{int(which.sum())} of {len(which)} units of layer {layer} are {kind} ({how})"
        yield Finding(kind, stack.name, layer, share, text, remedies[kind])
