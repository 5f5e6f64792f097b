"""How often 95 % intervals hold the exponent, and how often a run says that it has converged.

    python experiments/benchmarks/coverage.py --repeats 100

Each case is run many times over with new inputs; what is true comes from a closed form, or from one run some
hundred times as long. Coverage is given over all runs, and over those that say `converged`: mean over exponents,
and that of the worst. A case that is stationary and long should say converged nearly always; one that drifts, has
several attractors or a memory as long as the run, nearly never.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aelle.lyapunov import estimates
from aelle.lyapunov.benettin import measure
from aelle.lyapunov.growth import Position
from aelle.lyapunov.result import LyapunovSpectrum, spectrum_of_stack
from aelle.spectra import DrivenMap
from aelle.spectra.systems import first_frames, stack_and_states

F64 = torch.float64


@dataclass(frozen=True)
class Case:
    """One kind of run.

    Args:
        name: what it is.
        system: network or map.
        inputs: draws (sequences, time, input size).
        rows: sequences of one run.
        steps: measured steps.
        warmup: steps before them.
        truth: exponents; None takes them from one long run.
    """

    name: str
    system: nn.Module | DrivenMap
    inputs: Callable[[int, int, torch.Generator], Tensor]
    rows: int
    steps: int
    warmup: int = 40
    truth: Tensor | None = None


def spectra(case: Case, runs: int, steps: int, warmup: int, seed: int, rows: int) -> list[LyapunovSpectrum]:
    """As many spectra, computed as one batch."""
    generator = torch.Generator().manual_seed(seed)
    inputs = case.inputs(runs * rows, warmup + steps, generator).double()
    taken = stack_and_states(case.system, list(inputs), False, F64, None)
    stack, states = taken.stack, taken.states
    frames = [first_frames(tangent, None, like, None) for tangent, like in zip(stack, states, strict=True)]
    blocks = estimates.block_lengths(steps, estimates.block_count(steps, rows))
    with torch.no_grad():
        growths, position = measure(stack, inputs, Position(states, frames), warmup=warmup, blocks=blocks)
    found = []
    for run in range(runs):
        own = slice(run * rows, (run + 1) * rows)
        parts = [growth.rows(own) for growth in growths]
        where = position.rows(own)
        found.append(spectrum_of_stack(parts, where, warmup=warmup, state="full", k=None, resume=None))
    return found


def noise(size: int) -> Callable[[int, int, torch.Generator], Tensor]:
    return lambda rows, time, generator: torch.randn(rows, time, size, generator=generator, dtype=F64)


def network(kind: type[nn.Module], scale: float, size: int = 16) -> nn.Module:
    torch.manual_seed(0)
    net = kind(3, size, batch_first=True)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(scale)
    return net


def remembering(memory: float) -> Callable[[int, int, torch.Generator], Tensor]:
    """ln growth as a stationary AR(1) process of unit variance whose correlation falls to 1/e in `memory` steps."""

    def draw(rows: int, time: int, generator: torch.Generator) -> Tensor:
        shocks = torch.randn(rows, time, generator=generator, dtype=F64)
        factor = math.exp(-1 / memory) if memory else 0.0
        values = shocks.clone()
        for t in range(1, time):
            values[:, t] = factor * values[:, t - 1] + math.sqrt(1 - factor**2) * shocks[:, t]
        return values.unsqueeze(-1)

    return draw


def drifting(rows: int, time: int, generator: torch.Generator) -> Tensor:
    ramp = torch.linspace(-0.5, 0.5, time, dtype=F64).view(1, -1, 1)
    return ramp + torch.randn(rows, time, 1, generator=generator, dtype=F64)


def two_levels(rows: int, time: int, generator: torch.Generator) -> Tensor:
    level = 0.2 * torch.randint(0, 2, (rows, 1, 1), generator=generator, dtype=F64)
    return level + 0.3 * torch.randn(rows, time, 1, generator=generator, dtype=F64)


SCALAR = DrivenMap(lambda x, s: x.exp() * s, 1, jacobian=lambda x, s: x.exp().unsqueeze(-1))
ZERO = torch.zeros(1, dtype=F64)


def cases() -> list[Case]:
    nets = [("LSTM", nn.LSTM), ("GRU", nn.GRU), ("RNN", nn.RNN)]
    found = []
    for rows in (30, 10):
        for name, kind in nets:
            found.append(Case(f"{name} 16, {rows} × 100", network(kind, 1.0), noise(3), rows, 60))
        found.append(Case(f"LSTM 16 × 6, {rows} × 100", network(nn.LSTM, 6.0), noise(3), rows, 60))
        found.append(Case(f"RNN 16 × 4, {rows} × 100", network(nn.RNN, 4.0), noise(3), rows, 60))
    found.append(Case("RNN 16 × 4, 1 × 1000", network(nn.RNN, 4.0), noise(3), 1, 900, 100))
    found.append(Case("LSTM 16 × 6, 3 × 400", network(nn.LSTM, 6.0), noise(3), 3, 300, 100))
    for memory in (0, 3, 10, 30, 100):
        for rows, steps in ((1, 300), (1, 1000), (1, 3000), (3, 300), (10, 60)):
            name = f"AR(1), memory {memory}, {rows} × {steps}"
            found.append(Case(name, SCALAR, remembering(memory), rows, steps, 40, ZERO))
    for rows, steps in ((1, 1000), (3, 300), (10, 60), (30, 60)):
        found.append(Case(f"drift by 1, {rows} × {steps}", SCALAR, drifting, rows, steps, 40, ZERO))
        if rows > 1:
            found.append(
                Case(f"two levels, {rows} × {steps}", SCALAR, two_levels, rows, steps, 40, ZERO + 0.1)
            )
    return found


def row(case: Case, repeats: int) -> str:
    truth = case.truth
    if truth is None:
        truth = spectra(case, 1, 4000, 500, 1, 40)[0].exponents
    runs = spectra(case, repeats, case.steps, case.warmup, 2, case.rows)
    ends = [run.confidence_interval() for run in runs]
    held = torch.stack([(low <= truth) & (truth <= high) for low, high in ends]).double()
    said = torch.tensor([run.converged for run in runs])
    error = torch.stack([run.standard_error for run in runs])
    spread = torch.stack([run.exponents for run in runs]).std(0)
    ratio = float((error.median(0).values / spread).median())
    every = f"{float(held.mean()):.3f} | {float(held.mean(0).min()):.2f}"
    of_said = (
        f"{float(held[said].mean()):.3f} | {float(held[said].mean(0).min()):.2f}" if said.any() else "– | –"
    )
    reasons: dict[str, int] = {}
    for run in runs:
        for doubt in run.doubts:
            key = " ".join(
                word for word in doubt.split(":")[0].split() if not any(c.isdigit() for c in word)
            )[:45]
            reasons[key] = reasons.get(key, 0) + 1
    why = "; ".join(
        f"{count} {reason}" for reason, count in sorted(reasons.items(), key=lambda item: -item[1])[:2]
    )
    return f"| {case.name} | {every} | {float(said.double().mean()):.2f} | {of_said} | {ratio:.2f} | {why} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    arguments = parser.parse_args()
    print(
        "| case | coverage | of the worst | says converged | coverage of those | of the worst | error / spread | doubts |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for case in cases():
        if arguments.only in case.name:
            print(row(case, arguments.repeats), flush=True)


if __name__ == "__main__":
    main()
