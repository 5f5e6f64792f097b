"""The Elman network (Elman 1990; torch.nn.RNN): h' = φ(W_ih x + W_hh h + b)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from aelle.recurrent.backpropagation import TanhScan
from aelle.recurrent.cell import TangentTerms, log_abs_det_of, log_tanh_slope, tanh_slope
from aelle.recurrent.kernel_cell import KernelCell


class TanhRNN(KernelCell):
    """Elman cell with φ = tanh. Jacobian diag(φ'(a)) W_hh, a = W_ih x + W_hh h + b."""

    architecture = "rnn"
    _kernel: Any = staticmethod(torch.rnn_tanh)

    def _preactivation(self, x: Tensor, state: Tensor) -> Tensor:
        return self._from_input(x) + self._from_hidden(state)

    def step(self, x: Tensor, state: Tensor) -> Tensor:
        """h' = tanh(a)."""
        return torch.tanh(self._preactivation(x, state))

    def _slope(self, x: Tensor, state: Tensor) -> Tensor:
        return tanh_slope(self._preactivation(x, state))

    def jacobian(self, x: Tensor, state: Tensor) -> Tensor:
        """diag(φ'(a)) W_hh."""
        return self._slope(x, state).unsqueeze(-1) * self.weight_hh.unsqueeze(-3)

    def tangent_terms(self, x: Tensor, state: Tensor, hidden_only: bool = False) -> TangentTerms:
        """One gate with gain φ'(a)."""
        return TangentTerms((self._gate_weights(),), (self._slope(x, state).unsqueeze(-2),))

    def log_abs_det(self, x: Tensor, state: Tensor) -> Tensor:
        """ln|det W_hh| + Σ ln sech² a."""
        return log_abs_det_of(self.weight_hh) + log_tanh_slope(self._preactivation(x, state)).sum(-1)

    def scan_with_gradients(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Scan with backpropagation written out, on a CPU."""
        if type(self) is not TanhRNN or self.population or inputs.device.type != "cpu":
            return self.scan(inputs, state)
        projected = self._from_input(inputs).transpose(0, 1)
        if self.bias:
            projected = projected + self.bias_hh
        hidden = TanhScan.apply(projected, state, self.weight_hh)
        return hidden.transpose(0, 1), hidden[-1]


class ReluRNN(TanhRNN):
    """Elman cell with φ = relu. Dead units make the Jacobian singular: exponents of -inf are right there."""

    architecture = "relu_rnn"
    _kernel: Any = staticmethod(torch.rnn_relu)

    def step(self, x: Tensor, state: Tensor) -> Tensor:
        """h' = relu(a)."""
        return torch.relu(self._preactivation(x, state))

    def _slope(self, x: Tensor, state: Tensor) -> Tensor:
        return (self._preactivation(x, state) > 0).to(state.dtype)

    def log_abs_det(self, x: Tensor, state: Tensor) -> Tensor:
        """ln|det W_hh| where every unit is active, else -inf."""
        return log_abs_det_of(self.weight_hh) + self._slope(x, state).log().sum(-1)
