"""SynFlow (Tanaka, Kunin, Yamins & Ganguli 2020, "Pruning neural networks without any data")."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


def synaptic_saliency(
    model: nn.Module, like: Tensor, outputs: Callable[[nn.Module, Tensor], Tensor]
) -> float:
    """ln Σ |θ · ∂R/∂θ|, R the sum of the outputs where every parameter is its magnitude and every input 1.

    Args:
        model: never modified; it is copied, and run in float64.
        like: inputs of the shape that the model takes; their values do not matter.
        outputs: runs a model.

    Returns:
        the natural logarithm; -inf where nothing reaches the outputs, NaN where R overflows.
    """
    magnitudes = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        for parameter in magnitudes.parameters():
            parameter.abs_()
    parameters = [parameter for parameter in magnitudes.parameters() if parameter.requires_grad]
    with torch.enable_grad():
        response = outputs(magnitudes, torch.ones_like(like, dtype=torch.float64)).sum()
        if not parameters or not response.requires_grad:
            return -math.inf
        gradients = torch.autograd.grad(response, parameters, allow_unused=True)
    saliency = sum(
        float((gradient * parameter.detach()).abs().sum())
        for gradient, parameter in zip(gradients, parameters, strict=True)
        if gradient is not None
    )
    if not math.isfinite(saliency):
        return math.nan
    return math.log(saliency) if saliency > 0 else -math.inf
