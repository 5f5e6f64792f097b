"""A stack of cells with an optional readout, convertible to and from torch.nn modules."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from aelle.recurrent.cell import Cell
from aelle.recurrent.elman import ReluRNN, TanhRNN
from aelle.recurrent.gru import GRU
from aelle.recurrent.lstm import LSTM
from aelle.recurrent.lstmp import LSTMP

_TORCH_LAYERS: dict[type[Cell], Any] = {
    TanhRNN: nn.RNN,
    ReluRNN: nn.RNN,
    GRU: nn.GRU,
    LSTM: nn.LSTM,
}


class Network(nn.Module):
    """Unidirectional layers of cells; each feeds its hidden vector to the next, the last to the readout.

    Args:
        cells: layers, first to last; each `input_size` equals the `output_size` before it.
        readout: linear map from the last hidden vector, or None.
        dropout: probability of zeroing a layer's output on its way up, in training only.
    """

    def __init__(self, cells: Sequence[Cell], readout: nn.Linear | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        for lower, upper in pairwise(cells):
            if upper.input_size != lower.output_size:
                raise ValueError(
                    f"a layer takes {upper.input_size} inputs but the layer below it gives {lower.output_size}"
                )
        if not cells:
            raise ValueError("a network needs at least one cell")
        self.cells = nn.ModuleList(cells)
        self.readout = readout
        self.dropout = nn.Dropout(dropout)

    @property
    def layers(self) -> list[Cell]:
        """The cells, typed."""
        return [cell for cell in self.cells if isinstance(cell, Cell)]

    @property
    def layer_sizes(self) -> list[int]:
        """State size of each layer."""
        return [cell.carried_size for cell in self.layers]

    def initial_state(self, batch: int) -> list[Tensor]:
        """Zero states, one (batch, n) a layer."""
        return [cell.initial_state(batch) for cell in self.layers]

    def forward(
        self, inputs: Tensor, states: Sequence[Tensor] | None = None, readout_steps: slice = slice(None)
    ) -> tuple[Tensor, list[Tensor]]:
        """Run over `inputs` (batch, T, input_size).

        Returns:
            outputs (batch, steps read, readout or hidden size), and the last state of each layer.
        """
        states = self.initial_state(inputs.shape[0]) if states is None else states
        last = []
        for cell, state in zip(self.layers, states, strict=True):
            scan = cell.scan_with_gradients if self.training and torch.is_grad_enabled() else cell.scan
            inputs, state = scan(inputs, state)
            inputs = self.dropout(inputs)
            last.append(state)
        read = inputs[:, readout_steps]
        return (self.readout(read) if self.readout is not None else read), last

    @classmethod
    def from_torch(cls, module: nn.RNNBase, readout: nn.Linear | None = None) -> Network:
        """Copy a torch.nn.RNN, GRU or LSTM into cells with equal outputs; the module is left untouched.

        Raises:
            TypeError: for any other module.
            ValueError: for a bidirectional module, which has no single forward map.
        """
        return cls(layers_of(module), readout, module.dropout)

    def to_torch(self) -> nn.RNNBase:
        """Copy the recurrent layers into one torch.nn module with equal outputs (without the readout).

        Raises:
            ValueError: where torch has no such layer, or the layers differ in kind, size or bias.
        """
        first = self.layers[0]
        alike = all(
            (type(c), c.hidden_size, c.bias) == (type(first), first.hidden_size, first.bias)
            for c in self.layers
        )
        if type(first) not in _TORCH_LAYERS or not alike:
            raise ValueError("torch.nn holds only equal layers of RNN, GRU or LSTM")
        options = {"nonlinearity": "relu" if isinstance(first, ReluRNN) else "tanh"}
        weight = first.weight_ih
        module: nn.RNNBase = _TORCH_LAYERS[type(first)](
            first.input_size,
            first.hidden_size,
            num_layers=len(self.cells),
            bias=first.bias,
            batch_first=True,
            dropout=self.dropout.p if len(self.cells) > 1 else 0.0,
            dtype=weight.dtype,
            device=weight.device,
            **(options if isinstance(first, TanhRNN) else {}),
        )
        with torch.no_grad():
            for layer, cell in enumerate(self.layers):
                for name, parameter in cell.named_parameters():
                    getattr(module, f"{name}_l{layer}").copy_(parameter)
        return module


def layers_of(module: nn.RNNBase, dtype: torch.dtype | None = None) -> list[Cell]:
    """Copy the layers of a torch.nn.RNN, GRU or LSTM into cells, in its own precision or another; as `from_torch`."""
    _cell_of(module)
    if module.bidirectional:
        raise ValueError(
            "bidirectional modules have no single forward-in-time map; aelle.lyapunov_spectrum takes the spectrum of "
            "each direction"
        )
    return [layer_of(module, layer, dtype=dtype) for layer in range(module.num_layers)]


def layer_of(
    module: nn.RNNBase, layer: int, backward: bool = False, dtype: torch.dtype | None = None
) -> Cell:
    """Copy one layer of a torch.nn.RNN, GRU or LSTM, in one of its directions, into a cell with equal outputs."""
    suffix = f"_l{layer}" + ("_reverse" if backward else "")
    names = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if module.bias else [])]
    names += ["weight_hr"] if module.proj_size else []
    weights = {name: getattr(module, name + suffix) for name in names}
    copies = {
        name: weight.detach().to(dtype=dtype or weight.dtype, copy=True) for name, weight in weights.items()
    }
    options: dict[str, Any] = {"proj_size": module.proj_size} if module.proj_size else {}
    size = copies["weight_ih"].shape[1]
    return _cell_of(module).holding(copies, size, module.hidden_size, module.bias, options)


def _cell_of(module: nn.Module) -> type[Cell]:
    if isinstance(module, nn.RNN):
        return ReluRNN if module.nonlinearity == "relu" else TanhRNN
    if isinstance(module, nn.GRU):
        return GRU
    if isinstance(module, nn.LSTM):
        return LSTMP if module.proj_size else LSTM
    raise TypeError(f"expected torch.nn.RNN, GRU or LSTM, got {type(module).__name__}")
