"""Delayed temporal XOR: combine two bits of the past, at every step (Engelken 2023, arXiv:2312.17306)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aelle.tasks.task import Split, Task, TaskError

_DATA_SEED = 2023


class DelayedXOR(Task):
    """Say at each step whether the bits of `delay` and of `delay` / 2 steps ago differ.

    Inputs (N, length, 1): independent bits, 0 or 1 with equal odds. Targets (N, length - delay): those of the
    steps `delay` … length - 1, the first at which both bits have been seen. Loss: cross-entropy of one logit a step,
    nats. Metric: share of these steps that is right. Neither bit alone says anything: by chance 1/2 and ln 2.
    """

    name = "delayed_xor"
    metric_name = "accuracy"
    higher_is_better = True
    input_size, output_size = 1, 1

    def __init__(self, delay: int = 20, length: int = 60, train: int = 2048, validation: int = 512) -> None:
        if delay < 2 or delay % 2 or length <= delay or train < 1 or validation < 1:
            raise TaskError(
                "delayed_xor: delay must be even and at least 2, length more than delay; train and validation at least 1"
            )
        self.readout_steps = slice(delay, None)
        generator = torch.Generator().manual_seed(_DATA_SEED)
        bits = torch.randint(2, (train + 2 * validation, length), generator=generator)
        half = delay // 2
        targets = (bits[:, : length - delay] ^ bits[:, half : length - half]).float()
        cuts = [train, validation, validation]
        self.train, self.validation, self.test = (
            Split(x, y)
            for x, y in zip(bits.float().unsqueeze(-1).split(cuts), targets.split(cuts), strict=True)
        )

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean binary cross-entropy over the steps that are asked, nats."""
        return nn.functional.binary_cross_entropy_with_logits(outputs[..., 0], targets)

    def metric(self, outputs: Tensor, targets: Tensor) -> float:
        """Share of the steps asked whose bit is right."""
        return ((outputs[..., 0] > 0) == (targets > 0.5)).float().mean().item()
