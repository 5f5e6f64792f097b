"""The two conditional spectra of a bidirectional module, each in its own direction of time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from aelle.lyapunov.growth import Position
from aelle.lyapunov.inputs import as_sequences
from aelle.lyapunov.result import LyapunovSpectrum, spectrum_of_stack
from aelle.modules.driving import as_read_by
from aelle.modules.errors import ModuleError
from aelle.modules.private import private_copy, warn_of_hooks
from aelle.recurrent.cell import Cell
from aelle.recurrent.convert import directions_of, initial_states
from aelle.spectra.settings import Settings

_COMPARED = 4  # sequences


@torch.no_grad()
def bidirectional_spectra(
    module: nn.RNNBase, inputs: Any, initial_state: Any, settings: Settings
) -> dict[str, LyapunovSpectrum]:
    """Spectra of the forward and the backward cells, "forward" and "backward", each of a stack of layers.

    In a layer, each direction is a driven map of its own: the backward one runs over the reversed sequence, so its
    warm-up is at the sequence's end. From the second layer on, both are driven by the outputs of both directions of the
    layer below, over the whole sequence; those are given, so every spectrum is conditional on them.

    Args:
        module: a bidirectional torch.nn.RNN, GRU or LSTM; never modified.
        inputs: as the module reads them.
        initial_state: as `lyapunov_spectrum` takes it, the directions of a layer one after the other, as in torch's h_0.
        settings: of both.

    Raises:
        ModuleError: where the module does something else than its cells.
        ValueError: for inputs or settings that do not fit.
    """
    if settings.tolerance is not None:
        raise ValueError(
            "tolerance is not offered for bidirectional modules; give inputs of the length you want"
        )
    if inputs is None:
        raise ValueError("a bidirectional module needs inputs: it has no state that goes on by itself")
    sequences = as_sequences(as_read_by(module, inputs))
    if sequences[0].shape[-1] != module.input_size:
        raise ValueError(
            f"inputs have {sequences[0].shape[-1]} features a step, but the network takes {module.input_size}"
        )
    warn_of_hooks(module)
    own, dtype = private_copy(module, settings.dtype), settings.dtype
    below = [sequence.to(own.weight_ih_l0) for sequence in sequences]
    own(below[0])  # hooks derive their weights (weight_norm, prune) anew
    forward, backward = directions_of(own, dtype)
    sizes = [cell.state_size for pair in zip(forward, backward, strict=True) for cell in pair]
    starts = initial_states(sizes, len(below), initial_state, dtype, below[0].device)
    _require_equal(own, forward, backward, below, starts)
    layers: tuple[list[LyapunovSpectrum], list[LyapunovSpectrum]] = [], []
    for layer, pair in enumerate(zip(forward, backward, strict=True)):
        ways = below, [sequence.flip(0) for sequence in below]
        for way, cell, start, found in zip(
            ways, pair, starts[2 * layer : 2 * layer + 2], layers, strict=True
        ):
            found.append(settings.spectrum(cell, way, start))
        below = _outputs(pair, below, starts[2 * layer : 2 * layer + 2])
    return {"forward": _stacked(layers[0], settings), "backward": _stacked(layers[1], settings)}


def _outputs(pair: tuple[Cell, Cell], sequences: list[Tensor], starts: list[Tensor]) -> list[Tensor]:
    """Outputs of both directions side by side, each (time, sum of their sizes)."""
    forward, backward = pair
    joint = []
    for i, sequence in enumerate(sequences):
        there = forward.scan(sequence.unsqueeze(0), starts[0][i : i + 1])[0]
        back = backward.scan(sequence.flip(0).unsqueeze(0), starts[1][i : i + 1])[0].flip(1)
        joint.append(torch.cat([there, back], dim=-1).squeeze(0))
    return joint


def _require_equal(
    module: nn.RNNBase,
    forward: list[Cell],
    backward: list[Cell],
    sequences: list[Tensor],
    starts: list[Tensor],
) -> None:
    """Refuse a module whose outputs from zero states are not those of its cells: a subclass, a hook."""
    compared = sequences[:_COMPARED]
    zeros = [torch.zeros_like(start[:_COMPARED]) for start in starts]
    expected = compared
    for layer, pair in enumerate(zip(forward, backward, strict=True)):
        expected = _outputs(pair, expected, zeros[2 * layer : 2 * layer + 2])
    for sequence, wanted in zip(compared, expected, strict=True):
        found = module(sequence)[0]
        if found.shape != wanted.shape or not torch.allclose(found, wanted, rtol=1e-6, atol=1e-6):
            raise ModuleError(
                f"the outputs of {type(module).__name__} are not those of a bidirectional torch.nn module with its "
                "weights, and its directions cannot be told apart; measure its recurrent parts by themselves"
            )


def _stacked(layers: list[LyapunovSpectrum], settings: Settings) -> LyapunovSpectrum:
    positions = [layer.position for layer in layers if layer.position is not None]
    position = Position([p.states[0] for p in positions], [p.frames[0] for p in positions])
    growths = [layer.growth for layer in layers]
    return spectrum_of_stack(
        growths, position, warmup=layers[0].warmup, state=settings.state, k=settings.k, resume=None
    )
