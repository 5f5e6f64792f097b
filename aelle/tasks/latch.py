"""Latch: hold the first symbol of a sequence against distractors (after Hochreiter & Schmidhuber 1997)."""

from __future__ import annotations

import torch
from torch import Tensor

from aelle.tasks.task import Classification, Split, TaskError

_DATA_SEED = 1997


class Latch(Classification):
    """Name the first of `symbols` symbols after `delay` further random symbols of the same alphabet.

    Inputs are one-hot, so only the place in the sequence tells the symbol from its distractors. A network
    has to find a memory first: the loss stays flat for some epochs, and then drops, or never does.
    """

    name = "latch"

    def __init__(self, symbols: int = 8, delay: int = 24, train: int = 2048, validation: int = 512) -> None:
        if symbols < 2 or delay < 1 or train < 1 or validation < 1:
            raise TaskError("latch: symbols must be at least 2; delay, train and validation at least 1")
        self.input_size = self.output_size = symbols
        generator = torch.Generator().manual_seed(_DATA_SEED)
        sequences = torch.randint(symbols, (train + 2 * validation, delay + 1), generator=generator)
        parts = sequences.split([train, validation, validation])
        self.train, self.validation, self.test = (Split(part, part[:, 0]) for part in parts)

    def encode(self, inputs: Tensor) -> Tensor:
        """One-hot symbols."""
        return torch.nn.functional.one_hot(inputs, self.input_size).float()
