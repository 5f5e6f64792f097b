"""What drives a module: sequences of steps, whatever a step is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, unpack_sequence

from aelle.modules.step import Features


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
