"""A module that has no closed form as a cell: its own step, on a private copy whose parameters may be moved."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aelle.lyapunov.derivatives import jacobians
from aelle.modules.measured import ModuleTangent
from aelle.recurrent.cell import Cell


class ReadCell(Cell):
    """The step of a module as `modules` reads it; its output is the part of its state that `size` and `offset` name.

    Attributes:
        tangent: the module's tangent map.
    """

    architecture = "read"

    def __init__(self, tangent: ModuleTangent, output: slice = slice(None)) -> None:
        nn.Module.__init__(self)
        self.tangent, self._step, self._output = tangent, tangent.step, output
        assert isinstance(tangent.step.call.module, nn.Module)
        assert tangent.input_size is not None, "a module always has inputs"
        self.module = tangent.step.call.module
        for parameter in self.module.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
        self.input_size, self.population, self.options = tangent.input_size, (), {}
        self.hidden_size, self.bias = tangent.size, False

    @property
    def output_size(self) -> int:
        """Numbers that a readout reads."""
        return len(range(*self._output.indices(self.state_size)))

    def output(self, state: Tensor) -> Tensor:
        """What a readout reads."""
        return state[..., self._output]

    def initial_state(self, batch: int) -> Tensor:
        """Zeros; what the module begins with is known outside."""
        return torch.zeros(batch, self.state_size, dtype=torch.float64)

    def step(self, x: Tensor, state: Tensor) -> Tensor:
        """One call of the module."""
        return self._step(x, state)

    def jacobian(self, x: Tensor, state: Tensor) -> Tensor:
        """Automatic."""
        return jacobians(self._step, x, state)
