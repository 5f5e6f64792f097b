"""The number of parameters, the cheapest of all baselines."""

from __future__ import annotations

from torch import nn


def number_of_parameters(model: nn.Module) -> int:
    """Numbers that are trained; shared ones count once."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
