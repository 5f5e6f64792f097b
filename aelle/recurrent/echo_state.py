"""The leaky echo state network (Jaeger, Lukoševičius, Popovici & Siewert 2007, Neural Networks 20:335)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from aelle.recurrent.cell import TangentTerms, tanh_slope
from aelle.recurrent.projected import ProjectedCell

_NILPOTENT = 1e-6


class EchoState(ProjectedCell):
    """h' = (1 - a) h + a tanh(W h + V x + b): a reservoir that stays as it is drawn; only the readout is trained.

    `reset_parameters(scale)` draws a sparse W from N(0, 1) and scales it to the spectral radius scale · √H, so that
    `init_gain` of an experiment is the spectral radius. V and b are from U(±input_scaling). Where so few
    connections make no cycle that W has no spectral radius, all connections are drawn.

    Options:
        leak: a, in (0, 1]; 0.3.
        density: share of connections of W; 0.1.
        input_scaling: of V and b; 1.
    """

    architecture = "echo_state"
    trained = False
    default_options: ClassVar[Mapping[str, float]] = {"leak": 0.3, "density": 0.1, "input_scaling": 1.0}

    @torch.no_grad()
    def reset_parameters(self, scale: float, generator: torch.Generator | None = None) -> None:
        """Draw the reservoir at the spectral radius scale · √H."""
        for name in ("leak", "density"):
            if not 0 < self.options[name] <= 1:
                raise ValueError(
                    f"option {name!r} of architecture 'echo_state' must be in (0, 1], got {self.options[name]}"
                )
        size = self.hidden_size
        shape = -1, size, size
        drawn = torch.empty_like(self.weight_hh).normal_(generator=generator).reshape(shape)
        kept = torch.empty_like(self.weight_hh).uniform_(generator=generator).reshape(shape)
        sparse = drawn * (kept < self.options["density"])
        scaled = [_at_radius(*pair, scale * math.sqrt(size)) for pair in zip(sparse, drawn, strict=True)]
        self.weight_hh.copy_(torch.stack(scaled).view_as(self.weight_hh))
        bound = self.options["input_scaling"]
        self.weight_ih.uniform_(-bound, bound, generator=generator)
        if self.bias:
            self.bias_ih.uniform_(-bound, bound, generator=generator)

    def advance(self, projected: Tensor, state: Tensor, weight: Tensor) -> Tensor:
        """(1 - a) h + a tanh(p + W h)."""
        return torch.lerp(state, torch.tanh(projected + state @ weight.mT), self.options["leak"])

    def _gain(self, x: Tensor, state: Tensor) -> Tensor:
        """a tanh'(·), (*P, batch, H)."""
        return self.options["leak"] * tanh_slope(self._from_input(x) + state @ self.weight_hh.mT)

    def jacobian(self, x: Tensor, state: Tensor) -> Tensor:
        """(1 - a) I + a diag(tanh'(·)) W."""
        kept = torch.diag_embed(torch.full_like(state, 1 - self.options["leak"]))
        return kept + self._gain(x, state).unsqueeze(-1) * self.weight_hh.unsqueeze(-3)

    def tangent_terms(self, x: Tensor, state: Tensor, hidden_only: bool = False) -> TangentTerms:
        """W with gain a tanh'(·), and the diagonal 1 - a."""
        kept = torch.full_like(state, 1 - self.options["leak"])
        return TangentTerms((self._gate_weights(),), (self._gain(x, state).unsqueeze(-2),), kept)


def _at_radius(sparse: Tensor, dense: Tensor, radius: float) -> Tensor:
    """One matrix scaled to a spectral radius: the sparse one, or the dense one where that has none."""
    found = float(torch.linalg.eigvals(sparse.double()).abs().max())
    if found > _NILPOTENT:
        return sparse * (radius / found)
    return dense * (radius / float(torch.linalg.eigvals(dense.double()).abs().max()))
