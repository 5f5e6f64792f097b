"""AdamW (Loshchilov & Hutter 2019) by its functional form."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw


class AdamW:
    """Equal to torch.optim.AdamW(fused=True) to the bit.

    Constructing torch's class imports its compiler, a second or two in every process, and its bookkeeping costs
    more than the update of a small network.

    Attributes:
        state: step, exp_avg and exp_avg_sq by parameter, as torch's class names them.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], learning_rate: float, weight_decay: float) -> None:
        self.parameters = list(parameters)
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.state: MutableMapping[Any, dict[str, Tensor]] = {}

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient."""
        learnt = [p for p in self.parameters if p.grad is not None]
        kept = [self.state.get(p) or self._begun(p) for p in learnt]
        adamw(
            list(learnt),
            [p.grad for p in learnt if p.grad is not None],
            [moments["exp_avg"] for moments in kept],
            [moments["exp_avg_sq"] for moments in kept],
            [],
            [moments["step"] for moments in kept],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
            eps=1e-8,
            maximize=False,
        )

    def _begun(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        self.state[parameter] = {
            "step": torch.zeros(()),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
        return self.state[parameter]
