"""How is a module called, and what is its state? Found by calling it, and believed only where its answers agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from aelle.lyapunov.audit import agree
from aelle.modules.errors import DiffersError
from aelle.modules.private import cast
from aelle.modules.state import StateLayout
from aelle.modules.step import BATCH_FIRST, CELL, TIME_FIRST, Call, Features, ModuleStep
from aelle.words import first_line

_ROWS, _OTHER_ROWS, _STEPS = 3, 5, 4
_INITIAL_STATE_METHODS = (
    "initial_state",
    "init_state",
    "init_hidden",
    "initial_hidden",
    "zero_state",
    "get_initial_state",
    "reset_state",
)

_WHERE: dict[str, Callable[[Any], Any]] = {
    "the second of two results": lambda result: _sequence(result, 2)[1],
    "all that it returns": lambda result: result,
    "all results but the first": lambda result: tuple(_sequence(result, 3)[1:]),
}


def _sequence(result: Any, at_least: int) -> Any:
    if not isinstance(result, tuple | list) or len(result) < at_least:
        raise DiffersError("it does not return (output, state)")
    return result


def read(module: Any, probe: Tensor, features: Features, dtype: torch.dtype, given: Any = None) -> ModuleStep:
    """Read a private copy of a module as a step.

    Args:
        module: called as module(x, state), or module(x) for a state of its own.
        probe: (rows, time, d), some of the inputs that drive it.
        features: how d is made up.
        dtype: precision.
        given: a state in the module's own structure, where it must be told; else None.

    Raises:
        DiffersError: why no reading was accepted.
    """
    reasons: list[str] = []
    for default in (None, dtype):
        for way in _ways(module):
            for where in _WHERE.values():
                call = Call(module, way, where, default)
                try:
                    return _accepted(call, probe, features, dtype, given)
                except Exception as error:  # a module called the wrong way may fail in any way
                    if isinstance(error, DiffersError):
                        reasons.append(str(error))
                    else:
                        reasons.append(f"{type(error).__name__}: {first_line(error)}")
    raise DiffersError(_most_telling(reasons))


def _most_telling(reasons: list[str]) -> str:
    ours = [
        reason
        for reason in reasons
        if "step by step" in reason or "alone" in reason or "two answers" in reason or "its state" in reason
    ]
    own = [reason for reason in reasons if "it does not return" not in reason]
    return (ours or own or reasons)[0]


def _ways(module: Any) -> list[str]:
    batch_first = getattr(module, "batch_first", None)
    if isinstance(batch_first, bool):
        return [BATCH_FIRST, CELL] if batch_first else [TIME_FIRST, CELL]
    cell = "cell" in type(module).__name__.lower()
    return [CELL, BATCH_FIRST, TIME_FIRST] if cell else [BATCH_FIRST, TIME_FIRST, CELL]


def _accepted(call: Call, probe: Tensor, features: Features, dtype: torch.dtype, given: Any) -> ModuleStep:
    """Step of a call that agrees with itself: rows alone and together, step by step and at once."""
    repeated = probe.repeat(-(-_OTHER_ROWS // len(probe)), -(-_STEPS // probe.shape[1]), 1)
    rows, other = (_shaped(call, features, repeated[:n, :_STEPS]) for n in (_ROWS, _OTHER_ROWS))
    start = _starts(given, dtype)
    states = [call.where(_begin(call, x, start)[0]) for x in (rows, other)]
    layout = StateLayout.of(states[0], _ROWS, states[1], _OTHER_ROWS)
    step = ModuleStep(call, layout, features, dtype)
    flat = layout.flatten(states[0], dtype)
    x = repeated[:_ROWS, 0]
    together = step(x, flat)
    if not agree(step(x, flat), together):
        raise DiffersError(
            "it gives two answers at one point: it draws noise, or keeps a clock or a state of its own"
        )
    alone = torch.cat([step(x[i : i + 1], flat[i : i + 1]) for i in range(_ROWS)])
    if not agree(alone, together):
        raise DiffersError(
            "it answers a sequence alone differently than among others: it mixes the sequences of a batch, or keeps a state of its own"
        )
    if call.way != CELL:
        _require_steps(step, repeated[:_ROWS, :_STEPS], flat)
    return step


def _shaped(call: Call, features: Features, x: Tensor) -> Tensor:
    if call.way == CELL:
        return features.restore(x[:, 0])
    return features.restore(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def _require_steps(step: ModuleStep, x: Tensor, flat: Tensor) -> None:
    """Refuse a sequence module that, called step by step, gives other states or outputs than at once."""
    call = step.call
    at_once = call.once(_shaped(call, step.features, x), step.layout.unflatten(flat))
    outputs, whole = [], call.output(at_once)
    for t in range(x.shape[1]):
        result = call.once(step.shaped(x[:, t]), step.layout.unflatten(flat))
        flat = step.flat(result)
        outputs.append(call.output(result))
    same = agree(flat, step.flat(at_once))
    if same and whole is not None and whole.is_floating_point() and all(o is not None for o in outputs):
        stepped = torch.cat([o for o in outputs if o is not None], dim=1)
        same = stepped.shape == whole.shape and agree(stepped.flatten(1), whole.flatten(1))
    if not same:
        raise DiffersError(
            "it gives other answers step by step than at once: it looks at later inputs, or keeps something beside its state"
        )


def _starts(given: Any, dtype: torch.dtype) -> Callable[[int], Any] | None:
    """State to begin with, by number of rows; None leaves it to the module."""
    if given is None:
        return None
    return lambda rows: resized(given, rows, dtype)


def resized(state: Any, rows: int, dtype: torch.dtype) -> Any:
    """A state given for some number of rows, its first row repeated for `rows` rows.

    The rows of a tensor are its first dimension; its second where it has three and a first of another size, as
    torch.nn's (layers, rows, hidden).
    """
    from torch.utils._pytree import tree_map_only

    def one(tensor: Tensor) -> Tensor:
        axis = 1 if tensor.dim() == 3 and tensor.shape[0] != tensor.shape[1] and tensor.shape[0] < 3 else 0
        return cast(tensor, dtype).narrow(axis, 0, 1).repeat_interleave(rows, dim=axis)

    return tree_map_only(Tensor, one, state)


def _begin(call: Call, x: Tensor, start: Callable[[int], Any] | None) -> tuple[Any, Any]:
    """First result, and the state it began with; OMITTED where the module has one of its own."""
    rows = x.shape[0]
    if start is not None:
        return call.once(x, start(rows)), start(rows)
    errors: list[Exception] = []
    for state in _own_states(call, rows):
        try:
            return (call.once(x, omit_state=True) if state is OMITTED else call.once(x, state)), state
        except Exception as error:
            errors.append(error)
    raise errors[0]


def first_state(step: ModuleStep, x: Tensor) -> tuple[Tensor, bool]:
    """State (rows, n) to begin with under first inputs x (rows, d), and whether it is that after them.

    That of a module which begins by itself is zero where zeros lead to the same state; else it is known only after the
    first step.
    """
    dtype = x.dtype if x.is_floating_point() else torch.float64
    result, began = _begin(step.call, step.shaped(x), None)
    after = step.flat(result)
    if began is not OMITTED and began is not None and step.layout.fits(began):
        return step.layout.flatten(began, dtype), False
    zeros = torch.zeros_like(after)
    if agree(step(x, zeros), after):
        return zeros, False
    return after, True


OMITTED = object()


def _own_states(call: Call, rows: int) -> Iterator[Any]:
    """States to begin with that the module may accept: its own default, what its methods give, zeros."""
    yield OMITTED
    yield None
    for name in _INITIAL_STATE_METHODS:
        method = getattr(call.module, name, None)
        if callable(method):
            try:
                yield method(rows)
            except Exception:
                continue
    size = getattr(call.module, "hidden_size", getattr(call.module, "state_size", None))
    if isinstance(size, int):
        like = next(iter(call.module.parameters()), torch.zeros(()))  # type: ignore[attr-defined]
        zeros = like.new_zeros(rows, size)
        yield zeros
        yield zeros, zeros.clone()
