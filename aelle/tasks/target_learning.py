"""Target learning: a rate network comes to generate a sum of sines by itself (Zheng & Shlizerman 2020)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from aelle.tasks.force import Force
from aelle.tasks.task import Split, Task, TaskError

# Harmonics 1, 2, 3, … of the period, with the amplitudes of the paper.
_AMPLITUDES = {"two_sines": (1.0, 1 / 2), "four_sines": (1.0, 1 / 2, 1 / 6, 1 / 3)}


class TargetLearning(Task):
    """Generate a periodic target without any input, after FORCE learning of the output.

    The target is a sum of sines, shifted and scaled to fill [-1, 1]. Architectures are "rate" for FORCE and
    "robust_rate" for R-FORCE; `init_gain` is their g, `learning_rate` is 1/α. An epoch is one period.
    After each epoch the weights are fixed and the network runs on by itself for `validation_periods`: the
    metric is the mean absolute error there, in phase with the target, as in the papers. (The test split is
    the same periods: there is nothing new to generate.)

    Driving sequences have no input but a pulse at their first step, standard normal in size, which sets the
    sequences of a spectrum apart; as "noise" they are Gaussian with the target's standard deviation.

    Args:
        target: "four_sines" or "two_sines" as in the R-FORCE paper, or "random_sines", four sines of
            harmonics drawn from 1-5 and amplitudes 1/1 … 1/10 as in Vogt et al. 2022.
        target_seed: seed of "random_sines".
        period: steps of a period; the papers take 1,200 of 0.1 time constants.
        learn_every: steps between updates of the output.
        validation_periods: periods of the free run; the papers take 10 to 15.

    Raises:
        TaskError: for a wrong option.
    """

    name = "target_learning"
    metric_name = "mean_absolute_error"
    higher_is_better = False
    input_size = output_size = 1

    def __init__(
        self,
        target: str = "four_sines",
        target_seed: int = 0,
        period: int = 1200,
        learn_every: int = 2,
        validation_periods: int = 5,
    ) -> None:
        if target not in (*_AMPLITUDES, "random_sines"):
            known = ", ".join((*_AMPLITUDES, "random_sines"))
            raise TaskError(f"target_learning: target must be one of {known}; got {target!r}")
        if period < 8 or learn_every < 1 or validation_periods < 1:
            raise TaskError(
                "target_learning: period must be at least 8; learn_every and validation_periods at least 1"
            )
        wave = _wave(*_sines(target, target_seed), period)
        self.learning_rule = Force(wave, learn_every)
        self.train = _free_run(wave)
        self.validation = self.test = _free_run(wave.repeat(validation_periods))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean squared error over all steps."""
        return nn.functional.mse_loss(outputs, targets)

    def metric(self, outputs: Tensor, targets: Tensor) -> float:
        """Mean absolute error over all steps."""
        return (outputs - targets).abs().mean().item()

    def driving_sequences(self, count: int, steps: int, kind: str, generator: torch.Generator) -> Tensor:
        """Silence after one pulse ("validation"), or Gaussian noise ("noise"), (count, steps, 1).

        Raises:
            TaskError: for another kind.
        """
        if kind == "validation":
            driving = torch.zeros(count, steps, 1)
            driving[:, 0] = torch.randn(count, 1, generator=generator)
            return driving
        if kind == "noise":
            return self.train.targets.std() * torch.randn(count, steps, 1, generator=generator)
        raise TaskError(f"unknown kind of driving sequences {kind!r}; known: validation, noise")


def _sines(target: str, seed: int) -> tuple[Tensor, Tensor]:
    """Amplitudes and harmonics."""
    if target in _AMPLITUDES:
        amplitudes = torch.tensor(_AMPLITUDES[target], dtype=torch.float64)
        return amplitudes, torch.arange(1, len(amplitudes) + 1)
    generator = torch.Generator().manual_seed(seed)
    amplitudes = 1 / torch.randint(1, 11, (4,), generator=generator).double()
    return amplitudes, torch.randint(1, 6, (4,), generator=generator)


def _wave(amplitudes: Tensor, harmonics: Tensor, period: int) -> Tensor:
    """One period (period,) of Σ a sin(2π h t / period), shifted and scaled to fill [-1, 1]; starts at t = 1."""
    phase = 2 * math.pi * torch.arange(1, period + 1, dtype=torch.float64) / period
    wave = (amplitudes.unsqueeze(1) * torch.sin(harmonics.unsqueeze(1) * phase)).sum(0)
    middle, half_range = (wave.max() + wave.min()) / 2, (wave.max() - wave.min()) / 2
    return (wave - middle) / half_range


def _free_run(wave: Tensor) -> Split:
    targets = wave.float().reshape(1, -1, 1)
    return Split(torch.zeros_like(targets), targets)
