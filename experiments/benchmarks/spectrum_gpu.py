"""Time spectra on an accelerator: a cohort of LSTMs, one large network, and ways to split a frame.

    python experiments/benchmarks/spectrum_gpu.py                 # where torch finds a GPU
    python experiments/benchmarks/spectrum_gpu.py --device cpu --networks 8 --size 128 --steps 4   # to try it

Three tables, medians over the repetitions:

1. a cohort of LSTMs (256 of 64 units, 10 sequences × 100 steps), all rows of one run;
2. one tanh network of 4096 units, full spectrum in float64, milliseconds a step (46.7 ms is the best published
   figure we know of, github.com/davidclark1/rnn-lyapunov);
3. one splitting of a batch of frames, by the ways from which an engine on a GPU has to choose: pivoted LU as the
   package does it, Householder QR, and Cholesky QR by panels (block Gram-Schmidt: matrix products and small Cholesky
   factorisations), each eager and, where there is a GPU, captured in a CUDA graph.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from aelle.lyapunov.factorise import Workspace, split
from aelle.spectra import lyapunov_spectra, lyapunov_spectrum

PANEL = 64


def seconds(call: Callable[[], Any], device: torch.device, repeats: int) -> float:
    """Median time of a call, after one to warm up."""
    times = []
    for _ in range(repeats + 1):
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def cohort(device: torch.device, networks: int, repeats: int) -> str:
    torch.manual_seed(0)
    modules = [nn.LSTM(8, 64, batch_first=True).to(device) for _ in range(networks)]
    inputs = torch.randn(10, 100, 8, device=device)
    rows = [f"cohort of {networks} LSTM 64, 10 × 100 steps, {state} state" for state in ("hidden", "full")]
    times = [
        seconds(lambda: lyapunov_spectra(modules, inputs, state=state, batched=True), device, repeats)  # noqa: B023
        for state in ("hidden", "full")
    ]
    return "\n".join(f"| {row} | {t:.2f} s |" for row, t in zip(rows, times, strict=True))


def large_network(device: torch.device, size: int, steps: int, repeats: int) -> str:
    torch.manual_seed(0)
    module = nn.RNN(8, size, bias=False, batch_first=True)
    nn.init.normal_(module.weight_hh_l0, std=2 / size**0.5)
    module, inputs = module.to(device), torch.randn(1, 2 * steps, 8, device=device)
    rows = []
    for interval in (1, 2, 4):
        call = lambda: lyapunov_spectrum(module, inputs, warmup=steps, qr_interval=interval)  # noqa: B023, E731
        per_step = seconds(call, device, repeats) / (2 * steps)
        rows.append(f"| tanh RNN {size}, interval {interval} | {1e3 * per_step:.1f} ms a step |")
    return "\n".join(rows)


def cholesky_panels(frame: Tensor) -> Tensor:
    """Orthonormal rows of frames (batch, k, n) by block Gram-Schmidt: panels against those before, then Cholesky QR.

    Twice, as once loses half the digits. Singular panels show as NaN: `cholesky_ex` does not stop the device.
    """
    done = frame.new_empty(frame.shape)
    for start in range(0, frame.shape[1], PANEL):
        panel = frame[:, start : start + PANEL]
        for _ in range(2):
            before = done[:, :start]
            panel = panel - (panel @ before.mT) @ before
            factor = torch.linalg.cholesky_ex(panel @ panel.mT)[0]
            panel = torch.linalg.solve_triangular(factor, panel, upper=False)
        done[:, start : start + PANEL] = panel
    return done


def splittings(device: torch.device, batch: int, size: int, repeats: int) -> str:
    frame = torch.randn(batch, size, size, dtype=torch.float64, device=device)
    work, out, pushed = Workspace.of(frame), torch.empty_like(frame), torch.empty_like(frame)
    ways: dict[str, Callable[[], Any]] = {
        "pivoted LU": lambda: split(pushed.copy_(frame), work, out),
        "Householder QR": lambda: torch.linalg.qr(frame.mT),
        "Cholesky QR by panels": lambda: cholesky_panels(frame),
    }
    rows = []
    for name, call in ways.items():
        eager = f"{1e3 * seconds(call, device, repeats):.2f} ms"
        rows.append(f"| {batch} × {size}² {name} | {eager} | {captured(call, device, repeats)} |")
    return "\n".join(rows)


def captured(call: Callable[[], Any], device: torch.device, repeats: int) -> str:
    """Time of the call replayed from a CUDA graph, where it can be captured."""
    if device.type != "cuda":
        return "–"
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            call()
    except RuntimeError as error:
        return f"not capturable ({str(error).splitlines()[0][:60]})"
    return f"{1e3 * seconds(graph.replay, device, repeats):.2f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else None)
    parser.add_argument("--networks", type=int, default=256)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.device is None:
        parser.error("torch finds no GPU here; --device cpu with small sizes tries the script out")
    device = torch.device(arguments.device)
    if device.type == "cpu":
        torch.set_num_threads(1)  # batched LU of n ≥ 160 hangs inside MKL with more
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"torch {torch.__version__}, {name}\n\n| what | time |\n|---|---|")
    print(cohort(device, arguments.networks, arguments.repeats), flush=True)
    print(large_network(device, arguments.size, arguments.steps, arguments.repeats), flush=True)
    print("\n| splitting | eager | CUDA graph |\n|---|---|---|")
    print(splittings(device, 10 * arguments.networks, 64, arguments.repeats), flush=True)
    print(splittings(device, 1, arguments.size, arguments.repeats), flush=True)


if __name__ == "__main__":
    main()
