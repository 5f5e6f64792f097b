"""The tangent map of one recurrent layer, from the layer's own trajectory, gates, Jacobian and determinant."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from aelle.kernels.finite import all_finite
from aelle.kernels.library import CompiledJacobians, applies
from aelle.lyapunov.compiled_linearisation import CompiledLinearisation
from aelle.lyapunov.pushes import by_output, scaled_matrices
from aelle.lyapunov.tangent import (
    LONGEST_SEGMENT,
    DenseJacobians,
    GatedLinearisation,
    GateMatrices,
    GateProducts,
    Linearisation,
    ShearedLinearisation,
)

CACHED_BYTES = 4_000_000
"""Jacobians of one chunk are kept near the size of a core's second-level cache and its share of the third."""

SEGMENT_BYTES = 2_000_000
"""Gates of one segment are kept near that size too."""


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
        self.size: int = cell.output_size if self.hidden_only else cell.carried_size
        self.input_size: int | None = cell.input_size
        self.networks: int = cell.population[0] if cell.population else 1
        self.splittable, self.exact_derivatives = self.networks == 1, True

    def segment(
        self, inputs: Tensor | None, state: Tensor, steps: int, k: int, chart: Tensor | None
    ) -> CellSegment:
        """Trajectory and gates of some steps."""
        assert inputs is not None, "a recurrent cell always has inputs"
        if self.cell.population:
            inputs = inputs.reshape(self.networks, -1, *inputs.shape[1:])
            state = state.reshape(self.networks, -1, state.shape[-1])
        states, terms = self.cell.linearised_trajectory(inputs, state, self.hidden_only)
        return CellSegment(self, inputs, states, terms, k, chart)

    def output(self, states: Tensor) -> Tensor:
        """Hidden vectors after each step."""
        return self.cell.output(states[:, 1:])

    def segment_steps(self, rows: int) -> int:
        """Steps whose gates take a few megabytes: memory fresh from the system costs more than the arithmetic."""
        if next(self.cell.parameters()).is_cuda:
            return LONGEST_SEGMENT
        steps = SEGMENT_BYTES // (8 * rows * self.cell.gates * self.cell.hidden_size)
        return max(32, min(LONGEST_SEGMENT, steps))


class CellSegment:
    """A piece of a cell's trajectory, linearised by gates where the cell has that form, else by its Jacobian."""

    def __init__(
        self, tangent: CellTangent, inputs: Tensor, states: Tensor, terms: Any, k: int, chart: Tensor | None
    ) -> None:
        self._cell, self._networks, self._size = tangent.cell, tangent.networks, tangent.size
        rows, steps = inputs.shape[:-2].numel(), inputs.shape[-2]
        # Products through the weights cost G n² k, forming J and applying it G n² · (cheap) + n² k.
        hidden = self._cell.hidden_size
        self._through_weights = terms is not None and (self._cell.gates == 1 or 8 * k <= hidden)
        width = self._cell.state_size if terms is None else hidden
        self.compiled: CompiledJacobians | None = None
        cached = CACHED_BYTES // (8 * rows * self._size * width)
        self.chunk_steps = 64 if self._through_weights else max(1, cached)
        self.states = states.reshape(rows, steps + 1, -1)
        self._inputs = inputs.reshape(rows, steps, -1)
        self._terms = terms
        self.chart: Tensor | None = None
        self.log_abs_det = self._closed_form(tangent.hidden_only) if k == self._size else None
        if terms is not None:
            self._weights = [w.reshape(self._networks, *w.shape[-3:]) for w in terms.weights]
            self._gains = [g.reshape(rows, steps, *g.shape[-2:]) for g in terms.gains]
            self._diagonal = None if terms.diagonal is None else terms.diagonal.reshape(rows, steps, -1)
            if terms.shear is not None:
                shear = terms.shear.reshape(rows, steps, -1)
                before = torch.zeros_like(shear[:, 0]) if chart is None else chart
                self._shear = torch.cat([before.unsqueeze(1), shear], dim=1)
                self.chart = shear[:, -1]
            if applies(states, self._size):
                self.chunk_steps = steps
                self.compiled = CompiledJacobians(
                    [w.transpose(-2, -1) for w in self._weights],
                    self._gains,
                    self._diagonal,
                    None if terms.shear is None else self._shear,
                    self._size,
                )

    def _by_network(self, tensor: Tensor) -> Tensor:
        """(rows, ..., d) → (*P, rows of one network · ..., d), as the cell's functions take it."""
        flat = tensor.reshape(self._networks, -1, tensor.shape[-1])
        return flat if self._cell.population else flat[0]

    def _closed_form(self, hidden_only: bool) -> Tensor | None:
        if hidden_only:
            return None
        closed = None if self._terms is None else self._terms.log_abs_det
        if closed is None or not all_finite(closed):  # made of gains, which may have underflowed
            closed = self._cell.log_abs_det(
                self._by_network(self._inputs), self._by_network(self.states[:, :-1])
            )
        return None if closed is None else closed.reshape(self.states.shape[0], -1)

    def chunk(self, start: int, stop: int) -> Linearisation:
        """Jacobians of the steps from start to stop."""
        if self.compiled is not None:
            return CompiledLinearisation(self.compiled, start, stop, self._plain)
        return self._plain(start, stop)

    def _plain(self, start: int, stop: int) -> Linearisation:
        if self._terms is None:
            x, state = (
                self._by_network(self._inputs[:, start:stop]),
                self._by_network(self.states[:, start:stop]),
            )
            jacobian = self._cell.jacobian(x, state).reshape(-1, stop - start, *2 * [self._cell.state_size])
            return DenseJacobians(jacobian[..., : self._size, : self._size])
        gains = [gain[:, start:stop] for gain in self._gains]
        diagonal = None if self._diagonal is None else self._diagonal[:, start:stop]
        if self._terms.shear is not None and diagonal is not None:
            return ShearedLinearisation(self._dense(gains, None), diagonal, self._shear[:, start : stop + 1])
        if self._through_weights:
            return GatedLinearisation(self._dense(gains, None), diagonal, stop - start)
        return GatedLinearisation(self._dense(gains, diagonal), None, stop - start)

    def singular(self, step: int) -> Tensor:
        """Where the cell's closed form of ln|det J| is -inf; it is nowhere known without one, or of a part of J."""
        rows = len(self.states)
        if self._size == self._cell.state_size:
            x, state = self._inputs[:, step : step + 1], self.states[:, step : step + 1]
            closed = self._cell.log_abs_det(self._by_network(x), self._by_network(state))
            if closed is not None:
                return closed.reshape(rows) == -math.inf
        return torch.zeros(rows, dtype=torch.bool, device=self.states.device)

    def _dense(self, gains: list[Tensor], diagonal: Tensor | None) -> Any:
        if not self._through_weights:
            return GateMatrices(scaled_matrices([by_output(w) for w in self._weights], gains, diagonal))
        groups = [GateProducts(weights, gain) for weights, gain in zip(self._weights, gains, strict=True)]
        return groups[0] if len(groups) == 1 else _Stacked(groups)


class _Stacked:
    """Groups of gates with the same input: products one below the other."""

    def __init__(self, groups: list[GateProducts]) -> None:
        self._groups = groups

    def product(self, step: int, frame: Tensor, out: Tensor) -> None:
        for group, part in zip(self._groups, out.chunk(len(self._groups), dim=-1), strict=True):
            group.product(step, frame, part)

    def matrix(self, step: int) -> Tensor:
        return torch.cat([group.matrix(step) for group in self._groups], dim=-2)
