"""The long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of torch.nn.LSTM)."""

from __future__ import annotations

import torch
from torch import Tensor

from aelle.recurrent.cell import Cell, log_abs_det_of, log_sigmoid_slope, sigmoid_slope, tanh_slope


class LSTM(Cell):
    """State (h, c), n = 2H: c' = f c + i g, h' = o tanh c'; gates in torch's order i, f, g, o."""

    architecture = "lstm"
    state_parts = ("h", "c")
    gates = 4

    def _gates(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        """Pre-activations of i, f, g, o."""
        return (self._from_input(x) + self._from_hidden(h)).chunk(4, dim=-1)

    def step(self, x: Tensor, state: Tensor) -> Tensor:
        """(h, c) → (o tanh c', f c + i g)."""
        h, c = self.split(state)
        a_i, a_f, a_g, a_o = self._gates(x, h)
        c = torch.sigmoid(a_f) * c + torch.sigmoid(a_i) * torch.tanh(a_g)
        return torch.cat([torch.sigmoid(a_o) * torch.tanh(c), c], dim=-1)

    def jacobian(self, x: Tensor, state: Tensor) -> Tensor:
        """Blocks [[∂h'/∂h, ∂h'/∂c], [∂c'/∂h, ∂c'/∂c]]; ∂c'/∂c = diag(f)."""
        h, c = self.split(state)
        a_i, a_f, a_g, a_o = self._gates(x, h)
        i, f, g, o = torch.sigmoid(a_i), torch.sigmoid(a_f), torch.tanh(a_g), torch.sigmoid(a_o)
        new_c = f * c + i * g
        w_i, w_f, w_g, w_o = self._recurrent_blocks()
        c_by_h = (
            (g * sigmoid_slope(a_i)).unsqueeze(-1) * w_i
            + (c * sigmoid_slope(a_f)).unsqueeze(-1) * w_f
            + (i * tanh_slope(a_g)).unsqueeze(-1) * w_g
        )
        h_by_new_c = o * tanh_slope(new_c)
        h_by_h = (torch.tanh(new_c) * sigmoid_slope(a_o)).unsqueeze(-1) * w_o + h_by_new_c.unsqueeze(
            -1
        ) * c_by_h
        top = torch.cat([h_by_h, torch.diag_embed(h_by_new_c * f)], dim=-1)
        return torch.cat([top, torch.cat([c_by_h, torch.diag_embed(f)], dim=-1)], dim=-2)

    def log_abs_det(self, x: Tensor, state: Tensor) -> Tensor:
        """ln|det U_o| + Σ ln|tanh c'| + Σ ln o(1-o) + Σ ln f: eliminate c' from the h' rows."""
        h, c = self.split(state)
        a_i, a_f, a_g, a_o = self._gates(x, h)
        new_c = torch.sigmoid(a_f) * c + torch.sigmoid(a_i) * torch.tanh(a_g)
        per_unit = (
            torch.tanh(new_c).abs().log() + log_sigmoid_slope(a_o) + torch.nn.functional.logsigmoid(a_f)
        )
        output_matrix = self.weight_hh.chunk(4, dim=-2)[3]
        return log_abs_det_of(output_matrix) + per_unit.sum(-1)

    def scan(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs and last state, from torch's fused kernel where there is one network."""
        if self.population:
            return super().scan(inputs, state)
        start = tuple(part.unsqueeze(0).contiguous() for part in self.split(state))
        outputs, h, c = torch.lstm(inputs, start, self._flat_weights(), self.bias, 1, 0.0, False, False, True)
        return outputs, torch.cat([h, c], dim=-1).squeeze(0)
