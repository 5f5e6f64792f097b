"""The front door: `lyapunov_spectrum(system, inputs)` for any recurrent network or driven map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import jacfwd, vmap

from aelle.lyapunov.cell_tangent import CellTangent
from aelle.lyapunov.covariant import CovariantVectors, ginelli
from aelle.lyapunov.differentiable import ChaoticGradientWarning, differentiable_exponents
from aelle.lyapunov.driven_map import DrivenMap, DrivenMapTangent
from aelle.lyapunov.factorise import random_frame
from aelle.lyapunov.growth import Position
from aelle.lyapunov.inputs import Inputs, as_sequences
from aelle.lyapunov.mean_field import MeanField, mean_field
from aelle.lyapunov.result import LyapunovSpectrum
from aelle.lyapunov.run import Run
from aelle.lyapunov.tangent import TangentMap
from aelle.lyapunov.workers import map_rows
from aelle.recurrent.cell import Cell
from aelle.recurrent.convert import cells_of, initial_states
from aelle.recurrent.flat import attached_cells, closed_loop, flat_step, readout_of

__all__ = [
    "ChaoticGradientWarning",
    "CovariantVectors",
    "DrivenAndGenerative",
    "DrivenMap",
    "LyapunovSpectrum",
    "MeanField",
    "conditional_vs_generative",
    "covariant_lyapunov_vectors",
    "leading_exponents",
    "lyapunov_spectra",
    "lyapunov_spectrum",
    "mean_field",
]

System = nn.Module | DrivenMap

LONGEST_AUTONOMOUS_RUN = 1_000_000


def lyapunov_spectrum(
    system: System,
    inputs: Inputs | None = None,
    *,
    steps: int | None = None,
    state: str = "full",
    k: int | None = None,
    warmup: int | str = "auto",
    qr_interval: int | str = "auto",
    dtype: torch.dtype = torch.float64,
    initial_state: Any = None,
    tolerance: float | None = None,
    generator: torch.Generator | None = None,
    progress: bool = False,
) -> LyapunovSpectrum:
    """Lyapunov spectrum of a recurrent network, or any driven map, along the trajectory its inputs drive.

    State s and an orthonormal frame Q are advanced together, Z = J_t Q_t = Q_{t+1} R_t, and the exponents are
    the averages of ln R_t,ii over time and sequences (Benettin et al. 1980), after a transient in which both
    relax. Layers are taken one by one: the spectrum of a stack is the union of theirs.

    Args:
        system: torch.nn.RNN, GRU, LSTM or one of their Cells; an aelle cell or network; a `DrivenMap`. Never
            modified.
        inputs: (batch, time, input_size), whatever `batch_first` says; ragged sequences as a list of
            (time, input_size) or a PackedSequence. None for an autonomous map, which needs `steps`.
        steps: measured steps; where None, all that the inputs leave after the warm-up.
        state: "full", or "hidden" for ∂h'/∂h at fixed other parts of the state (an LSTM's c).
        k: number of leading exponents; all n where None.
        warmup: steps of transient, the first ones of the inputs. "auto": two fifths of the inputs, at most
            100; 100 before the measured steps of an autonomous map.
        qr_interval: steps between factorisations; "auto" keeps their rounding error under 1e-6 nats per step.
        dtype: precision of trajectory and frame.
        initial_state: (n,) or (batch, n), n over all layers; a list with one such state a layer; or h_0 or
            (h_0, c_0) as torch.nn modules take it. Zeros where None.
        tolerance: stop as soon as every standard error is below it, in nats per step.
        generator: for the first frame; a fixed seed where None.
        progress: show a progress bar.

    Returns:
        spectrum, exponents descending, in nats per step.

    Raises:
        TypeError: for a system or inputs of an unknown kind.
        ValueError: for inputs or settings that do not fit the system, and where the inputs end before the
            tolerance is reached.
    """
    _check_settings(state, qr_interval, dtype, tolerance)
    sequences = None if inputs is None else as_sequences(inputs)
    with torch.no_grad():
        stack, states = _stack_and_states(system, sequences, state == "hidden", dtype, initial_state)
        size = sum(tangent.size for tangent in stack)
        if k is not None and not 1 <= k <= size:
            raise ValueError(f"k must lie between 1 and the {size} exponents of this system, got {k}")
        frames = [
            _first_frames(tangent, k, like, generator) for tangent, like in zip(stack, states, strict=True)
        ]
        interval = None if qr_interval == "auto" else int(qr_interval)
        run = Run(stack, state, k, interval, tolerance, progress)
        if tolerance is not None and inputs is None and steps is None:
            steps = LONGEST_AUTONOMOUS_RUN
        return run.start(Position(states, frames), sequences, steps, warmup)


def _check_settings(state: str, qr_interval: int | str, dtype: torch.dtype, tolerance: float | None) -> None:
    if state not in ("full", "hidden"):
        raise ValueError(f'state must be "full" or "hidden", got {state!r}')
    if qr_interval != "auto" and (not isinstance(qr_interval, int) or qr_interval < 1):
        raise ValueError(f'qr_interval must be "auto" or a number of steps, got {qr_interval!r}')
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"dtype must be torch.float64 or torch.float32, got {dtype}")
    if tolerance is not None and not tolerance > 0:
        raise ValueError(f"tolerance must be positive, got {tolerance}")


def _stack_and_states(
    system: System, sequences: list[Tensor] | None, hidden_only: bool, dtype: torch.dtype, initial_state: Any
) -> tuple[list[TangentMap], list[Tensor]]:
    rows = None if sequences is None else len(sequences)
    input_size = None if sequences is None else sequences[0].shape[-1]
    if isinstance(system, DrivenMap):
        if hidden_only:
            raise ValueError('state="hidden" needs a recurrent cell; a DrivenMap has no hidden part')
        device = sequences[0].device if sequences else torch.device("cpu")
        states = initial_states([system.state_size], rows, initial_state, dtype, device)
        return [DrivenMapTangent(system, input_size, dtype, states[0].device)], states
    cells = cells_of(system, dtype)
    if input_size is not None and input_size != cells[0].input_size:
        raise ValueError(
            f"inputs have {input_size} features a step, but the network takes {cells[0].input_size}"
        )
    device = next(cells[0].parameters()).device
    states = initial_states([cell.state_size for cell in cells], rows, initial_state, dtype, device)
    return [CellTangent(cell, hidden_only) for cell in cells], states


def _first_frames(
    tangent: TangentMap, k: int | None, like: Tensor, generator: torch.Generator | None
) -> Tensor:
    """Return the same frame for every row, so that a result does not depend on its place in the batch.

    Finite averages of neighbouring directions may come out of order; a few directions more than k are run, so
    that the k largest are those of the full spectrum.
    """
    count = tangent.size if k is None else min(k + 2 + k // 8, tangent.size)
    frame = random_frame(tangent.size, count, like.dtype, like.device, generator)
    return frame.repeat(len(like), 1, 1)


def lyapunov_spectra(
    networks: Sequence[nn.Module], inputs: Inputs | Sequence[Tensor], **settings: Any
) -> list[LyapunovSpectrum]:
    """Spectra of a cohort, networks of one architecture and size, as one batch where that pays.

    On an accelerator the networks become one population, all rows of one run. On a CPU, where batches of small
    matrices gain nothing, they are taken one by one.

    Args:
        networks: as `lyapunov_spectrum` takes them.
        inputs: (batch, time, input_size) for all, or (networks, batch, time, input_size).
        settings: of `lyapunov_spectrum`; `batched` (True or False) overrides the choice.

    Raises:
        ValueError: where the networks or their inputs do not fit together.
    """
    batched = settings.pop("batched", None)
    if not networks:
        raise ValueError("a cohort needs at least one network")
    shared = not (isinstance(inputs, Tensor) and inputs.dim() == 4)
    if not shared and len(inputs) != len(networks):
        raise ValueError(f"inputs are for {len(inputs)} networks, but there are {len(networks)}")
    if batched is None:
        batched = next(networks[0].parameters()).is_cuda
    if not batched:
        each = [inputs] * len(networks) if shared else list(inputs)
        return [lyapunov_spectrum(net, x, **settings) for net, x in zip(networks, each, strict=True)]
    return _population_spectra(networks, inputs, shared, **settings)


@torch.no_grad()
def _population_spectra(
    networks: Sequence[nn.Module],
    inputs: Any,
    shared: bool,
    *,
    steps: int | None = None,
    state: str = "full",
    k: int | None = None,
    warmup: int | str = "auto",
    qr_interval: int | str = "auto",
    dtype: torch.dtype = torch.float64,
    generator: torch.Generator | None = None,
) -> list[LyapunovSpectrum]:
    _check_settings(state, qr_interval, dtype, None)
    layers = list(zip(*(cells_of(network, dtype) for network in networks), strict=True))
    stack: list[TangentMap] = [
        CellTangent(type(cells[0]).stack(cells), state == "hidden") for cells in layers
    ]
    sequences = as_sequences(inputs) if shared else as_sequences(inputs.flatten(0, 1))
    if shared:
        sequences = sequences * len(networks)
    device = next(layers[0][0].parameters()).device
    states = initial_states([cells[0].state_size for cells in layers], len(sequences), None, dtype, device)
    frames = [_first_frames(tangent, k, like, generator) for tangent, like in zip(stack, states, strict=True)]
    interval = None if qr_interval == "auto" else int(qr_interval)
    run = Run(stack, state, k, interval, None, False)
    return run.start_population(Position(states, frames), sequences, steps, warmup, len(networks))


def covariant_lyapunov_vectors(
    system: System,
    inputs: Inputs | None = None,
    *,
    steps: int | None = None,
    k: int | None = None,
    warmup: int = 100,
    cooldown: int = 100,
    dtype: torch.dtype = torch.float64,
    initial_state: Any = None,
    generator: torch.Generator | None = None,
) -> CovariantVectors:
    """Covariant Lyapunov vectors of the whole state by the method of Ginelli et al. (2007).

    Memory grows as B · T · n · k: all of Q and R is kept for the way back.

    Args:
        system: as `lyapunov_spectrum` takes it; the layers of a stack are one state here.
        inputs: (batch, warmup + T + cooldown, input_size); None for an autonomous map.
        steps: T, of an autonomous map.
        k: number of leading vectors; all where None.
        warmup: first steps, in which the frame relaxes.
        cooldown: last steps, in which the way back relaxes.
        dtype: precision.
        initial_state: as `lyapunov_spectrum` takes it.
        generator: for the first frame.

    Returns:
        vectors (B, T + 1, n, k) with angles and participation.

    Raises:
        ValueError: where the inputs are too short, or a Jacobian is singular on the frame.
    """
    sequences = None if inputs is None else as_sequences(inputs)
    with torch.no_grad():
        stack, states = _stack_and_states(system, sequences, False, dtype, initial_state)
        step, jacobian = _whole_map(system, sequences is not None, dtype)
        state = torch.cat(states, dim=-1)
        driven = _equal_lengths(sequences, stack, state, warmup, cooldown, steps)
        total = warmup + cooldown + int(steps or 0) if driven is None else driven.shape[1]
        trajectory = [state]
        for t in range(total):
            trajectory.append(step(None if driven is None else driven[:, t], trajectory[-1]))
        n = state.shape[-1]
        if k is not None and not 1 <= k <= n:
            raise ValueError(f"k must lie between 1 and the {n} exponents of this system, got {k}")
        frame = random_frame(n, k or n, dtype, state.device, generator).mT
        path = torch.stack(trajectory, dim=1)
        run = lambda start, stop: ginelli(  # noqa: E731
            jacobian, driven, path, frame, warmup, cooldown
        )
        return map_rows(run, 1, len(state), 0, state.is_cuda)[0]


def _equal_lengths(
    sequences: list[Tensor] | None,
    stack: list[TangentMap],
    like: Tensor,
    warmup: int,
    cooldown: int,
    steps: int | None,
) -> Tensor | None:
    if warmup < 0 or cooldown < 0:
        raise ValueError("warmup and cooldown must not be negative")
    if sequences is None:
        if steps is None or steps < 1:
            raise ValueError(
                "an autonomous map needs steps, the number of steps between warm-up and cool-down"
            )
        size = getattr(stack[0], "input_size", None)
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


def _whole_map(
    system: System, driven: bool, dtype: torch.dtype
) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """Step and Jacobian of all layers together, on batches of flat states."""
    if isinstance(system, DrivenMap):
        dims = (0 if driven else None, 0)
        jacobian = system.jacobian or jacfwd(system.step, argnums=1)
        return vmap(system.step, in_dims=dims), vmap(jacobian, in_dims=dims)
    cells = cells_of(system, dtype)
    if len(cells) == 1:
        return cells[0].step, cells[0].jacobian
    one = lambda x, s: flat_step(cells, x.unsqueeze(0), s.unsqueeze(0)).squeeze(0)  # noqa: E731
    return (lambda x, s: flat_step(cells, x, s)), vmap(jacfwd(one, argnums=1))


@dataclass(frozen=True)
class DrivenAndGenerative:
    """Spectra of one network under its inputs, and fed by its own output.

    Attributes:
        conditional: under the inputs (teacher forcing).
        generative: in closed loop, from where the inputs ended.
    """

    conditional: LyapunovSpectrum
    generative: LyapunovSpectrum

    @property
    def difference(self) -> Tensor:
        """Generative minus conditional exponents, (n,)."""
        return self.generative.exponents - self.conditional.exponents


def conditional_vs_generative(
    network: nn.Module,
    inputs: Inputs,
    *,
    readout: Callable[[Tensor], Tensor] | None = None,
    steps: int | None = None,
    warmup: int | str = "auto",
    dtype: torch.dtype = torch.float64,
) -> DrivenAndGenerative:
    """Compare the driven (conditional) spectrum with that of the closed loop, where the output feeds the input.

    A generator that is stable under teacher forcing may be chaotic on its own, or fall silent.

    Args:
        network: aelle network with a readout to its inputs, or any recurrent module with `readout` given.
        inputs: (batch, time, input_size).
        readout: map from the last hidden vector to the next input; the network's own where None.
        steps: measured steps of the closed loop; as many as of the driven run where None.
        warmup: transient of both runs, as in `lyapunov_spectrum`.
        dtype: precision.

    Raises:
        ValueError: where there is no readout, or it does not give an input.
    """
    with torch.no_grad():
        cells = cells_of(network, dtype)
        feed_back = readout_of(network, readout, dtype)
        fed = feed_back(cells[-1].output(cells[-1].initial_state(1)))
        if fed.shape[-1] != cells[0].input_size:
            raise ValueError(
                f"the readout gives {fed.shape[-1]} numbers, but the network takes {cells[0].input_size}"
            )
    conditional = lyapunov_spectrum(network, inputs, warmup=warmup, dtype=dtype)
    assert conditional.position is not None
    loop = DrivenMap(closed_loop(cells, feed_back), sum(cell.state_size for cell in cells))
    generative = lyapunov_spectrum(
        loop,
        steps=steps or conditional.steps,
        warmup=warmup if warmup == "auto" else int(warmup),
        dtype=dtype,
        initial_state=torch.cat(conditional.position.states, dim=-1),
    )
    return DrivenAndGenerative(conditional, generative)


def leading_exponents(
    system: nn.Module,
    inputs: Tensor,
    k: int = 1,
    *,
    warmup: int = 30,
    trajectory: str = "full",
    dtype: torch.dtype | None = None,
    initial_state: Any = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Leading exponents with a graph back to the system's parameters: exponents as a regulariser.

    Args:
        system: recurrent module, cell or network whose parameters require gradients.
        inputs: (batch, time, input_size), the first `warmup` steps a transient.
        k: number of exponents.
        warmup: steps of transient; gradients flow through it unless the trajectory is frozen.
        trajectory: "full" differentiates the trajectory too; "frozen" holds the states fixed and
            differentiates only how the Jacobians depend on the parameters, which stays tame in chaos.
        dtype: precision; that of the parameters where None.
        initial_state: as `lyapunov_spectrum` takes it.
        generator: for the first frame.

    Returns:
        exponents (k,), descending, in nats per step.

    Raises:
        ValueError: for settings or inputs that do not fit.
    """
    if trajectory not in ("full", "frozen"):
        raise ValueError(f'trajectory must be "full" or "frozen", got {trajectory!r}')
    dtype = dtype or next(system.parameters()).dtype
    sequences = as_sequences(inputs)
    if warmup < 0 or len(sequences[0]) <= warmup:
        raise ValueError(
            f"a sequence of {len(sequences[0])} steps leaves none to measure after {warmup} of warm-up"
        )
    stack, states = _stack_and_states(system, sequences, False, dtype, initial_state)
    cells: list[Cell] = attached_cells(system, cells_of(system, dtype), dtype)
    size = sum(cell.state_size for cell in cells)
    if not 1 <= k <= size:
        raise ValueError(f"k must lie between 1 and the {size} exponents of this system, got {k}")
    frames = [
        random_frame(tangent.size, min(k, tangent.size), dtype, like.device, generator).mT
        for tangent, like in zip(stack, states, strict=True)
    ]
    exponents = differentiable_exponents(
        [cell.step for cell in cells],
        [cell.output for cell in cells],
        torch.stack(sequences).to(states[0]),
        states,
        frames,
        warmup=warmup,
        frozen=trajectory == "frozen",
    )
    return exponents[:k]
