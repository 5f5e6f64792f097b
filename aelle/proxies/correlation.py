"""How differently a network treats the sequences of a batch, from correlations between what it gives for each."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_SMALL = 1e-5  # added to eigenvalues, as in the source


def correlation_score(rows: Tensor) -> float:
    """-Σ [ln(λ + k) + 1/(λ + k)] over the eigenvalues λ of the rows' correlation matrix, k = 1e-5.

    It is highest, -N (1 + O(k)), where no two rows are correlated, and falls by about 1/k for every row that the others
    determine (Mellor, Turner, Storkey & Crowley 2020, "Neural architecture search without training", first version).

    Args:
        rows: (N, D), one row a sequence; a constant row correlates with none.

    Returns:
        the score; NaN where a value is not finite.

    Raises:
        ValueError: for fewer than two rows.
    """
    if rows.dim() != 2 or len(rows) < 2:
        raise ValueError(f"correlations need two rows or more of (N, D), got {tuple(rows.shape)}")
    values = rows.detach().double()
    if not bool(values.isfinite().all()):
        return math.nan
    centred = values - values.mean(dim=1, keepdim=True)
    norm = centred.norm(dim=1, keepdim=True)
    unit = torch.where(norm > 0, centred / norm.clamp_min(torch.finfo(torch.float64).tiny), 0.0)
    correlations = unit @ unit.mT
    correlations.fill_diagonal_(1.0)
    shifted = torch.linalg.eigvalsh(correlations).clamp_min(0.0) + _SMALL
    return -float((shifted.log() + 1 / shifted).sum())
