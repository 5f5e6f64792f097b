"""All proxies of a network at once, from one batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from aelle.proxies.gradient_norm import gradient_norm
from aelle.proxies.hidden_covariance import hidden_covariance
from aelle.proxies.jacobian_cosine import jacobian_cosine
from aelle.proxies.jacobian_covariance import jacobian_covariance
from aelle.proxies.parameters import number_of_parameters
from aelle.proxies.power_law_alpha import power_law_alpha
from aelle.proxies.synaptic_saliency import synaptic_saliency


@dataclass(frozen=True)
class Batch:
    """What proxies look at.

    Attributes:
        inputs: (N, T, d), float.
        run: (model, inputs) → hidden vectors (N, T, H) and outputs (N, ·, o).
        loss: outputs → a scalar.
    """

    inputs: Tensor
    run: Callable[[Any, Tensor], tuple[Tensor, Tensor]]
    loss: Callable[[Tensor], Tensor]


def proxies(model: nn.Module, batch: Batch) -> dict[str, float]:
    """Every proxy by name: numbers that may be NaN or infinite where a network explodes.

    gradient_norm and synaptic_saliency are in natural logarithms, the number of parameters too. The model is run as it
    is, in its own precision and mode; its parameters and their gradients stay as they were.

    Raises:
        ValueError: for fewer than two sequences.
    """
    with torch.enable_grad():
        inputs = batch.inputs.detach().clone().requires_grad_()
        hidden, outputs = batch.run(model, inputs)
        (gradients,) = torch.autograd.grad(outputs.sum(), inputs, retain_graph=True)
        norm = gradient_norm(model, batch.loss(outputs))
    return {
        "parameters": _log(number_of_parameters(model)),
        "gradient_norm": _log(norm),
        "synaptic_saliency": synaptic_saliency(model, batch.inputs, lambda m, x: batch.run(m, x)[1]),
        "hidden_covariance": hidden_covariance(hidden[:, -1]),
        "jacobian_cosine": jacobian_cosine(gradients),
        "jacobian_covariance": jacobian_covariance(gradients),
        "power_law_alpha": power_law_alpha(model),
    }


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf if value == 0 else math.nan
