"""A look at a network that costs next to nothing: what of a spectrum predicts best for its price.

Three quantities of one short trajectory, chosen by measurement among many (docs/results.md):

- the leading finite-time exponents, (1/T) ln R_ii of the tangent map of T steps applied to k vectors;
- the mean of all exponents, ⟨ln|det J|⟩ / n, from the closed form of the determinant, without any factorisation;
- readout growth: how strongly what the readout reads depends on the state some steps before.

The first is what `lyapunov_spectrum` gives for the same steps, the second is exact for any length; over long times both
are the exponents themselves. What a look leaves out are the other exponents and every error bar.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from aelle.lyapunov.cell_tangent import CellTangent
from aelle.lyapunov.compiled_linearisation import compiled_jacobians
from aelle.lyapunov.factorise import Workspace, log_diagonal_of_r, random_frame
from aelle.lyapunov.inputs import Inputs, as_sequences
from aelle.lyapunov.interval import AdaptiveInterval
from aelle.lyapunov.tangent import Segment
from aelle.lyapunov.undisturbed import undisturbed
from aelle.modules.conversion import required_cells
from aelle.modules.driving import as_read_by
from aelle.modules.wrappers import unwrapped
from aelle.recurrent.convert import initial_states
from aelle.spectra.readout import growth_lags, growth_of_layers, readout_of

EXPONENTS = 8
TRANSIENT = 15
"""Steps that state and frame relax in, at most; two fifths of shorter sequences."""

INTERVAL = 5
"""Steps between factorisations of the few leading vectors."""


@dataclass(frozen=True)
class Look:
    """What a look saw, in nats.

    Attributes:
        leading: leading finite-time exponents, descending, float64 (k,), per step; all inf where the state grew beyond
            all numbers.
        mean_exponent: mean of all exponents, per step; NaN where the architecture has no closed-form determinant.
        readout_growth: ln ‖∂(u · y_T)/∂s_{T-τ}‖ at each lag, float64 (lags,), as `aelle.readout_growth` gives it.
        lags: the lags τ, in steps.
        steps: measured steps behind the exponents.
        seconds: what the look took.
    """

    leading: Tensor
    mean_exponent: float
    readout_growth: Tensor
    lags: list[int]
    steps: int
    seconds: float = field(compare=False)


@undisturbed
@torch.no_grad()
def look(
    network: nn.Module,
    inputs: Inputs,
    readout: nn.Linear | None = None,
    *,
    k: int = EXPONENTS,
    initial_state: Any = None,
) -> Look:
    """Leading exponents, mean exponent and readout growth along a few short sequences.

    Args:
        network: a torch.nn.RNN, GRU, LSTM or one of their Cells, or an aelle cell or network; never modified.
        inputs: sequences of one length as the task gives them, read as `lyapunov_spectrum` reads them; two of them do.
        readout: what reads the last hidden vector; None takes that of an aelle network, or the hidden vector as it is.
        k: number of leading exponents; fewer where the state is smaller.
        initial_state: (n,) over all layers; zeros where None, as in training.

    Raises:
        TypeError: for a network or readout of an unknown kind.
        ValueError: for inputs that do not fit the network, or shorter than two steps.
    """
    started = time.perf_counter()
    network = unwrapped(network)
    sequences = as_sequences(as_read_by(network, inputs))
    if len({len(sequence) for sequence in sequences}) > 1 or len(sequences[0]) < 2:
        raise ValueError("a look needs sequences of one length, of two steps or more")
    cells = required_cells(network, torch.float64, sequences, "look", initial_state)
    driving = torch.stack(sequences).to(next(cells[0].parameters()))
    steps = driving.shape[1]
    transient = min(TRANSIENT, 2 * steps // 5)
    sizes = [cell.state_size for cell in cells]
    states = initial_states(sizes, len(driving), initial_state, driving.dtype, driving.device)
    leading, volume, below, bounded = [], 0.0, driving, True
    for cell, state in zip(cells, states, strict=True):
        tangent = CellTangent(cell)
        segment = tangent.segment(below, state, steps, cell.state_size, None)
        leading.append(finite_time_exponents(segment, min(k, cell.state_size), transient).mean(0))
        volume += _volume(segment, transient)
        below = tangent.output(segment.states)
        bounded &= math.isfinite(segment.states.abs().amax())
    start = None if initial_state is None else torch.cat(states, dim=-1)
    growth = growth_of_layers(cells, driving, [readout_of(network, readout)], start, segment)[0]
    exponents = torch.cat(leading).sort(descending=True).values[:k]
    return Look(
        exponents if bounded else torch.full_like(exponents, math.inf),
        volume / sum(sizes) if bounded else math.inf,
        growth,
        growth_lags(steps),
        steps - transient,
        time.perf_counter() - started,
    )


def finite_time_exponents(segment: Segment, k: int, transient: int, size: int | None = None) -> Tensor:
    """Leading finite-time exponents (rows, k) of one layer, not sorted, over the steps after the transient.

    `size` is that of the tangent space, where it is less than that of the state.
    """
    like, steps = segment.states, segment.states.shape[1] - 1
    frame = random_frame(size or like.shape[-1], k, like.dtype, like.device, None).repeat(len(like), 1, 1)
    growth = _at_once(segment, frame.clone(), transient, steps)
    if growth is None:
        frame, _, before = _through(segment, frame, 0, transient)
        _, sums, after = _through(segment, frame, transient, steps)
        growth = sums + after - before
    return growth / (steps - transient)


def _at_once(segment: Segment, frame: Tensor, transient: int, steps: int) -> Tensor | None:
    """Growth (rows, k) after the transient by the compiled loops, where they take the whole way; frame is overwritten."""
    chunk = segment.chunk(0, steps)
    compiled = compiled_jacobians(chunk, frame) if segment.chunk_steps >= steps and transient else None
    if compiled is None:
        return None
    schedule = AdaptiveInterval(frame.shape[-1], frame.dtype, INTERVAL).schedule()
    found = compiled[0].advance(frame, 0, steps, [transient, steps], schedule, None, 0, (-math.inf, math.inf))
    if found.position < steps:  # a singular step, or numbers that are none
        return None
    return found.logs[found.intervals_before[0] :].sum(0) + found.read_off[1] - found.read_off[0]


def _through(segment: Segment, frame: Tensor, start: int, stop: int) -> tuple[Tensor, Tensor, Tensor]:
    """The frame (rows, k, n) after some steps, the logarithms split off on the way, and ln diag R of what is left."""
    work, at_state = Workspace.of(frame), frame
    sums = frame.new_zeros(frame.shape[:2])
    while start < stop:
        chunk = segment.chunk(start, min(stop, start + segment.chunk_steps))
        position = 0
        while position < chunk.steps:
            interval = min(INTERVAL, chunk.steps - position)
            count = (chunk.steps - position) // interval
            spare = torch.empty_like(frame), torch.empty_like(frame)
            sums += chunk.run(position, interval, count, frame, spare, work).sum(0)
            frame, position = spare[(count - 1) % 2], position + count * interval
        start, at_state = start + chunk.steps, chunk.to_state(chunk.steps, frame)
    return frame, sums, log_diagonal_of_r(at_state)


def _volume(segment: Segment, transient: int) -> float:
    """⟨ln|det J|⟩ of one layer after the transient; NaN without a closed form."""
    if segment.log_abs_det is None:
        return math.nan
    return float(segment.log_abs_det[:, transient:].mean())
