"""The coupled oscillatory recurrent network (Rusch & Mishra 2021, ICLR, arXiv:2010.00951)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from aelle.recurrent.cell import tanh_slope
from aelle.recurrent.projected import ProjectedCell, identity_like, log_abs_det_by_parts


class CoRNN(ProjectedCell):
    """Driven, damped oscillators y'' = tanh(W y + 𝒲 y' + V x + b) - γ y - ε y', coupled through W and 𝒲.

    State (y, z), n = 2H, z = y' the velocities; equation 3 of the paper with explicit damping:
        z' = z + Δt (tanh(W y + 𝒲 z + V x + b) - γ y - ε z),    y' = y + Δt z'.
    Where 𝒲 = 0 the exponents sum to H ln|1 - Δt ε| whatever the input.

    weight_hh (2H, H) holds W above 𝒲.

    Options:
        dt: Δt, the step; 0.042.
        gamma: γ, squared frequency of the uncoupled oscillators; 2.7.
        eps: ε, the damping; 4.7. All three are the published ones for sequential MNIST (784 steps).
    """

    architecture = "cornn"
    state_parts = ("y", "z")
    gates = 2  # recurrent matrices
    default_options: ClassVar[Mapping[str, float]] = {"dt": 0.042, "gamma": 2.7, "eps": 4.7}

    def _parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes = super()._parameter_shapes()
        shapes["weight_ih"] = (self.hidden_size, self.input_size)
        return shapes | ({"bias_ih": (self.hidden_size,)} if self.bias else {})

    def recurrent_weight(self) -> Tensor:
        """[W 𝒲], (*P, H, 2H), acting on the whole state."""
        return torch.cat(self.weight_hh.chunk(2, dim=-2), dim=-1)

    def advance(self, projected: Tensor, state: Tensor, weight: Tensor) -> Tensor:
        """(y, z) → (y + Δt z', z')."""
        y, z = self.split(state)
        force = torch.tanh(projected + state @ weight.mT)
        z = z + self.options["dt"] * (force - self.options["gamma"] * y - self.options["eps"] * z)
        return torch.cat([y + self.options["dt"] * z, z], dim=-1)

    def _gain(self, x: Tensor, state: Tensor) -> Tensor:
        """Δt tanh'(a), (*P, batch, H, 1)."""
        a = self._from_input(x) + state @ self.recurrent_weight().mT
        return (self.options["dt"] * tanh_slope(a)).unsqueeze(-1)

    def _z_by_z(self, x: Tensor, state: Tensor) -> Tensor:
        """∂z'/∂z = (1 - Δt ε) I + Δt diag(tanh'(a)) 𝒲."""
        kept = (1 - self.options["dt"] * self.options["eps"]) * identity_like(self.weight_hh)
        return kept + self._gain(x, state) * self._recurrent_blocks()[1]

    def jacobian(self, x: Tensor, state: Tensor) -> Tensor:
        """[[I + Δt K, Δt D], [K, D]], K = Δt (diag(tanh'(a)) W - γ I) and D = ∂z'/∂z."""
        dt, identity = self.options["dt"], identity_like(self.weight_hh)
        z_by_y = self._gain(x, state) * self._recurrent_blocks()[0] - dt * self.options["gamma"] * identity
        z_by_z = self._z_by_z(x, state)
        top = torch.cat([identity + dt * z_by_y, dt * z_by_z], dim=-1)
        return torch.cat([top, torch.cat([z_by_y, z_by_z], dim=-1)], dim=-2)

    def log_abs_det(self, x: Tensor, state: Tensor) -> Tensor:
        """ln|det ∂z'/∂z|: the y' rows less Δt times the z' rows are (I, 0)."""
        return log_abs_det_by_parts(self._z_by_z, x, state)
