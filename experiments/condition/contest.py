"""Trains the contest's networks, a line of JSON for each; begun again, it goes on where it stopped.

    python experiments/condition/contest.py FOLDER --seconds 540 [--networks 10] [--tasks "latch 24"] [--methods chrono]

Network i of a task and architecture has the same weights, readout and order of data under every method: comparisons are
paired. Seconds are those of the processor, of this process.
"""

import argparse
import json
import math
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import torch
from cells import SIZES, TASKS, TRAINING, ContestTask, Method
from entrants import METHODS
from starts import STARTS
from torch import nn

import aelle
from aelle.recurrent.network import Network
from aelle.recurrent.registry import cell_class
from aelle.tasks.registry import make_task
from aelle.tasks.task import Task

CONDITIONED_ON = 64  # sequences
PASS = 10  # networks of a cell before the next cell


def main() -> None:
    """Train what is not there yet, until the time is up."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--networks", type=int, default=30)
    parser.add_argument("--tasks", nargs="*", default=list(TASKS))
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    done, until = finished(options.folder), time.monotonic() + options.seconds
    tasks: dict[str, Task] = {}
    for task, architecture, method, number in wanted(options.tasks, options.methods, options.networks):
        if (task.name, architecture, method, number) in done:
            continue
        if time.monotonic() > until:
            return
        if task.name not in tasks:
            tasks[task.name] = make_task(task.kind, task.options)
        row = run(task, tasks[task.name], architecture, method, number)
        with (options.folder / f"{task.name.replace(' ', '-')}.jsonl").open("a", encoding="utf-8") as stream:
            stream.write("\n" * torn(stream) + json.dumps(row) + "\n")


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Every network trained so far; a line that a kill tore is passed over."""
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue


def torn(stream: TextIO) -> bool:
    """Whether a file's last line was never finished."""
    if stream.tell() == 0:
        return False
    with Path(stream.name).open("rb") as written:
        written.seek(-1, 2)
        return written.read() != b"\n"


def finished(folder: Path) -> set[tuple[str, str, str, int]]:
    """Task, architecture, method and number of what is there."""
    return {(row["task"], row["architecture"], row["method"], row["network"]) for row in rows(folder)}


def wanted(
    tasks: list[str], methods: list[str], networks: int
) -> Iterator[tuple[ContestTask, str, str, int]]:
    """Every network in the order in which it is to be trained: some of each cell, then some more of each."""
    for first in range(0, networks, PASS):
        for name in tasks:
            for architecture in TASKS[name].architectures:
                for method in methods:
                    if not apt(TASKS[name], architecture, METHODS[method]):
                        continue
                    for number in range(first, min(first + PASS, networks)):
                        yield TASKS[name], architecture, method, number


def apt(task: ContestTask, architecture: str, method: Method) -> bool:
    """Whether a method is run on a task and architecture."""
    return method.scope in task.scopes and (not method.only or architecture in method.only)


def run(task: ContestTask, data: Task, architecture: str, method: str, number: int) -> dict[str, Any]:
    """Begin one network by a method, train it, and tell how it went."""
    chosen = METHODS[method]
    network = untrained(data, task.name, architecture, number)
    sequences = data.encode(data.train.inputs[:CONDITIONED_ON])
    generator = torch.Generator().manual_seed(seed(task.name, architecture, number, -1))
    started = time.process_time()
    STARTS[chosen.start](network, sequences, task.horizon, generator)
    said = ""
    if chosen.condition is not None:
        said = conditioned(network, sequences, task, chosen)
    begun = time.process_time()
    metrics = trained(task, data, network, chosen, architecture, number)
    return {
        "task": task.name,
        "architecture": architecture,
        "method": method,
        "network": number,
        "hidden_size": network.layers[0].hidden_size,
        "metrics": [round(m, 5) if math.isfinite(m) else None for m in metrics],
        "begin_seconds": round(begun - started, 4),
        "train_seconds": round(time.process_time() - begun, 4),
        "said": said,
    }


def untrained(data: Task, task: str, architecture: str, number: int) -> Network:
    """Network `number` with torch's default weights, U(±1/√H)."""
    size = SIZES[number % len(SIZES)]
    generator = torch.Generator().manual_seed(seed(task, architecture, number, 0))
    cell, readout = cell_class(architecture)(data.input_size, size), nn.Linear(size, data.output_size)
    cell.reset_parameters(size**-0.5, generator)
    with torch.no_grad():
        for parameter in readout.parameters():
            parameter.uniform_(-(size**-0.5), size**-0.5, generator=generator)
    return Network([cell], readout)


def conditioned(network: Network, sequences: torch.Tensor, task: ContestTask, method: Method) -> str:
    """Condition in place; what it says of itself, in a line."""
    arguments = dict(method.condition or {})
    if method.settings:
        arguments["method"] = aelle.conditioning.METHODS.find(arguments["method"])(**method.settings)
    result = aelle.condition(network, sequences, horizon=task.horizon, seed=1, **arguments)
    return " ".join(repr(result).split())[:300]


def trained(
    task: ContestTask, data: Task, network: Network, method: Method, architecture: str, number: int
) -> list[float]:
    """Metric before training and after each epoch; nan from where the loss is no longer finite."""
    rule, hyperparameters = data.learning_rule, {**TRAINING, "gradient_clip": method.clip}
    optimiser = rule.optimiser(network, hyperparameters, torch.Generator())
    metrics = [rule.evaluate(network, optimiser, data)[1]]
    for epoch in range(1, task.epochs + 1):
        torch.manual_seed(seed(task.name, architecture, number, epoch))
        if math.isfinite(metrics[-1]) and math.isfinite(
            rule.train_epoch(network, optimiser, data, hyperparameters)
        ):
            metrics.append(rule.evaluate(network, optimiser, data)[1])
        else:
            metrics.append(math.nan)
    return metrics


def seed(task: str, architecture: str, number: int, epoch: int) -> int:
    """Seed of a network's weights (epoch 0), of its start (-1), or of an epoch's order of data."""
    return zlib.crc32(f"{task}/{architecture}/{number}/{epoch}".encode())


if __name__ == "__main__":
    main()
