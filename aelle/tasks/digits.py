"""Handwritten digits as sequences: scikit-learn's `load_digits`, 1,797 images of 8 × 8 pixels, 10 classes."""

from __future__ import annotations

import torch

from aelle.tasks.task import Classification, TaskError, split_by_permutation

_SPLIT_SEED = 1797


class Digits(Classification):
    """Read a digit row by row (8 steps of 8 pixels) or pixel by pixel (64 steps of 1), then name it.

    Split 70 / 15 / 15 by one fixed permutation: 1,258 train, 270 validation, 269 test.
    """

    name = "digits"
    output_size = 10

    def __init__(self, order: str = "rows") -> None:
        shapes = {"rows": (8, 8), "pixels": (64, 1)}
        if order not in shapes:
            raise TaskError(f"digits: order must be one of {', '.join(shapes)}, got {order!r}")
        from sklearn.datasets import load_digits  # slow to import, and only this task needs it

        digits = load_digits()
        steps, self.input_size = shapes[order]
        images = torch.tensor(digits.images / 16.0, dtype=torch.float32).reshape(-1, steps, self.input_size)
        labels = torch.tensor(digits.target, dtype=torch.int64)
        self.train, self.validation, self.test = split_by_permutation(
            images, labels, (0.7, 0.15), _SPLIT_SEED
        )
