"""Time spectra of diagonal and block-diagonal maps against the dense way, side by side.

    python experiments/benchmarks/structure.py --sizes 64 256 1024

Each row measures both ways in turn, in CPU time, on 2 sequences of 60 steps, and tells by how much the sums differ.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import torch

from aelle.lyapunov.structure import BlockDiagonal
from aelle.recurrent.linear_recurrent_unit import LRU
from aelle.recurrent.min_gru import MinGRU
from aelle.spectra import DrivenMap, LyapunovSpectrum, lyapunov_spectrum

F64 = torch.float64


def selective(n: int, structure: str | BlockDiagonal) -> DrivenMap:
    """A selective scan: entries exp(-rate · softplus(x)), automatic Jacobians."""
    rates = torch.linspace(0.1, 2.0, n, dtype=F64)
    step = lambda x, s: torch.exp(-rates * torch.nn.functional.softplus(x.sum(-1, keepdim=True))) * s + 1  # noqa: E731
    return DrivenMap(step, n, structure=structure)


def cell_as_map(cell: torch.nn.Module) -> DrivenMap:
    """A cell by its step and its closed-form Jacobian, dense."""
    one = lambda f: lambda x, s: f(x.unsqueeze(0), s.unsqueeze(0))[0]  # noqa: E731
    return DrivenMap(one(cell.step), cell.state_size, one(cell.jacobian), structure="dense")


def systems(n: int) -> dict[str, tuple[object, object]]:
    torch.manual_seed(0)
    gated, complex_diagonal = MinGRU(3, n, dtype=F64), LRU(3, n // 2, dtype=F64)
    return {
        "minGRU": (cell_as_map(gated), gated),
        "LRU": (cell_as_map(complex_diagonal), complex_diagonal),
        "selective scan, declared": (selective(n, "dense"), selective(n, "diagonal")),
        "selective scan, found": (selective(n, "dense"), selective(n, "auto")),
    }


def timed(call: Callable[[], LyapunovSpectrum]) -> tuple[float, LyapunovSpectrum]:
    start = time.process_time()
    found = call()
    return time.process_time() - start, found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="*", default=[64, 256, 1024])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread, {platform.machine()}; seconds of CPU, medians")
    print("| system | n | dense | in blocks | faster | difference of the sums, per exponent |")
    print("|---|---|---|---|---|---|")
    inputs = torch.randn(2, 60, 3, generator=torch.Generator().manual_seed(1))
    for n in arguments.sizes:
        for name, (dense, blocks) in systems(n).items():
            lyapunov_spectrum(blocks, inputs)  # imports and compiled kernels
            times, sums = ([], []), ([], [])
            for _ in range(arguments.repeats):
                for way, system in enumerate((dense, blocks)):
                    seconds, found = timed(lambda system=system: lyapunov_spectrum(system, inputs))
                    times[way].append(seconds)
                    sums[way].append(float(found.exponents.sum()))
            slow, fast = (statistics.median(column) for column in times)
            apart = abs(sums[0][-1] - sums[1][-1]) / n
            print(
                f"| {name} | {n} | {slow:.3f} | {fast:.4f} | {slow / fast:.0f}× | {apart:.0e} |", flush=True
            )


if __name__ == "__main__":
    main()
