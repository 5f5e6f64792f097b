"""The state of a module, whatever it is made of, as one flat vector a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree
from torch.utils._pytree import TreeSpec, tree_unflatten

from aelle.modules.errors import DiffersError
from aelle.modules.private import cast


def tree_flatten(state: Any) -> tuple[list[Any], TreeSpec]:
    """Leaves and structure, the keys of a dict in one order however it was filled."""
    return _pytree.tree_flatten(_ordered(state))


def _ordered(state: Any) -> Any:
    if isinstance(state, dict):
        return type(state)((key, _ordered(state[key])) for key in sorted(state, key=str))
    if isinstance(state, tuple) and hasattr(state, "_fields"):
        return type(state)(*(_ordered(part) for part in state))
    if type(state) in (list, tuple):
        return type(state)(_ordered(part) for part in state)
    return state


@dataclass(frozen=True)
class Part:
    """One tensor of a state: where its rows stand, and its shape without them."""

    axis: int
    shape: tuple[int, ...]
    is_complex: bool

    @property
    def size(self) -> int:
        """Real numbers a row."""
        return torch.Size(self.shape).numel() * (2 if self.is_complex else 1)


@dataclass(frozen=True)
class StateLayout:
    """How a state (tensor, tuple, NamedTuple, list or dict of tensors, complex ones as real pairs) lies in a vector.

    Attributes:
        spec: structure.
        parts: one entry for each tensor that has rows.
        others: entries that are no tensors, by position; they stay as they are.
    """

    spec: TreeSpec
    parts: tuple[Part | None, ...]
    others: tuple[Any, ...]

    @classmethod
    def of(cls, state: Any, rows: int, other_state: Any, other_rows: int) -> StateLayout:
        """Layout of a state, from two of them for different numbers of rows.

        Raises:
            DiffersError: where a tensor has no rows, or is not made of real or complex numbers.
        """
        leaves, spec = tree_flatten(state)
        other_leaves, other_spec = tree_flatten(other_state)
        if spec != other_spec or not any(isinstance(leaf, Tensor) for leaf in leaves):
            raise DiffersError("what it returns as state has no fixed structure of tensors")
        parts: list[Part | None] = []
        for leaf, other in zip(leaves, other_leaves, strict=True):
            if not isinstance(leaf, Tensor):
                parts.append(None)
                continue
            if not (leaf.is_floating_point() or leaf.is_complex()):
                raise DiffersError(
                    f"its state has a part of {leaf.dtype}, a counter or an index, without derivative"
                )
            axes = [
                i
                for i, (a, b) in enumerate(zip(leaf.shape, other.shape, strict=False))
                if (a, b) == (rows, other_rows)
            ]
            if leaf.dim() != other.dim() or not axes:
                raise DiffersError(
                    f"a part of its state, of shape {tuple(leaf.shape)}, has no row for each sequence"
                )
            shape = leaf.shape[: axes[0]] + leaf.shape[axes[0] + 1 :]
            parts.append(Part(axes[0], tuple(shape), leaf.is_complex()))
        others = tuple(None if isinstance(leaf, Tensor) else leaf for leaf in leaves)
        return cls(spec, tuple(parts), others)

    @property
    def size(self) -> int:
        """Dimension n of the flat state."""
        return sum(part.size for part in self.parts if part is not None)

    def fits(self, state: Any) -> bool:
        """Whether a state has this structure and these shapes."""
        leaves, spec = tree_flatten(state)
        if len(leaves) != len(self.parts) or not _same_structure(spec, self.spec):
            return False
        for leaf, part in zip(leaves, self.parts, strict=True):
            if (part is None) == isinstance(leaf, Tensor):
                return False
            if part is not None and (
                leaf.dim() != len(part.shape) + 1
                or tuple(leaf.movedim(part.axis, 0).shape[1:]) != part.shape
                or leaf.is_complex() != part.is_complex
            ):
                return False
        return True

    def flatten(self, state: Any, dtype: torch.dtype) -> Tensor:
        """State as (rows, n)."""
        flat = []
        for leaf, part in zip(tree_flatten(state)[0], self.parts, strict=True):
            if part is not None:
                rows = cast(leaf, dtype).movedim(part.axis, 0)
                rows = torch.view_as_real(rows.resolve_conj()) if part.is_complex else rows
                flat.append(rows.reshape(rows.shape[0], -1))
        return torch.cat(flat, dim=-1)

    def unflatten(self, flat: Tensor) -> Any:
        """(rows, n) as the state that the module takes; every tensor in memory of its own."""
        pieces = iter(flat.split([part.size for part in self.parts if part is not None], dim=-1))
        leaves = []
        for part, other in zip(self.parts, self.others, strict=True):
            if part is None:
                leaves.append(other)
                continue
            piece = next(pieces)
            if part.is_complex:
                leaf = torch.view_as_complex(piece.reshape(len(flat), *part.shape, 2).contiguous())
            else:
                leaf = piece.reshape(len(flat), *part.shape)
            leaves.append(leaf.movedim(0, part.axis).clone(memory_format=torch.contiguous_format))
        return tree_unflatten(leaves, self.spec)


def _same_structure(spec: TreeSpec, other: TreeSpec) -> bool:
    """Equal, a list being as good as a tuple."""
    kinds = {spec.type, other.type}
    if spec.type != other.type and not kinds <= {list, tuple}:
        return False
    if spec.context != other.context or spec.num_children != other.num_children:
        return False
    return all(_same_structure(a, b) for a, b in zip(spec.children(), other.children(), strict=True))
