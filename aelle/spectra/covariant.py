"""Covariant Lyapunov vectors of a network or map."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from aelle.lyapunov.arguments import generator_of, steps_or_auto, whole_number
from aelle.lyapunov.covariant import CovariantVectors, ginelli
from aelle.lyapunov.factorise import random_frame
from aelle.lyapunov.inputs import Inputs
from aelle.lyapunov.tangent import TangentMap
from aelle.lyapunov.undisturbed import undisturbed
from aelle.lyapunov.workers import map_rows
from aelle.spectra.systems import System, number_of, stack_and_states
from aelle.spectra.whole_map import whole_map


@undisturbed
def covariant_lyapunov_vectors(
    system: System,
    inputs: Inputs | None = None,
    *,
    steps: int | None = None,
    k: int | None = None,
    warmup: int | str = 100,
    cooldown: int | str = 100,
    dtype: torch.dtype = torch.float64,
    initial_state: Any = None,
    generator: torch.Generator | int | None = None,
) -> CovariantVectors:
    """Covariant Lyapunov vectors of the whole state by the method of Ginelli et al. (2007).

    Memory grows as B · T · n · k: all of Q and R is kept for the way back.

    Args:
        system: as `lyapunov_spectrum` takes it; the layers of a stack are one state here.
        inputs: sequences of warmup + T + cooldown steps, as `lyapunov_spectrum` reads them; None for an autonomous map.
        steps: T, of an autonomous map.
        k: number of leading vectors; all where None.
        warmup: first steps, in which the frame relaxes; "auto": three tenths of the inputs, at most 100.
        cooldown: last steps, in which the way back relaxes; "auto" likewise.
        dtype: precision.
        initial_state: as `lyapunov_spectrum` takes it.
        generator: for the first frame.

    Returns:
        vectors (B, T + 1, n, k) with angles and participation.

    Raises:
        ValueError: where the inputs are too short, or a Jacobian is singular on the frame.
    """
    with torch.no_grad():
        taken = stack_and_states(system, inputs, False, dtype, initial_state)
        stack, sequences = taken.stack, taken.sequences
        step, jacobian = whole_map(stack)
        state = torch.cat(taken.states, dim=-1)
        steps = None if steps is None else whole_number("steps", steps, 1)
        shortest = None if sequences is None else min(len(sequence) for sequence in sequences)
        warmup, cooldown = (
            _relaxing(name, value, shortest) for name, value in (("warmup", warmup), ("cooldown", cooldown))
        )
        driven = _equal_lengths(sequences, stack, state, warmup, cooldown, steps)
        total = warmup + cooldown + int(steps or 0) if driven is None else driven.shape[1]
        trajectory = [state]
        for t in range(total):
            trajectory.append(step(None if driven is None else driven[:, t], trajectory[-1]))
        n = state.shape[-1]
        frame = random_frame(n, number_of(k, n) or n, dtype, state.device, generator_of(generator)).mT
        path = torch.stack(trajectory, dim=1)
        run = lambda start, stop: ginelli(  # noqa: E731
            jacobian, driven, path, frame, warmup, cooldown
        )
        vectors = map_rows(run, 1, len(state), 0, state.is_cuda)[0]
        return replace(vectors, dt=getattr(system, "dt", None))


def _relaxing(name: str, value: int | str, length: int | None) -> int:
    number = steps_or_auto(name, value)
    if isinstance(number, str):
        return 100 if length is None else min(100, 3 * length // 10)
    return number


def _equal_lengths(
    sequences: list[Tensor] | None,
    stack: list[TangentMap],
    like: Tensor,
    warmup: int,
    cooldown: int,
    steps: int | None,
) -> Tensor | None:
    if sequences is None:
        if steps is None:
            raise ValueError(
                "an autonomous map needs steps, the number of steps between warm-up and cool-down"
            )
        size = stack[0].input_size
        return None if size is None else like.new_zeros(len(like), warmup + steps + cooldown, size)
    lengths = {len(sequence) for sequence in sequences}
    if len(lengths) > 1:
        raise ValueError("covariant vectors need sequences of one length")
    length = lengths.pop()
    if length <= warmup + cooldown:
        raise ValueError(
            f"a sequence of {length} steps is too short for {warmup} of warm-up and {cooldown} of cool-down"
        )
    return torch.stack(sequences).to(like)
