"""A module converted to cells with closed forms, and the cells held against the module that runs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from aelle.modules.driving import first_steps
from aelle.modules.errors import DiffersError, ModuleError
from aelle.modules.own_cells import is_own, require_true_forms
from aelle.modules.plain import PLAIN, is_plain
from aelle.modules.private import private_copy, warn_of_hooks, warn_of_training
from aelle.recurrent.cell import Cell
from aelle.recurrent.convert import cells_of, initial_states
from aelle.recurrent.flat import flat_step
from aelle.recurrent.network import Network
from aelle.words import first_line

_ROWS, _LONGEST = 4, 256


def is_convertible(module: Any) -> bool:
    """Whether a module is of a kind that has a conversion to cells, or derives from one."""
    return isinstance(module, Cell | Network | nn.RNNBase | nn.RNNCellBase)


def checked_cells(
    module: nn.Module, dtype: torch.dtype, sequences: list[Tensor], initial_state: Any = None
) -> list[Cell]:
    """One cell a layer, which do what the module does on states of its own trajectory.

    Args:
        module: of a convertible kind; never modified.
        dtype: precision of the cells.
        sequences: what drives it, each (time, input_size).
        initial_state: as `recurrent.convert.initial_states` takes it.

    Raises:
        DiffersError: where the module does something else, in words.
        TypeError, ValueError: as `recurrent.convert.cells_of`; and for sequences of another size than its inputs.
    """
    taken = int((module.layers[0] if isinstance(module, Network) else module).input_size)  # type: ignore[arg-type]
    if sequences[0].shape[-1] != taken:
        raise ValueError(
            f"inputs have {sequences[0].shape[-1]} features a step, but the network takes {taken}"
        )
    if isinstance(module, Cell | Network):
        cells = cells_of(module, dtype)
        _require_own(module, cells, dtype, sequences, initial_state)
        return cells
    if is_plain(module):
        return cells_of(module, dtype)
    warn_of_hooks(module)
    own = private_copy(module, dtype)
    try:
        # A first call derives what hooks derive (weight_norm, spectral_norm, prune) anew.
        _call(own, first_steps(sequences, 1, 1, dtype), None)
    except (RuntimeError, TypeError, ValueError) as error:
        raise DiffersError(
            f"its forward does not take what {_base(module)} takes ({first_line(error)})"
        ) from error
    warn_of_training(
        module, lambda copy: torch.cat(_call(copy, first_steps(sequences, _ROWS, 4, dtype), None)), dtype
    )
    cells = cells_of(own, dtype)
    _compare(own, cells, dtype, sequences, initial_state)
    return cells


def _require_own(
    module: nn.Module, cells: list[Cell], dtype: torch.dtype, sequences: list[Tensor], initial_state: Any
) -> None:
    """Hold a user's own cells against their steps, each under the outputs of the one below."""
    if isinstance(module, Network) and type(module).forward is not Network.forward:
        raise DiffersError("its forward is not that of an aelle network")
    if not any(is_own(cell) for cell in cells):
        return
    x = first_steps(sequences, _ROWS, 8, dtype).to(next(cells[0].parameters()).device)
    states = initial_states([cell.state_size for cell in cells], None, initial_state, dtype, x.device)
    with torch.no_grad():
        for cell, state in zip(cells, states, strict=True):
            begun = state[: len(x)].expand(len(x), -1)
            if is_own(cell):
                require_true_forms(cell, x, begun)
            x = cell.scan(x, begun)[0]


def _base(module: nn.Module) -> str:
    base = next((kind for kind in type(module).__mro__ if kind in PLAIN), nn.RNNCell)
    return f"torch.nn.{base.__name__}"


def _call(module: nn.Module, x: Tensor, states: list[Tensor] | None) -> list[Tensor]:
    """State after x (rows, time, input_size), a tensor (rows, n) a layer; as torch.nn modules take and give it."""
    weight = next(module.parameters())
    x = x.to(weight)
    if isinstance(module, nn.RNNCellBase):
        after = module(x[:, 0], None if states is None else _for_cell(module, states[0].to(weight)))
        return [torch.cat(after, dim=-1) if isinstance(after, tuple) else after]
    batch_first = bool(getattr(module, "batch_first", False))
    given = None if states is None else _for_layers(module, [state.to(weight) for state in states])
    _, last = module(x if batch_first else x.transpose(0, 1), given)
    joint = torch.cat(last, dim=-1) if isinstance(last, tuple) else last
    return list(joint.unbind(0))


