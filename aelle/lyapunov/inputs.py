"""Driving sequences in the forms people have them, checked and put into groups of one length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, unpack_sequence

from aelle.kernels.finite import all_finite
from aelle.lyapunov.arguments import real_tensor, shown, steps_or_auto, whole_number

Inputs = Tensor | PackedSequence | Sequence[Any] | NDArray[Any]


@dataclass(frozen=True)
class DrivingGroup:
    """Sequences of one length.

    Attributes:
        index: positions of the sequences among all of them.
        inputs: (rows, time, input_size), or None for an autonomous map.
        warmup: leading steps of transient.
        steps: measured steps after it.
    """

    index: list[int]
    inputs: Tensor | None
    warmup: int
    steps: int


def as_sequences(inputs: Inputs) -> list[Tensor]:
    """Return the driving sequences, each (time, input_size).

    Raises:
        TypeError: where they are no numbers.
        ValueError: where a shape is wrong, a sequence is empty or a value is not finite or complex.
    """
    if isinstance(inputs, PackedSequence):
        inputs = unpack_sequence(inputs)
    elif hasattr(inputs, "__array__"):  # a tensor, an array, a frame
        whole = real_tensor("inputs", inputs)
        if whole.dim() != 3:
            raise ValueError(f"inputs must have shape (batch, time, input_size), got {tuple(whole.shape)}")
        inputs = list(whole)
    if not isinstance(inputs, list | tuple):
        raise TypeError(
            "inputs must be a tensor, an array, a PackedSequence or a list of them, one for each sequence, "
            f"got {shown(inputs)}"
        )
    if not inputs:
        raise ValueError("inputs hold no sequences")
    inputs = [real_tensor(f"sequence {i}", sequence) for i, sequence in enumerate(inputs)]
    sizes = {sequence.shape[-1:] for sequence in inputs}
    if any(sequence.dim() != 2 for sequence in inputs) or len(sizes) > 1:
        raise ValueError("every sequence must have shape (time, input_size), with one input_size")
    for i, sequence in enumerate(inputs):
        if len(sequence) == 0:
            raise ValueError(f"sequence {i} is empty")
        if not all_finite(sequence):
            raise ValueError(f"sequence {i} holds NaN or infinite values")
    return list(inputs)


def plan_steps(
    length: int | None, steps: int | None, warmup: int | str, longest_warmup: int = 100
) -> tuple[int, int]:
    """Split a sequence into its transient and its measured steps.

    Args:
        length: steps of the sequence; None for an autonomous map, whose transient comes before `steps`.
        steps: measured steps; where None, all after the transient.
        warmup: steps of transient; "auto" is two fifths of a sequence, at most `longest_warmup`.
        longest_warmup: what "auto" takes where there is enough.

    Raises:
        ValueError: where nothing would be left to measure.
    """
    warmup = steps_or_auto("warmup", warmup)
    steps = None if steps is None else whole_number("steps", steps, 1)
    if length is None:
        if steps is None:
            raise ValueError("an autonomous map needs steps, the number of steps to measure")
        return (longest_warmup if warmup == "auto" else int(warmup)), steps
    transient = min(longest_warmup, 2 * length // 5) if warmup == "auto" else int(warmup)
    if steps is not None and warmup == "auto":
        transient = min(longest_warmup, max(length - steps, 0))
    measured = length - transient if steps is None else steps
    if measured < 1 or transient + measured > length:
        wanted = f"{transient} steps of warm-up and {max(measured, 1)} to measure"
        raise ValueError(f"a sequence of {length} steps is too short for {wanted}")
    return transient, measured


def group_by_length(
    sequences: list[Tensor], steps: int | None, warmup: int | str, like: Tensor
) -> list[DrivingGroup]:
    """Put sequences of one length together, in the precision and on the device of `like`."""
    by_length: dict[int, list[int]] = {}
    for i, sequence in enumerate(sequences):
        by_length.setdefault(len(sequence), []).append(i)
    groups = []
    for length, index in by_length.items():
        transient, measured = plan_steps(length, steps, warmup)
        stacked = torch.stack([sequences[i] for i in index]).to(device=like.device, dtype=like.dtype)
        groups.append(DrivingGroup(index, stacked[:, : transient + measured], transient, measured))
    return groups
