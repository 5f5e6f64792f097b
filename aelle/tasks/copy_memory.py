"""Copy memory: repeat a string of symbols after a long pause (Hochreiter & Schmidhuber 1997; Arjovsky et al. 2016)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aelle.tasks.task import Split, Task, TaskError

_DATA_SEED = 2016


class CopyMemory(Task):
    """Read `copied` symbols, wait, and say them again in order once the delimiter has come.

    A sequence has 2 · copied + delay steps: the symbols (0 … symbols - 1), delay - 1 blanks, the delimiter,
    and `copied` blanks, during which the symbols are due; before that the answer is blank. One-hot inputs of
    symbols + 2 classes, blank and delimiter last; the delimiter is never an answer.

    Loss: cross-entropy over all steps; knowing everything but the symbols gives
    copied · ln(symbols) / (2 · copied + delay). Metric: share of the recalled symbols that is right, by
    chance 1 / symbols.
    """

    name = "copy_memory"
    metric_name = "accuracy"
    higher_is_better = True

    def __init__(
        self, copied: int = 10, delay: int = 50, symbols: int = 8, train: int = 4096, validation: int = 512
    ) -> None:
        if copied < 1 or delay < 1 or symbols < 2 or train < 1 or validation < 1:
            raise TaskError(
                "copy_memory: symbols must be at least 2; copied, delay, train and validation at least 1"
            )
        self.copied = copied
        self.input_size, self.output_size = symbols + 2, symbols + 1
        count, blank, delimiter = train + 2 * validation, symbols, symbols + 1
        generator = torch.Generator().manual_seed(_DATA_SEED)
        strings = torch.randint(symbols, (count, copied), generator=generator)
        inputs = torch.full((count, 2 * copied + delay), blank)
        targets = inputs.clone()
        inputs[:, :copied], targets[:, -copied:] = strings, strings
        inputs[:, copied + delay - 1] = delimiter
        cuts = [train, validation, validation]
        self.train, self.validation, self.test = (
            Split(x, y) for x, y in zip(inputs.split(cuts), targets.split(cuts), strict=True)
        )

    def encode(self, inputs: Tensor) -> Tensor:
        """One-hot symbols, blank and delimiter."""
        return nn.functional.one_hot(inputs, self.input_size).float()

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy over all steps, nats."""
        return nn.functional.cross_entropy(outputs.flatten(0, 1), targets.flatten())

    def metric(self, outputs: Tensor, targets: Tensor) -> float:
        """Share of the recalled symbols that is right."""
        recalled, due = outputs[:, -self.copied :].argmax(-1), targets[:, -self.copied :]
        return (recalled == due).float().mean().item()
