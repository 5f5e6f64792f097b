"""Mean-field theory of large random tanh networks: lines to lay over measured spectra."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise


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
    if not 0 < g < math.inf or not 0 <= sigma < math.inf:
        raise ValueError(f"mean_field needs g > 0 and sigma >= 0, got g = {g} and sigma = {sigma}")
    q = _variance(float(g), float(sigma))
    width = math.sqrt(q)
    # ⟨ln sech²⟩ = 2 (ln 2 - ⟨|a|⟩ - ⟨ln(1 + e^{-2|a|})⟩): what is left to integrate stays near 0.
    mean_log_slope = 2 * (
        math.log(2) - width * math.sqrt(2 / math.pi) - _average(lambda a: math.log1p(math.exp(-2 * a)), width)
    )
    largest = math.log(g) + 0.5 * math.log(_average(lambda a: _sech(a) ** 4, width))
    return MeanField(q, largest, math.log(g) - 0.5 + mean_log_slope)


def _variance(g: float, sigma: float) -> float:
    """Largest root of the self-consistency; the excess over q, relative to q, falls monotonically."""

    def excess(q: float) -> float:
        return (g**2 * _average(lambda a: math.tanh(a) ** 2, math.sqrt(q)) + sigma**2) / q - 1

    low, high = 1e-14, g**2 + sigma**2 + 1e-14
    if excess(low) <= 0:
        return 0.0
    for _ in range(100):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return math.sqrt(low * high)


def _sech(a: float) -> float:
    return 2 * math.exp(-a) / (1 + math.exp(-2 * a))


def _average(function: Callable[[float], float], width: float) -> float:
    """Mean of an even function of a ~ N(0, width²) that changes over a few units of a, however wide the normal is."""
    from scipy.integrate import quad

    density = lambda z: function(width * z) * math.exp(-(z**2) / 2)  # noqa: E731
    ends = sorted({0.0, 12.0, *(min(a / width, 12.0) for a in (2.0, 8.0, 40.0) if width)})
    parts = (quad(density, low, high, epsabs=1e-14, epsrel=1e-12)[0] for low, high in pairwise(ends))
    return math.sqrt(2 / math.pi) * sum(parts)
