"""Cells that torch itself can run over a whole sequence with one fused kernel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from aelle.recurrent.cell import Cell


class KernelCell(Cell):
    """A cell whose state is its hidden vector, and whose sequences torch's `_kernel` runs for one network."""

    _kernel: Any

    def trajectory(self, inputs: Tensor, state: Tensor) -> Tensor:
        """All states, from torch's fused kernel where there is one network."""
        if self.population:
            return super().trajectory(inputs, state)
        return torch.cat([state.unsqueeze(-2), self.scan(inputs, state)[0]], dim=-2)

    def scan(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs and last state, from torch's fused kernel where there is one network."""
        if self.population:
            return super().scan(inputs, state)
        start, weights = state.unsqueeze(0).contiguous(), self._flat_weights()
        # One layer, no dropout, not in training mode, not bidirectional, batch first.
        outputs, last = self._kernel(inputs, start, weights, self.bias, 1, 0.0, False, False, True)
        return outputs, last.squeeze(0)
