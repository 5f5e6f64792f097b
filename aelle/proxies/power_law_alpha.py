"""The exponent of a weight matrix's spectrum (Martin & Mahoney 2021; the α that WeightWatcher reports)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

FEWEST = 8
"""Eigenvalues of which a matrix must have as many, so that a tail can be told."""

_FEWEST_IN_TAIL = 4


def power_law_alpha(model: nn.Module) -> float:
    """Mean over the weight matrices of the exponent α with which the eigenvalues of WᵀW fall off, p(λ) ∝ λ^-α.

    Of each matrix the tail begins at the eigenvalue from which it lies closest to a power law, by the distance of
    Kolmogorov and Smirnov, and α is the maximum-likelihood one (Clauset, Shalizi & Newman 2009). Written from those
    formulas, not taken from the package, whose further corrections it lacks.

    Returns:
        NaN where no matrix has `FEWEST` eigenvalues above 0.
    """
    found = [alpha_of(eigenvalues(p)) for p in model.parameters() if p.dim() == 2 and min(p.shape) >= FEWEST]
    known = [alpha for alpha in found if not math.isnan(alpha)]
    return sum(known) / len(known) if known else math.nan


def eigenvalues(matrix: Tensor) -> Tensor:
    """Eigenvalues of WᵀW (or WWᵀ, the smaller) of a matrix, ascending, float64; empty where it is not finite."""
    values = matrix.detach().double()
    if not bool(values.isfinite().all()):
        return values.new_empty(0)
    return torch.linalg.svdvals(values).square().flip(0)


def alpha_of(values: Tensor) -> float:
    """Exponent of the best power-law tail of positive values, ascending (n,); NaN for fewer than `FEWEST`."""
    values = values[values > 0]
    if len(values) < FEWEST:
        return math.nan
    logs = values.log()
    best, alpha = math.inf, math.nan
    for start in range(len(values) - _FEWEST_IN_TAIL + 1):
        tail = logs[start:] - logs[start]
        total = float(tail.sum())
        if total <= 0:
            continue
        exponent = 1 + len(tail) / total
        below = 1 - torch.exp((1 - exponent) * tail)
        steps = torch.arange(len(tail), dtype=below.dtype) / len(tail)
        distance = float(torch.maximum((below - steps).abs(), (below - steps - 1 / len(tail)).abs()).max())
        if distance < best:
            best, alpha = distance, exponent
    return alpha
