"""AdamW (Loshchilov & Hutter 2019) for stacked parameters, with a learning rate and decay for every network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from aelle.collection.training import Trainee

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8  # torch.optim.AdamW's defaults


class PopulationAdam:
    """Moments and updates of parameters (N, …), equal to torch.optim.AdamW's on each network to rounding.

    The learning rates are those of one `epoch`. The step count is a tensor on the device, so that an update can be
    captured in a CUDA graph.
    """

    def __init__(
        self, parameters: Mapping[str, Tensor], trainees: Sequence[Trainee], device: torch.device, epoch: int
    ) -> None:
        self.parameters = dict(parameters)
        variants = [trainee.variant for trainee in trainees]
        rates = [v.learning(epoch)["learning_rate"] for v in variants]
        self.learning_rate = torch.tensor(rates, device=device)
        self.decay = 1 - self.learning_rate * torch.tensor(
            [v["weight_decay"] for v in variants], device=device
        )
        clips = [float("inf") if v.gradient_clip is None else v.gradient_clip for v in variants]
        self.clip = torch.tensor(clips, device=device)
        self.clips = any(v.gradient_clip is not None for v in variants)
        self.step = _steps(trainees).to(device)
        self.first = self._moments(trainees, "exp_avg", device)
        self.second = self._moments(trainees, "exp_avg_sq", device)

    @torch.no_grad()
    def update(self, gradients: Sequence[Tensor]) -> None:
        """Apply one AdamW step to every network."""
        if self.clips:
            gradients = self._clipped(gradients)
        self.step += 1
        corrected_rate = self.learning_rate / (1 - _BETA_1**self.step)
        root_correction = (1 - _BETA_2**self.step).sqrt()
        for (name, parameter), gradient in zip(self.parameters.items(), gradients, strict=True):
            shape = (-1,) + (1,) * (parameter.dim() - 1)
            parameter.mul_(self.decay.view(shape))
            self.first[name].lerp_(gradient, 1 - _BETA_1)
            self.second[name].mul_(_BETA_2).addcmul_(gradient, gradient, value=1 - _BETA_2)
            scale = self.second[name].sqrt() / root_correction.view(shape) + _EPSILON
            parameter.sub_(corrected_rate.view(shape) * self.first[name] / scale)

    def _clipped(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """Scale each network's gradient to its own largest norm, as torch's clip_grad_norm_ does."""
        squares = torch.stack([g.flatten(1).square().sum(1) for g in gradients])
        factor = (self.clip / (squares.sum(0).sqrt() + 1e-6)).clamp(max=1.0)
        return [g * factor.view((-1,) + (1,) * (g.dim() - 1)) for g in gradients]

    def state_of(self, name: str, position: int) -> dict[str, Tensor]:
        """One network's optimiser state of one parameter, as torch.optim.AdamW keeps it."""
        return {
            "step": self.step[position].cpu().clone(),
            "exp_avg": self.first[name][position].cpu().clone(),
            "exp_avg_sq": self.second[name][position].cpu().clone(),
        }

    def snapshot(self) -> list[Tensor]:
        """Copy everything an update changes."""
        return [tensor.detach().clone() for tensor in self._changing()]

    @torch.no_grad()
    def reset_to(self, snapshot: Sequence[Tensor]) -> None:
        """Undo all updates since a snapshot."""
        for tensor, saved in zip(self._changing(), snapshot, strict=True):
            tensor.copy_(saved)

    def _changing(self) -> list[Tensor]:
        return [*self.parameters.values(), *self.first.values(), *self.second.values(), self.step]

    def _moments(self, trainees: Sequence[Trainee], moment: str, device: torch.device) -> dict[str, Tensor]:
        stacked = {}
        for name in self.parameters:
            pairs = [(t.optimiser.state, t.network.get_parameter(name)) for t in trainees]
            single = [state[p][moment] if p in state else torch.zeros_like(p) for state, p in pairs]
            stacked[name] = torch.stack([tensor.detach() for tensor in single]).to(device)
        return stacked


def _steps(trainees: Sequence[Trainee]) -> Tensor:
    counts = []
    for trainee in trainees:
        parameter = next(p for p in trainee.network.parameters() if p.requires_grad)
        state = trainee.optimiser.state.get(parameter, {})
        counts.append(float(state["step"]) if state else 0.0)
    return torch.tensor(counts)
