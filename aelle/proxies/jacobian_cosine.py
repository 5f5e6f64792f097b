"""Jacobian cosine (Celotti, Balafrej & Calvet 2020, "Improving zero-shot neural architecture search with parameters scoring")."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_ROOT = 20


def jacobian_cosine(gradients: Tensor) -> float:
    """1 - the mean of |cos|^(1/20) over all pairs of sequences, of the gradients (N, …) with respect to the inputs.

    Returns:
        between 0, all alike, and 1, all at right angles; NaN where a value is not finite.

    Raises:
        ValueError: for fewer than two sequences.
    """
    rows = gradients.detach().double().flatten(1)
    if len(rows) < 2:
        raise ValueError("cosines need two sequences or more")
    if not bool(rows.isfinite().all()):
        return math.nan
    largest = rows.abs().amax(dim=1, keepdim=True)
    unit = torch.nn.functional.normalize(
        torch.where(largest > 0, rows / largest.clamp_min(1e-300), 0.0), dim=1
    )
    cosines = (unit @ unit.mT).abs()
    off = cosines[~torch.eye(len(rows), dtype=torch.bool, device=rows.device)]
    return 1.0 - float((off ** (1 / _ROOT)).mean())
