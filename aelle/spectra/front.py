"""The front door: `lyapunov_spectrum(system, inputs)` for any recurrent network or driven map."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from aelle.lyapunov.arguments import generator_of
from aelle.lyapunov.inputs import Inputs
from aelle.lyapunov.result import LyapunovSpectrum
from aelle.lyapunov.undisturbed import undisturbed
from aelle.modules.errors import ModuleError
from aelle.modules.wrappers import unwrapped
from aelle.spectra.bidirectional import bidirectional_spectra
from aelle.spectra.parts import driven_parts, is_larger_model
from aelle.spectra.settings import Settings
from aelle.spectra.systems import System, check_settings


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
    generator: torch.Generator | int | None = None,
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
        inputs: a tensor as the module itself reads it: (time, batch, input_size) where `batch_first` is False, as it is
            by default in torch, and (time, input_size) for one sequence; (batch, time, input_size) for a cell, an aelle
            network, a `DrivenMap` and what has no `batch_first`. Or a list of sequences (time, input_size) of any lengths,
            or a PackedSequence. None for an autonomous map, which needs `steps`. For a larger model, what its forward
            takes: a tensor, also of whole numbers, a tuple of arguments, a dict of named ones.
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
        generator: for the first frame, or a seed; a fixed seed where None.
        progress: show a progress bar.
        part: qualified name of the recurrent part of a larger model that is wanted, "encoder.lstm".

    Returns:
        `LyapunovSpectrum`, exponents descending, in nats per step, or per unit of time for a `DrivenMap` with a `dt`.
        Of a larger model, that of its recurrent part, as the model's own forward, run once, drives it; a dict of them by
        qualified name where there are several. Of a bidirectional module a dict of two, "forward" and "backward" (of a
        part, "encoder.lstm.forward"), each in its own direction of time and conditional on what drives its layers.

    Raises:
        TypeError: for a system or inputs of an unknown kind, and a module that no way can follow.
        ValueError: for inputs or settings that do not fit the system, and where the inputs end before the
            tolerance is reached.
    """
    check_settings(state, qr_interval, dtype, tolerance)
    draws = generator_of(generator)
    settings = Settings(steps, state, k, warmup, qr_interval, dtype, tolerance, draws, progress)
    system = unwrapped(system)
    if not is_larger_model(system, part) or (initial_state is not None and part is None):
        return _spectra_of(system, inputs, initial_state, settings)
    try:
        parts = driven_parts(system, inputs, part)
    except ModuleError as refused:
        if part is not None:
            raise
        try:  # a recurrent module made of others, whose state is not called so
            return settings.spectrum(system, inputs, initial_state)
        except (TypeError, ValueError):
            raise refused from None
    spectra: dict[str, LyapunovSpectrum] = {}
    for name, (module, sequences, begun) in parts.items():
        try:
            found = _spectra_of(unwrapped(module), sequences, begun, settings)
        except (ValueError, TypeError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{name}: {error}") from error
        if isinstance(found, dict):
            spectra |= {f"{name}.{direction}": spectrum for direction, spectrum in found.items()}
        else:
            spectra[name] = found
    return spectra if len(spectra) > 1 else next(iter(spectra.values()))


def _spectra_of(
    system: System, inputs: Any, initial_state: Any, settings: Settings
) -> LyapunovSpectrum | dict[str, LyapunovSpectrum]:
    """Spectrum of one system, or those of the two directions of a bidirectional module."""
    if isinstance(system, nn.RNNBase) and system.bidirectional:
        return bidirectional_spectra(system, inputs, initial_state, settings)
    return settings.spectrum(system, inputs, initial_state)
