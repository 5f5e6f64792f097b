"""Readout growth brought to what it is at lag 0, at all lags up to the horizon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from aelle.conditioning.descent import descend
from aelle.conditioning.method import METHODS, Method, Moved
from aelle.conditioning.objectives import flatness, growth_with_graph
from aelle.conditioning.reach import at_horizon, readout_growth_of
from aelle.conditioning.stack import Drive, Stack


@METHODS.register
@dataclass(frozen=True)
class Shape(Method):
    """A dozen Adam steps after which what the readout reads depends on states `horizon` steps back as on the last one.

    Ours. The objective is the mean square of ln ‖∂(u · y_T)/∂s_{T-τ}‖ less its value at τ = 0, over a few lags τ up to
    the horizon; with a target, less `target` τ more.

    Attributes:
        steps: Adam steps, at most.
        lags: how many, evenly spaced.
        rate: learning rate, as a share of the root mean square of the recurrent weights.
        sequences: of the fitting ones, at most.
    """

    name: ClassVar[str] = "shape"
    source: ClassVar[str] = "aelle"
    steps: int = 12
    lags: int = 4
    rate: float = 0.1
    sequences: int = 8

    def move(self, stack: Stack, target: float | None) -> Moved:
        """Descend along the fitting sequences."""
        lags = lags_to(stack.horizon, self.lags)
        drive = stack.fitting.rows(slice(self.sequences))

        def objective() -> torch.Tensor:
            growth = growth_with_graph(stack, at_horizon(stack, drive), lags)
            return flatness(growth, lags, target or 0.0)

        return Moved(descend(stack, objective, self.steps, self.rate, enough=1e-4))

    def distance(self, stack: Stack, drive: Drive, target: float | None) -> float:
        """Mean over lags of |growth - growth at lag 0 - target τ|, per step of the horizon."""
        lags, growth = readout_growth_of(stack, drive)
        gaps = growth - growth[0] - (target or 0.0) * growth.new_tensor(lags)
        return float(gaps.abs().mean()) / stack.horizon


def lags_to(horizon: int, count: int) -> list[int]:
    """About `count` lags evenly up to the horizon, which is the last."""
    return sorted({max(1, round(horizon * (i + 1) / count)) for i in range(count)})
