"""The norm of the first gradient (Abdelfattah, Mehrotra, Dudziak & Lane 2021, "Zero-cost proxies for lightweight NAS")."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def gradient_norm(model: nn.Module, loss: Tensor) -> float:
    """Euclidean norm of the gradient of a loss with respect to all parameters; those that it does not reach count as 0.

    The graph of the loss is kept. Infinite where a gradient overflows, NaN where it is undefined.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters or not loss.requires_grad:
        return 0.0
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    norms = [gradient.double().norm() for gradient in gradients if gradient is not None]
    return float(torch.stack(norms).norm()) if norms else 0.0
