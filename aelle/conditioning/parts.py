"""The recurrent parts of a network, each as a stack under what drives it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from aelle.conditioning.read_cell import ReadCell
from aelle.conditioning.stack import Drive, Stack, tangent_of
from aelle.lyapunov.cell_tangent import CellTangent
from aelle.lyapunov.inputs import as_sequences
from aelle.modules.driving import as_read_by
from aelle.modules.errors import ModuleError
from aelle.modules.measured import Measured, ModuleTangent, measured_module
from aelle.modules.module_cell import place_of
from aelle.modules.step import CELL
from aelle.modules.wrappers import unwrapped
from aelle.recurrent.cell import Cell
from aelle.recurrent.convert import directions_of
from aelle.recurrent.network import Network
from aelle.spectra.parts import driven_parts, is_larger_model
from aelle.spectra.readout import readout_of

MOST = 32
"""Sequences that are run, at most; half of them to fit by, half to judge by."""


def stacks_of(
    model: nn.Module,
    inputs: Any,
    readout: nn.Linear | None,
    horizon: int | None,
    initial_state: Any,
    part: str | None,
    seed: int,
) -> Iterator[Stack]:
    """The stacks of a network, one after the other, each driven by those before as they are when it is asked for.

    Raises:
        TypeError: for a network or readout of an unknown kind, and a network without a recurrent part.
        ValueError: for inputs, a horizon or a readout that do not fit, and parameters that are not finite.
    """
    model = unwrapped(model)
    if isinstance(model, torch.jit.ScriptModule):
        raise ModuleError("a scripted module is not conditioned; condition the module that it was made from")
    if not isinstance(model, nn.Module):
        raise TypeError(f"expected a torch module, an aelle cell or network; got {type(model).__name__}")
    if not is_larger_model(model, part) or (initial_state is not None and part is None):
        yield from _stacks("", model, inputs, readout, horizon, initial_state, seed)
        return
    for name in driven_parts(model, inputs, part):
        module, sequences, begun = driven_parts(model, inputs, name)[name]
        yield from _stacks(name, unwrapped(module), sequences, readout, horizon, begun, seed)


def _stacks(
    name: str, module: Any, inputs: Any, readout: Any, horizon: int | None, begun: Any, seed: int
) -> Iterator[Stack]:
    if isinstance(module, nn.RNNBase) and module.bidirectional:
        yield from _directions(name, module, inputs, readout, horizon, begun, seed)
        return
    taken = measured_module(module, as_read_by(module, inputs), torch.float64, begun)
    drive = _chosen(taken, seed)
    reach = _horizon(horizon, drive.inputs.shape[1])
    read_by = readout_of(module, readout)
    if isinstance(taken.stack[0], ModuleTangent):
        cells: list[Cell] = [ReadCell(taken.stack[0], _output_place(taken, read_by))]
    else:
        cells = [copy.deepcopy(t.cell) for t in taken.stack if isinstance(t, CellTangent)]
    for cell in cells:
        cell.requires_grad_(True)
    if read_by is not None and read_by.in_features != cells[-1].output_size:
        raise ValueError(
            f"the readout takes {read_by.in_features} numbers, the last layer gives {cells[-1].output_size}"
        )
    owners = [_owners(name, module, layer, cell) for layer, cell in enumerate(cells)]
    yield Stack(name, cells, [tangent_of(cell) for cell in cells], owners, drive, _double(read_by), reach)


def _double(readout: nn.Linear | None) -> nn.Linear | None:
    return None if readout is None else copy.deepcopy(readout).double().requires_grad_(False)


def _chosen(taken: Measured, seed: int) -> Drive:
    """At most `MOST` of the sequences, which must be of one length of two steps or more."""
    sequences = taken.sequences
    if sequences is None:
        raise ValueError("give inputs: a network is conditioned for what drives it")
    if len({len(sequence) for sequence in sequences}) > 1 or len(sequences[0]) < 2:
        raise ValueError("give sequences of one length, of two steps or more")
    kept = torch.randperm(len(sequences), generator=torch.Generator().manual_seed(seed))[:MOST].sort().values
    inputs = torch.stack([sequences[i] for i in kept]).to(taken.states[0])
    states = [state.expand(len(sequences), -1)[kept.to(state.device)] for state in taken.states]
    return Drive(inputs, states)


def _horizon(given: int | None, steps: int) -> int:
    if given is not None and given > steps:
        raise ValueError(
            f"a horizon of {given} steps is longer than the inputs, of {steps}; give longer inputs or a shorter horizon"
        )
    return steps if given is None else given


@torch.no_grad()
def _output_place(taken: Measured, readout: nn.Linear | None) -> slice:
    """Where in the state of a module without a closed form that stands which a readout reads."""
    tangent = taken.stack[0]
    if readout is None or not isinstance(tangent, ModuleTangent) or taken.sequences is None:
        return slice(None)
    step, states = tangent.step, taken.states[0]
    x = torch.stack([sequence[0] for sequence in taken.sequences]).to(states)
    result = step.call.once(step.shaped(x), step.layout.unflatten(states))
    first = result[0] if isinstance(result, tuple | list) else result
    output = first if step.call.way == CELL else step.call.output(result)
    if isinstance(output, Tensor) and output.dim() == 3:
        output = output[:, -1]
    offset = place_of(output, step.flat(result)) if isinstance(output, Tensor) else None
    if offset is None or not isinstance(output, Tensor):
        raise ValueError("what the module passes on is no part of its state; leave readout out")
    return slice(offset, offset + output.shape[-1])


def _owners(
    name: str, module: nn.Module, layer: int, cell: Cell, way: str = ""
) -> dict[str, tuple[str, nn.Parameter | None]]:
    """The user's parameter, with its qualified name, of each that the cell has; None where it is derived from others."""
    owner, suffix, drop = module, "", ""
    if isinstance(module, Network):
        owner = module.layers[layer]
    elif isinstance(module, nn.RNNBase) and not isinstance(cell, ReadCell):
        suffix = f"_l{layer}{way}"
    elif isinstance(cell, ReadCell):
        drop = "module."
    own, found = dict(owner.named_parameters()), {}
    prefix = (f"{name}." if name else "") + (f"cells.{layer}." if isinstance(module, Network) else "")
    for inner, _ in cell.named_parameters():
        label = inner.removeprefix(drop) + suffix
        found[inner] = f"{prefix}{label}", own.get(label)
    return found


