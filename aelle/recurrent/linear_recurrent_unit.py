"""The linear recurrent unit (Orvieto, Smith, Gu, Fernando, Gulcehre, Pascanu & De 2023, ICML, arXiv:2303.06349)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import gelu

from aelle.recurrent.cell import Cell, UnitJacobians
from aelle.recurrent.min_gru import parallel_scan, sequential_scan
from aelle.recurrent.projected import project_inputs

_SMALLEST_DRAW = 1e-6


class LRU(Cell):
    """h' = λ h + γ B x with complex λ = exp(-exp ν + i exp θ) and h; the layer passes on GELU(Re(C h) + b).

    Equations 6 to 8 of the paper, without the skip connection D x. The map is linear in h and diagonal: its
    exponents are ln|λ| = -exp ν, always negative, each twice (real and imaginary part), whatever the inputs are.

    State (re h, im h), n = 2H. weight_ih (2H, I) holds Re B above Im B, weight_out (H, 2H) Re C beside -Im C,
    bias_out (H,) b; ν, θ and ln γ are decay, angle and scale, (H,) each.

    `reset_parameters(scale)` draws |λ| and the angle as the paper does, evenly over a ring between r_min and
    r_max, sets γ = sqrt(1 - |λ|²), and draws B, C and b from U(±scale).

    Options:
        r_min: smallest |λ| drawn; 0.
        r_max: largest |λ| drawn; 1.
        max_phase: largest angle drawn; 2π.
    """

    architecture = "lru"
    state_parts = ("re", "im")
    gates = 2
    default_options: ClassVar[Mapping[str, float]] = {"r_min": 0.0, "r_max": 1.0, "max_phase": 2 * math.pi}
    decay: Tensor
    angle: Tensor
    scale: Tensor
    weight_out: Tensor
    bias_out: Tensor

    def _parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        h = self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {"decay": (h,), "angle": (h,), "scale": (h,)}
        shapes |= {"weight_ih": (2 * h, self.input_size), "weight_out": (h, 2 * h)}
        return shapes | ({"bias_out": (h,)} if self.bias else {})

    @torch.no_grad()
    def reset_parameters(self, scale: float, generator: torch.Generator | None = None) -> None:
        """Draw λ on the ring of the options; B, C and b from U(±scale)."""
        low, high, phase = (self.options[name] for name in ("r_min", "r_max", "max_phase"))
        if not (0 <= low < high <= 1 and phase > 0):
            raise ValueError(
                f"architecture 'lru' needs 0 <= r_min < r_max <= 1 and max_phase > 0, got {low}, {high} and {phase}"
            )
        super().reset_parameters(scale, generator)
        even = (_SMALLEST_DRAW, 1 - _SMALLEST_DRAW)
        squared = self.decay.uniform_(*even, generator=generator) * (high**2 - low**2) + low**2
        self.decay.copy_((-squared.log() / 2).log())
        self.angle.uniform_(*even, generator=generator).mul_(phase).log_()
        self.scale.copy_((1 - squared).log() / 2)

    def _entries(self) -> Tensor:
        """λ, complex (*P, 1, H)."""
        return torch.polar((-self.decay.exp()).exp(), self.angle.exp()).unsqueeze(-2)

    def _complex(self, parts: Tensor) -> Tensor:
        re, im = self.split(parts)
        return torch.complex(re, im)

    def _driven(self, projected: Tensor) -> Tensor:
        """γ B x, complex, from B x as real parts (*P, …, 2H)."""
        scale = self.scale.exp()
        return self._complex(projected) * scale.view(
            *self.population, *[1] * (projected.dim() - scale.dim()), -1
        )

    def _from_input(self, x: Tensor) -> Tensor:
        return x @ self.weight_ih.mT

    def step(self, x: Tensor, state: Tensor) -> Tensor:
        """λ h + γ B x."""
        after = self._entries() * self._complex(state) + self._driven(self._from_input(x))
        return torch.cat([after.real, after.imag], dim=-1)

    def output(self, state: Tensor) -> Tensor:
        """GELU(Re(C h) + b)."""
        flat = state.reshape(*self.population, -1, self.state_size) @ self.weight_out.mT
        flat = flat + self.bias_out.unsqueeze(-2) if self.bias else flat
        return gelu(flat).reshape(*state.shape[:-1], self.hidden_size)

    def unit_jacobians(self, x: Tensor, state: Tensor) -> UnitJacobians:
        """A rotation by exp θ of each unit, times exp(-exp ν)."""
        c, s = self.angle.exp().cos(), self.angle.exp().sin()
        turns = torch.stack([torch.stack([c, -s], dim=-1), torch.stack([s, c], dim=-1)], dim=-2)
        shape = *state.shape[:-1], self.hidden_size
        return UnitJacobians(
            turns.unsqueeze(-4).expand(*shape, 2, 2), -self.decay.exp().unsqueeze(-2).expand(shape)
        )

    def jacobian(self, x: Tensor, state: Tensor) -> Tensor:
        """[[Re λ, -Im λ], [Im λ, Re λ]], diagonal each."""
        return self.unit_jacobians(x, state).dense()

    def log_abs_det(self, x: Tensor, state: Tensor) -> Tensor:
        """Σ ln|λ|² = -2 Σ exp ν."""
        return (-2 * self.decay.exp().sum(-1, keepdim=True)).expand(state.shape[:-1])

    def trajectory(self, inputs: Tensor, state: Tensor) -> Tensor:
        """All states, by the scans of `MinGRU` in complex numbers."""
        added = self._driven(project_inputs(self, inputs))
        kept = self._entries().unsqueeze(-2).expand(added.shape)
        scan = parallel_scan if inputs.is_cuda else sequential_scan
        after = scan(kept, added, self._complex(state))
        return torch.cat([state.unsqueeze(-2), torch.cat([after.real, after.imag], dim=-1)], dim=-2)
