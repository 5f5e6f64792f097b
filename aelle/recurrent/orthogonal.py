"""The orthogonal recurrent network by exponentials (Lezcano-Casado & Martínez-Rubio 2019, ICML, arXiv:1901.08428)."""

from __future__ import annotations

import torch
from torch import Tensor

from aelle.recurrent.cell import TangentTerms
from aelle.recurrent.projected import ProjectedCell, skew_symmetric

_THRESHOLD_SCALE = 0.01  # of the authors' modReLU


class ExpRNN(ProjectedCell):
    """expRNN: h' = modReLU(B h + T x + b) with B = exp(W - Wᵀ), orthogonal whatever W is.

    modReLU_t(a) = sign(a) max(|a| + t, 0) has a trained threshold t a unit (Arjovsky, Shah & Bengio 2016,
    arXiv:1511.06464). The authors parametrise the skew-symmetric matrix by one triangle; here
    it is W - Wᵀ as in `AntisymmetricRNN`, so that equal scales mean equal matrices in both.

    modReLU has slope 1 wherever a unit is active and 0 where it is not: while all are active, every exponent
    is 0; each inactive unit makes the Jacobian singular, and an exponent of -inf is right there.

    `reset_parameters(scale)` draws W, T and b from U(±scale): the angles of B grow with the scale. Thresholds
    are drawn from U(±0.01) whatever the scale, as the authors do. They are part of the nonlinearity and
    are there without a bias too; the paper's network is the one with bias=False.
    """

    architecture = "exprnn"
    threshold: Tensor

    def _parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        return super()._parameter_shapes() | {"threshold": (self.hidden_size,)}

    @torch.no_grad()
    def reset_parameters(self, scale: float, generator: torch.Generator | None = None) -> None:
        """Draw weights and bias from U(±scale), thresholds from U(±0.01)."""
        super().reset_parameters(scale, generator)
        self.threshold.uniform_(-_THRESHOLD_SCALE, _THRESHOLD_SCALE, generator=generator)

    def recurrent_weight(self) -> Tensor:
        """B = exp(W - Wᵀ)."""
        return torch.linalg.matrix_exp(skew_symmetric(self.weight_hh))

    def advance(self, projected: Tensor, state: Tensor, weight: Tensor) -> Tensor:
        """h' = modReLU(a)."""
        a = projected + state @ weight.mT
        # Written so that the slope at a = 0 is that on both sides of it, and not that of sign(0).
        return self._active(a) * (a + self.threshold.unsqueeze(-2) * torch.sign(a))

    def _active(self, a: Tensor) -> Tensor:
        """1 where |a| + t > 0, else 0: the slope of modReLU."""
        return (a.abs() + self.threshold.unsqueeze(-2) > 0).to(a.dtype)

    def _slope(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Slope of each unit, and B."""
        weight = self.recurrent_weight()
        return self._active(self._from_input(x) + state @ weight.mT), weight

    def jacobian(self, x: Tensor, state: Tensor) -> Tensor:
        """diag(slope) B."""
        slope, weight = self._slope(x, state)
        return slope.unsqueeze(-1) * weight.unsqueeze(-3)

    def tangent_terms(self, x: Tensor, state: Tensor, hidden_only: bool = False) -> TangentTerms:
        """One gate through B."""
        slope, weight = self._slope(x, state)
        return TangentTerms((weight.unsqueeze(-3),), (slope.unsqueeze(-2),))

    def log_abs_det(self, x: Tensor, state: Tensor) -> Tensor:
        """0 where every unit is active, else -inf: det B = 1."""
        return self._slope(x, state)[0].log().sum(-1)
