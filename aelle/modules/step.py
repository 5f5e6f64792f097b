"""A module called one step at a time, on flat rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from aelle.modules.errors import DiffersError
from aelle.modules.state import StateLayout, tree_flatten

CELL, BATCH_FIRST, TIME_FIRST = "cell", "batch_first", "time_first"


@dataclass(frozen=True)
class Features:
    """What one step's input is: shape of the features, whole numbers or not."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    def restore(self, flat: Tensor) -> Tensor:
        """(rows, d) as the module takes it."""
        x = flat.reshape(len(flat), *self.shape)
        return x if self.dtype.is_floating_point else x.round().to(self.dtype)


@dataclass(frozen=True)
class Call:
    """How a module is called for one step, and where the state stands in what it returns.

    Attributes:
        module: a private copy.
        way: "cell", "batch_first" or "time_first".
        where: picks the state out of the result.
        default_dtype: precision of the tensors that it makes itself, where torch's default does not do.
    """

    module: Callable[..., Any]
    way: str
    where: Callable[[Any], Any]
    default_dtype: torch.dtype | None = None

    def once(self, x: Tensor, state: Any = None, omit_state: bool = False) -> Any:
        """Result of one call on inputs (rows, time, ...), or (rows, ...) for a cell."""
        if self.way == TIME_FIRST:
            x = x.transpose(0, 1)
        before = torch.get_default_dtype()
        try:
            if self.default_dtype is not None:
                torch.set_default_dtype(self.default_dtype)
            return self.module(x) if omit_state else self.module(x, state)
        finally:
            torch.set_default_dtype(before)

    def output(self, result: Any) -> Tensor | None:
        """The output over time, (rows, time, ...), where the result has one beside the state."""
        if self.way == CELL or not isinstance(result, tuple | list) or not isinstance(result[0], Tensor):
            return None
        return result[0].transpose(0, 1) if self.way == TIME_FIRST else result[0]


class ModuleStep:
    """A module's step on flat rows: inputs (rows, d) and states (rows, n) to states (rows, n).

    Args:
        call: how it is called.
        layout: of its state.
        features: of its inputs.
        dtype: of states.

    Raises:
        DiffersError: at a call, where it returns a state of another structure or shape than it was given.
    """

    def __init__(self, call: Call, layout: StateLayout, features: Features, dtype: torch.dtype) -> None:
        self.call, self.layout, self.features, self._dtype = call, layout, features, dtype

    def __call__(self, x: Tensor | None, states: Tensor) -> Tensor:
        """Advance each row by one input."""
        assert x is not None, "a module always has inputs"
        return self.flat(self.call.once(self.shaped(x), self.layout.unflatten(states)))

    def shaped(self, x: Tensor) -> Tensor:
        """One step's inputs as the module takes them."""
        x = self.features.restore(x)
        return x if self.call.way == CELL else x.unsqueeze(1)

    def flat(self, result: Any) -> Tensor:
        """The state in a result, flat."""
        state = self.call.where(result)
        if not self.layout.fits(state):
            raise DiffersError(
                "the state it returns has another structure or shape than the one it was given"
            )
        others = tuple(None if isinstance(leaf, Tensor) else leaf for leaf in tree_flatten(state)[0])
        if others != self.layout.others:
            raise DiffersError(
                "a part of its state that is no tensor changes from step to step, like a clock"
            )
        return self.layout.flatten(state, self._dtype)
