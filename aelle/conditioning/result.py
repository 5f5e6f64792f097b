"""What conditioning did to a network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from aelle.conditioning.reach import Reach


@dataclass(frozen=True)
class Stage:
    """One method on one part.

    Attributes:
        method: its name.
        kept: whether what it did was kept.
        before, after: its own distance from the target before and after, along sequences that it did not see.
        steps: evaluations of its objective.
        note: what it has to say, "" for nothing.
    """

    method: str
    kept: bool
    before: float
    after: float
    steps: int
    note: str = ""


@dataclass(frozen=True)
class ConditionedPart:
    """What was done to one recurrent part, measured along sequences that no method saw.

    Attributes:
        name: qualified name of the part, "" where the network is one.
        before, after: how far gradients reach.
        stages: one a method, in order.
    """

    name: str
    before: Reach
    after: Reach
    stages: tuple[Stage, ...]

    @property
    def changed(self) -> bool:
        """Whether any parameter was changed."""
        return any(stage.kept for stage in self.stages)


@dataclass(frozen=True)
class Conditioning:
    """What `condition` did.

    Attributes:
        model: the network, the very one given unless a copy was asked for.
        method: names of the methods, joined by "+".
        horizon: steps over which gradients are to reach.
        target: growth of gradients aimed at, in nats per step; None for each method's own.
        parts: one for each recurrent part, and each direction of each layer of a bidirectional one.
        seconds: wall-clock time of all of it.
    """

    model: nn.Module = field(repr=False)
    method: str
    horizon: int
    target: float | None
    parts: tuple[ConditionedPart, ...] = field(repr=False)
    seconds: float = field(compare=False)

    @property
    def changed(self) -> bool:
        """Whether any parameter was changed; if not, the network is what it was, bit by bit."""
        return any(part.changed for part in self.parts)

    @property
    def before(self) -> Reach:
        """How far gradients reached, in the first part."""
        return self.parts[0].before

    @property
    def after(self) -> Reach:
        """How far gradients reach now, in the first part."""
        return self.parts[0].after

    @property
    def steps(self) -> int:
        """Evaluations of objectives, all in all."""
        return sum(stage.steps for part in self.parts for stage in part.stages)

    def __str__(self) -> str:
        return "\n".join(self._line(part) for part in self.parts)

    def _line(self, part: ConditionedPart) -> str:
        name = f"{part.name}: " if part.name else ""
        notes = "".join(f" ({stage.method}: {stage.note})" for stage in part.stages if stage.note)
        b, a = part.before, part.after
        if not part.changed:
            return (
                f"{name}unchanged: {self.method} did not improve λ₁ = {b.exponent:.3g} and a gradient that changes by "
                f"{b.change:.3g} nats over {b.lags[-1]} steps{notes}"
            )
        kept = "+".join(stage.method for stage in part.stages if stage.kept)
        return (
            f"{name}{kept}: λ₁ from {b.exponent:.3g} to {a.exponent:.3g} ± {a.standard_error:.1g} per step; over "
            f"{b.lags[-1]} steps a gradient changed by {b.change:.3g} nats, now by {a.change:.3g}; {self.steps} steps, "
            f"{self.seconds:.2g} s{notes}"
        )

    def plot(self, part: int = 0) -> Any:
        """Return the plotly figure of `aelle.plot.conditioning`: readout growth by lag, before and after."""
        from aelle.plot import conditioning as figure

        return figure(self.parts[part])
