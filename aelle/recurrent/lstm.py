"""The long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of torch.nn.LSTM)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from aelle.kernels import library
from aelle.recurrent.cell import (
    Cell,
    TangentTerms,
    log_abs_det_of,
    log_sigmoid_slope,
    sigmoid_slope,
    tanh_slope,
)


def gates_of(cell: Cell, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
    """Pre-activations of i, f, g, o."""
    return (cell._from_input(x) + cell._from_hidden(h)).chunk(4, dim=-1)


def stepped(gates: Sequence[Tensor], c: Tensor) -> tuple[Tensor, Tensor]:
    """o tanh c' and c' = f c + i g."""
    a_i, a_f, a_g, a_o = gates
    c = torch.sigmoid(a_f) * c + torch.sigmoid(a_i) * torch.tanh(a_g)
    return torch.sigmoid(a_o) * torch.tanh(c), c


class LSTM(Cell):
    """State (h, c), n = 2H: c' = f c + i g, h' = o tanh c'; gates in torch's order i, f, g, o."""

    architecture = "lstm"
    state_parts = ("h", "c")
    gates = 4

    def step(self, x: Tensor, state: Tensor) -> Tensor:
        """(h, c) → (o tanh c', f c + i g)."""
        h, c = self.split(state)
        return torch.cat(stepped(gates_of(self, x, h), c), dim=-1)

    def jacobian(self, x: Tensor, state: Tensor) -> Tensor:
        """Blocks [[∂h'/∂h, ∂h'/∂c], [∂c'/∂h, ∂c'/∂c]]; ∂c'/∂c = diag(f)."""
        h, c = self.split(state)
        by_gate, output, f, shear = self.gains(gates_of(self, x, h), c)
        w_i, w_f, w_g, w_o = self._recurrent_blocks()
        gated = [gain.unsqueeze(-1) * w for gain, w in zip(by_gate, (w_i, w_f, w_g), strict=True)]
        c_by_h = gated[0] + gated[1] + gated[2]
        h_by_h = output.unsqueeze(-1) * w_o + shear.unsqueeze(-1) * c_by_h
        top = torch.cat([h_by_h, torch.diag_embed(shear * f)], dim=-1)
        return torch.cat([top, torch.cat([c_by_h, torch.diag_embed(f)], dim=-1)], dim=-2)

    def tangent_terms(self, x: Tensor, state: Tensor, hidden_only: bool = False) -> TangentTerms:
        """With e = dh - s∘dc, s = o tanh' c': e' = tanh(c') o' W_o dh, dc' = (i, f, g terms) dh + f∘dc.

        Hidden only: ∂h'/∂h = tanh(c') o' W_o + s (i, f, g terms), four gates.
        """
        h, c = self.split(state)
        return self._terms(gates_of(self, x, h), c, hidden_only)

    def _terms(self, gates: Sequence[Tensor], c: Tensor, hidden_only: bool) -> TangentTerms:
        by_gate, output, f, shear = self.gains(gates, c)
        weights = self._gate_weights()
        if hidden_only:
            hidden = torch.stack([*(shear * gain for gain in by_gate), output], dim=-2)
            return TangentTerms((weights,), (hidden,))
        groups = weights[..., 3:, :, :], weights[..., :3, :, :]
        # In (e, c) the determinant is that of diag(output) W_o times that of diag(f).
        volume = log_abs_det_of(groups[0].squeeze(-3)) + (output.abs().log() + f.log()).sum(-1)
        gains = output.unsqueeze(-2), torch.stack(by_gate, dim=-2)
        return TangentTerms(groups, gains, f, shear, volume)

    @staticmethod
    def gains(gates: Sequence[Tensor], c: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Tensor, Tensor]:
        """Factors of W_i, W_f, W_g in ∂c'/∂h; of W_o in ∂h'/∂h; f; and s = ∂h'/∂c' = o tanh'(c')."""
        a_i, a_f, a_g, a_o = gates
        i, f, g = torch.sigmoid(a_i), torch.sigmoid(a_f), torch.tanh(a_g)
        new_c = f * c + i * g
        by_gate = g * sigmoid_slope(a_i), c * sigmoid_slope(a_f), i * tanh_slope(a_g)
        output = torch.tanh(new_c) * sigmoid_slope(a_o)
        return by_gate, output, f, torch.sigmoid(a_o) * tanh_slope(new_c)

    def log_abs_det(self, x: Tensor, state: Tensor) -> Tensor:
        """ln|det U_o| + Σ ln|tanh c'| + Σ ln o(1-o) + Σ ln f: eliminate c' from the h' rows."""
        h, c = self.split(state)
        a_i, a_f, a_g, a_o = gates_of(self, x, h)
        new_c = torch.sigmoid(a_f) * c + torch.sigmoid(a_i) * torch.tanh(a_g)
        per_unit = (
            torch.tanh(new_c).abs().log() + log_sigmoid_slope(a_o) + torch.nn.functional.logsigmoid(a_f)
        )
        output_matrix = self.weight_hh.chunk(4, dim=-2)[3]
        return log_abs_det_of(output_matrix) + per_unit.sum(-1)

    def trajectory(self, inputs: Tensor, state: Tensor) -> Tensor:
        """All states, by a loop of its own: torch's fused kernel keeps neither c nor the gates."""
        if self.population:
            return super().trajectory(inputs, state)
        gates = self._shares_of(inputs)
        compiled = self._compiled(gates, state, None)
        return _run(gates, state, self.weight_hh.t().contiguous()) if compiled is None else compiled[0]

    def linearised_trajectory(
        self, inputs: Tensor, state: Tensor, hidden_only: bool = False
    ) -> tuple[Tensor, TangentTerms | None]:
        """As that of every cell, with the gates computed once for both."""
        if self.population:
            return super().linearised_trajectory(inputs, state, hidden_only)
        gates = self._shares_of(inputs)
        compiled = self._compiled(gates, state, hidden_only)
        if compiled is not None and compiled[1] is not None:
            return compiled[0], self._terms_of(compiled[1])
        states = _run(gates, state, self.weight_hh.t().contiguous())
        c = states[..., :-1, self.hidden_size :].flatten(-3, -2)
        return states, self._terms(gates.flatten(-3, -2).chunk(4, dim=-1), c, hidden_only)

    def _shares_of(self, inputs: Tensor) -> Tensor:
        """The inputs' shares of the gates' pre-activations, (batch, T, 4H)."""
        bias = self.bias_ih + self.bias_hh if self.bias else None
        return torch.nn.functional.linear(inputs, self.weight_ih, bias)

    def _compiled(
        self, gates: Tensor, state: Tensor, hidden_only: bool | None
    ) -> tuple[Tensor, library.LSTMGates | None] | None:
        """States and gains by the compiled loops, where they take them."""
        if torch.is_grad_enabled() or not library.applies(state, self.hidden_size):
            return None
        return library.lstm_trajectory(gates, state, self.weight_hh, hidden_only)

    def _terms_of(self, gains: library.LSTMGates) -> TangentTerms:
        """What `_terms` gives, of gains that are known."""
        weights = self._gate_weights()
        if gains.output is None or gains.volume is None:
            return TangentTerms((weights,), (gains.by_gate,))
        groups = weights[..., 3:, :, :], weights[..., :3, :, :]
        volume = log_abs_det_of(groups[0].squeeze(-3)) + gains.volume
        return TangentTerms(
            groups, (gains.output.unsqueeze(-2), gains.by_gate), gains.forget, gains.shear, volume
        )

    def scan(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs and last state, from torch's fused kernel where there is one network."""
        if self.population:
            return super().scan(inputs, state)
        start = tuple(part.unsqueeze(0).contiguous() for part in self.split(state))
        outputs, h, c = torch.lstm(inputs, start, self._flat_weights(), self.bias, 1, 0.0, False, False, True)
        return outputs, torch.cat([h, c], dim=-1).squeeze(0)


def _run(gates: Tensor, state: Tensor, weight: Tensor) -> Tensor:
    """All states under the gates' shares of the inputs (batch, T, 4H), to which those of h are added in place."""
    batch, steps, rows = gates.shape
    size = rows // 4
    states = state.new_empty(batch, steps + 1, 2 * size)
    states.select(1, 0).copy_(state)
    h, c = state.narrow(-1, 0, size), state.narrow(-1, size, size)
    for step in range(steps):
        gate = gates.select(1, step)
        gate.addmm_(h, weight)
        doors = torch.sigmoid(gate)
        new = torch.tanh(gate.narrow(-1, 2 * size, size)).mul_(doors.narrow(-1, 0, size))
        after = states.select(1, step + 1)
        c = torch.addcmul(new, doors.narrow(-1, size, size), c)
        h = torch.tanh(c).mul_(doors.narrow(-1, 3 * size, size))
        after.narrow(-1, 0, size).copy_(h)
        after.narrow(-1, size, size).copy_(c)
    return states
