"""What a look costs beside a spectrum, in CPU milliseconds of one core.

    python experiments/benchmarks/look.py
    AELLE_KERNELS=0 python experiments/benchmarks/look.py    # without the compiled loops

Every row is measured in turns with the others; the least of the repetitions counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import nn

import aelle

NETWORKS = (("LSTM", 32), ("GRU", 32), ("RNN", 16), ("LSTM", 64))


def calls(kind: str, size: int) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    torch.manual_seed(0)
    module, readout = getattr(nn, kind)(8, size, batch_first=True), nn.Linear(size, 10)
    three, one = torch.randn(3, 90, 8), torch.randn(1, 40, 8)
    return {
        "full, 3 × (40 + 50)": lambda: aelle.lyapunov_spectrum(module, three, warmup=40),
        "k = 8, 1 × (15 + 25)": lambda: aelle.lyapunov_spectrum(module, one, warmup=15, k=8),
        "k = 1, 1 × (15 + 25)": lambda: aelle.lyapunov_spectrum(module, one, warmup=15, k=1),
        "look, 1 × 40": lambda: aelle.look(module, one, readout),
        "look, 3 × 40": lambda: aelle.look(module, three[:, :40], readout),
    }


def main() -> None:
    """Print one line per network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for kind, size in NETWORKS:
        functions = calls(kind, size)
        least = dict.fromkeys(functions, float("inf"))
        for repeat in range(options.repeats + 2):
            for name, function in functions.items():
                started = time.process_time()
                function()
                if repeat >= 2:  # the first calls load and allocate
                    least[name] = min(least[name], time.process_time() - started)
        print(f"| {kind} {size} | " + " | ".join(f"{1e3 * seconds:.1f}" for seconds in least.values()) + " |")


if __name__ == "__main__":
    main()
