"""The recurrent parts of a larger model, and what drives them: taken down while the model runs its own forward once."""

from __future__ import annotations

import inspect
import re
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, unpack_sequence
from torch.utils._pytree import tree_map_only, tree_unflatten

from aelle.modules.conversion import is_convertible
from aelle.modules.errors import ModuleError
from aelle.modules.restore import as_it_was
from aelle.modules.state import tree_flatten
from aelle.words import first_line, hint

_STATE_NAME = re.compile(r"state|hid|^h_?\d*$|^hx|^hc|carry|cache|mem|prev|past|^[scz]$")


@dataclass
class Part:
    """A recurrent part of a model as the model ran it.

    Attributes:
        name: qualified, as `named_modules` gives it.
        module: the part itself, the model's own.
        sequences: what drove it, one a row, each (time, ...).
        initial_state: what it began with, in its own structure, rows in the order of the sequences; None for its own.
    """

    name: str
    module: nn.Module
    sequences: list[Tensor] = field(default_factory=list)
    initial_state: Any = None


@dataclass
class _Call:
    x: Any
    state: Any
    result: Any


def takes_state(module: nn.Module) -> bool:
    """Whether a module's forward has a second argument that is named like a state."""
    try:
        parameters = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        return False
    return len(parameters) > 1 and bool(_STATE_NAME.search(parameters[1].name.lower()))


def recurrent_parts(model: nn.Module) -> dict[str, nn.Module]:
    """Recurrent modules inside a model, outermost first, by qualified name; not the model itself."""
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        inside = any(name.startswith(outer + ".") for outer in found)
        if name and not inside and (is_convertible(module) or (takes_state(module) and _has_weights(module))):
            found[name] = module
    return found


