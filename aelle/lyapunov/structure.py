"""Jacobians of small blocks on the diagonal: their layout in the state, and how to find and to check them.

A block-diagonal Jacobian of blocks of b needs b products with it, however large n is: the weights that are 1 at the
c-th component of every block give row c of all blocks at once (Curtis, Powell & Reid 1974, IMA J. Appl. Math. 13:117).
One product more, with random weights, tells whether anything lies outside the blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from aelle.lyapunov.arguments import whole_number
from aelle.lyapunov.slopes import exact_slopes

Step = Callable[[Tensor | None, Tensor], Tensor]


@dataclass(frozen=True)
class BlockDiagonal:
    """Components of the state that act on those of their own block alone, `size` of them in each block.

    Args:
        size: b; 1 is a diagonal Jacobian.
        by_parts: where the components of a block are. False: side by side, block i being i·b … i·b + b - 1, as
            `torch.view_as_real` flattened gives them. True: one in each part of the state, block i being
            i, i + n/b, …, as (real parts, imaginary parts) or an LSTM's (h, c).

    Raises:
        ValueError: where size is not a positive integer.
    """

    size: int
    by_parts: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", whole_number("the block size", self.size, 1))

    def gather(self, vectors: Tensor) -> Tensor:
        """(…, n) → (…, n/b, b): the components of each block."""
        if self.by_parts:
            return vectors.unflatten(-1, (self.size, -1)).mT
        return vectors.unflatten(-1, (-1, self.size))

    def scatter(self, components: Tensor) -> Tensor:
        """(…, n/b, b) → (…, n), the inverse of `gather`."""
        return (components.mT if self.by_parts else components).flatten(-2)

    def dense(self, blocks: Tensor) -> Tensor:
        """(…, n/b, b, b) → (…, n, n): the whole Jacobian."""
        count, size = blocks.shape[-3], self.size
        spread = torch.diag_embed(blocks.movedim(-3, -1))  # (…, row in block, column in block, block, block)
        order = (-4, -2, -3, -1) if self.by_parts else (-2, -4, -1, -3)
        base = spread.dim()
        axes = [*range(base - 4), *(base + axis for axis in order)]
        return spread.permute(axes).reshape(*blocks.shape[:-3], count * size, count * size)

    def shapes(self, n: int) -> Any:
        """Shape of the blocks; of a diagonal, that of its entries."""
        return (n,) if self.size == 1 else (n // self.size, self.size, self.size)

    def __str__(self) -> str:
        if self.size == 1:
            return "diagonal"
        return f"block-diagonal with blocks of {self.size}" + (
            ", one from each part" if self.by_parts else ""
        )


@dataclass(frozen=True)
class DiagonalPlusLowRank:
    """J = diag(d) + U Vᵀ, declared with a `jacobian` that gives (d, U, V): shapes (n,), (n, rank) and (n, rank).

    Raises:
        ValueError: where rank is not a positive integer.
    """

    rank: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "rank", whole_number("the rank", self.rank, 1))

    def shapes(self, n: int) -> Any:
        """Shapes of (d, U, V)."""
        return (n,), (n, self.rank), (n, self.rank)

    def dense(self, parts: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """(…, n, n)."""
        d, u, v = parts
        return torch.diag_embed(d) + u @ v.mT

    def __str__(self) -> str:
        return f"diagonal plus rank {self.rank}"


DIAGONAL = BlockDiagonal(1)
RECOGNISED = (DIAGONAL, BlockDiagonal(2), BlockDiagonal(2, by_parts=True))
"""What is looked for where nothing is declared: diagonals, and the two layouts of complex ones."""


class StructureError(ValueError):
    """A Jacobian is not what it was declared or taken to be."""


class Derivatives:
    """Products of the Jacobians of a batched step with vectors, by reverse mode: (rows, n) states, one graph.

    Neither vmap nor forward mode: whatever can be trained can be followed.
    """

    def __init__(self, step: Step, x: Tensor | None, states: Tensor) -> None:
        with torch.enable_grad(), exact_slopes():
            self._point = states.detach().requires_grad_()
            self._after = step(x, self._point)

    def weighted(self, weights: Tensor) -> Tensor:
        """wᵀ J of each row, for weights (n,) or (rows, n)."""
        if not self._after.requires_grad:
            return torch.zeros_like(self._point)
        with torch.enable_grad():  # of a number: torch imports half of itself for the gradient of a vector
            weighted = (self._after * weights).sum()
        (found,) = torch.autograd.grad(weighted, self._point, retain_graph=True, materialize_grads=True)
        return found

    def blocks(self, structure: BlockDiagonal) -> Tensor:
        """Blocks (rows, n/b, b, b) of Jacobians that have that structure."""
        rows = [
            structure.gather(self.weighted(_colour(structure, c, self._point))) for c in range(structure.size)
        ]
        return torch.stack(rows, dim=-2)

    def along(self, vectors: Tensor) -> Tensor:
        """J v of each row, for vectors (n,) or (rows, n): the transpose of the reverse pass, by one more.

        Forward mode would do, but not every function has it, and torch imports its compiler for it.

        Raises:
            RuntimeError: where a function in the step cannot be differentiated twice.
        """
        if not self._after.requires_grad:
            return torch.zeros_like(self._point)
        with torch.enable_grad():
            weights = torch.zeros_like(self._after, requires_grad=True)
            weighted = (self._after * weights).sum()
            (back,) = torch.autograd.grad(
                weighted, self._point, create_graph=True, retain_graph=True, materialize_grads=True
            )
            if not back.requires_grad:
                return torch.zeros_like(self._point)
            total = (back * vectors).sum()
        return torch.autograd.grad(total, weights, retain_graph=True, materialize_grads=True)[0]

    def blocks_by_columns(self, structure: BlockDiagonal) -> Tensor | None:
        """The same blocks by products from the other side; None where the step cannot be differentiated twice."""
        try:
            columns = [
                structure.gather(self.along(_colour(structure, c, self._point)))
                for c in range(structure.size)
            ]
        except RuntimeError:
            return None
        return torch.stack(columns, dim=-1)

    def outside(self, structure: BlockDiagonal, blocks: Tensor, unit: float = 1.0) -> Tensor:
        """Whether each row's Jacobian differs from its blocks: (rows,), by a product with random weights.

        `unit` is as in `differs`.
        """

        def expected(weights: Tensor) -> Tensor:
            return structure.scatter((structure.gather(weights).unsqueeze(-2) @ blocks).squeeze(-2))

        return self.differs(expected, unit)

    def differs(self, expected: Callable[[Tensor], Tensor], unit: float = 1.0) -> Tensor:
        """Whether wᵀ J of each row is not expected(w): (rows,), for random weights w (n,).

        `unit` is the size of numbers that automatic derivatives of saturated units are differences of.
        """
        generator = torch.Generator().manual_seed(0)
        n = self._point.shape[-1]
        weights = torch.randn(n, generator=generator, dtype=torch.float64).to(self._point)
        found, wanted = self.weighted(weights), expected(weights)
        eps = torch.finfo(wanted.dtype).eps
        # Between two ways of rounding one number, not between two numbers; what has overflowed is no evidence.
        scale = wanted.abs().amax(-1, keepdim=True).clamp(min=unit)  # of one step's Jacobian
        allowed = 4 * eps**0.5 * wanted.abs() + 5000 * eps * scale
        return (((found - wanted).abs() > allowed) & found.isfinite() & wanted.isfinite()).any(-1)


def recognised_structure(step: Step, x: Tensor | None, states: Tensor) -> BlockDiagonal | None:
    """Structure of the Jacobians at states (rows, n), or None: the smallest blocks that hold all of each."""
    try:
        derivatives = Derivatives(step, x, states)
        for structure in RECOGNISED:
            if states.shape[-1] % structure.size or states.shape[-1] == structure.size > 1:
                continue
            # All of a Jacobian may be small: what is beside the blocks is compared with them alone.
            if not derivatives.outside(structure, derivatives.blocks(structure), unit=0.0).any():
                return structure
    except (RuntimeError, NotImplementedError):  # no derivative at all: the Jacobian must be given
        return None
    return None


def _colour(structure: BlockDiagonal, c: int, like: Tensor) -> Tensor:
    """(n,), 1 at the c-th component of every block."""
    components = like.new_zeros(like.shape[-1] // structure.size, structure.size)
    components[:, c] = 1
    return structure.scatter(components)


def log_abs_dets(blocks: Tensor) -> Tensor:
    """ln|det| of each block (…, b, b): (…)."""
    if blocks.shape[-1] == 1:
        return blocks.flatten(-3).abs().log()
    if blocks.shape[-1] == 2:
        (a, b), (c, d) = (row.unbind(-1) for row in blocks.unbind(-2))
        return (a * d - b * c).abs().log()
    return torch.linalg.slogdet(blocks)[1]
