"""What conditioning costs beside training: an LSTM of 128 units, 100 steps of horizon, and one epoch of 2,000 sequences.

    python experiments/benchmarks/conditioning.py [units] [horizon]

Both in one thread and one run, in seconds of CPU time.
"""

from __future__ import annotations

import sys
import time

import torch
from torch import nn

import aelle

SEQUENCES, BATCH, INPUTS, OUTPUTS = 2000, 32, 8, 8


def epoch(model: nn.LSTM, readout: nn.Linear, inputs: torch.Tensor, targets: torch.Tensor) -> float:
    """One epoch of Adam over all sequences, in seconds."""
    optimiser = torch.optim.Adam([*model.parameters(), *readout.parameters()], 1e-3)
    started = time.process_time()
    for index in torch.randperm(len(inputs)).split(BATCH):
        optimiser.zero_grad()
        outputs = readout(model(inputs[index])[0][:, -1])
        nn.functional.cross_entropy(outputs, targets[index]).backward()
        optimiser.step()
    return time.process_time() - started


def main(units: int = 128, horizon: int = 100) -> None:
    """Print both."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    inputs, targets = torch.randn(SEQUENCES, horizon, INPUTS), torch.randint(OUTPUTS, (SEQUENCES,))
    model, readout = nn.LSTM(INPUTS, units, batch_first=True), nn.Linear(units, OUTPUTS)
    epoch(model, readout, inputs[: 4 * BATCH], targets[: 4 * BATCH])  # imports and first allocations
    torch.manual_seed(0)
    model.reset_parameters()
    trained = nn.LSTM(INPUTS, units, batch_first=True)
    seconds = epoch(trained, readout, inputs, targets)
    print(f"one epoch of {SEQUENCES} sequences of {horizon} steps, {units} units: {seconds:.2f} s")
    for method in ("scale", "shape", "scale+shape", "floss"):
        started = time.process_time()
        result = aelle.condition(model, inputs, readout, method=method, in_place=False)
        spent = time.process_time() - started
        print(f"{method}: {spent:.2f} s, {spent / seconds:.2f} epochs; {result}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
