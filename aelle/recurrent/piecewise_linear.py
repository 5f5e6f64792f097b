"""The piecewise-linear recurrent network (Durstewitz 2017, PLoS Computational Biology 13:e1005542; Koppe, Toutounji,
Kirsch, Lis & Durstewitz 2019, PLoS Computational Biology 15:e1007263).
"""

from __future__ import annotations

import torch
from torch import Tensor

from aelle.recurrent.projected import ProjectedCell, identity_like


class PLRNN(ProjectedCell):
    """z' = A z + W max(z, 0) + C s + b with A diagonal and W zero on its diagonal.

    Linear in each orthant, so that fixed points and cycles can be solved for. Nothing bounds the state: large
    weights diverge, which is recorded.

    diagonal (H,) holds A, weight_hh (H, H) W, whose own diagonal is left out, weight_ih (H, I) C, bias_ih b.
    """

    architecture = "plrnn"
    diagonal: Tensor

    def _parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        return super()._parameter_shapes() | {"diagonal": (self.hidden_size,)}

    def recurrent_weight(self) -> Tensor:
        """W with zeros on its diagonal."""
        return self.weight_hh * (1 - identity_like(self.weight_hh))

    def advance(self, projected: Tensor, state: Tensor, weight: Tensor) -> Tensor:
        """A z + W max(z, 0) + p."""
        return projected + self.diagonal.unsqueeze(-2) * state + torch.relu(state) @ weight.mT

    def jacobian(self, x: Tensor, state: Tensor) -> Tensor:
        """A + W diag(z > 0)."""
        active = (state > 0).to(state.dtype).unsqueeze(-2)
        return torch.diag_embed(self.diagonal).unsqueeze(-3) + self.recurrent_weight().unsqueeze(-3) * active
