"""The tangent map of one recurrent layer, from the layer's own trajectory, gates, Jacobian and determinant."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from aelle.lyapunov.tangent import (
    DenseJacobians,
    GatedLinearisation,
    GateMatrices,
    GateProducts,
    Linearisation,
    ShearedLinearisation,
    scaled_matrices,
)

CACHED_BYTES = 4_000_000
"""Jacobians of one chunk are kept near the size of a core's second-level cache and its share of the third."""


class CellTangent:
    """A recurrent cell (the interface of `aelle.recurrent.cell.Cell`) as a tangent map.

    Rows are networks × sequences: a population of N networks under B sequences has N·B rows.

    Args:
        cell: the cell, parameters already in the precision of the computation.
        hidden_only: ∂h'/∂h at fixed other parts of the state, instead of the whole state.
    """

    def __init__(self, cell: Any, hidden_only: bool = False) -> None:
        self.cell = cell
        self.hidden_only = hidden_only and len(cell.state_parts) > 1
        self.size: int = cell.hidden_size if self.hidden_only else cell.state_size
        self.input_size: int = cell.input_size
        self.networks: int = cell.population[0] if cell.population else 1

    def _by_network(self, tensor: Tensor | None) -> Tensor:
        """(rows, ..., d) → (*P, rows of one network · ..., d), as the cell's functions take it."""
        assert tensor is not None, "a recurrent cell always has inputs"
        flat = tensor.reshape(self.networks, -1, tensor.shape[-1])
        return flat if self.cell.population else flat[0]

    def _at_steps(self, inputs: Tensor | None, states: Tensor) -> tuple[Tensor, Tensor]:
        return self._by_network(inputs), self._by_network(states[:, :-1])

    def trajectory(self, inputs: Tensor | None, state: Tensor, steps: int) -> Tensor:
        """States (rows, steps + 1, n)."""
        assert inputs is not None, "a recurrent cell always has inputs"
        if not self.cell.population:
            return self.cell.trajectory(inputs, state)
        grouped = inputs.reshape(self.networks, -1, *inputs.shape[1:])
        return self.cell.trajectory(grouped, state.reshape(self.networks, -1, state.shape[-1])).flatten(0, 1)

    def output(self, states: Tensor) -> Tensor:
        """Hidden vectors after each step."""
        return self.cell.output(states[:, 1:])

    def log_abs_det(self, inputs: Tensor | None, states: Tensor) -> Tensor | None:
        """Closed form at each step, (rows, steps); None where only part of the state is asked for."""
        if self.hidden_only:
            return None
        closed = self.cell.log_abs_det(*self._at_steps(inputs, states))
        return None if closed is None else closed.reshape(states.shape[0], -1)

    def chunk_steps(self, rows: int, k: int) -> int:
        """Steps whose Jacobians fit the cache."""
        if self._through_weights(k):
            return 64
        return max(1, CACHED_BYTES // (8 * rows * self.size * self.cell.hidden_size))

    def _through_weights(self, k: int) -> bool:
        """Products through the weights cost G n² k, forming J and applying it G n² · (cheap) + n² k."""
        return self.cell.gates == 1 or 8 * k <= self.cell.hidden_size

    def linearise(self, inputs: Tensor | None, states: Tensor, k: int, chart: Tensor | None) -> Linearisation:
        """Linearise the steps from states[:, :-1]: by gates where the cell has that form, else its Jacobian."""
        rows, steps = states.shape[0], states.shape[1] - 1
        x, state = self._at_steps(inputs, states)
        terms = self.cell.tangent_terms(x, state, self.hidden_only)
        if terms is None:
            jacobian = self.cell.jacobian(x, state).reshape(rows, steps, *2 * [self.cell.state_size])
            return DenseJacobians(jacobian[..., : self.size, : self.size])
        weights = [w.reshape(self.networks, *w.shape[-3:]) for w in terms.weights]
        gains = [g.reshape(rows, steps, *g.shape[-2:]) for g in terms.gains]
        diagonal = None if terms.diagonal is None else terms.diagonal.reshape(rows, steps, -1)
        if terms.shear is None or diagonal is None:
            if self._through_weights(k):
                return GatedLinearisation(GateProducts(weights[0], gains[0]), diagonal, steps)
            return GatedLinearisation(GateMatrices(scaled_matrices(weights, gains, diagonal)), None, steps)
        shear = terms.shear.reshape(rows, steps, -1)
        before = torch.zeros_like(shear[:, 0]) if chart is None else chart
        dense = _two_groups(weights, gains, self._through_weights(k))
        return ShearedLinearisation(dense, diagonal, torch.cat([before.unsqueeze(1), shear], dim=1))


class _Stacked:
    """Two groups of gates with the same input: products one below the other."""

    def __init__(self, first: GateProducts, second: GateProducts) -> None:
        self._parts = first, second

    def product(self, step: int, frame: Tensor) -> Tensor:
        return torch.cat([part.product(step, frame) for part in self._parts], dim=-1)

    def matrix(self, step: int) -> Tensor:
        return torch.cat([part.matrix(step) for part in self._parts], dim=-2)


def _two_groups(weights: list[Tensor], gains: list[Tensor], through_weights: bool) -> Any:
    if through_weights:
        return _Stacked(GateProducts(weights[0], gains[0]), GateProducts(weights[1], gains[1]))
    return GateMatrices(scaled_matrices(weights, gains))
