"""The antisymmetric recurrent network (Chang, Chen, Haber & Chi 2019, ICLR, arXiv:1902.09689)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from aelle.recurrent.cell import TangentTerms, sigmoid_slope, tanh_slope
from aelle.recurrent.projected import ProjectedCell, identity_like, skew_symmetric


class AntisymmetricRNN(ProjectedCell):
    """h' = h + ε tanh(A h + V x + b) with A = W - Wᵀ - γI: forward Euler of an ODE that hardly grows or shrinks.

    The paper's network with its diffusion γ, which makes Euler's step stable. Near h = 0 without input the
    exponents are ½ ln((1-εγ)² + ε²ω²), ±iω the eigenvalues of W - Wᵀ.

    `reset_parameters(scale)` draws the entries of W (not of W - Wᵀ) from U(±scale).

    Options:
        eps: ε, the step size; 0.01, for sequences of hundreds of steps. Short sequences need larger steps.
        gamma: γ, the strength of the diffusion; 0.01.

    The paper tunes both for each task (its appendix C; ε among 0.01, 0.1 and 1). 0.01 for both is what PyTorch and
    TensorFlow versions by others take; RecurrentLayers.jl takes ε = 1 and γ = 0.
    """

    architecture = "asrnn"
    default_options: ClassVar[Mapping[str, float]] = {"eps": 0.01, "gamma": 0.01}

    def recurrent_weight(self) -> Tensor:
        """A = W - Wᵀ - γI."""
        return skew_symmetric(self.weight_hh) - self.options["gamma"] * identity_like(self.weight_hh)

    def advance(self, projected: Tensor, state: Tensor, weight: Tensor) -> Tensor:
        """h' = h + ε tanh(a)."""
        return state + self.options["eps"] * torch.tanh(projected + state @ weight.mT)

    def _gain(self, projected: Tensor, recurrent: Tensor) -> Tensor:
        """Factor of A in J - I, from p and A h."""
        return self.options["eps"] * tanh_slope(projected + recurrent)

    def jacobian(self, x: Tensor, state: Tensor) -> Tensor:
        """I + diag(gain) A, gain = ε tanh'(a)."""
        weight = self.recurrent_weight()
        gain = self._gain(self._from_input(x), state @ weight.mT)
        return identity_like(weight) + gain.unsqueeze(-1) * weight.unsqueeze(-3)

    def tangent_terms(self, x: Tensor, state: Tensor, hidden_only: bool = False) -> TangentTerms:
        """One gate through A, and the diagonal 1."""
        weight = self.recurrent_weight()
        gain = self._gain(self._from_input(x), state @ weight.mT)
        return TangentTerms((weight.unsqueeze(-3),), (gain.unsqueeze(-2),), torch.ones_like(state))


class GatedAntisymmetricRNN(AntisymmetricRNN):
    """h' = h + ε z ∘ tanh(A h + V_h x + b_h), z = σ(A h + V_z x + b_z): the gate shares the recurrent matrix.

    The paper's network with its gating mechanism. weight_ih (2H, I) and bias_ih (2H,) hold V_h above V_z.
    """

    architecture = "gated_asrnn"

    def _parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes = super()._parameter_shapes()
        rows = 2 * self.hidden_size
        shapes["weight_ih"] = (rows, self.input_size)
        return shapes | ({"bias_ih": (rows,)} if self.bias else {})

    def advance(self, projected: Tensor, state: Tensor, weight: Tensor) -> Tensor:
        """h' = h + ε σ(a_z) tanh(a_h)."""
        recurrent = state @ weight.mT
        candidate, gate = (part + recurrent for part in projected.chunk(2, dim=-1))
        return state + self.options["eps"] * torch.sigmoid(gate) * torch.tanh(candidate)

    def _gain(self, projected: Tensor, recurrent: Tensor) -> Tensor:
        candidate, gate = (part + recurrent for part in projected.chunk(2, dim=-1))
        by_candidate = torch.sigmoid(gate) * tanh_slope(candidate)
        return self.options["eps"] * (by_candidate + sigmoid_slope(gate) * torch.tanh(candidate))
