"""`diagnose`: why a network will not learn over a task's horizon, in words with numbers."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from aelle.conditioning.findings import Finding, findings_of
from aelle.conditioning.parts import stacks_of
from aelle.conditioning.reach import Reach, at_horizon, reach_of
from aelle.conditioning.stack import Stack
from aelle.lyapunov.arguments import whole_number
from aelle.lyapunov.undisturbed import undisturbed
from aelle.spectra.look import finite_time_exponents

_KEPT = math.log(100)  # a direction that keeps less than 1 % is lost
_LARGEST = 512  # units of state up to which all directions are followed
_ROWS = 4  # sequences over which they are


@dataclass(frozen=True)
class DiagnosedPart:
    """One recurrent part.

    Attributes:
        name: qualified name, "" where the network is one part.
        reach: leading exponents with their errors, and readout growth by lag.
        log10_condition: of the condition number of ∂s_T/∂s_{T-horizon}, by the exponents over these steps; of the layer
            where it is largest. None for states of more than 512 numbers.
        surviving: directions of which more than 1 % is left over the horizon, of all layers; None where not followed.
    """

    name: str
    reach: Reach
    log10_condition: float | None
    surviving: int | None


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found.

    Attributes:
        horizon: steps over which gradients are to reach.
        parts: what was measured of each recurrent part.
        findings: what is wrong, with numbers and remedies; empty where nothing is.
        seconds: wall-clock time.
    """

    horizon: int
    parts: tuple[DiagnosedPart, ...] = field(repr=False)
    findings: tuple[Finding, ...]
    seconds: float = field(compare=False)

    @property
    def healthy(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def __str__(self) -> str:
        lines = [_measured(part, self.horizon) for part in self.parts]
        lines += [
            f"{f'{found.part}: ' if found.part else ''}{found.text}: {found.remedy}."
            for found in self.findings
        ]
        return " ".join(lines if self.findings else [*lines, "Nothing stands in the way of its gradients."])

    def plot(self) -> Any:
        """Return the plotly figure of `aelle.plot.diagnosis`: readout growth by lag."""
        from aelle.plot import diagnosis as figure

        return figure(self)


@undisturbed
def diagnose(
    model: nn.Module,
    inputs: Any,
    readout: nn.Linear | None = None,
    horizon: int | None = None,
    *,
    initial_state: Any = None,
    part: str | None = None,
) -> Diagnosis:
    """Say what stands in the way of a network's gradients over a task's horizon; the network stays as it is.

    Claims: gradients vanish or explode by more than 5 nats over the horizon; a layer is chaotic (λ₁ above 0 by three of
    its standard errors); more than a quarter of a layer's tanh units are saturated at nine steps of ten; more than a
    tenth of its relu units are dead; fewer directions survive the horizon than the readout has outputs.

    All arguments are as `aelle.condition` takes them.

    Raises:
        TypeError: for a model or readout of an unknown kind, and a model without a recurrent part.
        ValueError: for inputs, a horizon or a readout that do not fit, and parameters that are not finite.
    """
    started = time.perf_counter()
    horizon = None if horizon is None else whole_number("horizon", horizon, 1)
    parts, findings, steps = [], [], 0
    for stack in stacks_of(model, inputs, readout, horizon, initial_state, part, 0):
        reach, followed = reach_of(stack, stack.drive), _all_directions(stack)
        steps = stack.horizon
        condition, surviving = None, None
        if followed is not None:
            condition = max(_log10_condition(one, steps) for one in followed)
            surviving = sum(int((one * steps > -_KEPT).sum()) for one in followed)
        parts.append(DiagnosedPart(stack.name, reach, condition, surviving))
        findings += findings_of(stack, reach, surviving)
    return Diagnosis(steps, tuple(parts), tuple(findings), time.perf_counter() - started)


@torch.no_grad()
def _all_directions(stack: Stack) -> list[Tensor] | None:
    """All finite-time exponents over the horizon, (n,) a layer, mean over a few sequences; None for large states."""
    if max(tangent.size for tangent in stack.tangents) > _LARGEST:
        return None
    drive, found = at_horizon(stack, stack.drive.rows(slice(_ROWS))), []
    inputs = drive.inputs
    for cell, tangent, state in zip(stack.cells, stack.tangents, drive.states, strict=True):
        segment = tangent.segment(inputs, state, stack.horizon, tangent.size, None)
        found.append(finite_time_exponents(segment, tangent.size, 0, tangent.size).mean(0))
        inputs = cell.output(segment.states[:, 1:])
    return found


def _log10_condition(exponents: Tensor, steps: int) -> float:
    return float((exponents.max() - exponents.min()) * steps) / math.log(10)


def _measured(part: DiagnosedPart, horizon: int) -> str:
    reach, name = part.reach, f"{part.name}: " if part.name else ""
    memory = (
        "" if not math.isfinite(reach.memory_horizon) else f", a memory of {reach.memory_horizon:.3g} steps"
    )
    text = (
        f"{name}λ₁ = {reach.exponent:.3g} ± {reach.standard_error:.1g} per step{memory}; over {horizon} steps a gradient "
        f"changes by {reach.change:.3g} nats"
    )
    if part.log10_condition is not None:
        condition = f"10^{part.log10_condition:.1f}" if math.isfinite(part.log10_condition) else "infinite"
        text += f", {part.surviving} directions keep 1 %, and the Jacobian's condition number is {condition}"
    return f"{text}."
