"""The gated recurrent unit (Cho et al. 2014, in the variant of torch.nn.GRU)."""

from __future__ import annotations

import torch
from torch import Tensor

from aelle.recurrent.cell import Cell, sigmoid_slope, tanh_slope


class GRU(Cell):
    """h' = (1 - z) n + z h, with n = tanh(a_n + r m) and m = W_hn h + b_hn; gates in torch's order r, z, n."""

    architecture = "gru"
    gates = 3

    def _gates(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Pre-activations of r, z and n, and the recurrent term m of the candidate."""
        input_r, input_z, input_n = self._from_input(x).chunk(3, dim=-1)
        hidden_r, hidden_z, m = self._from_hidden(state).chunk(3, dim=-1)
        a_r = input_r + hidden_r
        return a_r, input_z + hidden_z, input_n + torch.sigmoid(a_r) * m, m

    def step(self, x: Tensor, state: Tensor) -> Tensor:
        """h' = (1 - z) n + z h."""
        _, a_z, a_n, _ = self._gates(x, state)
        z, n = torch.sigmoid(a_z), torch.tanh(a_n)
        return n + z * (state - n)

    def jacobian(self, x: Tensor, state: Tensor) -> Tensor:
        """diag(z) + diag((h-n)z') W_hz + diag((1-z)n') [diag(r) W_hn + diag(m r') W_hr]."""
        a_r, a_z, a_n, m = self._gates(x, state)
        z, candidate_slope = torch.sigmoid(a_z), torch.sigmoid(-a_z) * tanh_slope(a_n)
        w_r, w_z, w_n = self._recurrent_blocks()
        update = ((state - torch.tanh(a_n)) * sigmoid_slope(a_z)).unsqueeze(-1) * w_z
        reset = (candidate_slope * m * sigmoid_slope(a_r)).unsqueeze(-1) * w_r
        candidate = (candidate_slope * torch.sigmoid(a_r)).unsqueeze(-1) * w_n
        return torch.diag_embed(z) + update + reset + candidate

    def trajectory(self, inputs: Tensor, state: Tensor) -> Tensor:
        """All states, from torch's fused kernel where there is one network."""
        if self.population:
            return super().trajectory(inputs, state)
        return torch.cat([state.unsqueeze(-2), self.scan(inputs, state)[0]], dim=-2)

    def scan(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs and last state, from torch's fused kernel where there is one network."""
        if self.population:
            return super().scan(inputs, state)
        outputs, last = torch.gru(
            inputs,
            state.unsqueeze(0).contiguous(),
            self._flat_weights(),
            self.bias,
            1,
            0.0,
            False,
            False,
            True,
        )
        return outputs, last.squeeze(0)
