"""How strongly what a network answers depends on its state some steps before: growth backward in time.

A spectrum averages over all directions of the state. What a task needs is that the directions which its
readout reads reach back to the inputs that matter, so here the adjoint of the tangent map, v_t = J_tᵀ v_{t+1},
starts from the readout: v at lag τ is the gradient of an output with respect to the state τ steps earlier,
the quantity whose vanishing or explosion decides what gradient descent can learn (Bengio, Simard & Frasconi
1994; Pascanu, Mikolov & Bengio 2013).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from aelle.lyapunov.cell_tangent import CellSegment, CellTangent
from aelle.lyapunov.compiled_linearisation import compiled_jacobians
from aelle.lyapunov.inputs import as_sequences
from aelle.lyapunov.undisturbed import undisturbed
from aelle.modules.conversion import required_cells
from aelle.modules.driving import as_read_by
from aelle.modules.module_cell import ModuleCell
from aelle.modules.wrappers import unwrapped
from aelle.recurrent.cell import Cell
from aelle.recurrent.network import Network

LAGS = 24  # at most; short sequences have fewer whole numbers to choose from
_DIRECTIONS = 32
"""Of output space, per sequence. With 4 of them chance decided a part of what growth says of an outcome (docs/spectrum.md)."""
_SEED = 4
_SMALLEST, _LARGEST = 1e-300, 1e300
_DENSE_BYTES = 100_000_000
"""Jacobians that are kept at once, at most."""


def growth_lags(length: int) -> list[int]:
    """Lags at which growth is recorded for sequences of `length` steps: 0, then about evenly in logarithm to it."""
    steps = max(LAGS - 2, 1)
    return sorted({0, *(round(length ** (i / steps)) for i in range(steps + 1))})


def readout_growth(
    model: nn.Module, inputs: Tensor, readout: nn.Linear | None = None, *, initial_state: Tensor | None = None
) -> Tensor:
    """⟨ln ‖∂(u · y_T) / ∂s_{T-τ}‖⟩ at each lag of `growth_lags(T)`, float64 (lags,), in nats.

    y_T is the output at the last step, u a random unit vector of output space (equal draws for every
    network), s the joint state of all layers; the mean is over sequences and directions u. At lag 0 it is the
    norm of the readout itself. A gradient that vanishes to less than 1e-300, or explodes above 1e300, counts as
    that bound, so that the result is always finite.

    Args:
        model: a torch.nn.RNN, GRU, LSTM or one of their Cells, or an aelle cell or network; never modified.
        inputs: sequences of T steps as the task gives them, read as `lyapunov_spectrum` reads them.
        readout: what reads the last hidden vector; None takes that of an aelle network, or the hidden vector as
            it is where there is none.
        initial_state: (n,) over all layers; zeros where None, as in training.

    Raises:
        TypeError: for a model or readout of an unknown kind.
        ValueError: for inputs or a readout of another size, NaN in them, or parameters that are not finite.
    """
    return cohort_readout_growth([model], inputs, [readout], initial_state=initial_state)[0]


@undisturbed
def cohort_readout_growth(
    models: Sequence[nn.Module],
    inputs: Tensor,
    readouts: Sequence[nn.Linear | None] | None = None,
    *,
    initial_state: Tensor | None = None,
) -> Tensor:
    """`readout_growth` of networks of one architecture and size, as one batch: (networks, lags)."""
    models = [unwrapped(model) for model in models]
    read_by = [readout_of(m, r) for m, r in zip(models, readouts or [None] * len(models), strict=True)]
    sequences = as_sequences(as_read_by(models[0], inputs))
    if len({len(sequence) for sequence in sequences}) > 1:
        raise ValueError("all sequences must have one length, since growth is counted from their last step")
    driving = torch.stack(sequences).double()
    layers = _layers(models, sequences, initial_state)
    return growth_of_layers(layers, driving, read_by, initial_state)


def growth_of_layers(
    layers: Sequence[Cell],
    driving: Tensor,
    read_by: Sequence[nn.Linear | None],
    initial_state: Tensor | None,
    segment: CellSegment | None = None,
) -> Tensor:
    """Readout growth (networks, lags) of networks that are cells already, float64, one readout per network.

    `segment` is the trajectory of the only layer of the only network, where it is at hand.
    """
    _check_readouts(layers, read_by)
    driving = driving.to(next(layers[0].parameters()))
    weights = [
        None if readout is None else readout.weight.detach().clone().to(driving) for readout in read_by
    ]
    growth = None
    if len(read_by) == len(layers) == 1:
        growth = _by_compiled_loops(layers[0], driving, initial_state, weights[0], segment)
    if growth is None:
        growth = _by_autograd(layers, driving, initial_state, weights)
    return growth.nan_to_num(math.log(_LARGEST)).clamp(math.log(_SMALLEST), math.log(_LARGEST)).mean(-1).cpu()


def unit_directions(rows: int, like: Tensor) -> Tensor:
    """Unit vectors u of output space, (rows, d), like outputs (..., d)."""
    generator = torch.Generator().manual_seed(_SEED)
    drawn = torch.randn(rows, like.shape[-1], generator=generator, dtype=torch.float64)
    return (drawn / drawn.norm(dim=-1, keepdim=True)).to(like)


@torch.no_grad()
def _by_compiled_loops(
    cell: Cell,
    driving: Tensor,
    initial_state: Tensor | None,
    weight: Tensor | None,
    segment: CellSegment | None,
) -> Tensor | None:
    """ln norms (1, lags, sequences × directions) of one layer; None where the compiled loops do not take it."""
    sequences, steps = driving.shape[:2]
    if segment is None:
        start = cell.initial_state(sequences) if initial_state is None else initial_state.to(driving)
        segment = CellTangent(cell).segment(driving, start.expand(sequences, -1), steps, 1, None)
    jacobians = segment.compiled or _dense(cell, segment, steps)
    if jacobians is None:
        return None
    seen = _seen(cell, segment.states[:, -1].repeat_interleave(_DIRECTIONS, dim=0), weight)
    logs = jacobians.pull(seen.view(sequences, _DIRECTIONS, -1), steps, growth_lags(steps))
    return logs.transpose(0, 1).reshape(1, logs.shape[1], -1)


def _seen(cell: Cell, last: Tensor, weight: Tensor | None) -> Tensor:
    """Gradients of u · y at states (rows, n), one u a row."""
    if type(cell).output is Cell.output:  # the first components, as they are
        hidden = last[:, : cell.output_size]
        along = unit_directions(len(last), hidden if weight is None else weight[:, 0])
        return torch.nn.functional.pad(
            along if weight is None else along @ weight, (0, last.shape[1] - hidden.shape[1])
        )
    with torch.enable_grad():
        last = last.clone().requires_grad_()
        output = cell.output(last) if weight is None else cell.output(last) @ weight.mT
        return torch.autograd.grad((unit_directions(len(last), output) * output).sum(), last)[0]


def _dense(cell: Cell, segment: CellSegment, steps: int) -> Any:
    """Explicit Jacobians of all steps as the compiled loops take them; None of cells without a closed form for them."""
    rows, _, n = segment.states.shape
    if isinstance(cell, ModuleCell) or 8 * rows * steps * n * n > _DENSE_BYTES:
        return None
    found = compiled_jacobians(segment.chunk(0, steps), segment.states)
    return None if found is None else found[0]


@torch.enable_grad()
def _by_autograd(
    layers: Sequence[Cell], driving: Tensor, initial_state: Tensor | None, weights: Sequence[Tensor | None]
) -> Tensor:
    """ln norms (networks, lags, sequences × directions), of any stack or population."""
    output, states = joint_trajectory(layers, driving, initial_state)
    read_by = [weight for weight in weights if weight is not None]
    if read_by:
        output = output @ (read_by[0] if len(read_by) == 1 else torch.stack(read_by)).mT
    wanted = [states[-1 - lag] for lag in growth_lags(driving.shape[1])]
    sequences = len(driving)
    directions = (
        unit_directions(sequences * _DIRECTIONS, output).view(sequences, _DIRECTIONS, -1).transpose(0, 1)
    )
    # All directions go back through one graph, which holds each sequence once.
    given = directions.view(_DIRECTIONS, *[1] * (output.dim() - 2), *directions.shape[1:])
    given = given.expand(_DIRECTIONS, *output.shape).contiguous()
    gradients = torch.autograd.grad(output, wanted, given, is_grads_batched=True)
    growth = torch.stack([_log_norm(gradient) for gradient in gradients])  # (lags, directions, *P, sequences)
    growth = growth.view(len(wanted), _DIRECTIONS, len(weights), sequences)
    return growth.permute(2, 0, 3, 1).flatten(-2)


def readout_of(model: nn.Module, given: nn.Linear | None) -> nn.Linear | None:
    """What reads the last hidden vector: the one given, else that of an aelle network, else None; or TypeError."""
    readout = given if given is not None or not isinstance(model, Network) else model.readout
    if readout is not None and not isinstance(readout, nn.Linear):
        raise TypeError(f"readout must be a torch.nn.Linear or None, got {type(readout).__name__}")
    return readout


def _layers(models: Sequence[nn.Module], sequences: list[Tensor], initial_state: Tensor | None) -> list[Cell]:
    """One cell a layer, in float64; for several models with stacked parameters."""
    with torch.no_grad():
        each = [
            required_cells(model, torch.float64, sequences, "readout_growth", initial_state)
            for model in models
        ]
    if len(each) == 1:
        return each[0]
    with torch.random.fork_rng(devices=[]):  # building a cell draws its parameters
        return [type(cells[0]).stack(cells) for cells in zip(*each, strict=True)]


def _check_readouts(layers: Sequence[Cell], read_by: Sequence[nn.Linear | None]) -> None:
    for readout in (readout for readout in read_by if readout is not None):
        if readout.in_features != layers[-1].output_size:
            raise ValueError(
                f"the readout takes {readout.in_features} numbers, the last layer gives {layers[-1].output_size}"
            )


def joint_trajectory(
    layers: Sequence[Cell], driving: Tensor, initial_state: Tensor | None
) -> tuple[Tensor, Sequence[Tensor]]:
    """Last hidden vector (*P, batch, H), and the joint states (*P, batch, n) of all times, in one autograd graph."""
    sizes, population = [cell.state_size for cell in layers], layers[0].population
    start = torch.zeros(sum(sizes)) if initial_state is None else initial_state
    joint = start.to(driving).expand(*population, len(driving), -1).clone().requires_grad_()
    states = [joint]
    for step_input in driving.unbind(dim=1):
        below, parts = step_input.expand(*population, -1, -1), []
        for cell, state in zip(layers, joint.split(sizes, dim=-1), strict=True):
            parts.append(cell.step(below, state))
            below = cell.output(parts[-1])
        joint = torch.cat(parts, dim=-1)
        states.append(joint)
    # The last hidden vector is read from the joint state, so that lag 0 is the readout alone.
    return layers[-1].output(joint.split(sizes, dim=-1)[-1]), states


def _log_norm(gradient: Tensor) -> Tensor:
    """Natural logarithm of the norms of the rows, without overflow or underflow on the way."""
    largest = gradient.abs().amax(dim=-1, keepdim=True).nan_to_num(_LARGEST, _LARGEST)
    scale = largest.clamp(_SMALLEST, _LARGEST)
    return (gradient / scale).norm(dim=-1).log() + scale.squeeze(-1).log()