def _has_weights(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def captured_parts(model: nn.Module, batch: Any, part: str | None = None) -> dict[str, Part]:
    """Run a model's own forward once, in evaluation mode, and take down what drives each of its recurrent parts.

    The model is left as it was. Its hooks, and what else its forward does outside it, happen once.

    Args:
        model: with recurrent modules in it.
        batch: what its forward takes: a tensor (whole numbers too), a tuple or list of arguments, of which it gets as
            many as it takes, or a dict of named ones.
        part: qualified name of the one part wanted; all that ran where None.

    Raises:
        ModuleError: where there is no such part, none ran, the forward fails, or the model changes a part's state.
    """
    wanted = recurrent_parts(model)
    if part is not None:
        modules = dict(model.named_modules())
        if part not in modules or not part:
            known = hint(part, wanted) if wanted else "it has no recurrent part"
            raise ModuleError(f"{type(model).__name__} has no part {part!r}; {known}")
        wanted = {part: modules[part]}
    calls: dict[str, list[_Call]] = {name: [] for name in wanted}
    args, kwargs = _arguments(model, batch)
    with as_it_was(model), ExitStack() as hooks:
        for name, module in wanted.items():
            for handle in _record(module, calls[name]):
                hooks.callback(handle.remove)
        try:
            model(*args, **kwargs)
        except Exception as error:
            raise ModuleError(
                f"{type(model).__name__} fails on these inputs ({type(error).__name__}: {first_line(error)}); give what "
                "its forward takes: a tensor, a tuple of arguments or a dict of named ones"
            ) from error
    ran = {name: _part(name, module, calls[name]) for name, module in wanted.items() if calls[name]}
    if not ran:
        raise ModuleError(
            f"no recurrent part of {type(model).__name__} ran; of {', '.join(wanted) or 'none'}"
        )
    return ran


def _arguments(model: nn.Module, batch: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments of the model's forward in a batch, on the model's device."""
    device = next((parameter.device for parameter in model.parameters()), None)
    batch = tree_map_only(Tensor, lambda tensor: tensor.to(device), batch)
    if isinstance(batch, dict):
        return (), batch
    if not isinstance(batch, tuple | list):
        return (batch,), {}
    positional = [
        parameter
        for parameter in inspect.signature(model.forward).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    if len(positional) == 1 and re.search(r"batch|inputs$|data|pair|xs$|args", positional[0].name):
        return (batch,), {}  # it takes the batch apart itself
    return tuple(batch[: len(positional)] if positional else batch), {}


def _record(module: nn.Module, calls: list[_Call]) -> list[Any]:
    """Take arguments down before the user's hooks change them, and results as the model gets them."""
    pending: list[tuple[Any, Any]] = []

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = [*args, *kwargs.values()]
        copied = tree_map_only(Tensor, lambda tensor: tensor.detach().clone(), given[:2])
        pending.append((copied[0], copied[1] if len(copied) > 1 else None))

    def after(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        x, state = pending.pop()
        calls.append(_Call(x, state, tree_map_only(Tensor, lambda tensor: tensor.detach().clone(), result)))

    return [
        module.register_forward_pre_hook(before, prepend=True, with_kwargs=True),
        module.register_forward_hook(after, with_kwargs=True),
    ]


def _part(name: str, module: nn.Module, calls: list[_Call]) -> Part:
    """Join calls to sequences: a call goes on from the one before, or begins anew."""
    first = calls[0]
    runs: list[list[_Call]] = []
    for call in calls:
        if runs and call.state is not None and _equal(call.state, _state_in(runs[-1][-1].result, call.state)):
            runs[-1].append(call)
        elif not runs or call.state is None or _equal(call.state, first.state):
            runs.append([call])
        else:
            raise ModuleError(
                f"the model changes the state of {name} between its calls, so that its own step is not all of the map; "
                "measure the module that holds the whole step, or a DrivenMap of it"
            )
    part = Part(name, module)
    for run in runs:
        part.sequences += _joined(module, run)
    begun = [run[0].state for run in runs]
    if any(state is not None for state in begun):
        part.initial_state = begun[0] if len(runs) == 1 else _stacked(name, module, begun)
    return part


def _state_in(result: Any, like: Any) -> Any:
    """The state in a result: what has the structure of the state given."""
    spec = tree_flatten(like)[1]
    candidates = [result] if not isinstance(result, tuple | list) else [result[-1], result, tuple(result[1:])]
    return next((c for c in candidates if tree_flatten(c)[1] == spec), None)


def _equal(a: Any, b: Any) -> bool:
    one, other = tree_flatten(a), tree_flatten(b)
    return one[1] == other[1] and all(
        torch.equal(x, y) if isinstance(x, Tensor) and isinstance(y, Tensor) else x is y
        for x, y in zip(one[0], other[0], strict=True)
    )


def _joined(module: nn.Module, run: list[_Call]) -> list[Tensor]:
    """Sequences (time, ...), one a row, of successive calls."""
    inputs = [call.x for call in run]
    if isinstance(inputs[0], PackedSequence):
        return list(unpack_sequence(inputs[0]))
    if _is_cell(module, inputs[0]):
        return list(torch.stack([x if x.dim() > 1 else x.unsqueeze(0) for x in inputs], dim=1))
    if inputs[0].dim() == 2 and isinstance(module, nn.RNNBase):
        return [torch.cat(inputs)]  # unbatched
    batch_first = bool(getattr(module, "batch_first", not isinstance(module, nn.RNNBase)))
    return list(torch.cat([x if batch_first else x.transpose(0, 1) for x in inputs], dim=1))


def _is_cell(module: nn.Module, x: Tensor) -> bool:
    if isinstance(module, nn.RNNCellBase):
        return True
    return not isinstance(module, nn.RNNBase) and x.is_floating_point() and x.dim() == 2


def _stacked(name: str, module: nn.Module, states: list[Any]) -> Any:
    """One state whose rows are those of several."""
    each = [tree_flatten(state) for state in states]
    if any(state is None for state in states) or not is_convertible(module):
        raise ModuleError(
            f"the model begins {name} several times, from states of its own; give a batch on which it runs once"
        )
    axis = 1 if isinstance(module, nn.RNNBase) else 0
    leaves = [torch.cat(list(parts), dim=axis) for parts in zip(*(leaf for leaf, _ in each), strict=True)]
    return tree_unflatten(leaves, each[0][1])
