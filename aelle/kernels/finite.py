"""Whether numbers are finite, in one pass: torch's own `isfinite` makes several, each as large as its tensor."""

from __future__ import annotations

import math

from torch import Tensor


def all_finite(tensor: Tensor) -> bool:
    """Whether every number of a tensor is finite."""
    if not tensor.is_floating_point():
        return bool(tensor.isfinite().all())
    # A sum is finite only where all its terms are; one that is not may have overflowed.
    return math.isfinite(tensor.detach().sum().item()) or bool(tensor.isfinite().all())
