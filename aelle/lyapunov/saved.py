"""Tensors and plain facts in one safetensors file, whose header holds the facts as JSON; nothing is pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any

from torch import Tensor

_KEY = "aelle_spectrum"


def write(path: str | PathLike[str], tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write both to `path`."""
    from safetensors.torch import save_file

    own = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    save_file(own, fspath(path), metadata={_KEY: json.dumps(dict(facts))})


def read(path: str | PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return what `write` wrote.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: where it holds something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(fspath(path), framework="pt") as file:
            facts = json.loads((file.metadata() or {})[_KEY])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{fspath(path)}: holds no spectrum saved by LyapunovSpectrum.save") from error
