"""The interface of a recurrent cell: one pure step on a flat state, and its Jacobian.

A cell's state is one flat vector, ordered by `state_parts`; the first part is always the hidden vector
that the layer passes on. Parameters may carry leading *population* dimensions: a cell whose `weight_hh`
has shape (N, G·H, H) is N networks at once, stepped on states of shape (N, batch, state_size).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from aelle.kernels import library
from aelle.recurrent.jacobian_forms import TangentTerms, UnitJacobians
from aelle.words import hint


class Cell(nn.Module, ABC):
    """One recurrent layer as a driven map s_{t+1} = f(s_t, x_t).

    Subclasses set `architecture`, `state_parts` and `gates`, and write `step` and `jacobian`. Fixed
    hyperparameters (a step size, a damping) are declared with their defaults in `default_options`, given as
    keyword arguments and read from `self.options`. With `trained = False` the parameters of a cell stay as they
    are drawn in collections (a reservoir), and only the readout learns.

    Shapes, with `*P` the population dimensions (empty for one network), n = `state_size`:
        x      (*P, batch, input_size)
        state  (*P, batch, n)
    """

    architecture: ClassVar[str]
    state_parts: ClassVar[tuple[str, ...]] = ("h",)
    gates: ClassVar[int] = 1
    default_options: ClassVar[Mapping[str, float]] = {}
    trained: ClassVar[bool] = True
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor
    bias_hh: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        population: Sequence[int] = (),
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        **options: float,
    ) -> None:
        super().__init__()
        self._describe(input_size, hidden_size, bias, population, options)
        for name, shape in self._parameter_shapes().items():
            empty = torch.empty(*self.population, *shape, dtype=dtype, device=device)
            self.register_parameter(name, nn.Parameter(empty))
        self.reset_parameters(hidden_size**-0.5)

    def _describe(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        population: Sequence[int],
        options: Mapping[str, float],
    ) -> None:
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        self.population = tuple(population)
        self.options = self.checked_options(options)

    @classmethod
    def holding(
        cls,
        parameters: Mapping[str, Tensor],
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        options: Mapping[str, float] | None = None,
        population: Sequence[int] = (),
    ) -> Self:
        """Make a cell with these parameters (*P, ...), of which none is drawn; not for a class with its own __init__."""
        cell = cls.__new__(cls)
        nn.Module.__init__(cell)
        cell._describe(input_size, hidden_size, bias, population, options or {})
        for name in cell._parameter_shapes():
            cell.register_parameter(name, nn.Parameter(parameters[name].detach()))
        return cell

    def _parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Torch's own layout: weight_ih (G·H, I), weight_hh (G·H, H), bias_ih and bias_hh (G·H,)."""
        rows = self.gates * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, self.input_size),
            "weight_hh": (rows, self.hidden_size),
        }
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        return shapes

    @classmethod
    def checked_options(cls, options: Mapping[str, float]) -> dict[str, float]:
        """Complete `options` by the defaults.

        Raises:
            ValueError: for an option that the cell does not have, or a value that is not a finite number.
        """
        known = list(cls.default_options)
        for name, value in options.items():
            if name not in known:
                raise ValueError(
                    f"architecture {cls.architecture!r} has no option {name!r}; {hint(name, known)}"
                )
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(
                    f"option {name!r} of architecture {cls.architecture!r} must be a number, got {value!r}"
                )
        return {**cls.default_options, **options}

    @torch.no_grad()
    def reset_parameters(self, scale: float, generator: torch.Generator | None = None) -> None:
        """Draw every parameter from U(-scale, scale), the initialisation of Vogt et al. (2022)."""
        for parameter in self.parameters():
            parameter.uniform_(-scale, scale, generator=generator)

    @property
    def state_size(self) -> int:
        """Dimension n of the flat state: parts × hidden_size."""
        return len(self.state_parts) * self.hidden_size

    @property
    def carried_size(self) -> int:
        """Leading numbers of the state that the next step reads, all of them as a rule: as many exponents there are."""
        return self.state_size

    @property
    def output_size(self) -> int:
        """Size of the hidden vector that the layer passes on: `hidden_size`, but for a projection."""
        return self.hidden_size

    def initial_state(self, batch: int) -> Tensor:
        """Zero state of shape (*population, batch, n)."""
        weight = next(self.parameters())
        return weight.new_zeros(*self.population, batch, self.state_size)

    def output(self, state: Tensor) -> Tensor:
        """Return the hidden vector that the layer passes on: the first `output_size` components."""
        return state[..., : self.output_size]

    def split(self, state: Tensor) -> tuple[Tensor, ...]:
        """Split a flat state into its named parts."""
        return torch.chunk(state, len(self.state_parts), dim=-1)

    @abstractmethod
    def step(self, x: Tensor, state: Tensor) -> Tensor:
        """Advance the state by one input."""

    @abstractmethod
    def jacobian(self, x: Tensor, state: Tensor) -> Tensor:
        """Closed-form ∂step/∂state at (x, state): (*P, batch, n, n), rows are outputs."""

    def tangent_terms(self, x: Tensor, state: Tensor, hidden_only: bool = False) -> TangentTerms | None:
        """Return the Jacobian at (x, state) taken apart by gates, or None where the cell has no such form.

        With `hidden_only`, that of ∂h'/∂h at fixed other parts of the state.
        """
        return None

    def unit_jacobians(self, x: Tensor, state: Tensor) -> UnitJacobians | None:
        """Return the Jacobian at (x, state) unit by unit, or None where units act on each other.

        Spectra of such cells take O(n) per step.
        """
        return None

    def log_abs_det(self, x: Tensor, state: Tensor) -> Tensor | None:
        """Closed form of ln|det jacobian|, shape (*P, batch), or None where there is none."""
        return None

    def trajectory(self, inputs: Tensor, state: Tensor) -> Tensor:
        """All states under `inputs` (*P, batch, T, input_size): (*P, batch, T + 1, n), the first is `state`."""
        states = [state]
        for x in inputs.unbind(dim=-2):
            states.append(self.step(x, states[-1]))
        return torch.stack(states, dim=-2)

    def linearised_trajectory(
        self, inputs: Tensor, state: Tensor, hidden_only: bool = False
    ) -> tuple[Tensor, TangentTerms | None]:
        """All states, as `trajectory`, with the tangent terms of every step, `batch` being batch · T there."""
        states = self.trajectory(inputs, state)
        before = states[..., :-1, :]
        return states, self.tangent_terms(inputs.flatten(-3, -2), before.flatten(-3, -2), hidden_only)

    def scan(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run over `inputs`; return the outputs (*P, batch, T, H) and the last state (*P, batch, n)."""
        states = self.trajectory(inputs, state)
        return self.output(states[..., 1:, :]), states[..., -1, :]

    def scan_with_gradients(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Do what `scan` does, by the way that is fastest to differentiate once; for training."""
        return self.scan(inputs, state)

    # Two linear maps that every gated cell needs; `mT` and the unsqueezed bias broadcast over populations.
    def _from_input(self, x: Tensor) -> Tensor:
        projected = x @ self.weight_ih.mT
        return projected + self.bias_ih.unsqueeze(-2) if self.bias else projected

    def _from_hidden(self, h: Tensor) -> Tensor:
        projected = h @ self.weight_hh.mT
        return projected + self.bias_hh.unsqueeze(-2) if self.bias else projected

    def _recurrent_blocks(self) -> tuple[Tensor, ...]:
        """Per-gate recurrent matrices, each (*P, 1, H, H) so that they broadcast over the batch."""
        return torch.chunk(self.weight_hh.unsqueeze(-3), self.gates, dim=-2)

    def _gate_weights(self) -> Tensor:
        """Recurrent matrices by gate: (*P, G, H, H)."""
        return self.weight_hh.unflatten(-2, (self.gates, self.hidden_size))

    def _flat_weights(self) -> list[Tensor]:
        """Parameters in the order torch's fused kernels take them."""
        names = ["weight_ih", "weight_hh"] + (["bias_ih", "bias_hh"] if self.bias else [])
        return [getattr(self, name) for name in names]

    @classmethod
    def stack(cls, cells: Sequence[Self]) -> Self:
        """Stack cells of one shape into a population cell with parameters (N, …)."""
        first = cells[0]
        stacked = cls(
            first.input_size,
            first.hidden_size,
            first.bias,
            population=(len(cells), *first.population),
            dtype=next(first.parameters()).dtype,
            device=next(first.parameters()).device,
            **first.options,
        )
        with torch.no_grad():
            for name, parameter in stacked.named_parameters():
                parameter.copy_(torch.stack([cell.get_parameter(name) for cell in cells]))
        return stacked


def tanh_slope(y: Tensor) -> Tensor:
    """Return d tanh/dy = 4σ(2y)σ(-2y), which stays exact where 1 - tanh² rounds to zero."""
    return 4 * torch.sigmoid(2 * y) * torch.sigmoid(-2 * y)


def sigmoid_slope(y: Tensor) -> Tensor:
    """Return dσ/dy = σ(y)σ(-y), which stays exact where 1 - σ rounds to zero."""
    return torch.sigmoid(y) * torch.sigmoid(-y)


def log_tanh_slope(y: Tensor) -> Tensor:
    """Return ln(d tanh/dy) = ln 4 + ln σ(2y) + ln σ(-2y), finite for every finite y."""
    log_sigmoid = nn.functional.logsigmoid
    return log_sigmoid(2 * y) + log_sigmoid(-2 * y) + 1.3862943611198906


def log_sigmoid_slope(y: Tensor) -> Tensor:
    """Return ln(dσ/dy) = ln σ(y) + ln σ(-y), finite for every finite y."""
    log_sigmoid = nn.functional.logsigmoid
    return log_sigmoid(y) + log_sigmoid(-y)


def log_abs_det_of(matrix: Tensor) -> Tensor:
    """Return ln|det| of one recurrent matrix per network, shape (*P, 1), -inf where singular.

    One matrix a call on the CPU: batched factorisations of n ≥ 160 hang there when torch has two or more
    threads (pytorch#141358).
    """
    if matrix.dim() == 2 and not torch.is_grad_enabled() and library.applies(matrix, len(matrix)):
        return library.log_abs_det(matrix).unsqueeze(-1)
    if matrix.is_cuda or matrix.dim() == 2:
        return torch.linalg.slogdet(matrix)[1].unsqueeze(-1)
    flat = matrix.reshape(-1, *matrix.shape[-2:])
    return torch.stack([torch.linalg.slogdet(m)[1] for m in flat]).view(*matrix.shape[:-2], 1)
