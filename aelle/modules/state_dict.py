"""The recurrent modules that a checkpoint holds, found by the names and shapes of its parameters.

torch.nn names them weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, weight_hr_l0 (with a projection) and the same with
_reverse; its Cells weight_ih, weight_hh, bias_ih, bias_hh. The number of gates, rows of weight_hh per hidden unit, tells
an RNN (1), a GRU (3) and an LSTM (4) apart. What names and shapes do not tell is refused, or asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from aelle.words import first_line, hint

_NAME = re.compile(
    r"^(?:(?P<place>.*)\.)?(?P<kind>weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)(?P<layer>_l\d+(?:_reverse)?)?$"
)
_DERIVED = re.compile(
    r"(?:^|\.)(?:parametrizations\.)?weight_[ih]h(?:_l\d+(?:_reverse)?)?(?:_g|_v|_raw|_orig|_mask|\.original\d*)$"
)
_LAYERED: dict[int, type[nn.RNNBase]] = {1: nn.RNN, 3: nn.GRU, 4: nn.LSTM}
_CELLS: dict[int, type[nn.RNNCellBase]] = {1: nn.RNNCell, 3: nn.GRUCell, 4: nn.LSTMCell}


class CheckpointError(ValueError):
    """A file that holds no recurrent module that can be told; the message says what would be right."""


def read_state_dict(path: str | Path, key: str | None = None) -> dict[str, Tensor]:
    """Tensors by name of a safetensors file, or of a torch file, read with weights_only=True.

    Args:
        path: the file.
        key: name of the part of a torch file that holds the parameters; where None, the only one that has recurrent
            ones.

    Raises:
        CheckpointError: where the file is missing, holds more than tensors and plain data, or several candidates.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(
            f"{path}: {'is a folder; give the file in it' if path.is_dir() else 'no such file'}"
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each reader has errors of its own
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise CheckpointError(
                f"{path}: holds more than tensors and plain data, which is not read, since it could run code; save "
                "model.state_dict() alone"
            ) from error
        raise CheckpointError(f"{path}: not readable as a checkpoint: {first_line(error)}") from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, not parameters by name")
    return _parameters(path, content, key)


def _parameters(path: Path, content: Mapping[Any, Any], key: str | None) -> dict[str, Tensor]:
    """The one mapping of names to tensors in nested plain data."""
    found = dict(_mappings(content, ""))
    if key is not None:
        if key not in found:
            raise CheckpointError(f"{path}: no parameters under {key!r}; {hint(key, found)}")
        return found[key]
    recurrent = {name: tensors for name, tensors in found.items() if any(_is_recurrent(n) for n in tensors)}
    if len(recurrent) > 1:
        raise CheckpointError(
            f"{path}: holds several sets of parameters; name one with --key: {', '.join(n or '(top)' for n in recurrent)}"
        )
    if recurrent:
        return next(iter(recurrent.values()))
    names = [name for tensors in found.values() for name in tensors]
    shown = f"; it has {', '.join(names[:4])}{', …' if len(names) > 4 else ''}" if names else ""
    raise CheckpointError(
        f"{path}: no recurrent layer: no parameter is named weight_ih_l0 or weight_ih, as torch names them{shown}"
    )


def _mappings(content: Mapping[Any, Any], place: str) -> list[tuple[str, dict[str, Tensor]]]:
    tensors = {
        name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)
    }
    found = [(place, tensors)] if tensors else []
    for name, value in content.items():
        if isinstance(value, Mapping):
            found += _mappings(value, f"{place}.{name}" if place else str(name))
    return found


def _is_recurrent(name: str) -> bool:
    matched = _NAME.match(name)
    return bool(_DERIVED.search(name)) or (
        matched is not None and matched["kind"] in ("weight_ih", "weight_hh")
    )


