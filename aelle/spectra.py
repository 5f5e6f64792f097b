"""The front door: `lyapunov_spectrum(system, inputs)` for any recurrent network or driven map."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from aelle.lyapunov import estimates
from aelle.lyapunov.benettin import Report, measure
from aelle.lyapunov.cell_tangent import CellTangent
from aelle.lyapunov.driven_map import DrivenMap, DrivenMapTangent
from aelle.lyapunov.factorise import random_frame
from aelle.lyapunov.growth import Growth, Position
from aelle.lyapunov.inputs import DrivingGroup, Inputs, as_sequences, group_by_length, plan_steps
from aelle.lyapunov.result import LyapunovSpectrum, spectrum_of_stack
from aelle.lyapunov.tangent import TangentMap
from aelle.recurrent.convert import cells_of, initial_states

__all__ = ["DrivenMap", "LyapunovSpectrum", "lyapunov_spectrum"]

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
        run = _Run(stack, state, k, interval, tolerance, progress)
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
    """Return the same frame for every row, so that a result does not depend on its place in the batch."""
    count = tangent.size if k is None else min(k, tangent.size)
    frame = random_frame(tangent.size, count, like.dtype, like.device, generator)
    return frame.repeat(len(like), 1, 1)


@dataclass(frozen=True)
class _Run:
    """Settings of a run, which a spectrum keeps so that it can be continued."""

    stack: Sequence[TangentMap]
    state: str
    k: int | None
    interval: int | None
    tolerance: float | None
    progress: bool

    def start(
        self, position: Position, sequences: list[Tensor] | None, steps: int | None, warmup: int | str
    ) -> LyapunovSpectrum:
        groups = self._groups(sequences, steps, warmup, position.states[0])
        if self.tolerance is not None:
            return self._until_tolerance(position, groups)
        growths, position = self._measure(position, groups)
        return self._spectrum(growths, position, min(group.warmup for group in groups))

    def _groups(
        self, sequences: list[Tensor] | None, steps: int | None, warmup: int | str, like: Tensor
    ) -> list[DrivingGroup]:
        if sequences is not None:
            return group_by_length(sequences, steps, warmup, like)
        transient, measured = plan_steps(None, steps, warmup)
        rows = list(range(len(like)))
        size = getattr(self.stack[0], "input_size", None)
        driven = (
            None if size is None else like.new_zeros(len(like), 1, size).expand(-1, transient + measured, -1)
        )
        return [DrivingGroup(rows, driven, transient, measured)]

    def _measure(self, position: Position, groups: list[DrivingGroup]) -> tuple[list[Growth], Position]:
        """Run the groups one after the other and put their rows back in order."""
        rows = sum(len(group.index) for group in groups)
        count = min(estimates.block_count(group.steps, rows) for group in groups)
        total = sum((group.warmup + group.steps) * len(group.index) for group in groups)
        parts = []
        with _reporting(total, self.progress) as report:
            for group in groups:
                parts.append(
                    measure(
                        self.stack,
                        group.inputs,
                        position.rows(group.index),
                        warmup=group.warmup,
                        blocks=estimates.block_lengths(group.steps, count),
                        interval=self.interval,
                        report=report,
                    )
                )
        order = torch.tensor([i for group in groups for i in group.index]).argsort().tolist()
        growths = [
            Growth.join_rows([part[0][i] for part in parts]).rows(order) for i in range(len(self.stack))
        ]
        return growths, Position.join_rows([part[1] for part in parts]).rows(order)

    def _until_tolerance(self, position: Position, groups: list[DrivingGroup]) -> LyapunovSpectrum:
        """Measure in stages, each as long as all before it, until every standard error is small enough."""
        if len(groups) > 1:
            raise ValueError("tolerance needs sequences of one length")
        group, done, stage = groups[0], 0, 100
        growths: list[Growth] | None = None
        while True:
            warmup, steps = (group.warmup if growths is None else 0), min(stage, group.steps - done)
            before = 0 if growths is None else group.warmup + done
            driven = None if group.inputs is None else group.inputs[:, before : before + warmup + steps]
            later, position = self._measure(
                position, [replace(group, inputs=driven, warmup=warmup, steps=steps)]
            )
            growths = _followed_by(growths, later)
            done += steps
            spectrum = self._spectrum(growths, position, group.warmup)
            error = float(spectrum.standard_error[spectrum.exponents.isfinite()].max())
            if error <= float(self.tolerance or 0):
                return spectrum
            if done >= group.steps:
                needed = (
                    f"about {int(done * (error / float(self.tolerance or 1)) ** 2):,}" if done > 1 else "more"
                )
                raise ValueError(
                    f"{done} measured steps leave a standard error of {error:.2g}, above the tolerance of "
                    f"{self.tolerance:g}; {needed} steps would be needed"
                )
            stage = done

    def _spectrum(self, growths: list[Growth], position: Position, warmup: int) -> LyapunovSpectrum:
        resume = functools.partial(self._resume, growths)
        return spectrum_of_stack(growths, position, warmup=warmup, state=self.state, k=self.k, resume=resume)

    @torch.no_grad()
    def _resume(
        self,
        growths: list[Growth],
        spectrum: LyapunovSpectrum,
        inputs: Any,
        steps: int | None,
        accumulate: bool,
    ) -> LyapunovSpectrum:
        position = spectrum.position
        assert position is not None
        sequences = None if inputs is None else as_sequences(inputs)
        if sequences is not None and len(sequences) != len(position.states[0]):
            raise ValueError(
                f"continue_ needs the {len(position.states[0])} sequences of before, got {len(sequences)}"
            )
        groups = self._groups(sequences, steps, 0, position.states[0])
        later, position = self._measure(position, groups)
        return self._spectrum(_followed_by(growths if accumulate else None, later), position, spectrum.warmup)


def _followed_by(growths: list[Growth] | None, later: list[Growth]) -> list[Growth]:
    if growths is None:
        return later
    return [before.followed_by(after) for before, after in zip(growths, later, strict=True)]


class _reporting:  # noqa: N801 - reads as a context manager
    """A tqdm bar over row-steps, or nothing."""

    def __init__(self, total: int, shown: bool) -> None:
        self._bar: Any = None
        if shown:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, unit="step", desc="Lyapunov spectrum")

    def __enter__(self) -> Report | None:
        return None if self._bar is None else self._bar.update

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()
