"""Spectra of a cohort: many networks of one architecture and size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from aelle.lyapunov.arguments import generator_of, real_tensor
from aelle.lyapunov.block_run import BlockTangent
from aelle.lyapunov.block_tangent import with_structure
from aelle.lyapunov.cell_tangent import CellTangent
from aelle.lyapunov.growth import Position
from aelle.lyapunov.inputs import Inputs, as_sequences
from aelle.lyapunov.result import LyapunovSpectrum
from aelle.lyapunov.run import Run
from aelle.lyapunov.tangent import TangentMap
from aelle.lyapunov.undisturbed import undisturbed
from aelle.modules.conversion import required_cells
from aelle.modules.driving import as_read_by
from aelle.modules.wrappers import unwrapped
from aelle.recurrent.cell import Cell
from aelle.recurrent.convert import initial_states
from aelle.spectra.front import lyapunov_spectrum
from aelle.spectra.systems import check_settings, directions, first_frames, number_of


def lyapunov_spectra(
    networks: Sequence[nn.Module],
    inputs: Inputs,
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
    batched: bool | None = None,
) -> list[LyapunovSpectrum]:
    """Spectra of a cohort, networks of one architecture and size, as one batch where that pays.

    On an accelerator the networks become one population, all rows of one run. On a CPU, where batches of small
    matrices gain nothing, they are taken one by one. All further settings are those of `lyapunov_spectrum`;
    initial_state and tolerance need networks that are taken one by one.

    Args:
        networks: as `lyapunov_spectrum` takes them.
        inputs: for all, as `lyapunov_spectrum` reads them; or with a first dimension more, (networks, ...), one for each.
        batched: whether to take them as one batch, whatever the device.

    Raises:
        ValueError: where the networks or their inputs do not fit together, or one batch is to have an initial
            state or a tolerance.
    """
    if not isinstance(networks, list | tuple | nn.ModuleList):
        raise TypeError(f"a cohort is a list of networks, got {type(networks).__name__}")
    if not networks:
        raise ValueError("a cohort needs at least one network")
    if hasattr(inputs, "__array__"):
        inputs = real_tensor("inputs", inputs)
    shared = not (isinstance(inputs, Tensor) and inputs.dim() == 4)
    if not shared and len(inputs) != len(networks):
        raise ValueError(f"inputs are for {len(inputs)} networks, but there are {len(networks)}")
    if batched is None:
        batched = next(networks[0].parameters()).is_cuda
    settings: dict[str, Any] = {
        "steps": steps, "state": state, "k": k, "warmup": warmup, "qr_interval": qr_interval, "dtype": dtype,
        "generator": generator_of(generator), "progress": progress,
    }  # fmt: skip
    if batched:
        if initial_state is not None or tolerance is not None:
            raise ValueError(
                "networks in one batch take no initial_state and no tolerance; use batched=False"
            )
        return _population_spectra(networks, inputs, shared, **settings)
    settings |= {"initial_state": initial_state, "tolerance": tolerance}
    each = [inputs] * len(networks) if shared else list(inputs)
    return [lyapunov_spectrum(net, x, **settings) for net, x in zip(networks, each, strict=True)]


@undisturbed
@torch.no_grad()
def _population_spectra(
    networks: Sequence[nn.Module],
    inputs: Any,
    shared: bool,
    *,
    steps: int | None,
    state: str,
    k: int | None,
    warmup: int | str,
    qr_interval: int | str,
    dtype: torch.dtype,
    generator: torch.Generator | None,
    progress: bool,
) -> list[LyapunovSpectrum]:
    check_settings(state, qr_interval, dtype, None)
    networks = [unwrapped(network) for network in networks]
    given = [inputs] * len(networks) if shared else list(inputs)
    each = [as_sequences(as_read_by(network, x)) for network, x in zip(networks, given, strict=True)]
    layers = list(zip(*map(_cells(dtype), networks, each), strict=True))
    dense = [CellTangent(type(cells[0]).stack(cells), state == "hidden") for cells in layers]
    k = number_of(k, sum(tangent.size for tangent in dense))
    sequences = [sequence for own in each for sequence in own]
    device = next(layers[0][0].parameters()).device
    states = initial_states([cells[0].state_size for cells in layers], len(sequences), None, dtype, device)
    stack: list[TangentMap | BlockTangent] = [
        with_structure(tangent, directions(tangent, k)) for tangent in dense
    ]
    frames = [first_frames(tangent, k, like, generator) for tangent, like in zip(stack, states, strict=True)]
    interval = None if qr_interval == "auto" else int(qr_interval)
    run = Run(stack, state, k, interval, None, progress)
    return run.start_population(Position(states, frames), sequences, steps, warmup, len(networks))


def _cells(dtype: torch.dtype) -> Callable[[nn.Module, list[Tensor]], list[Cell]]:
    return lambda network, sequences: required_cells(network, dtype, sequences, "a cohort as one batch")
