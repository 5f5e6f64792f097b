"""Spectra of the recurrent parts of a larger model, each as the model drives it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from aelle.lyapunov.driven_map import DrivenMap
from aelle.modules.capture import Part, captured_parts, recurrent_parts, takes_state
from aelle.modules.conversion import is_convertible


def is_larger_model(system: Any, part: str | None) -> bool:
    """Whether a system is a model with recurrent parts in it, rather than a recurrent module."""
    if part is not None:
        return True
    if isinstance(system, DrivenMap) or not isinstance(system, nn.Module) or is_convertible(system):
        return False
    return bool(recurrent_parts(system)) and not takes_state(system)


def driven_parts(model: Any, batch: Any, part: str | None) -> dict[str, tuple[nn.Module, list[Tensor], Any]]:
    """Module, driving sequences and initial state of each recurrent part, by qualified name.

    Raises:
        TypeError: where the system is no module, and as `modules.capture.captured_parts`.
    """
    if not isinstance(model, nn.Module) or batch is None:
        raise TypeError("part= picks a recurrent part of a torch module that runs on a batch; give both")
    with torch.no_grad():
        parts = captured_parts(model, batch, part)
    return {name: (found.module, found.sequences, _initial_state(found)) for name, found in parts.items()}


def _initial_state(part: Part) -> Any:
    """As `lyapunov_spectrum` takes it: (rows, n) of a torch cell, else the part's own."""
    if isinstance(part.module, nn.RNNCellBase) and isinstance(part.initial_state, tuple | list):
        return torch.cat(list(part.initial_state), dim=-1)
    return part.initial_state
