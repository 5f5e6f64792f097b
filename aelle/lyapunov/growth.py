"""What a run adds up, and where it stands: plain records of the loop in `benettin`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass
class Growth:
    """What a run adds up, per row (driving sequence) and direction. Sums are in nats.

    Attributes:
        logs: (rows, blocks, k), sums of ln R_ii over each block of steps.
        block_steps: (rows, blocks), steps in each block.
        rounding: (rows, k), bound on the rounding error of the sum over all blocks.
        audit: (rows,), Σ_i ln R_ii - ln|det J| summed over the audited steps; zero up to rounding.
        audited_steps: (rows,), steps audited; 0 where k < n.
        diverged: (rows,), whether the state left the range of floating-point numbers.
        longest_interval: (rows,), the most steps between two factorisations.
        still: (rows,), whether the state had come to rest in the last steps.
    """

    logs: Tensor
    block_steps: Tensor
    rounding: Tensor
    audit: Tensor
    audited_steps: Tensor
    diverged: Tensor
    longest_interval: Tensor
    still: Tensor

    @classmethod
    def join_rows(cls, parts: Sequence[Growth]) -> Growth:
        """Put the rows of several runs of equally many blocks one below the other."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def rows(self, index: Sequence[int] | slice) -> Growth:
        """Those of some rows."""
        return Growth(*(getattr(self, field.name)[index] for field in fields(self)))

    def scaled(self, factor: float) -> Growth:
        """The same in another unit: all that is in nats, times a factor."""
        in_nats = ("logs", "rounding", "audit")
        return replace(self, **{name: getattr(self, name) * factor for name in in_nats})

    def followed_by(self, later: Growth) -> Growth:
        """Join with what the same rows added up later on."""
        return Growth(
            torch.cat([self.logs, later.logs], dim=1),
            torch.cat([self.block_steps, later.block_steps], dim=1),
            self.rounding + later.rounding,
            self.audit + later.audit,
            self.audited_steps + later.audited_steps,
            self.diverged | later.diverged,
            torch.maximum(self.longest_interval, later.longest_interval),
            later.still,
        )


@dataclass
class Position:
    """Where a run stands: states (rows, n) and frames (rows, k, n) of each map of the stack.

    The rows of a frame are well conditioned, not orthonormal: the loop takes their R into account."""

    states: list[Tensor]
    frames: list[Tensor]

    def rows(self, index: Sequence[int] | slice) -> Position:
        """Those of some rows."""
        return Position([s[index] for s in self.states], [f[index] for f in self.frames])

    @classmethod
    def join_rows(cls, parts: Sequence[Position]) -> Position:
        """Put the rows of several positions one below the other."""
        if len(parts) == 1:
            return parts[0]
        states = zip(*(part.states for part in parts), strict=True)
        frames = zip(*(part.frames for part in parts), strict=True)
        return cls([torch.cat(s) for s in states], [torch.cat(f) for f in frames])


def at_rest(states: Tensor, step: Callable[[Tensor], Tensor]) -> Tensor:
    """Whether states (rows, steps, n) do not move, up to rounding, where it matters which state it is: (rows,).

    It does not where `step`, (rows, n) → (rows, n), is affine: its Jacobian is then the same everywhere.
    """
    moved = states.diff(dim=1).abs().flatten(1).amax(1)
    still = moved <= 16 * torch.finfo(states.dtype).eps * states.abs().flatten(1).amax(1)
    return still & ~_affine(step, states[:, -1]) if bool(still.any()) else still


def _affine(step: Callable[[Tensor], Tensor], state: Tensor) -> Tensor:
    """Whether a step takes a displacement, twice it, and its opposite, to the same, twice it, and its opposite: (rows,)."""
    displacement = torch.linspace(0.3, -0.7, state.shape[-1], dtype=state.dtype, device=state.device)
    try:
        here = step(state)
        once, twice, back = (step(state + factor * displacement) - here for factor in (1, 2, -1))
    except ValueError:  # a map that is refused off its trajectory is not known to be affine
        return torch.zeros(len(state), dtype=torch.bool, device=state.device)
    bent = (twice - 2 * once).abs().amax(-1) + (back + once).abs().amax(-1)
    return bent <= math.sqrt(torch.finfo(state.dtype).eps) * (here.abs().amax(-1) + twice.abs().amax(-1))
