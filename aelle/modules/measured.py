"""One module as a stack of tangent maps, with initial states and driving sequences."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from aelle.lyapunov.automatic import AutomaticTangent
from aelle.lyapunov.cell_tangent import CellTangent
from aelle.lyapunov.inputs import as_sequences
from aelle.lyapunov.tangent import TangentMap
from aelle.modules.conversion import checked_cells, is_convertible
from aelle.modules.driving import driving_sequences, first_steps
from aelle.modules.errors import DiffersError, ModuleError
from aelle.modules.private import private_copy, warn_of_hooks, warn_of_training
from aelle.modules.reading import first_state, read
from aelle.modules.step import ModuleStep
from aelle.recurrent.convert import initial_states
from aelle.recurrent.network import Network


@dataclass(frozen=True)
class Measured:
    """What the loop needs.

    Attributes:
        stack: tangent maps, first layer to last.
        states: initial state (rows, n) of each.
        sequences: what drives the first, each (time, d); None for an autonomous map.
        skipped: first steps of the sequences given that are not among them, since the state is known only after them.
    """

    stack: list[TangentMap]
    states: list[Tensor]
    sequences: list[Tensor] | None
    skipped: int = 0


def measured_module(
    module: nn.Module, inputs: Any, dtype: torch.dtype, initial_state: Any = None, hidden_only: bool = False
) -> Measured:
    """The module as it runs, in closed form where it is what it looks like, else by automatic differentiation.

    Args:
        module: any with module(x, state), returning state or (output, state); never modified.
        inputs: (batch, time, ...), as `driving.driving_sequences` takes them.
        dtype: precision of states and frames.
        initial_state: as `recurrent.convert.initial_states` takes it, or a state of the module's own structure.
        hidden_only: ∂h'/∂h at fixed other parts of the state.

    Raises:
        ModuleError: where the module has no step that can be measured; it says what stands in the way.
        ValueError: for inputs or an initial state that do not fit.
    """
    if is_convertible(module):
        try:
            sequences = None if inputs is None else as_sequences(inputs)
            return _converted(module, sequences, dtype, initial_state, hidden_only)
        except DiffersError as difference:
            return _automatic(module, inputs, dtype, initial_state, hidden_only, str(difference))
    return _automatic(module, inputs, dtype, initial_state, hidden_only, None)


def _converted(
    module: nn.Module,
    sequences: list[Tensor] | None,
    dtype: torch.dtype,
    initial_state: Any,
    hidden_only: bool,
) -> Measured:
    first = module.layers[0] if isinstance(module, Network) else module
    taken = int(first.input_size)  # type: ignore[arg-type]
    undriven = [torch.zeros(8, taken)]
    cells = checked_cells(module, dtype, sequences or undriven, initial_state)
    device = next(cells[0].parameters()).device
    rows = None if sequences is None else len(sequences)
    states = initial_states([cell.state_size for cell in cells], rows, initial_state, dtype, device)
    return Measured([CellTangent(cell, hidden_only) for cell in cells], states, sequences)


def _automatic(
    module: nn.Module,
    inputs: Any,
    dtype: torch.dtype,
    initial_state: Any,
    hidden_only: bool,
    difference: str | None,
) -> Measured:
    name = type(module).__name__
    because = "" if difference is None else f"; {difference}"
    if hidden_only:
        raise ValueError(f'state="hidden" needs a cell with a closed form, which {name} is not{because}')
    if inputs is None:
        raise ValueError(f"{name} needs inputs to drive it; an autonomous map is measured as a DrivenMap")
    sequences, features = driving_sequences(inputs)
    own = private_copy(module, dtype)
    if difference is None:
        warn_of_hooks(module)
    device = next((parameter.device for parameter in own.parameters()), torch.device("cpu"))
    sequences = [sequence.to(device=device, dtype=dtype) for sequence in sequences]
    structured = not (
        initial_state is None or (isinstance(initial_state, Tensor) and initial_state.dim() < 2)
    )
    with torch.no_grad():
        try:
            probe = first_steps(sequences, 8, 8, dtype)
            step = read(own, probe, features, dtype)
        except DiffersError as error:
            if not structured:
                raise _refusal(name, str(error), difference) from error
            try:
                step = read(own, probe, features, dtype, initial_state)
            except DiffersError as again:
                raise _refusal(name, str(again), difference) from again
        states, sequences, skipped = _begin(step, sequences, dtype, initial_state)
    warn_of_training(module, lambda copy: _one_step(step, copy, sequences, states), dtype)
    tangent = ModuleTangent(step, name, torch.stack([sequence[0] for sequence in sequences]), states)
    return Measured([tangent], [states], sequences, skipped)


class ModuleTangent(AutomaticTangent):
    """A module's step as a tangent map.

    Args:
        step: the module read as a step.
        name: of its class.
        inputs: first inputs (rows, d).
        states: first states (rows, n).
    """

    def __init__(self, step: ModuleStep, name: str, inputs: Tensor, states: Tensor) -> None:
        super().__init__(step, step.layout.size, name)
        self.step = step
        self.input_size = inputs.shape[-1]
        self._first = inputs, states

    def probe(self, rows: int) -> tuple[Tensor, Tensor]:
        """First inputs, at random states about the first ones."""
        inputs, states = (tensor.repeat(-(-rows // len(tensor)), 1)[:rows] for tensor in self._first)
        generator = torch.Generator().manual_seed(0)
        draw = torch.rand(states.shape, generator=generator, dtype=torch.float64)
        return inputs, states + draw.to(states)


def _one_step(step: ModuleStep, module: Any, sequences: list[Tensor], states: Tensor) -> Tensor:
    x = torch.stack([sequence[0] for sequence in sequences])
    call = dataclasses.replace(step.call, module=module)
    return ModuleStep(call, step.layout, step.features, states.dtype)(x, states)


def _begin(
    step: ModuleStep, sequences: list[Tensor], dtype: torch.dtype, given: Any
) -> tuple[Tensor, list[Tensor], int]:
    """Initial state, and the sequences from there."""
    rows = len(sequences)
    if given is not None and step.layout.fits(given):
        flat = step.layout.flatten(given, dtype).to(sequences[0].device)
        return initial_states([step.layout.size], rows, flat, dtype, flat.device)[0], sequences, 0
    if given is not None:
        return initial_states([step.layout.size], rows, given, dtype, sequences[0].device)[0], sequences, 0
    states, after = first_state(step, torch.stack([sequence[0] for sequence in sequences]))
    if not after:
        return states, sequences, 0
    if min(len(sequence) for sequence in sequences) < 2:
        raise ValueError(
            "the module's first state is known only after one step; give sequences of two steps or more"
        )
    return states, [sequence[1:] for sequence in sequences], 1


def _refusal(name: str, reason: str, difference: str | None) -> ModuleError:
    looks = "" if difference is None else f" It looks like one with a closed form, but {difference}."
    return ModuleError(
        f"{name} cannot be read as module(x, state) returning state or (output, state): {reason}.{looks} "
        "Pass initial_state= where it needs one to begin with, the recurrent part of a larger model by itself, or "
        "aelle.DrivenMap(step, state_size)"
    )
