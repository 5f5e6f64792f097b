"""The Elman network (Elman 1990; torch.nn.RNN): h' = φ(W_ih x + W_hh h + b)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from aelle.recurrent.cell import Cell, log_abs_det_of, log_tanh_slope, tanh_slope


class TanhRNN(Cell):
    """Elman cell with φ = tanh. Jacobian diag(φ'(a)) W_hh, a = W_ih x + W_hh h + b."""

    architecture = "rnn"

    def _preactivation(self, x: Tensor, state: Tensor) -> Tensor:
        return self._from_input(x) + self._from_hidden(state)

    def step(self, x: Tensor, state: Tensor) -> Tensor:
        """h' = tanh(a)."""
        return torch.tanh(self._preactivation(x, state))

    def jacobian(self, x: Tensor, state: Tensor) -> Tensor:
        """diag(sech² a) W_hh."""
        return tanh_slope(self._preactivation(x, state)).unsqueeze(-1) * self.weight_hh.unsqueeze(-3)

    def log_abs_det(self, x: Tensor, state: Tensor) -> Tensor:
        """ln|det W_hh| + Σ ln sech² a."""
        return log_abs_det_of(self.weight_hh) + log_tanh_slope(self._preactivation(x, state)).sum(-1)

    def trajectory(self, inputs: Tensor, state: Tensor) -> Tensor:
        """All states, from torch's fused kernel where there is one network."""
        if self.population:
            return super().trajectory(inputs, state)
        return torch.cat([state.unsqueeze(-2), self.scan(inputs, state)[0]], dim=-2)

    def scan(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs and last state, from torch's fused kernel where there is one network."""
        if self.population:
            return super().scan(inputs, state)
        outputs, last = self._kernel(
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

    _kernel: Any = staticmethod(torch.rnn_tanh)


class ReluRNN(TanhRNN):
    """Elman cell with φ = relu. Dead units make the Jacobian singular: exponents of -inf are right there."""

    architecture = "relu_rnn"

    def step(self, x: Tensor, state: Tensor) -> Tensor:
        """h' = relu(a)."""
        return torch.relu(self._preactivation(x, state))

    def jacobian(self, x: Tensor, state: Tensor) -> Tensor:
        """diag(a > 0) W_hh."""
        active = (self._preactivation(x, state) > 0).to(state.dtype)
        return active.unsqueeze(-1) * self.weight_hh.unsqueeze(-3)

    def log_abs_det(self, x: Tensor, state: Tensor) -> Tensor:
        """ln|det W_hh| where every unit is active, else -inf."""
        active = (self._preactivation(x, state) > 0).to(state.dtype)
        return log_abs_det_of(self.weight_hh) + active.log().sum(-1)

    _kernel: Any = staticmethod(torch.rnn_relu)
