"""Any recurrent module as a stack of cells, without touching the module."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from aelle.recurrent.cell import Cell
from aelle.recurrent.elman import ReluRNN, TanhRNN
from aelle.recurrent.gru import GRU
from aelle.recurrent.lstm import LSTM
from aelle.recurrent.network import Network


def cells_of(system: nn.Module, dtype: torch.dtype) -> list[Cell]:
    """Return the layers of a cell, a network, a torch.nn recurrent module or a torch.nn cell, in `dtype`.

    Cells already in `dtype` are returned as they are; everything else is copied. Torch's random state stays as
    it was, so that a spectrum taken during training changes nothing in it.

    Raises:
        TypeError: for any other system.
        ValueError: for a bidirectional module, one with a projection, or parameters that are not finite.
    """
    parameters = system.parameters() if isinstance(system, nn.Module) else ()
    devices = {parameter.device for parameter in parameters if parameter.is_cuda}
    with torch.random.fork_rng(devices=list(devices)):  # building a cell draws its parameters
        cells = _layers_of(system, dtype)
    for layer, cell in enumerate(cells):
        for name, parameter in cell.named_parameters():
            if not parameter.isfinite().all():
                raise ValueError(f"{name} of layer {layer} holds NaN or infinite values")
    return cells


def _layers_of(system: nn.Module, dtype: torch.dtype) -> list[Cell]:
    if isinstance(system, Cell):
        return [_in_dtype(system, dtype)]
    if isinstance(system, Network):
        return [_in_dtype(cell, dtype) for cell in system.layers]
    if isinstance(system, nn.RNNBase):
        return [_in_dtype(cell, dtype) for cell in Network.from_torch(system).layers]
    if isinstance(system, nn.RNNCellBase):
        return [_in_dtype(_from_torch_cell(system), dtype)]
    raise TypeError(
        f"expected a torch.nn RNN, GRU or LSTM (or one of their Cells), an aelle cell or network, or a DrivenMap; "
        f"got {type(system).__name__}. Pass the recurrent part of a larger model by itself"
    )


def _in_dtype(cell: Cell, dtype: torch.dtype) -> Cell:
    if all(parameter.dtype == dtype for parameter in cell.parameters()):
        return cell
    return copy.deepcopy(cell).to(dtype)


def _from_torch_cell(module: nn.RNNCellBase) -> Cell:
    if isinstance(module, nn.LSTMCell):
        kind: type[Cell] = LSTM
    elif isinstance(module, nn.GRUCell):
        kind = GRU
    else:
        kind = ReluRNN if getattr(module, "nonlinearity", "tanh") == "relu" else TanhRNN
    weight = module.weight_hh
    cell = kind(module.input_size, module.hidden_size, module.bias, dtype=weight.dtype, device=weight.device)
    with torch.no_grad():
        for name, parameter in cell.named_parameters():
            parameter.copy_(module.get_parameter(name))
    return cell


def initial_states(
    sizes: list[int], rows: int | None, given: Any, dtype: torch.dtype, device: torch.device
) -> list[Tensor]:
    """Initial state of each layer, (rows, n).

    Args:
        sizes: state size of each layer.
        rows: number of driving sequences; None takes it from `given`, else 1.
        given: (n,) or (rows, n) over all layers; a list with one such state a layer; h_0 of shape
            (layers, rows, H) or the pair (h_0, c_0), as torch.nn modules take it. Zeros where None.

    Raises:
        ValueError: where the shape fits none of these, or a value is not finite.
    """
    if given is None:
        return [torch.zeros(rows or 1, size, dtype=dtype, device=device) for size in sizes]
    parts = [torch.as_tensor(part) for part in _by_layer(sizes, given)]
    expected = f"({sum(sizes)},) or (batch, {sum(sizes)})"
    if [part.shape[-1] if part.dim() in (1, 2) else None for part in parts] != sizes:
        raise ValueError(f"initial_state must have shape {expected}, or give one state a layer")
    if not all(part.isfinite().all() for part in parts):
        raise ValueError("initial_state holds NaN or infinite values")
    batches = {part.shape[0] for part in parts if part.dim() == 2}
    batch = rows or max(batches, default=1)
    if batches - {1, batch}:
        raise ValueError(f"initial_state has {max(batches)} rows for {batch} sequences; expected {expected}")
    return [
        part.to(device=device, dtype=dtype).expand(batch, size).clone()
        for part, size in zip(parts, sizes, strict=True)
    ]


def _by_layer(sizes: list[int], given: Any) -> list[Any]:
    if isinstance(given, Tensor):
        if given.dim() == 3:
            return list(given)
        return list(given.split(sizes, dim=-1)) if given.shape[-1:] == (sum(sizes),) else [given]
    if not isinstance(given, list | tuple):
        return [given]
    if len(given) == 2 and all(isinstance(part, Tensor) and part.dim() == 3 for part in given):
        return list(torch.cat(list(given), dim=-1))
    if len(given) != len(sizes) and not any(isinstance(part, Tensor) for part in given):
        return [torch.as_tensor(given)]
    return list(given)