def _for_cell(module: nn.Module, state: Tensor) -> Any:
    return state.chunk(2, dim=-1) if isinstance(module, nn.LSTMCell) else state


def _for_layers(module: nn.Module, states: list[Tensor]) -> Any:
    joint = torch.stack(states)
    if not isinstance(module, nn.LSTM):
        return joint
    parts = [module.proj_size or module.hidden_size, module.hidden_size]
    return tuple(part.contiguous() for part in joint.split(parts, dim=-1))


@torch.no_grad()
def _compare(
    module: nn.Module,
    cells: list[Cell],
    dtype: torch.dtype,
    sequences: list[Tensor],
    initial_state: Any,
) -> None:
    """Take single steps with both from the states that the module itself reaches: a user's code may act later only."""
    x = first_steps(sequences, _ROWS, _LONGEST, dtype)
    sizes = [cell.state_size for cell in cells]
    device = next(cells[0].parameters()).device
    x = x.to(device)
    states = initial_states(sizes, None, initial_state, dtype, device)
    states = [state[: len(x)].expand(len(x), -1) for state in states]
    try:
        for t in range(x.shape[1]):
            after = _call(module, x[:, t : t + 1], states)
            _require_equal(module, flat_step(cells, x[:, t], torch.cat(states, dim=-1)), after, t)
            states = [state.to(dtype) for state in after]
    except (RuntimeError, TypeError, IndexError) as error:
        raise DiffersError(
            f"its forward does not do what {_base(module)} does ({first_line(error)})"
        ) from error
    if isinstance(module, nn.RNNBase):
        _require_at_once(module, cells, x, initial_state, dtype)


def _require_equal(module: nn.Module, expected: Tensor, after: list[Tensor], step: int) -> None:
    found = torch.cat(after, dim=-1)
    if found.shape != expected.shape:
        raise DiffersError(
            f"its state has shape {tuple(found.shape)}, that of {_base(module)} {tuple(expected.shape)}"
        )
    precision = torch.finfo(found.dtype).eps
    tolerance = 500 * precision if precision > 1e-10 else 1e-9
    difference = (found.to(expected) - expected).abs() / expected.abs().clamp(min=1)
    finite = expected.isfinite() & found.isfinite()
    largest = float(difference[finite].max()) if bool(finite.any()) else 0.0
    if largest > tolerance:
        raise DiffersError(
            f"step {step + 1} gives a state that differs by {largest:.2g} from that of {_base(module)} with its weights"
        )


def _require_at_once(
    module: nn.Module, cells: list[Cell], x: Tensor, initial_state: Any, dtype: torch.dtype
) -> None:
    """Outputs over the first steps at once must be those of the cells: a hook may act on whole sequences."""
    x = x[:, :8]
    batch_first = bool(getattr(module, "batch_first", False))
    outputs = module(x if batch_first else x.transpose(0, 1))[0]
    outputs = outputs if batch_first else outputs.transpose(0, 1)
    expected = x
    for cell in cells:
        expected = cell.scan(expected, cell.initial_state(len(x)))[0]
    if outputs.shape != expected.shape or not torch.allclose(outputs, expected, rtol=1e-6, atol=1e-6):
        raise DiffersError(
            f"its outputs over a whole sequence are not those of {_base(module)} with its weights"
        )


def required_cells(
    module: nn.Module, dtype: torch.dtype, sequences: list[Tensor], what: str, initial_state: Any = None
) -> list[Cell]:
    """`checked_cells` for a quantity that has no other way.

    Raises:
        ModuleError: where the module has no closed form; `what` names the quantity.
    """
    if not is_convertible(module):
        raise ModuleError(
            f"{what} is taken of a torch.nn.RNN, GRU, LSTM or one of their Cells, or an aelle cell or network; got "
            f"{type(module).__name__}"
        )
    try:
        return checked_cells(module, dtype, sequences, initial_state)
    except DiffersError as difference:
        raise ModuleError(
            f"{what} is taken of cells with a closed form alone; of {type(module).__name__}, {difference}"
        ) from difference
