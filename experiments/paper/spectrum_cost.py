"""What a spectrum costs against training, for networks of growing size.

    python experiments/paper/spectrum_cost.py

CharRNNs of one layer over 82 symbols, on one thread. A training epoch is timed on a few batches of 32 sequences of
100 characters and scaled to the papers' 5,124 sequences (a fifth of four fifths of War and Peace); a spectrum is
taken as the papers' code takes it: 15 sequences of 100 steps after 500 of warm-up, H exponents ("hidden"), and over
the full state of an LSTM besides, up to 128 units. Epoch and spectrum are timed in turn, `--repeats` times.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from common import VOGT_2022, Verdict, finish, panels, parser, run
from torch import Tensor, nn

from aelle import lyapunov_spectrum
from aelle.explorer.theme import LIGHT

SYMBOLS, LENGTH, BATCH = 82, 100, 32
SEQUENCES_OF_AN_EPOCH = 5124
SPECTRUM_SEQUENCES, WARMUP, STEPS = 15, 500, 100
EPOCHS = 10  # of the papers' training
LARGEST_FULL = 128  # units up to which the full state is timed: beyond, minutes for one spectrum
KINDS = {"RNN": ("hidden",), "GRU": ("hidden",), "LSTM": ("hidden", "full")}
CLAIM = "a spectrum costs little against training"
CRITERION = (
    "for every architecture and size, the median time of one spectrum of H exponents is below that of one training "
    f"epoch of {SEQUENCES_OF_AN_EPOCH} sequences, and so below a tenth of a training of {EPOCHS} epochs"
)


def symbols(count: int, steps: int) -> Tensor:
    index = torch.randint(SYMBOLS, (count, steps), generator=torch.Generator().manual_seed(count))
    return nn.functional.one_hot(index, SYMBOLS).float()


def epoch_timer(module: nn.RNNBase, batches: int) -> Callable[[], float]:
    """A call that trains on some batches and returns the seconds of a whole epoch."""
    readout = nn.Linear(module.hidden_size, SYMBOLS)
    optimiser = torch.optim.Adam([*module.parameters(), *readout.parameters()], lr=1e-3)
    inputs = symbols(BATCH, LENGTH + 1)
    targets = inputs[:, 1:].argmax(-1).flatten()

    def timed() -> float:
        started = time.perf_counter()
        for _ in range(batches):
            outputs = readout(module(inputs[:, :-1])[0])
            loss = nn.functional.cross_entropy(outputs.flatten(0, 1), targets)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return (time.perf_counter() - started) / (batches * BATCH) * SEQUENCES_OF_AN_EPOCH

    return timed


def spectrum_timer(module: nn.RNNBase, state: str) -> Callable[[], float]:
    inputs = symbols(SPECTRUM_SEQUENCES, WARMUP + STEPS)

    def timed() -> float:
        started = time.perf_counter()
        lyapunov_spectrum(module, inputs, warmup=WARMUP, state=state)
        return time.perf_counter() - started

    return timed


def measure(sizes: list[int], batches: int, repeats: int) -> dict[str, Any]:
    rows = []
    for kind, states in KINDS.items():
        for size in sizes:
            timed = [state for state in states if state == "hidden" or size <= LARGEST_FULL]
            torch.manual_seed(0)
            module = getattr(nn, kind)(SYMBOLS, size, batch_first=True)
            calls = {"epoch": epoch_timer(module, batches)} | {s: spectrum_timer(module, s) for s in timed}
            calls["epoch"]()  # the first call allocates
            times = [{name: call() for name, call in calls.items()} for _ in range(repeats)]
            row: dict[str, Any] = {"kind": kind, "size": size}
            row |= {name: statistics.median(t[name] for t in times) for name in calls}
            row |= {f"{s}_in_epochs": statistics.median(t[s] / t["epoch"] for t in times) for s in timed}
            rows.append(row)
            print(row, flush=True)
    return {"sizes": sizes, "repeats": repeats, "load": os.getloadavg()[0], "rows": rows}


def judge(numbers: dict[str, Any]) -> Verdict:
    rows = numbers["rows"]
    ratios = [row["hidden_in_epochs"] for row in rows]
    full = [row["full_in_epochs"] for row in rows if "full_in_epochs" in row]
    dearest = rows[ratios.index(max(ratios))]
    finding = (
        f"one spectrum of H exponents takes {min(ratios):.2f} to {max(ratios):.2f} epochs of the papers' size (most: "
        f"{dearest['kind']} {dearest['size']}), the full state of an LSTM {min(full):.2f} to {max(full):.2f}"
    )
    return Verdict(VOGT_2022, CLAIM, CRITERION, max(ratios) < 1, finding)


def draw(numbers: dict[str, Any]) -> Any:
    axes = [("hidden size", "seconds"), ("hidden size", "epochs")]
    figure = panels(["time on one thread", "a spectrum in epochs of training"], axes, width=1000, height=440)
    words = {"epoch": ("one epoch", "dot"), "hidden": ("spectrum, H exponents", "solid")}
    words["full"] = ("spectrum, full state", "dash")
    for (kind, states), colour in zip(KINDS.items(), LIGHT.kinds, strict=False):
        rows = [row for row in numbers["rows"] if row["kind"] == kind]
        sizes = [str(row["size"]) for row in rows]
        for what in ("epoch", *states):
            label, dash = words[what]
            look = {
                "mode": "lines+markers",
                "line": {"color": colour, "dash": dash},
                "name": f"{kind}: {label}",
            }
            figure.add_scatter(x=sizes, y=[row.get(what) for row in rows], **look, row=1, col=1)
            if what != "epoch":
                ratios = [row.get(f"{what}_in_epochs") for row in rows]
                figure.add_scatter(x=sizes, y=ratios, showlegend=False, **look, row=1, col=2)
    figure.update_yaxes(type="log", tickvals=[0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100], row=1, col=1)
    figure.update_yaxes(rangemode="tozero", row=1, col=2)
    return figure.update_xaxes(type="category")


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--sizes", type=int, nargs="+", default=[32, 64, 128, 256])
    arguments.add_argument("--batches", type=int, default=4, help="batches timed for an epoch")
    arguments.add_argument("--repeats", type=int, default=3)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    numbers = measure(options.sizes, options.batches, options.repeats)
    finish(options, "spectrum_cost", {"": draw(numbers)}, numbers, judge(numbers))


if __name__ == "__main__":
    run(main)
