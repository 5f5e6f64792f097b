"""The front door: `lyapunov_spectrum(system, inputs)` for any recurrent network or driven map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from aelle.lyapunov.block_run import BlockTangent
from aelle.lyapunov.block_tangent import MapBlocks, with_structure
from aelle.lyapunov.growth import Position
from aelle.lyapunov.inputs import Inputs
from aelle.lyapunov.result import LyapunovSpectrum
from aelle.lyapunov.run import Run
from aelle.lyapunov.structure import StructureError
from aelle.lyapunov.tangent import TangentMap
from aelle.lyapunov.undisturbed import undisturbed
from aelle.spectra.systems import System, check_settings, directions, first_frames, stack_and_states

LONGEST_AUTONOMOUS_RUN = 1_000_000


@undisturbed
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
        spectrum, exponents descending, in nats per step, or per unit of time for a `DrivenMap` with a `dt`.

    Raises:
        TypeError: for a system or inputs of an unknown kind.
        ValueError: for inputs or settings that do not fit the system, and where the inputs end before the
            tolerance is reached.
    """
    check_settings(state, qr_interval, dtype, tolerance)
    with torch.no_grad():
        taken = stack_and_states(system, inputs, state == "hidden", dtype, initial_state)
        stack, states, sequences = taken.stack, taken.states, taken.sequences
        size = sum(tangent.size for tangent in stack)
        if k is not None and not 1 <= k <= size:
            raise ValueError(f"k must lie between 1 and the {size} exponents of this system, got {k}")
        if isinstance(warmup, int):
            warmup = max(warmup - taken.skipped, 0)
        if tolerance is not None and inputs is None and steps is None:
            steps = LONGEST_AUTONOMOUS_RUN

        def measured(stack: Sequence[TangentMap | BlockTangent]) -> LyapunovSpectrum:
            frames = [
                first_frames(tangent, k, like, generator) for tangent, like in zip(stack, states, strict=True)
            ]
            interval = None if qr_interval == "auto" else int(qr_interval)
            run = Run(stack, state, k, interval, tolerance, progress, getattr(system, "dt", None))
            return run.start(Position(states, frames), sequences, steps, warmup)

        blocks = [with_structure(tangent, directions(tangent, k)) for tangent in stack]
        try:
            return measured(blocks)
        except StructureError:
            if not any(isinstance(tangent, MapBlocks) and tangent.recognised for tangent in blocks):
                raise
            return measured(stack)  # the structure was found at a few points, and is not there at others
