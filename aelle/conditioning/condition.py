"""`condition`: bring a recurrent network to where its gradients neither vanish nor explode."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from aelle.conditioning.method import Method
from aelle.conditioning.methods import DEFAULT, methods_of
from aelle.conditioning.parts import stacks_of
from aelle.conditioning.reach import reach_of
from aelle.conditioning.result import ConditionedPart, Conditioning, Stage
from aelle.conditioning.stack import Stack
from aelle.lyapunov.arguments import is_number, shown, whole_number
from aelle.lyapunov.undisturbed import undisturbed


@undisturbed
def condition(
    model: nn.Module,
    inputs: Any,
    readout: nn.Linear | None = None,
    *,
    horizon: int | None = None,
    target: float | None = None,
    method: str | Method | Sequence[str | Method] = DEFAULT,
    in_place: bool = True,
    initial_state: Any = None,
    part: str | None = None,
    seed: int = 0,
) -> Conditioning:
    """Bring a recurrent network to a state in which gradients over `horizon` steps neither vanish nor explode.

    Half of the sequences, at most 16, are what methods fit by; the others judge. What does not bring a method nearer
    to its target there is taken back, so that a network which cannot be improved stays as it is, bit by bit.

    Args:
        model: a torch.nn RNN, GRU, LSTM or one of their Cells, an aelle cell or network, any other recurrent module, or a
            larger model with recurrent parts in it.
        inputs: sequences of one length as the task gives them, read as `aelle.lyapunov_spectrum` reads them; 32 of them
            do. Of a larger model, what its forward takes.
        readout: what reads the last hidden vector; None takes that of an aelle network, or the hidden vector as it is.
        horizon: steps between what is read and the inputs that matter for it; the length of the inputs where None.
        target: growth of gradients aimed at, in nats per step. None leaves it to the methods: -1/horizon for λ₁ (`scale`),
            0 for readout growth (`shape`) and for exponents (`floss`).
        method: "scale", "floss", "shape", a composition such as "scale+shape", or methods with settings of their own,
            `Shape(steps=24)`.
        in_place: change the model itself; otherwise `model` of the result is a changed copy.
        initial_state: as `lyapunov_spectrum` takes it; zeros where None, as in training.
        part: qualified name of the one recurrent part of a larger model that is wanted; all where None.
        seed: of which sequences are taken where there are more than 32. The caller's random state stays as it is.

    Returns:
        `Conditioning`: the model, λ₁ and readout growth before and after, what each method did.

    Raises:
        TypeError: for a model, readout or method of an unknown kind, and a model without a recurrent part.
        ValueError: for settings, inputs or parameters that do not fit, not finite or frozen ones. The model is untouched.
    """
    started = time.perf_counter()
    methods = methods_of(method)
    horizon = None if horizon is None else whole_number("horizon", horizon, 1)
    if target is not None and not (is_number(target) and math.isfinite(target)):
        raise ValueError(f"target must be a number of nats per step, got {shown(target)}")
    seed = whole_number("seed", seed, 0)
    model = model if in_place else copy.deepcopy(model)
    parts, written = [], []
    try:
        for stack in stacks_of(model, inputs, readout, horizon, initial_state, part, seed):
            kept = stack.values()
            parts.append(_conditioned(stack, methods, target))
            for parameter, value in stack.changed(kept):
                written.append((parameter, parameter.detach().clone()))
                _write(parameter, value)
            horizon = stack.horizon if horizon is None else horizon
    except BaseException:
        for parameter, value in reversed(written):
            _write(parameter, value)
        raise
    seconds = time.perf_counter() - started
    name = "+".join(one.name for one in methods)
    assert horizon is not None
    return Conditioning(model, name, horizon, target, tuple(parts), seconds)


@torch.no_grad()
def _write(parameter: nn.Parameter, value: Tensor) -> None:
    parameter.copy_(value.to(parameter))


def _conditioned(stack: Stack, methods: Sequence[Method], target: float | None) -> ConditionedPart:
    """Run the methods on one stack, one after the other, and keep what helps."""
    before = reach_of(stack, stack.judging)
    stages = tuple(_stage(stack, method, target) for method in methods)
    after = reach_of(stack, stack.judging) if any(stage.kept for stage in stages) else before
    return ConditionedPart(stack.name, before, after, stages)


def _stage(stack: Stack, method: Method, target: float | None) -> Stage:
    kept, drive = stack.values(), stack.judging
    before = method.distance(stack, drive, target)
    moved = method.move(stack, target)
    after = method.distance(stack, drive, target)
    better = after < (1 - method.least_gain()) * before
    if not better:
        stack.restore(kept)
    return Stage(method.name, better, before, after if better else before, moved.steps, moved.note)
