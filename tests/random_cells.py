"""Cells with random weights, and their inputs, for tests of architectures."""

import numpy as np
import torch

F64 = torch.float64
INPUT, HIDDEN = 3, 5


def random_cell(kind, bias=True, scale=0.9, hidden=HIDDEN, **options):
    cell = kind(INPUT, hidden, bias, dtype=F64, **options)
    cell.reset_parameters(scale, torch.Generator().manual_seed(11))
    return cell


def random_inputs(batch, steps, seed=0):
    return torch.randn(batch, steps, INPUT, dtype=F64, generator=torch.Generator().manual_seed(seed))


def sigma(x):
    return 1 / (1 + np.exp(-x))
