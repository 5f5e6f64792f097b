"""Gradient flossing: the leading exponents towards 0 (Engelken 2023, NeurIPS, arXiv:2312.17306)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from aelle.conditioning.descent import descend
from aelle.conditioning.method import METHODS, Method, Moved
from aelle.conditioning.objectives import exponents_with_graph, squared_exponents
from aelle.conditioning.stack import Drive, Stack


@METHODS.register
@dataclass(frozen=True)
class Floss(Method):
    """Adam steps on the mean square of the k leading exponents of each layer, or of their distance from a target.

    The paper's loss. Its optimiser runs over hundreds of steps before training; `steps` and `k` say how far to go.

    Attributes:
        k: leading exponents of each layer.
        steps: Adam steps, at most.
        rate: learning rate, as a share of the root mean square of the recurrent weights.
        sequences: of the fitting ones, at most.
    """

    name: ClassVar[str] = "floss"
    source: ClassVar[str] = "Engelken 2023, arXiv:2312.17306"
    k: int = 8
    steps: int = 24
    rate: float = 0.1
    sequences: int = 4

    def move(self, stack: Stack, target: float | None) -> Moved:
        """Descend along the fitting sequences."""
        drive = stack.fitting.rows(slice(self.sequences))

        def objective() -> torch.Tensor:
            return squared_exponents(exponents_with_graph(stack, drive, self.k), target or 0.0)

        return Moved(descend(stack, objective, self.steps, self.rate, enough=1e-8))

    @torch.no_grad()
    def distance(self, stack: Stack, drive: Drive, target: float | None) -> float:
        """Root mean square of the exponents' distance from the target."""
        found = exponents_with_graph(stack, drive.rows(slice(self.sequences)), self.k)
        return math.sqrt(float(squared_exponents(found, target or 0.0)))
