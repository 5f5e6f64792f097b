"""How far apart two spectra are, whatever the sizes of their networks."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from aelle.lyapunov.result import LyapunovSpectrum

LOWEST = -20.0
"""What an exponent below it counts as: e⁻²⁰ of a perturbation is left after one step."""

_LEAST_SHARE = 0.5


def spectrum_distance(
    a: LyapunovSpectrum | Tensor, b: LyapunovSpectrum | Tensor, *, lowest: float = LOWEST
) -> float:
    """Distance between two Lyapunov spectra over the normalised index, in their unit.

    Of n exponents, the i-th stands for its share [(i - 1)/n, i/n) of the index u, which makes the spectrum a
    function λ(u) on [0, 1), and

        d(a, b) = ( 1/u* ∫₀^u* (λ_a(u) - λ_b(u))² du )^½,

    the root of the mean squared difference, taken exactly. It is 0 for equal spectra, symmetric, and where all
    exponents are trusted a metric: the 2-Wasserstein distance between the distributions of the exponents. Networks
    of any two sizes can be compared, and n copies of a network side by side are at distance 0 from one. Zheng &
    Shlizerman (2025, arXiv:2506.07975) steer a search through pruned networks by the distance of their spectra from
    that of the dense network.

    -inf counts as `lowest`, as does all below it. u* is 1 where all exponents are trusted; else it is where the first
    of the two spectra stops being trusted, and what comes after is left out of the comparison.

    Args:
        a: a spectrum with all its exponents, or a plain tensor or array of them, (n,), all of which are trusted.
        b: another, of the same unit and state convention.
        lowest: smallest value that an exponent counts with.

    Raises:
        TypeError: for what is no spectrum.
        ValueError: where a spectrum diverged, holds its leading exponents only or is trusted over less than half
            of the index, or where the two differ in unit or state convention.
    """
    if isinstance(a, LyapunovSpectrum) and isinstance(b, LyapunovSpectrum):
        _check_alike(a, b)
    if not math.isfinite(lowest):
        raise ValueError(f"lowest must be a finite number, got {lowest}")
    (first, trusted_a), (second, trusted_b) = _exponents(a, "a", lowest), _exponents(b, "b", lowest)
    n, m = len(first), len(second)
    # Edges of all shares, in units of 1/(n m): whole numbers, so that equal edges are equal.
    end = min(trusted_a * m, trusted_b * n)
    edges = torch.cat([torch.arange(n + 1) * m, torch.arange(m + 1) * n]).unique()
    edges = edges[edges <= end]
    left, widths = edges[:-1], edges.diff().double()
    gaps = first[left // m] - second[left // n]
    return math.sqrt(float((widths * gaps.square()).sum() / widths.sum()))


def _check_alike(a: LyapunovSpectrum, b: LyapunovSpectrum) -> None:
    if a.rate_unit != b.rate_unit:
        raise ValueError(f"the spectra must have one unit, got {a.rate_unit} and {b.rate_unit}")
    if a.state != b.state:
        raise ValueError(f'the spectra must be of one state convention, got "{a.state}" and "{b.state}"')


def _exponents(spectrum: Any, name: str, lowest: float) -> tuple[Tensor, int]:
    """Exponents, descending, not below `lowest`, and how many of them are trusted."""
    if isinstance(spectrum, LyapunovSpectrum):
        if spectrum.certificate is None:
            raise ValueError(
                f"{name} holds leading exponents only, which have no place on the index; take it without k"
            )
        values, trusted = spectrum.exponents, spectrum.trusted
    else:
        try:
            values = torch.as_tensor(spectrum)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(
                f"{name} must be a LyapunovSpectrum or a vector, got {type(spectrum).__name__}"
            ) from None
        if values.dim() != 1 or not len(values) or values.is_complex():
            raise ValueError(f"{name} must be one vector of real exponents, got shape {tuple(values.shape)}")
        trusted = len(values)
    if values.isnan().any() or (values == math.inf).any():
        raise ValueError(f"{name} holds NaN or +inf: its run diverged")
    if trusted < _LEAST_SHARE * len(values):
        raise ValueError(
            f"{name} is trusted for {trusted} of {len(values)} exponents only, less than half of the index"
        )
    ordered = values.detach().double().cpu().sort(descending=True).values
    return ordered.clamp(min=lowest), trusted
