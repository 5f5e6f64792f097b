"""What drives a module: sequences of steps, whatever a step is."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, unpack_sequence

from aelle.modules.step import Features

SHORT = 30
"""Time steps, below which a tensor of more sequences than that may have been meant the other way round."""


def as_read_by(system: Any, inputs: Any) -> Any:
    """Inputs as a module itself reads them, put into the form that all else here takes: (batch, time, ...) or a list.

    A tensor of three or more dimensions is (time, batch, ...) to a module with `batch_first=False`; of two, it is one
    sequence (time, features) to a torch.nn RNN, GRU or LSTM. What has no `batch_first` (a cell, an aelle network, a
    `DrivenMap`) takes (batch, time, ...). Lists of sequences and a PackedSequence say themselves what they are.
    """
    if hasattr(inputs, "__array__") and not isinstance(inputs, Tensor):
        try:
            inputs = torch.as_tensor(inputs)
        except (TypeError, ValueError):
            return inputs  # refused later
    for tensor in inputs if isinstance(inputs, list | tuple) else [inputs]:
        _require_values(tensor)
    if not isinstance(inputs, Tensor):
        return inputs
    layered = isinstance(system, nn.RNNBase)  # of whole numbers it takes features too; others may embed them
    if layered and inputs.dim() == 2:
        return [inputs]
    least = 3 if layered or inputs.is_floating_point() else 2
    if getattr(system, "batch_first", None) is not False or inputs.dim() < least:
        return inputs
    time, batch = inputs.shape[:2]
    if time < SHORT <= batch:
        warnings.warn(
            f"inputs of shape {tuple(inputs.shape)} are read as (time, batch, ...), as {type(system).__name__} with "
            f"batch_first=False reads them: {batch} sequences of {time} steps. If they are (batch, time, ...), pass "
            "inputs.transpose(0, 1)",
            stacklevel=3,
        )
    return inputs.transpose(0, 1)


def _require_values(tensor: Any) -> None:
    if isinstance(tensor, Tensor) and tensor.layout is not torch.strided:
        raise ValueError("inputs are sparse; give them dense (to_dense)")
    if isinstance(tensor, Tensor) and tensor.is_meta:
        raise ValueError("inputs are on the meta device, without values")


def driving_sequences(inputs: Any) -> tuple[list[Tensor], Features]:
    """Sequences (time, d), one a row, and what d is made of.

    Args:
        inputs: (batch, time, ...), of whole numbers (batch, time) as an embedding reads them; a list of (time, ...);
            a PackedSequence.

    Raises:
        TypeError: where they are no tensors.
        ValueError: where a shape is wrong, a sequence is empty or a value is not finite.
    """
    if isinstance(inputs, PackedSequence):
        inputs = unpack_sequence(inputs)
    if isinstance(inputs, Tensor):
        least = 2 if not inputs.is_floating_point() else 3
        if inputs.dim() < least:
            raise ValueError(f"inputs must have shape (batch, time, features), got {tuple(inputs.shape)}")
        inputs = list(inputs)
    if not isinstance(inputs, list | tuple) or not all(isinstance(sequence, Tensor) for sequence in inputs):
        raise TypeError("inputs must be a tensor, a PackedSequence or a list of tensors, one a sequence")
    if not inputs or any(len(sequence) == 0 for sequence in inputs):
        raise ValueError("inputs hold no sequences, or an empty one")
    kinds = {(tuple(sequence.shape[1:]), sequence.dtype) for sequence in inputs}
    if len(kinds) > 1:
        raise ValueError("every sequence must have the same features and precision at each step")
    shape, dtype = kinds.pop()
    if dtype.is_complex:
        raise TypeError("complex inputs are not taken; give their real and imaginary parts as features")
    for i, sequence in enumerate(inputs):
        if not sequence.isfinite().all():
            raise ValueError(f"sequence {i} holds NaN or infinite values")
    return [sequence.reshape(len(sequence), -1).double() for sequence in inputs], Features(shape, dtype)


def first_steps(sequences: list[Tensor], rows: int, steps: int, dtype: torch.dtype) -> Tensor:
    """First steps of the first sequences, (rows, steps, d), as many as all of these have."""
    chosen = sequences[:rows]
    length = (
        min(steps, *(len(sequence) for sequence in chosen)) if len(chosen) > 1 else min(steps, len(chosen[0]))
    )
    return torch.stack([sequence[:length] for sequence in chosen]).to(dtype)