def recurrent_modules(tensors: Mapping[str, Tensor], nonlinearity: str | None = None) -> dict[str, nn.Module]:
    """A torch.nn module with the weights of each recurrent module, by qualified name ("" of one at the top), batch first.

    Args:
        tensors: parameters by name.
        nonlinearity: "tanh" or "relu" of RNNs, which no parameter tells.

    Raises:
        CheckpointError: where a module cannot be told by its parameters; it says why.
    """
    derived = next((name for name in tensors if _DERIVED.search(name)), None)
    if derived is not None:
        raise CheckpointError(
            f"{derived}: the weights are derived from others (weight_norm, spectral_norm, pruning); remove that before "
            "saving (torch.nn.utils.parametrize.remove_parametrizations, prune.remove), or measure the module itself"
        )
    places: dict[str, dict[str, Tensor]] = {}
    for name in tensors:
        matched = _NAME.match(name)
        if matched is not None and matched["kind"] == "weight_ih":
            places.setdefault(matched["place"] or "", {})
    if not places:
        raise CheckpointError(
            "no parameter is named weight_ih_l0 or weight_ih, as torch names recurrent layers"
        )
    for name, tensor in tensors.items():
        place, _, own = name.rpartition(".")
        if place in places:
            places[place][own] = tensor
    return {place: _module(place, own, nonlinearity) for place, own in places.items()}


def _module(place: str, own: dict[str, Tensor], nonlinearity: str | None) -> nn.Module:
    """The module of torch.nn that has exactly these parameters."""
    said = place or "the recurrent layer"
    strange = [name for name in own if _NAME.match(name) is None]
    if strange:
        raise CheckpointError(
            f"{said} has {strange[0]}, which no module of torch.nn has: it is one of its own kind"
        )
    layered = "weight_ih" not in own
    first = "_l0" if layered else ""
    missing = [name for name in (f"weight_ih{first}", f"weight_hh{first}") if name not in own]
    if missing:
        raise CheckpointError(f"{said} has no {missing[0]}")
    for name, tensor in own.items():
        if tensor.dim() != (2 if name.startswith("weight") else 1) or not tensor.is_floating_point():
            raise CheckpointError(
                f"{said}: {name} of shape {tuple(tensor.shape)} and type {tensor.dtype} is none of torch.nn's"
            )
    hidden, gates = _sizes(said, own, first)
    options: dict[str, Any] = {"bias": f"bias_ih{first}" in own}
    if gates == 1:
        if nonlinearity is None:
            raise CheckpointError(
                f"{said} is an RNN, and no parameter tells whether of tanh or relu; say it with --nonlinearity"
            )
        options["nonlinearity"] = nonlinearity
    if layered:
        options |= _layers(said, own) | {"batch_first": True}
    kinds: dict[int, Any] = _LAYERED if layered else _CELLS
    module: nn.Module = kinds[gates](own[f"weight_ih{first}"].shape[1], hidden, **options).double()
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    for name in sorted(set(expected) | set(own)):
        shape = tuple(own[name].shape) if name in own else None
        if shape != expected.get(name):
            raise CheckpointError(
                f"{said}: {name} has shape {shape or 'none'}, where a torch.nn.{type(module).__name__} of {hidden} units "
                f"has {expected.get(name) or 'none'}"
            )
    module.load_state_dict({name: tensor.double() for name, tensor in own.items()})
    return module.eval()


def _sizes(said: str, own: dict[str, Tensor], first: str) -> tuple[int, int]:
    """Hidden size, and number of gates."""
    rows, columns = own[f"weight_hh{first}"].shape
    if f"weight_hr{first}" in own:
        hidden = own[f"weight_hr{first}"].shape[1]
    else:
        hidden = columns
    gates = rows // hidden if hidden and rows % hidden == 0 else 0
    if gates not in _LAYERED:
        raise CheckpointError(
            f"{said}: weight_hh{first} of shape {(rows, columns)} has {rows / max(hidden, 1):g} rows per unit; "
            "a torch.nn RNN has 1, a GRU 3, an LSTM 4"
        )
    return hidden, gates


def _layers(said: str, own: dict[str, Tensor]) -> dict[str, Any]:
    numbers = {int(name.split("_l")[1].split("_")[0]) for name in own if "_l" in name}
    if numbers != set(range(len(numbers))):
        raise CheckpointError(
            f"{said}: its layers have the numbers {', '.join(map(str, sorted(numbers)))}, not 0, 1, …"
        )
    projection = own.get("weight_hr_l0")
    found: dict[str, Any] = {
        "num_layers": max(numbers) + 1,
        "bidirectional": any(name.endswith("_reverse") for name in own),
    }
    return found if projection is None else found | {"proj_size": projection.shape[0]}
