"""Layers of M networks side by side. Every parameter carries a leading member dimension, and members never mix."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {"silu": nn.SiLU, "tanh": nn.Tanh}


class MemberLinear(nn.Module):
    """M linear maps side by side, (M, R, in) → (M, R, out), with torch's own initialisation U(±1/√in)."""

    def __init__(self, members: int, inputs: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        bound = inputs**-0.5
        weight = torch.rand(members, inputs, outputs, generator=generator)
        bias = torch.rand(members, 1, outputs, generator=generator)
        self.weight = nn.Parameter((2 * weight - 1) * bound)
        self.bias = nn.Parameter((2 * bias - 1) * bound)

    def forward(self, x: Tensor) -> Tensor:
        """Apply each member's map to its own rows."""
        return torch.baddbmm(self.bias, x, self.weight)


class MemberDropout(nn.Module):
    """Dropout that draws from its own generator, so that the caller's random state is left alone."""

    def __init__(self, probability: float, generator: torch.Generator) -> None:
        super().__init__()
        self.probability, self.generator = probability, generator

    def forward(self, x: Tensor) -> Tensor:
        """Zero entries with the given probability in training; identity otherwise.

        Members share the mask: they differ in data and weights, and random numbers cost as much as products.
        """
        if not self.training or self.probability == 0:
            return x
        kept = torch.rand(x.shape[1:], generator=self.generator) >= self.probability
        return x * kept / (1 - self.probability)


def layers(
    members: int,
    sizes: Sequence[int],
    generator: torch.Generator,
    activation: str = "silu",
    dropout: float = 0.0,
    output_dropout: float = 0.0,
) -> nn.Sequential:
    """Return fully connected layers of the given widths, inputs first; the last one is linear."""
    parts: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes[:-1]):
        parts += [MemberLinear(members, inputs, outputs, generator), ACTIVATIONS[activation]()]
        parts += [MemberDropout(dropout, generator)]
    parts.append(MemberLinear(members, sizes[-2], sizes[-1], generator))
    if output_dropout:
        parts.append(MemberDropout(output_dropout, generator))
    return nn.Sequential(*parts)
