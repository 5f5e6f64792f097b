"""Leaky rate networks whose output feeds back, for FORCE learning (Sussillo & Abbott 2009, Neuron 63:544)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from aelle.recurrent.cell import Cell, tanh_slope

_RADII = (0.9, 0.7, 0.72, 1.2)  # of R-FORCE's circles, times g
_STABLE_RADIUS = 1.15


class RateNetwork(Cell):
    """x' = (1-dt) x + dt (W_hh r + w_f z + W_ih u + b), r = tanh x, output fed back z = w_o r.

    Euler's step of the continuous network with time constant 1. The state is x; the layer passes on r. Loop
    closed, the Jacobian is (1-dt) I + dt (W_hh + w_f w_o) diag(sech² x): spectra of this cell are those of
    the network that generates its own output, in nats per step; divide by dt for nats per time constant.

    `reset_parameters(scale)` draws the sparse W_hh of the paper: a share `density` of its entries is from
    N(0, g² / (density · H)), g = scale · √H, and the others are zero. For g > 1 a large network without
    feedback is chaotic. w_f and W_ih are from U(-1, 1), w_o and b are zero.

    Parameters beside the usual: weight_feedback w_f (H, 1), weight_output w_o (1, H).

    Options:
        dt: Euler's step in time constants; 0.1.
        density: share of connections of W_hh; 0.1.
    """

    architecture = "rate"
    default_options: ClassVar[Mapping[str, float]] = {"dt": 0.1, "density": 0.1}
    weight_feedback: Tensor
    weight_output: Tensor

    def _parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        feedback = {"weight_feedback": (self.hidden_size, 1), "weight_output": (1, self.hidden_size)}
        return super()._parameter_shapes() | feedback

    @torch.no_grad()
    def reset_parameters(self, scale: float, generator: torch.Generator | None = None) -> None:
        """Draw W_hh at gain g = scale · √H, w_f and W_ih; set w_o and the biases to zero."""
        # g decides between forms of W_hh below, and must not do so by the rounding of a square root.
        gain = round(scale * math.sqrt(self.hidden_size), 9)
        self.weight_hh.copy_(self._connections(gain, generator))
        self.weight_feedback.uniform_(-1, 1, generator=generator)
        self.weight_ih.uniform_(-1, 1, generator=generator)
        self.weight_output.zero_()
        if self.bias:
            self.bias_ih.zero_()
            self.bias_hh.zero_()

    def _connections(self, gain: float, generator: torch.Generator | None) -> Tensor:
        density = self.options["density"]
        if not 0 < density <= 1:
            raise ValueError(f"option 'density' of architecture 'rate' must be in (0, 1], got {density}")
        weight = torch.empty_like(self.weight_hh).normal_(generator=generator)
        present = torch.empty_like(weight).uniform_(generator=generator) < density
        return weight * present * gain / math.sqrt(density * self.hidden_size)

    def output(self, state: Tensor) -> Tensor:
        """r = tanh x."""
        return torch.tanh(state)

    def step(self, x: Tensor, state: Tensor) -> Tensor:
        """Euler's step with the loop closed."""
        rates, dt = torch.tanh(state), self.options["dt"]
        fed_back = (rates @ self.weight_output.mT) @ self.weight_feedback.mT
        return (1 - dt) * state + dt * (self._from_hidden(rates) + fed_back + self._from_input(x))

    def jacobian(self, x: Tensor, state: Tensor) -> Tensor:
        """(1-dt) I + dt (W_hh + w_f w_o) diag(sech² x)."""
        dt = self.options["dt"]
        closed = (self.weight_hh + self.weight_feedback @ self.weight_output).unsqueeze(-3)
        leak = (1 - dt) * torch.eye(self.hidden_size, dtype=state.dtype, device=state.device)
        return leak + dt * closed * tanh_slope(state).unsqueeze(-2)


class RobustRateNetwork(RateNetwork):
    """The same network with the connectivity of R-FORCE (Zheng & Shlizerman 2020, arXiv:2003.11660).

    W_hh is normal, with prescribed eigenvalues in conjugate pairs on four circles (`robust_eigenvalues`) and
    a random orthonormal basis, so that the Jacobian stays in its stable region over a wide range of g.
    """

    architecture = "robust_rate"
    default_options: ClassVar[Mapping[str, float]] = {"dt": 0.1}

    def _connections(self, gain: float, generator: torch.Generator | None) -> Tensor:
        size, like = self.hidden_size, self.weight_hh
        blocks = like.new_zeros(size, size)
        eigenvalues = robust_eigenvalues(size, gain)
        even, odd = torch.arange(0, size - 1, 2), torch.arange(1, size, 2)
        blocks[even, even] = blocks[odd, odd] = eigenvalues.real.to(blocks)
        blocks[even, odd] = eigenvalues.imag.to(blocks)
        blocks[odd, even] = -eigenvalues.imag.to(blocks)
        drawn = torch.empty_like(like).normal_(generator=generator).reshape(-1, size, size)
        # One matrix a call: batched factorisations of this size can hang on a CPU (pytorch#141358).
        bases = [torch.linalg.qr(matrix)[0] for matrix in drawn]
        return torch.stack([basis @ blocks @ basis.mT for basis in bases]).reshape(like.shape)


def robust_eigenvalues(size: int, gain: float) -> Tensor:
    """Eigenvalues of R-FORCE's connectivity in the upper half plane, complex128 (size // 2,).

    They lie on circles of radius g · (0.9, 0.7, 0.72, 1.2), evenly over an arc of each; how many lie on each
    follows from its distance to the radius 1.15. Numbers as in the authors' published program. (An odd size
    gets one eigenvalue 0 besides.)
    """
    third, fifth = math.pi / 3, math.pi / 5
    if gain < 1.8:
        arcs = [(0.02, third), (third, 2 * third), (2 * third, math.pi - 0.02)]
    else:
        arcs = [(4 * fifth, math.pi - 0.02), (2 * fifth, 4 * fifth), (0.02, 2 * fifth)]
    # The published arc of weak coupling is longer than a half circle for g < 0.63; it ends at π here.
    weak = (0.0, min(0.4 * math.pi / gain**2, math.pi))
    arcs.append(weak if gain < 1.4 else (0.4 * math.pi, 0.6 * math.pi))
    parts = [
        torch.polar(
            torch.full((count,), gain * radius, dtype=torch.float64),
            torch.linspace(*arc, count, dtype=torch.float64),
        )
        for radius, arc, count in zip(_RADII, arcs, _on_circles(size // 2, gain), strict=True)
    ]
    return torch.cat(parts)


def _on_circles(pairs: int, gain: float) -> list[int]:
    """Number of eigenvalue pairs on each of the four circles."""
    distances = [max(abs(gain * radius - _STABLE_RADIUS), 1e-9) for radius in _RADII]
    if gain * _RADII[3] <= 1.55:
        weights = [1 - math.tanh(2 * distance) for distance in distances]
        counts = [int(weight / sum(weights) * pairs) for weight in weights[:3]]
        return [*counts, pairs - sum(counts)]
    # Strong coupling: one pair in a hundred outside; inside most lie on the circle next to the stable radius.
    outside = round(0.01 * pairs)
    weights = [distance ** (-2 * gain) for distance in distances[:3]]
    first, second = (max(int(weight / sum(weights) * pairs), int(0.1 * pairs)) for weight in weights[:2])
    # Near g = 1.28 the published rule asks for more pairs than there are; the first circle gives way here.
    first = min(first, pairs - outside - second)
    return [first, second, pairs - outside - first - second, outside]
