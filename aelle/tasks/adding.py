"""The adding problem (Hochreiter & Schmidhuber 1997, in the form of Le et al. 2015)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aelle.tasks.task import Split, Task, TaskError

_DATA_SEED = 1997


class Adding(Task):
    """Give the sum of the two marked numbers of a sequence, at its last step.

    Inputs (N, length, 2): numbers uniform on [0, 1), and a marker that is 1 at one step of the first half
    and one of the second, else 0. Mean squared error; always answering 1 gives 1/6, the variance of the sum.
    """

    name = "adding"
    metric_name = "mse"
    higher_is_better = False
    readout_steps = slice(-1, None)
    input_size, output_size = 2, 1

    def __init__(self, length: int = 100, train: int = 8192, validation: int = 1024) -> None:
        if length < 2 or train < 1 or validation < 1:
            raise TaskError("adding: length must be at least 2; train and validation at least 1")
        count = train + 2 * validation
        generator = torch.Generator().manual_seed(_DATA_SEED)
        numbers = torch.rand(count, length, generator=generator)
        half = length // 2
        first = torch.randint(half, (count, 1), generator=generator)
        second = half + torch.randint(length - half, (count, 1), generator=generator)
        marked = torch.cat([first, second], dim=1)
        markers = torch.zeros(count, length).scatter_(1, marked, 1.0)
        inputs, targets = torch.stack([numbers, markers], dim=-1), numbers.gather(1, marked).sum(1)
        cuts = [train, validation, validation]
        self.train, self.validation, self.test = (
            Split(x, y) for x, y in zip(inputs.split(cuts), targets.split(cuts), strict=True)
        )

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean squared error of the last step's output."""
        return nn.functional.mse_loss(outputs[:, -1, 0], targets)

    def metric(self, outputs: Tensor, targets: Tensor) -> float:
        """The same as the loss."""
        return self.loss(outputs, targets).item()
