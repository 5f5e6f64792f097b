"""A module without a closed form against the same one with it: CPU time side by side, in one run.

    python experiments/benchmarks/automatic.py --hidden 64

The same torch.nn.LSTM and LSTMCell, once as they are (closed form) and once inside a module of the user's own, which
aelle reads and differentiates automatically; 4 sequences of 140 steps, all exponents and the 8 leading ones, one thread,
the best of the repeats, taken in turn. Then what the comparison of a plain LSTM with its cells costs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from aelle.modules.conversion import checked_cells
from aelle.recurrent.convert import cells_of
from aelle.spectra import lyapunov_spectrum


class Wrapped(nn.Module):
    """A module that aelle has no closed form of."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, state: Any = None) -> Any:
        """What the inner module does."""
        return self.inner(x, state)


def fastest(calls: list[Callable[[], Any]], repeats: int) -> list[float]:
    """Least CPU time of each call in seconds, the calls taken in turn."""
    best = [float("inf")] * len(calls)
    for _ in range(repeats):
        for i, call in enumerate(calls):
            start = time.process_time()
            call()
            best[i] = min(best[i], time.process_time() - start)
    return best


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    inputs = torch.randn(4, 140, 8)
    print(f"{'module':10} {'exponents':>9} {'closed ms':>10} {'automatic ms':>13} {'ratio':>6}")
    for kind in (nn.LSTM(8, options.hidden, batch_first=True), nn.LSTMCell(8, options.hidden)):
        for k in (None, 8):
            closed, automatic = fastest(
                [
                    lambda kind=kind, k=k: lyapunov_spectrum(kind, inputs, k=k),
                    lambda kind=kind, k=k: lyapunov_spectrum(Wrapped(kind), inputs, k=k),
                ],
                options.repeats,
            )
            shown = "all" if k is None else k
            print(
                f"{type(kind).__name__:10} {shown:>9} {1e3 * closed:10.1f} {1e3 * automatic:13.1f} {automatic / closed:6.2f}"
            )
    plain, short = nn.LSTM(8, 32, batch_first=True), list(torch.randn(3, 90, 8))
    with torch.no_grad():
        copied, checked = fastest(
            [
                lambda: cells_of(plain, torch.float64),
                lambda: checked_cells(plain, torch.float64, short),
            ],
            40,
        )
    print(f"LSTM 32: copied into cells {1e3 * copied:.2f} ms, copied and compared {1e3 * checked:.2f} ms")


if __name__ == "__main__":
    main()