def _directions(
    name: str,
    module: nn.RNNBase,
    inputs: Any,
    readout: nn.Linear | None,
    horizon: int | None,
    begun: Any,
    seed: int,
) -> Iterator[Stack]:
    """Each layer of each direction as a stack of its own, since both directions drive the layer above."""
    if readout is not None:
        raise ValueError(
            "a bidirectional module is conditioned direction by direction, and no readout reads one; leave readout out"
        )
    if begun is not None:
        raise ValueError("initial_state is not taken for bidirectional modules; they begin with zeros")
    sequences = as_sequences(as_read_by(module, inputs))
    if sequences[0].shape[-1] != module.input_size:
        raise ValueError(
            f"inputs have {sequences[0].shape[-1]} features a step, but the network takes {module.input_size}"
        )
    like = [torch.zeros(1, 1, dtype=torch.float64)]
    below = _chosen(Measured([], like, sequences), seed).inputs
    pairs = list(zip(*directions_of(module, torch.float64), strict=True))
    for layer, pair in enumerate(pairs):
        outputs = []
        for cell, way in zip(pair, ("", "_reverse"), strict=True):
            driving = below.flip(1) if way else below
            label = ".".join(filter(None, (name, f"layer {layer} {'backward' if way else 'forward'}")))
            owners = [_owners(name, module, layer, cell, way)]
            drive = Drive(driving, [cell.initial_state(len(driving)).detach()])
            reach = _horizon(horizon, driving.shape[1])
            stack = Stack(label, [cell.requires_grad_(True)], [tangent_of(cell)], owners, drive, None, reach)
            yield stack
            with torch.no_grad():
                output = cell.output(cell.trajectory(driving, drive.states[0])[:, 1:])
            outputs.append(output.flip(1) if way else output)
        below = torch.cat(outputs, dim=-1)
