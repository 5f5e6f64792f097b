"""Time Lyapunov spectra against the published reference and against the floor of matrix products.

    python experiments/benchmarks/spectrum.py --reference PATH/TO/lyapunov.py --threads 2 --repeats 5

The reference is `calc_LEs_an` of github.com/shlizee/LyapunovAutoEncode (Vogt, Puelma Touzel, Shlizerman &
Lajoie 2022), which has no licence: get it yourself and pass the path of its lyapunov.py; without one, only our
own times are measured. Everything is timed in turn within each repetition, and ratios are medians of ratios.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from aelle.spectra import lyapunov_spectrum

SEQUENCES, STEPS, INPUT_SIZE = 15, 100, 8


@dataclass(frozen=True)
class Case:
    kind: str
    hidden_size: int
    state: str = "hidden"
    k: int | None = None

    @property
    def name(self) -> str:
        full = ", full state" if self.kind == "LSTM" and self.state == "full" else ""
        return f"{self.kind} {self.hidden_size}{full}" + (f", k = {self.k}" if self.k else "")

    @property
    def size(self) -> int:
        return self.hidden_size * (2 if self.kind == "LSTM" and self.state == "full" else 1)

    def network(self) -> nn.Module:
        torch.manual_seed(0)
        # The reference's GRU Jacobian runs only without biases.
        return getattr(nn, self.kind)(INPUT_SIZE, self.hidden_size, bias=self.kind != "GRU", batch_first=True)

    @property
    def reference_steps(self) -> int:
        """The reference takes the same time for every step; twenty of them are enough where they are slow."""
        return STEPS if self.hidden_size <= 64 else 20


CASES = [
    Case("LSTM", 64),
    Case("LSTM", 128),
    Case("LSTM", 256),
    Case("LSTM", 512),
    Case("GRU", 256),
    Case("RNN", 256),
    Case("LSTM", 256, k=10),
    Case("GRU", 256, k=10),
    Case("RNN", 256, k=10),
    Case("LSTM", 256, state="full"),
]


def load_reference(path: Path) -> Any:
    """Import the reference from its file, without its progress bars and the plotting library it imports."""
    if importlib.util.find_spec("matplotlib") is None:
        package = ModuleType("matplotlib")
        package.pyplot = ModuleType("matplotlib.pyplot")
        sys.modules.update({"matplotlib": package, "matplotlib.pyplot": package.pyplot})
    spec = importlib.util.spec_from_file_location("reference_lyapunov", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.tqdm = lambda iterable, *_, **__: iterable
    return module


class ReferenceModel(nn.Module):
    """The shape of model that the reference expects: a recurrent layer called `rnn_layer`."""

    def __init__(self, rnn_layer: nn.Module) -> None:
        super().__init__()
        self.rnn_layer = rnn_layer

    def forward(self, x: torch.Tensor, state: Any) -> Any:
        return self.rnn_layer(x, state)


def reference_call(reference: Any, case: Case, inputs: torch.Tensor) -> Callable[[], Any]:
    model = ReferenceModel(case.network())
    start = torch.zeros(1, SEQUENCES, case.hidden_size)
    state = (start, start.clone()) if case.kind == "LSTM" else start
    driven = inputs[:, : case.reference_steps]
    options = {"model": model, "rec_layer": case.kind.lower(), "warmup": case.reference_steps // 10}
    return lambda: reference.calc_LEs_an(driven, state, **options)


def matrix_rate(n: int) -> float:
    """Floating-point operations a second of float64 products of n × n matrices, one for each sequence."""
    a, b = torch.randn(2, SEQUENCES, n, n, dtype=torch.float64)
    out = torch.empty_like(a)
    return 2 * SEQUENCES * n**3 / min(seconds(lambda: torch.bmm(a, b, out=out)) for _ in range(5))


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(case: Case, reference: Any, repeats: int) -> str:
    """One row of the table: microseconds per input-step, ratios within each repetition."""
    inputs = torch.randn(SEQUENCES, STEPS, INPUT_SIZE, generator=torch.Generator().manual_seed(1))
    network, per_step = case.network(), 1e6 / (SEQUENCES * STEPS)
    result = []
    ours = lambda: result.append(lyapunov_spectrum(network, inputs, state=case.state, k=case.k))  # noqa: E731
    theirs = None if reference is None or case.state == "full" else reference_call(reference, case, inputs)
    ours()
    times, references, floors = [], [], []
    for _ in range(repeats):
        times.append(seconds(ours) * per_step)
        floors.append(2 * case.size**2 * (case.k or case.size) / matrix_rate(case.size) * 1e6)
        if theirs is not None:
            references.append(seconds(theirs) * per_step * STEPS / case.reference_steps)
    spectrum = result[-1]
    floor = statistics.median(t / f for t, f in zip(times, floors, strict=True))
    cells = [
        case.name,
        f"{statistics.median(references):.0f}" if references else "–",
        f"{statistics.median(times):.0f}",
        f"{statistics.median(r / t for r, t in zip(references, times, strict=True)):.1f}×"
        if references
        else "–",
        f"{statistics.median(floors):.0f}",
        f"{floor:.2f}×",
        str(spectrum.qr_interval),
        f"{float(spectrum.rounding_error.max()):.0e}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reference", type=Path, help="lyapunov.py of the reference")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="names of cases, such as 'LSTM 64'")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    reference = None if arguments.reference is None else load_reference(arguments.reference)
    print(f"torch {torch.__version__}, {arguments.threads} threads, {platform.machine()}")
    print(
        "| network | reference, float32 | ours, float64 | faster | floor | of floor | interval | stated error |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for case in CASES:
        if not arguments.only or case.name in arguments.only:
            print(measure(case, reference, arguments.repeats), flush=True)


if __name__ == "__main__":
    main()
