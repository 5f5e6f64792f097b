"""What a spectrum is taken of: a torch module, cell, network or map, as a stack of tangent maps with its states."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from aelle.lyapunov.arguments import is_number, steps_or_auto, whole_number
from aelle.lyapunov.block_run import BlockTangent, in_blocks
from aelle.lyapunov.driven_map import DrivenMap, DrivenMapTangent
from aelle.lyapunov.factorise import random_frame
from aelle.lyapunov.inputs import as_sequences
from aelle.lyapunov.tangent import TangentMap
from aelle.modules.driving import as_read_by
from aelle.modules.measured import Measured, measured_module
from aelle.modules.wrappers import unwrapped
from aelle.recurrent.convert import initial_states

System = nn.Module | DrivenMap


def check_settings(state: str, qr_interval: int | str, dtype: torch.dtype, tolerance: float | None) -> None:
    """Refuse, by ValueError, settings that no system allows."""
    steps_or_auto("qr_interval", qr_interval, 1)
    if state not in ("full", "hidden"):
        raise ValueError(f'state must be "full" or "hidden", got {state!r}')
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"dtype must be torch.float64 or torch.float32, got {dtype}")
    if tolerance is not None and not (is_number(tolerance) and tolerance > 0):
        raise ValueError(f"tolerance must be positive, got {tolerance}")


def number_of(k: int | None, size: int) -> int | None:
    """Return k as int, None for all; ValueError where it is not between 1 and the size of the state."""
    number = None if k is None else whole_number("k", k)
    if number is not None and not 1 <= number <= size:
        raise ValueError(f"k must lie between 1 and the {size} exponents of this system, got {number}")
    return number


def stack_and_states(
    system: System, inputs: Any, hidden_only: bool, dtype: torch.dtype, initial_state: Any
) -> Measured:
    """Tangent maps, initial states (rows, n) and driving sequences; ValueError where the inputs do not fit."""
    system = unwrapped(system)
    inputs = as_read_by(system, inputs)
    if isinstance(system, DrivenMap):
        if hidden_only:
            raise ValueError('state="hidden" needs a recurrent cell; a DrivenMap has no hidden part')
        sequences = None if inputs is None else as_sequences(inputs)
        rows, input_size = (None, None) if sequences is None else (len(sequences), sequences[0].shape[-1])
        device = sequences[0].device if sequences else torch.device("cpu")
        states = initial_states([system.state_size], rows, initial_state, dtype, device)
        return Measured([DrivenMapTangent(system, input_size, dtype, states[0].device)], states, sequences)
    if not isinstance(system, nn.Module):
        raise TypeError(
            f"expected a torch module, an aelle cell or network, or a DrivenMap; got {type(system).__name__}"
        )
    return measured_module(system, inputs, dtype, initial_state, hidden_only)


def directions(tangent: TangentMap | BlockTangent, k: int | None) -> int:
    """How many directions to run for the k largest exponents.

    Finite averages of neighbouring directions may come out of order; a few directions more than k are run, so
    that the k largest are those of the full spectrum.
    """
    return tangent.size if k is None else min(k + 2 + k // 8, tangent.size)


def first_frames(
    tangent: TangentMap | BlockTangent, k: int | None, like: Tensor, generator: torch.Generator | None
) -> Tensor:
    """Return the same frame for every row, so that a result does not depend on its place in the batch.

    (rows, directions, n), or (rows, n/b, b, b) where the Jacobian is in blocks of b: there all directions are run.
    """
    if in_blocks(tangent):
        b = tangent.block_size
        frame = random_frame(b, b, like.dtype, like.device, generator)
        return frame.repeat(len(like), tangent.size // b, 1, 1)
    frame = random_frame(tangent.size, directions(tangent, k), like.dtype, like.device, generator)
    return frame.repeat(len(like), 1, 1)
