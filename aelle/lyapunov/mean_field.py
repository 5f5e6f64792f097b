"""Mean-field theory of large random tanh networks: lines to lay over measured spectra."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class MeanField:
    """Theory of h' = tanh(W h + ξ), W_ij ~ N(0, g²/N), ξ ~ N(0, σ²) i.i.d. over units and steps, N → ∞.

    Attributes:
        variance: q, of the pre-activations.
        largest: λ_1, nats per step.
        mean: average of all exponents, nats per step.
    """

    variance: float
    largest: float
    mean: float


def mean_field(g: float, sigma: float = 0.0) -> MeanField:
    """Solve q = g²⟨tanh²(√q z)⟩ + σ² and read off λ_1 = ln(g √⟨sech⁴⟩) and ⟨λ⟩ = ln g - ½ + ⟨ln sech²⟩.

    Averages are over z ~ N(0, 1) with a = √q z (Sompolinsky, Crisanti & Sommers 1988; Molgedey, Schuchhardt &
    Schuster 1992 for driven networks; Engelken, Wolf & Abbott 2023 for the mean).

    Args:
        g: gain, standard deviation of the weights times √N.
        sigma: standard deviation σ of the input to each unit.

    Raises:
        ValueError: where g is not positive or sigma negative.
    """
    if not g > 0 or not sigma >= 0:
        raise ValueError(f"mean_field needs g > 0 and sigma >= 0, got g = {g} and sigma = {sigma}")
    q = _variance(g, sigma)
    a = math.sqrt(q) * _NODES
    # ln sech² = 2 (ln 2 - |a| - ln(1 + e^{-2|a|})), finite for every a.
    log_slope = 2 * (math.log(2) - a.abs() - torch.log1p(torch.exp(-2 * a.abs())))
    largest = math.log(g) + 0.5 * math.log(_average((2 * log_slope).exp()))
    return MeanField(q, largest, math.log(g) - 0.5 + _average(log_slope))


def _variance(g: float, sigma: float) -> float:
    """Largest root of the self-consistency; the excess over q, relative to q, falls monotonically."""

    def excess(q: float) -> float:
        return (g**2 * _average(torch.tanh(math.sqrt(q) * _NODES) ** 2) + sigma**2) / q - 1

    low, high = 1e-14, g**2 + sigma**2 + 1e-14
    if excess(low) <= 0:
        return 0.0
    for _ in range(100):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return math.sqrt(low * high)


# The trapezoidal rule converges geometrically on a Gaussian weight.
_NODES = torch.linspace(-12, 12, 4801, dtype=torch.float64)
_WEIGHTS = torch.exp(-(_NODES**2) / 2) / math.sqrt(2 * math.pi) * 0.005


def _average(values: Tensor) -> float:
    return float((_WEIGHTS * values).sum())
