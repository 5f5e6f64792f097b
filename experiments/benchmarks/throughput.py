"""Networks · epochs per second: our collection against one torch.nn network after another.

    python experiments/benchmarks/throughput.py [--hidden 64] [--networks 24] [--epochs 4] [--repeats 3]

The ways are interleaved in one run, medians of ratios reported. All of them build their networks, train each
for the same epochs of the same data and evaluate it on the validation data after every epoch:

- reference: torch.nn.LSTM + Linear + Adam, one network after another, with all threads (how the published
  code trains), and the same with one thread;
- native: the pool of one-thread processes that `aelle collect` uses, which evaluates untrained networks as well;
  while every process works, and over the whole run, from starting the processes to the last one's end;
- population: all networks as one batch; on a GPU where there is one, against sequential cuDNN there.

CPU seconds, of all threads and processes, say what a way costs where other work shares the machine.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import nn

from aelle.collection.engines import LocalProcesses
from aelle.collection.population import PopulationTraining
from aelle.collection.search_space import Cohort, cohorts, variants
from aelle.collection.training import NativeTraining
from aelle.config import parse_experiment
from aelle.tasks.registry import make_task


@dataclass
class Workload:
    """What every way has to do."""

    task: object
    hidden: int
    networks: int
    epochs: int

    def variants(self):
        space = {"architecture": "lstm", "hidden_size": self.hidden, "per_combination": self.networks}
        content = {"name": "throughput", "task": {"name": "latch"}, "networks": {**space, "init_gain": 1.0}}
        return variants(parse_experiment({**content, "training": {"batch_size": 32}}))


@dataclass
class Worked:
    """One cohort of the pool, on the clock that all processes share."""

    cohort_id: str
    process: int
    started: float
    ended: float
    cpu_seconds: float


def reference(work: Workload, threads: int, device: str = "cpu") -> float:
    """Train one network after another as the published code does; returns CPU seconds."""
    torch.set_num_threads(threads)
    before, task = time.process_time(), work.task
    for _ in range(work.networks):
        lstm = nn.LSTM(task.input_size, work.hidden, batch_first=True, bias=False).to(device)
        readout = nn.Linear(work.hidden, task.output_size).to(device)
        optimiser = torch.optim.Adam([*lstm.parameters(), *readout.parameters()], lr=0.003)
        for _ in range(work.epochs):
            for index in torch.randperm(len(task.train)).split(32):
                inputs = task.encode(task.train.inputs[index]).to(device)
                outputs = readout(lstm(inputs)[0][:, task.readout_steps])
                loss = task.loss(outputs, task.train.targets[index].to(device))
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            with torch.no_grad():
                inputs = task.encode(task.validation.inputs).to(device)
                outputs = readout(lstm(inputs)[0][:, task.readout_steps]).cpu()
                task.loss(outputs, task.validation.targets).item()
    return time.process_time() - before


def train_one(job: tuple, cohort: Cohort, report: Callable[[int], None]) -> Worked:
    """What a worker does with a cohort."""
    started, before = time.monotonic(), time.process_time()
    for _ in NativeTraining(cohort, *job):
        pass
    cpu_seconds = time.process_time() - before
    return Worked(cohort.cohort_id, os.getpid(), started, time.monotonic(), cpu_seconds)


def native(work: Workload) -> tuple[float, float]:
    """Networks · epochs per second while all processes work, and CPU seconds."""
    with closing(
        LocalProcesses().run(train_one, (work.task, work.epochs), cohorts(work.variants(), 1), lambda n: None)
    ) as results:
        found = list(results)
    processes = {cohort.process for cohort in found}
    begun = max(min(c.started for c in found if c.process == p) for p in processes)
    done = min(max(c.ended for c in found if c.process == p) for p in processes)
    share = sum(max(0.0, min(c.ended, done) - max(c.started, begun)) / (c.ended - c.started) for c in found)
    return share * work.epochs / (done - begun), sum(cohort.cpu_seconds for cohort in found)


def population(work: Workload, device: str) -> float:
    """Train all networks as one batch; returns CPU seconds."""
    torch.set_num_threads(LocalProcesses().workers)
    before = time.process_time()
    for _ in PopulationTraining(Cohort(tuple(work.variants())), work.task, work.epochs, device):
        pass
    if device != "cpu":
        torch.cuda.synchronize()
    return time.process_time() - before


def measure(work: Workload, device: str) -> dict[str, tuple[float, float]]:
    """Networks · epochs per second, and CPU seconds a network · epoch, of every way once."""
    cores, count = LocalProcesses().workers, work.networks * work.epochs
    ways = {
        "reference, all threads": lambda: reference(work, cores),
        "reference, one thread": lambda: reference(work, 1),
        f"population on {device}": lambda: population(work, device),
    }
    if device == "cuda":
        ways["reference, cuDNN"] = lambda: reference(work, 1, "cuda")
    found = {}
    for name, way in ways.items():
        started = time.monotonic()
        cpu_seconds = way()
        found[name] = count / (time.monotonic() - started), cpu_seconds / count
    started = time.monotonic()
    rate, cpu_seconds = native(work)
    found[f"native, {cores} processes"] = rate, cpu_seconds / count
    found["native, start and end included"] = count / (time.monotonic() - started), cpu_seconds / count
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--networks", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    task = make_task("latch", {"delay": 99, "train": 256, "validation": 64})
    work = Workload(task, options.hidden, options.networks, options.epochs)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(
        f"LSTM {work.hidden}, {work.networks} networks of {work.epochs} epochs of 256 sequences of 100 steps"
    )
    print(f"{os.cpu_count()} cores; load of the last minute before the start {os.getloadavg()[0]:.1f}")
    measure(Workload(task, options.hidden, LocalProcesses().workers, 1), device)  # imports, compilation
    runs = [measure(work, device) for _ in range(options.repeats)]
    print(f"{'way':32s} {'networks·epochs/s':>18s} {'CPU s each':>11s}  to all threads  to one thread")
    for name in runs[0]:
        rates = statistics.median(run[name][0] for run in runs)
        cpu_seconds = statistics.median(run[name][1] for run in runs)
        against = [
            statistics.median(run[name][0] / run[f"reference, {threads}"][0] for run in runs)
            for threads in ("all threads", "one thread")
        ]
        print(f"{name:32s} {rates:18.2f} {cpu_seconds:11.3f} {against[0]:15.2f} {against[1]:14.2f}")
    if device == "cpu":
        print("not measured on a GPU: none here")


if __name__ == "__main__":
    main()
