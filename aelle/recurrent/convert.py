"""Any recurrent module as a stack of cells, without touching the module."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from aelle.kernels.finite import all_finite
from aelle.recurrent.cell import Cell
from aelle.recurrent.elman import ReluRNN, TanhRNN
from aelle.recurrent.gru import GRU
from aelle.recurrent.lstm import LSTM
from aelle.recurrent.network import Network, layer_of, layers_of

_NOTHING_ELSE = vars(nn.Module()).keys() | {"input_size", "hidden_size", "bias", "population", "options"}
"""Attributes of a cell as it is made: one with others, a hook's or a user's, is copied with all that it has."""


def cells_of(system: nn.Module, dtype: torch.dtype) -> list[Cell]:
    """Return the layers of a cell, a network, a torch.nn recurrent module or a torch.nn cell, in `dtype`.

    Cells already in `dtype` are returned as they are; everything else is copied. Nothing is drawn.

    Raises:
        TypeError: for any other system.
        ValueError: for a bidirectional module, or parameters that are not real, dense and finite.
    """
    if isinstance(system, nn.Module):
        _check_parameters(system)
    cells = _layers_of(system, dtype)
    _check_finite(cells)
    return cells


def directions_of(module: nn.RNNBase, dtype: torch.dtype) -> tuple[list[Cell], list[Cell]]:
    """Forward and backward layers of a bidirectional torch.nn module; each takes both outputs of the layers below.

    Raises:
        ValueError: for parameters that are not real, dense and finite.
    """
    _check_parameters(module)

    forward, backward = (
        [layer_of(module, layer, way, dtype) for layer in range(module.num_layers)] for way in (False, True)
    )
    _check_finite(forward)
    _check_finite(backward)
    return forward, backward


def _check_parameters(module: nn.Module) -> None:
    for name, parameter in module.named_parameters():
        if parameter.is_meta:
            raise ValueError(f"{name} is on the meta device, without values; load the module onto a real one")
        if parameter.layout is not torch.strided:
            raise ValueError(f"{name} is sparse; give the module dense weights (to_dense)")
        if parameter.is_complex():
            raise ValueError(
                f"{name} is complex; a cell with a closed form is real, so give the step as a DrivenMap on real pairs"
            )


def _check_finite(cells: Sequence[Cell]) -> None:
    for layer, cell in enumerate(cells):
        for name, parameter in cell.named_parameters():
            if not all_finite(parameter):
                raise ValueError(f"{name} of layer {layer} holds NaN or infinite values")


def _layers_of(system: nn.Module, dtype: torch.dtype) -> list[Cell]:
    if isinstance(system, Cell):
        return [_in_dtype(system, dtype)]
    if isinstance(system, Network):
        return [_in_dtype(cell, dtype) for cell in system.layers]
    if isinstance(system, nn.RNNBase):
        return layers_of(system, dtype)
    if isinstance(system, nn.RNNCellBase):
        return [_from_torch_cell(system, dtype)]
    raise TypeError(
        f"expected a torch.nn RNN, GRU or LSTM (or one of their Cells), an aelle cell or network, or a DrivenMap; "
        f"got {type(system).__name__}. Pass the recurrent part of a larger model by itself"
    )


def _in_dtype(cell: Cell, dtype: torch.dtype) -> Cell:
    if all(parameter.dtype == dtype for parameter in cell.parameters()):
        return cell
    plain = type(cell).__module__.startswith("aelle.recurrent.") and vars(cell).keys() == _NOTHING_ELSE
    if plain and not cell.population:
        parameters = {
            name: parameter.detach().to(dtype=dtype, copy=True) for name, parameter in cell.named_parameters()
        }
        return type(cell).holding(parameters, cell.input_size, cell.hidden_size, cell.bias, cell.options)
    return copy.deepcopy(cell).to(dtype)


def _from_torch_cell(module: nn.RNNCellBase, dtype: torch.dtype) -> Cell:
    if isinstance(module, nn.LSTMCell):
        kind: type[Cell] = LSTM
    elif isinstance(module, nn.GRUCell):
        kind = GRU
    else:
        kind = ReluRNN if getattr(module, "nonlinearity", "tanh") == "relu" else TanhRNN
    names = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if module.bias else [])]
    copies = {name: getattr(module, name).detach().to(dtype=dtype, copy=True) for name in names}
    return kind.holding(copies, module.input_size, module.hidden_size, module.bias)


def initial_states(
    sizes: list[int], rows: int | None, given: Any, dtype: torch.dtype, device: torch.device
) -> list[Tensor]:
    """Initial state of each layer, (rows, n).

    Args:
        sizes: state size of each layer.
        rows: number of driving sequences; None takes it from `given`, else 1.
        given: (n,) or (rows, n) over all layers; a list with one such state a layer; or as torch.nn modules take it:
            h_0 of shape (layers, rows, H), without rows (layers, H), or the pair (h_0, c_0) of such; of an LSTMCell
            (h, c) of shapes (rows, H) or (H,). Zeros where None.

    Raises:
        ValueError: where the shape fits none of these, or a value is not finite.
    """
    if given is None:
        return [torch.zeros(rows or 1, size, dtype=dtype, device=device) for size in sizes]
    if hasattr(given, "__array__"):
        given = torch.as_tensor(given)
    parts = [torch.as_tensor(part) for part in _by_layer(sizes, given)]
    if any(part.is_complex() for part in parts):
        raise ValueError(
            "initial_state must be real; give real and imaginary parts as components of their own"
        )
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
        if given.shape[-1:] == (sum(sizes),):
            return list(given.split(sizes, dim=-1))
        return list(given) if tuple(given.shape) == (len(sizes), sizes[0]) else [given]
    if not isinstance(given, list | tuple):
        return [given]
    if len(given) == 2 and all(isinstance(part, Tensor) and part.dim() > 0 for part in given):
        pair = _pair_by_layer(sizes, *given)
        if pair is not None:
            return pair
    if len(given) != len(sizes) and not any(isinstance(part, Tensor) for part in given):
        return [torch.as_tensor(given)]
    return list(given)


def _pair_by_layer(sizes: list[int], h: Tensor, c: Tensor) -> list[Tensor] | None:
    """States (h, c) of each layer, or None where the two tensors are no h and c: they then have no joint size n."""
    if h.dim() != c.dim() or h.shape[:-1] != c.shape[:-1] or h.shape[-1] + c.shape[-1] != sizes[0]:
        return None
    joint = torch.cat([h, c], dim=-1)
    if joint.dim() == 3 or (joint.dim() == 2 and len(sizes) > 1):
        return list(joint)
    return [joint]
