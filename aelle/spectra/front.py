"""The front door: `lyapunov_spectrum(system, inputs)` for any recurrent network or driven map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from aelle.lyapunov.block_run import BlockTangent
from aelle.lyapunov.block_tangent import MapBlocks, with_structure
from aelle.lyapunov.driven_map import DrivenMap
from aelle.lyapunov.growth import Position
from aelle.lyapunov.inputs import Inputs
from aelle.lyapunov.result import LyapunovSpectrum
from aelle.lyapunov.run import Run
from aelle.lyapunov.structure import StructureError
from aelle.lyapunov.tangent import TangentMap
from aelle.lyapunov.undisturbed import undisturbed
from aelle.modules.errors import ModuleError
from aelle.spectra.parts import driven_parts, is_larger_model
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
    part: str | None = None,
) -> Any:
    """Lyapunov spectrum of a recurrent network, or any driven map, along the trajectory its inputs drive.

    State s and an orthonormal frame Q are advanced together, Z = J_t Q_t = Q_{t+1} R_t, and the exponents are
    the averages of ln R_t,ii over time and sequences (Benettin et al. 1980), after a transient in which both
    relax. Layers are taken one by one: the spectrum of a stack is the union of theirs.

    Args:
        system: torch.nn.RNN, GRU, LSTM or one of their Cells; an aelle cell or network; any other module with
            module(x, state) returning state or (output, state), differentiated automatically; a larger model with
            recurrent parts; a `DrivenMap`. Never modified. Modules are measured in evaluation mode.
        inputs: (batch, time, input_size), whatever `batch_first` says; ragged sequences as a list of
            (time, input_size) or a PackedSequence. None for an autonomous map, which needs `steps`. For a larger
            model, what its forward takes: a tensor, also of whole numbers, a tuple of arguments, a dict of named ones.
        steps: measured steps; where None, all that the inputs leave after the warm-up.
        state: "full", or "hidden" for ∂h'/∂h at fixed other parts of the state (an LSTM's c).
        k: number of leading exponents; all n where None.
        warmup: steps of transient, the first ones of the inputs. "auto": two fifths of the inputs, at most
            100; 100 before the measured steps of an autonomous map.
        qr_interval: steps between factorisations; "auto" keeps their rounding error under 1e-6 nats per step.
        dtype: precision of trajectory and frame.
        initial_state: (n,) or (batch, n), n over all layers; a list with one such state a layer; or h_0 or
            (h_0, c_0) as torch.nn modules take it; or a state as the module itself takes it. Where None, zeros, or
            what the module begins with.
        tolerance: stop as soon as every standard error is below it, in nats per step.
        generator: for the first frame; a fixed seed where None.
        progress: show a progress bar.
        part: qualified name of the recurrent part of a larger model that is wanted, "encoder.lstm".

    Returns:
        `LyapunovSpectrum`, exponents descending, in nats per step, or per unit of time for a `DrivenMap` with a `dt`.
        Of a larger model, that of its recurrent part, as the model's own forward, run once, drives it; a dict of them by
        qualified name where there are several.

    Raises:
        TypeError: for a system or inputs of an unknown kind, and a module that no way can follow.
        ValueError: for inputs or settings that do not fit the system, and where the inputs end before the
            tolerance is reached.
    """
    check_settings(state, qr_interval, dtype, tolerance)
    settings = _Settings(steps, state, k, warmup, qr_interval, dtype, tolerance, generator, progress)
    if not is_larger_model(system, part) or (initial_state is not None and part is None):
        return settings.spectrum(system, inputs, initial_state)
    try:
        parts = driven_parts(system, inputs, part)
    except ModuleError as refused:
        if part is not None:
            raise
        try:  # a recurrent module made of others, whose state is not called so
            return settings.spectrum(system, inputs, initial_state)
        except (TypeError, ValueError):
            raise refused from None
    spectra = {}
    for name, (module, sequences, begun) in parts.items():
        try:
            spectra[name] = settings.spectrum(module, sequences, begun)
        except (ValueError, TypeError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{name}: {error}") from error
    return spectra if len(spectra) > 1 else next(iter(spectra.values()))


@dataclass(frozen=True)
class _Settings:
    """How spectra are taken, as `lyapunov_spectrum` is told."""

    steps: int | None
    state: str
    k: int | None
    warmup: int | str
    qr_interval: int | str
    dtype: torch.dtype
    tolerance: float | None
    generator: torch.Generator | None
    progress: bool

    @torch.no_grad()
    def spectrum(self, system: System, inputs: Any, initial_state: Any) -> LyapunovSpectrum:
        """Spectrum of one system."""
        taken = stack_and_states(system, inputs, self.state == "hidden", self.dtype, initial_state)
        size, k, steps, warmup = sum(t.size for t in taken.stack), self.k, self.steps, self.warmup
        if k is not None and not 1 <= k <= size:
            raise ValueError(f"k must lie between 1 and the {size} exponents of this system, got {k}")
        if isinstance(warmup, int):
            warmup = max(warmup - taken.skipped, 0)
        if self.tolerance is not None and inputs is None and steps is None:
            steps = LONGEST_AUTONOMOUS_RUN

        def measured(stack: Sequence[TangentMap | BlockTangent]) -> LyapunovSpectrum:
            frames = [
                first_frames(tangent, k, like, self.generator)
                for tangent, like in zip(stack, taken.states, strict=True)
            ]
            interval = None if self.qr_interval == "auto" else int(self.qr_interval)
            dt = getattr(system, "dt", None) if isinstance(system, DrivenMap) else None
            run = Run(stack, self.state, k, interval, self.tolerance, self.progress, dt)
            return run.start(Position(taken.states, frames), taken.sequences, steps, warmup)

        blocks = [with_structure(tangent, directions(tangent, k)) for tangent in taken.stack]
        try:
            return measured(blocks)
        except StructureError:
            if not any(isinstance(tangent, MapBlocks) and tangent.recognised for tangent in blocks):
                raise
            return measured(
                taken.stack
            )  # the structure was found at a few points, and is not there at others
