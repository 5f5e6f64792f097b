"""The gated recurrent unit (Cho et al. 2014, in the variant of torch.nn.GRU)."""

from __future__ import annotations

import torch
from torch import Tensor

from aelle.recurrent.backpropagation import GRUScan
from aelle.recurrent.cell import TangentTerms, sigmoid_slope, tanh_slope
from aelle.recurrent.kernel_cell import KernelCell


class GRU(KernelCell):
    """h' = (1 - z) n + z h, with n = tanh(a_n + r m) and m = W_hn h + b_hn; gates in torch's order r, z, n."""

    architecture = "gru"
    gates = 3
    _kernel = staticmethod(torch.gru)

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
        reset, update, candidate, z = self._gains(x, state)
        w_r, w_z, w_n = self._recurrent_blocks()
        gated = reset.unsqueeze(-1) * w_r + update.unsqueeze(-1) * w_z + candidate.unsqueeze(-1) * w_n
        return torch.diag_embed(z) + gated

    def tangent_terms(self, x: Tensor, state: Tensor, hidden_only: bool = False) -> TangentTerms:
        """Three gates and the diagonal z."""
        *gains, z = self._gains(x, state)
        return TangentTerms((self._gate_weights(),), (torch.stack(gains, dim=-2),), z)

    def _gains(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Factors of W_hr, W_hz and W_hn in the Jacobian, and z itself."""
        a_r, a_z, a_n, m = self._gates(x, state)
        r, candidate_slope = torch.sigmoid(a_r), torch.sigmoid(-a_z) * tanh_slope(a_n)
        reset = candidate_slope * m * sigmoid_slope(a_r)
        update = (state - torch.tanh(a_n)) * sigmoid_slope(a_z)
        return reset, update, candidate_slope * r, torch.sigmoid(a_z)

    def scan_with_gradients(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Scan with backpropagation written out, on a CPU."""
        if self.population or inputs.device.type != "cpu":
            return self.scan(inputs, state)
        bias = self.bias_hh if self.bias else state.new_zeros(3 * self.hidden_size)
        projected = self._from_input(inputs).transpose(0, 1)
        hidden = GRUScan.apply(projected, state, self.weight_hh, bias)
        return hidden.transpose(0, 1), hidden[-1]
