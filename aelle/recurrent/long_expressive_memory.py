"""Long expressive memory (Rusch, Mishra, Erichson & Mahoney 2022, ICLR, arXiv:2110.04744)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from aelle.recurrent.cell import sigmoid_slope, tanh_slope
from aelle.recurrent.projected import ProjectedCell, log_abs_det_by_parts


class LEM(ProjectedCell):
    """Two coupled parts, each with learned time steps; state (y, z), n = 2H. Equation 3 of the paper:

        τ₁ = Δt σ(W₁ y + V₁ x + b₁),    z' = (1 - τ₁) z + τ₁ tanh(W_z y + V_z x + b_z),
        τ₂ = Δt σ(W₂ y + V₂ x + b₂),    y' = (1 - τ₂) y + τ₂ tanh(W_y z' + V_y x + b_y).

    Weights hold the blocks 1, 2, z, y one above the other. The authors' own initialisation is
    U(±1/√H), `reset_parameters(H ** -0.5)`.

    Options:
        dt: Δt, the largest time step; 1.
    """

    architecture = "lem"
    state_parts = ("y", "z")
    gates = 4
    default_options: ClassVar[Mapping[str, float]] = {"dt": 1.0}

    def _gates(self, projected: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        """Pre-activations a₁, a₂, a_z, which see y, and p_y, the part of a_y that does not see z'."""
        sees_y, w_y = 3 * self.hidden_size, weight[..., : 3 * self.hidden_size, :]
        return *(projected[..., :sees_y] + y @ w_y.mT).chunk(3, dim=-1), projected[..., sees_y:]

    def _parts(self, projected: Tensor, state: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        """a₁, a₂, a_z, a_y, the state's parts y and z, and z'."""
        y, z = self.split(state)
        a_1, a_2, a_z, p_y = self._gates(projected, y, weight)
        new_z = z + self.options["dt"] * torch.sigmoid(a_1) * (torch.tanh(a_z) - z)
        a_y = p_y + new_z @ weight[..., 3 * self.hidden_size :, :].mT
        return a_1, a_2, a_z, a_y, y, z, new_z

    def advance(self, projected: Tensor, state: Tensor, weight: Tensor) -> Tensor:
        """(y, z) → (y', z'); z first, because y' sees the new one."""
        _, a_2, _, a_y, y, _, new_z = self._parts(projected, state, weight)
        new_y = y + self.options["dt"] * torch.sigmoid(a_2) * (torch.tanh(a_y) - y)
        return torch.cat([new_y, new_z], dim=-1)

    def _kept(self, a: Tensor) -> Tensor:
        """1 - Δt σ(a), exact where the gate saturates."""
        return (1 - self.options["dt"]) + self.options["dt"] * torch.sigmoid(-a)

    def _y_by_y(self, x: Tensor, state: Tensor) -> Tensor:
        """∂y'/∂y at fixed z': diag(1 - τ₂) + diag(τ₂' (tanh a_y - y)) W₂."""
        _, a_2, _, a_y, y, _, _ = self._parts(self._from_input(x), state, self.weight_hh)
        gain = self.options["dt"] * sigmoid_slope(a_2) * (torch.tanh(a_y) - y)
        return torch.diag_embed(self._kept(a_2)) + gain.unsqueeze(-1) * self._recurrent_blocks()[1]

    def jacobian(self, x: Tensor, state: Tensor) -> Tensor:
        """[[A + C B, C D], [B, D]]: A = ∂y'/∂y at fixed z', B = ∂z'/∂y, C = ∂y'/∂z', D = diag(1 - τ₁)."""
        a_1, a_2, a_z, a_y, _, z, _ = self._parts(self._from_input(x), state, self.weight_hh)
        w_1, _, w_z, w_y = self._recurrent_blocks()
        dt, kept = self.options["dt"], self._kept(a_1)
        by_gate = dt * sigmoid_slope(a_1) * (torch.tanh(a_z) - z)
        by_candidate = dt * torch.sigmoid(a_1) * tanh_slope(a_z)
        z_by_y = by_gate.unsqueeze(-1) * w_1 + by_candidate.unsqueeze(-1) * w_z
        y_by_new_z = (dt * torch.sigmoid(a_2) * tanh_slope(a_y)).unsqueeze(-1) * w_y
        top = [self._y_by_y(x, state) + y_by_new_z @ z_by_y, y_by_new_z * kept.unsqueeze(-2)]
        return torch.cat([torch.cat(top, -1), torch.cat([z_by_y, torch.diag_embed(kept)], -1)], -2)

    def log_abs_det(self, x: Tensor, state: Tensor) -> Tensor:
        """ln|det A| + Σ ln|1 - τ₁|: the y' rows less C times the z' rows are (A, 0)."""
        y, _ = self.split(state)
        a_1 = self._gates(self._from_input(x), y, self.weight_hh)[0]
        return log_abs_det_by_parts(self._y_by_y, x, state) + self._kept(a_1).abs().log().sum(-1)
