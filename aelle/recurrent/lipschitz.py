"""The Lipschitz recurrent network (Erichson, Azencot, Queiruga, Hodgkinson & Mahoney 2021, ICLR, arXiv:2006.12070)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from aelle.recurrent.cell import TangentTerms, tanh_slope
from aelle.recurrent.projected import ProjectedCell, identity_like


class LipschitzRNN(ProjectedCell):
    """h' = h + ε (A h + tanh(W h + U x + b)): a linear part beside one with a Lipschitz nonlinearity.

    Equation 1 of the paper by forward Euler. Both matrices are symmetric-skew combinations,
    S(M) = (1-β)(M + Mᵀ) + β(M - Mᵀ) - γI, so that β and γ bound the real parts of their eigenvalues.

    weight_hh (2H, H) holds M_A above M_W; `reset_parameters(scale)` draws the entries of M from U(±scale).

    Options:
        eps: ε, the step size; 0.03.
        beta: β, 1 for skew-symmetric and ½ for free matrices; 0.75.
        gamma: γ, the shift of the spectrum to the left; 0.001. The authors tune all three for each task; these are
            what their published commands set for pixel-wise MNIST (784 steps) and CIFAR-10 (3,072 steps).
    """

    architecture = "lipschitz_rnn"
    gates = 2  # recurrent matrices
    default_options: ClassVar[Mapping[str, float]] = {"eps": 0.03, "beta": 0.75, "gamma": 0.001}

    def _parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes = super()._parameter_shapes()
        shapes["weight_ih"] = (self.hidden_size, self.input_size)
        return shapes | ({"bias_ih": (self.hidden_size,)} if self.bias else {})

    def recurrent_weight(self) -> Tensor:
        """A above W, (*P, 2H, H)."""
        free, beta = self._gate_weights(), self.options["beta"]
        symmetric, skew = free + free.mT, free - free.mT
        shifted = (1 - beta) * symmetric + beta * skew - self.options["gamma"] * identity_like(free)
        return shifted.flatten(-3, -2)

    def advance(self, projected: Tensor, state: Tensor, weight: Tensor) -> Tensor:
        """h' = h + ε (A h + tanh a)."""
        linear, recurrent = (state @ weight.mT).chunk(2, dim=-1)
        return state + self.options["eps"] * (linear + torch.tanh(projected + recurrent))

    def tangent_terms(self, x: Tensor, state: Tensor, hidden_only: bool = False) -> TangentTerms:
        """A with gain ε, W with gain ε tanh'(a), and the diagonal 1."""
        weights = self.recurrent_weight().unflatten(-2, (2, self.hidden_size))
        a = self._from_input(x) + state @ weights[..., 1, :, :].mT
        gains = self.options["eps"] * torch.stack([torch.ones_like(a), tanh_slope(a)], dim=-2)
        return TangentTerms((weights,), (gains,), torch.ones_like(state))

    def jacobian(self, x: Tensor, state: Tensor) -> Tensor:
        """I + ε (A + diag(tanh'(a)) W)."""
        terms = self.tangent_terms(x, state)
        scaled = terms.gains[0].unsqueeze(-1) * terms.weights[0].unsqueeze(-4)
        return identity_like(scaled) + scaled.sum(-3)
