"""The minimal gated recurrent unit (Feng, Tung, Ahmed, Bengio & Hajimirsadeghi 2024, arXiv:2410.01201)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from aelle.recurrent.cell import Cell, UnitJacobians
from aelle.recurrent.projected import project_inputs


class MinGRU(Cell):
    """h' = (1 - z) h + z n with z = σ(W_z x + b_z) and n = W_n x + b_n: gates that do not see the state.

    Section 3.1 of the paper (the plain form, not the log-space one of its appendix). The map is linear in h
    and diagonal, so the exponents are the averages of ln(1 - z_i) exactly: never positive, and a function of
    the inputs alone.

    weight_ih (2H, I) and bias_ih (2H,) hold z above n; there is no recurrent matrix.
    """

    architecture = "mingru"
    gates = 2

    def _parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes = super()._parameter_shapes()
        return {name: shape for name, shape in shapes.items() if name.endswith("_ih")}

    def gate(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """ln(z / (1 - z)) and n, from W x + b."""
        a_z, n = projected.chunk(2, dim=-1)
        return a_z, n

    def step(self, x: Tensor, state: Tensor) -> Tensor:
        """h' = (1 - z) h + z n."""
        a_z, n = self.gate(self._from_input(x))
        return torch.lerp(state, n, torch.sigmoid(a_z))

    def unit_jacobians(self, x: Tensor, state: Tensor) -> UnitJacobians:
        """1 - z = σ(-a_z) of each unit, in logarithms, exact where the gate saturates."""
        kept = logsigmoid(-self.gate(self._from_input(x))[0])
        return UnitJacobians(torch.ones_like(kept)[..., None, None], kept)

    def jacobian(self, x: Tensor, state: Tensor) -> Tensor:
        """diag(1 - z)."""
        return self.unit_jacobians(x, state).dense()

    def log_abs_det(self, x: Tensor, state: Tensor) -> Tensor:
        """Σ ln(1 - z) = -Σ ln(1 + exp a_z)."""
        a_z = self.gate(self._from_input(x))[0]
        return -torch.logaddexp(a_z, torch.zeros_like(a_z)).sum(-1)

    def trajectory(self, inputs: Tensor, state: Tensor) -> Tensor:
        """All states, by a parallel scan on a GPU and step by step on a CPU, where that is 2 to 6 times faster."""
        a_z, n = self.gate(project_inputs(self, inputs))
        scan = parallel_scan if inputs.is_cuda else sequential_scan
        states = scan(torch.sigmoid(-a_z), torch.sigmoid(a_z) * n, state)
        return torch.cat([state.unsqueeze(-2), states], dim=-2)


def sequential_scan(kept: Tensor, added: Tensor, start: Tensor) -> Tensor:
    """h_t = kept_t h_{t-1} + added_t for t = 1 … T, one step after another; shapes as in `parallel_scan`."""
    states = [start]
    for keep, add in zip(kept.unbind(dim=-2), added.unbind(dim=-2), strict=True):
        states.append(torch.addcmul(add, keep, states[-1]))
    return torch.stack(states[1:], dim=-2)


def parallel_scan(kept: Tensor, added: Tensor, start: Tensor) -> Tensor:
    """h_t = kept_t h_{t-1} + added_t for t = 1 … T, in ⌈log₂ T⌉ rounds of doubling (Hillis & Steele 1986).

    After a round, (kept_t, added_t) is the map over the last `reach` steps up to t, composed of two maps of
    half the reach.

    Args:
        kept, added: (…, T, H).
        start: h_0, (…, H).

    Returns:
        h_1 … h_T, (…, T, H).
    """
    first = added[..., :1, :] + kept[..., :1, :] * start.unsqueeze(-2)
    added, reach = torch.cat([first, added[..., 1:, :]], dim=-2), 1
    while reach < added.shape[-2]:
        later = kept[..., reach:, :]
        composed = torch.addcmul(added[..., reach:, :], later, added[..., :-reach, :])
        added = torch.cat([added[..., :reach, :], composed], dim=-2)
        kept = torch.cat([kept[..., :reach, :], later * kept[..., :-reach, :]], dim=-2)
        reach *= 2
    return added
