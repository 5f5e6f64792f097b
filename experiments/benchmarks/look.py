"""What a look costs beside a spectrum, in CPU milliseconds of one core and as a share of an epoch; goals beside.

    python experiments/benchmarks/look.py
    python experiments/benchmarks/look.py --tasks experiments/goals/*-varied.toml --networks 3
    AELLE_KERNELS=0 python experiments/benchmarks/look.py    # without the compiled loops

Whatever is compared is measured in turns; the least of the repetitions counts, which other work on the machine moves
least. What misses its goal is shown as well as what meets it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

import aelle
from aelle.collection.measurement import driving_sequences
from aelle.collection.search_space import Cohort, variants
from aelle.collection.training import NativeTraining
from aelle.config import load_experiment
from aelle.tasks.registry import make_task

NETWORKS = (("LSTM", 32), ("GRU", 32), ("RNN", 16), ("LSTM", 64))
GOALS = {
    ("LSTM 32", "full, 3 × (40 + 50)"): 8.0,
    ("LSTM 32", "k = 1, 1 × (15 + 25)"): 1.0,
    ("LSTM 32", "look, 3 × 40"): 1.5,
    ("LSTM 64", "look, 3 × 40"): 3.0,
}
FLOOR_GOAL, SHARE_GOAL = 2.5, 0.05


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


def least(functions: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Least CPU seconds of each, taken in turns; the first calls load and allocate, and are not counted."""
    found = dict.fromkeys(functions, float("inf"))
    for repeat in range(repeats + 2):
        for name, function in functions.items():
            started = time.process_time()
            function()
            if repeat >= 2:
                found[name] = min(found[name], time.process_time() - started)
    return found


def milliseconds(repeats: int) -> None:
    """One row a network; goals in brackets."""
    print("| network, ms | " + " | ".join(calls("RNN", 2)) + " |\n|---|" + "---|" * 5)
    for kind, size in NETWORKS:
        cells = []
        for name, seconds in least(calls(kind, size), repeats).items():
            goal = GOALS.get((f"{kind} {size}", name))
            cells.append(f"{1e3 * seconds:.1f}" + ("" if goal is None else f" (goal {goal:g})"))
        print(f"| {kind} {size} | " + " | ".join(cells) + " |", flush=True)


def floors(sizes: list[int], repeats: int) -> None:
    """Spectra of ∂h′/∂h of 15 × 100 steps as multiples of the bare products of matrices that they need."""
    print(
        f"\n| LSTM, hidden state, 15 × 100 | µs per step | bare products | multiple (goal {FLOOR_GOAL:g} at 64) |"
    )
    print("|---|---|---|---|")
    for size in sizes:
        torch.manual_seed(0)
        module, inputs = nn.LSTM(8, size, batch_first=True), torch.randn(15, 100, 8)
        a, b = torch.randn(2, 15, size, size, dtype=torch.float64)
        out = torch.empty_like(a)
        functions = {
            "ours": lambda module=module, inputs=inputs: aelle.lyapunov_spectrum(
                module, inputs, state="hidden"
            ),
            "bare": lambda a=a, b=b, out=out: [torch.bmm(a, b, out=out) for _ in range(100)],
        }
        ours, bare = least(functions, repeats if size < 256 else 2).values()
        print(
            f"| {size} | {1e6 * ours / 1500:.1f} | {1e6 * bare / 1500:.1f} | {ours / bare:.2f}× |", flush=True
        )


def cohorts(repeats: int) -> None:
    """Five networks as one batch against one after the other."""
    print("\n| five networks, ms | one by one | as one batch |\n|---|---|---|")
    for kind, size in NETWORKS:
        torch.manual_seed(0)
        networks = [getattr(nn, kind)(8, size, batch_first=True) for _ in range(5)]
        three = torch.randn(3, 90, 8)
        ways = {
            str(batched): lambda b=batched, n=networks, x=three: aelle.lyapunov_spectra(
                n, x, warmup=40, batched=b
            )
            for batched in (False, True)
        }
        one_by_one, batch = least(ways, repeats).values()
        print(
            f"| {kind} {size}, full, 3 × (40 + 50) | {1e3 * one_by_one:.1f} | {1e3 * batch:.1f} |", flush=True
        )


def shares(path: Path, networks: int) -> str:
    """A look, and a whole spectrum with readout growth, as shares of one epoch of the same network; medians."""
    experiment = load_experiment(path)
    options = experiment.task
    task = make_task(options.name, options.options, options.data_folder)
    found = variants(experiment)
    looks, spectra, milliseconds_of = [], [], []
    whole = driving_sequences(experiment, task)
    few = task.encode(task.validation.inputs[:3])[:, :100].double()
    for variant in found[:: max(1, len(found) // networks)][:networks]:
        training = NativeTraining(Cohort((variant,)), task, 1)
        epochs = iter(training)
        next(epochs)
        started = time.process_time()
        next(epochs)
        epoch, trainee = time.process_time() - started, training.trainees[0]
        start = task.learning_rule.running_state(trainee.optimiser)
        network = trainee.network

        def full(network: nn.Module = network, start: object = start) -> None:
            aelle.lyapunov_spectrum(network, whole, warmup=experiment.spectrum.warmup, initial_state=start)
            aelle.readout_growth(network, few, initial_state=start)

        taken = least(
            {"look": lambda n=network, s=start: aelle.look(n, few, initial_state=s), "full": full}, 3
        )
        looks.append(taken["look"] / epoch)
        spectra.append(taken["full"] / epoch)
        milliseconds_of.append(1e3 * taken["look"])
    return (
        f"| {path.stem} | {statistics.median(milliseconds_of):.1f} | {statistics.median(looks):.3f} | "
        f"{statistics.median(spectra):.3f} |"
    )


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--sizes", type=int, nargs="*", default=[64], help="LSTMs against bare products")
    parser.add_argument("--tasks", type=Path, nargs="*", default=[], help="experiment files")
    parser.add_argument("--networks", type=int, default=3, help="networks of each experiment, evenly spaced")
    options = parser.parse_args()
    torch.set_num_threads(1)
    milliseconds(options.repeats)
    floors(options.sizes, options.repeats)
    cohorts(max(3, options.repeats // 5))
    if options.tasks:
        print(f"\n| task | a look, ms | of an epoch (goal {SHARE_GOAL:g}) | a whole spectrum and growth |")
        print("|---|---|---|---|")
    for path in options.tasks:
        print(shares(path, options.networks), flush=True)


if __name__ == "__main__":
    main()
