"""Networks · epochs per second: our collection against one torch.nn network after another.

    python experiments/benchmarks/throughput.py [--hidden 64] [--networks 16] [--repeats 3]

Three ways, interleaved in one run, medians of ratios reported:

- reference: torch.nn.LSTM + Linear + Adam, one network after another, with all threads (how the published
  code trains), and the same with one thread;
- native: the pool of one-thread processes that `aelle collect` uses;
- population: all networks as one batch (on a GPU where there is one; against sequential cuDNN there).

The last part times the spectrum at the papers' settings (10 sequences × 100 steps) against a training epoch.
"""

import argparse
import statistics
import time
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import nn

from aelle.collection.cohort_job import driving_sequences
from aelle.collection.engines import LocalProcesses
from aelle.collection.population import PopulationTraining
from aelle.collection.search_space import Cohort, cohorts, variants
from aelle.collection.training import NativeTraining
from aelle.config import parse_experiment
from aelle.spectra import lyapunov_spectrum
from aelle.tasks.registry import make_task


def experiment(hidden: int, networks: int):
    space = {"architecture": "lstm", "hidden_size": hidden, "per_combination": networks, "init_gain": 1.0}
    task = {"name": "latch", "options": {"delay": 99, "train": 256, "validation": 64}}
    content = {"name": "throughput", "task": task, "networks": space}
    spectrum = {"sequences": 10, "steps": 100, "warmup": 40}
    return parse_experiment({**content, "training": {"epochs": 1, "batch_size": 32}, "spectrum": spectrum})


def reference(task, hidden: int, networks: int, threads: int, device: str) -> float:
    """Seconds for one epoch of each network, trained one after another as the published code does."""
    torch.set_num_threads(threads)
    started = time.perf_counter()
    for _ in range(networks):
        lstm = nn.LSTM(task.input_size, hidden, batch_first=True, bias=False).to(device)
        readout = nn.Linear(hidden, task.output_size).to(device)
        optimiser = torch.optim.Adam([*lstm.parameters(), *readout.parameters()], lr=0.003)
        for index in torch.randperm(len(task.train)).split(32):
            inputs = task.encode(task.train.inputs[index]).to(device)
            outputs = readout(lstm(inputs)[0][:, task.readout_steps])
            loss = task.loss(outputs, task.train.targets[index].to(device))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def train_one(job, cohort, report):
    """What a worker does with a cohort of one network: one epoch, timed without its start-up."""
    task, epochs = job
    for _ in NativeTraining(cohort, task, epochs):
        pass
    return Done(cohort.cohort_id)


@dataclass
class Done:
    cohort_id: str


def native(engine: LocalProcesses, task, hidden: int, networks: int) -> float:
    """Seconds for one epoch of each network in the pool, without starting the processes."""
    each = cohorts(variants(experiment(hidden, networks + engine.workers)), 1)
    started, count = 0.0, 0
    with closing(engine.run(train_one, (task, 1), each, lambda n: None)) as results:
        for _ in results:
            count += 1
            if count == engine.workers:  # as many again as there are workers: all of them are warm
                started = time.perf_counter()
    return time.perf_counter() - started


def population(task, settings, device: str) -> float:
    """Seconds for one epoch of all networks as one batch, evaluation included."""
    torch.set_num_threads(LocalProcesses().workers)
    epochs = iter(PopulationTraining(Cohort(tuple(variants(settings))), task, 1, device))
    next(epochs)
    started = time.perf_counter()
    next(epochs)
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def spectrum_share(task, settings) -> tuple[float, float]:
    """Seconds of one spectrum, and of one training epoch of the same network, both on one thread."""
    torch.set_num_threads(1)
    training = NativeTraining(Cohort(tuple(variants(settings)[:1])), task, 1)
    epochs = [epoch.trainees[0].train_seconds for epoch in training]
    network = training.trainees[0].network.eval()
    driving = driving_sequences(settings, task)
    started = time.perf_counter()
    lyapunov_spectrum(network, driving, warmup=settings.spectrum.warmup)
    return time.perf_counter() - started, epochs[-1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--networks", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    settings = experiment(options.hidden, options.networks)
    task = make_task(settings.task.name, settings.task.options)
    cores = LocalProcesses().workers
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows: dict[str, list[float]] = {}
    for _ in range(options.repeats):
        ways = {
            "reference, all threads": lambda: reference(task, options.hidden, options.networks, cores, "cpu"),
            "reference, one thread": lambda: reference(task, options.hidden, options.networks, 1, "cpu"),
            f"native, {cores} processes": lambda: native(
                LocalProcesses(), task, options.hidden, options.networks
            ),
            f"population on {device}": lambda: population(task, settings, device),
        }
        if device == "cuda":
            ways["reference, cuDNN"] = lambda: reference(task, options.hidden, options.networks, 1, "cuda")
        for name, way in ways.items():
            rows.setdefault(name, []).append(options.networks / way())
    print(
        f"LSTM {options.hidden}, 256 sequences of 100 steps in batches of 32, {options.networks} networks, {cores} cores"
    )
    print(f"{'way':28s} {'networks·epochs/s':>18s}   ratio to the first")
    first = rows["reference, all threads"]
    for name, rates in rows.items():
        ratio = statistics.median(rate / base for rate, base in zip(rates, first, strict=True))
        print(f"{name:28s} {statistics.median(rates):18.2f}   {ratio:6.2f}")
    seconds, epoch = spectrum_share(task, settings)
    print(
        f"full-state spectrum, 10 × 100 steps: {seconds:.3f} s, {seconds / epoch:.0%} of this epoch of {epoch:.2f} s"
    )
    if device == "cpu":
        print("not measured on a GPU: none here")


if __name__ == "__main__":
    main()
