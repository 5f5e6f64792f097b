"""What a CharRNN collection costs: a training epoch, its evaluation, and the spectrum, size by size.

    AELLE_DATA=/path/to/data python experiments/benchmarks/characters.py [--sizes 64 128] [--batches 10]

The papers' setting: LSTMs on War and Peace, 20 % of its sequences, batches of 32 × 100 characters, spectra from 10
sequences × 100 steps after `--warmup` steps. Each size is measured on its own network, `--batches` of its 160
batches are timed and extrapolated to the epoch; the last lines extrapolate to the papers' 1,200 LSTMs (4 sizes ×
300, 10 epochs, a spectrum before training and after every epoch), which nobody ran here.

On a CPU all times are CPU seconds of one thread, so that other work on the machine changes them little. With
`--device cuda` a population of `--networks` trains whole epochs on the GPU; times are wall-clock seconds a network.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence

import torch

from aelle.collection.cohort_job import driving_sequences
from aelle.collection.engines import available_cores
from aelle.collection.population import PopulationTraining
from aelle.collection.search_space import Cohort, variants
from aelle.collection.training import NativeTraining, evaluate, train_epoch
from aelle.config import Experiment, parse_experiment
from aelle.spectra import lyapunov_spectra
from aelle.tasks.registry import make_task
from aelle.tasks.task import Task

NETWORKS_A_SIZE, EPOCHS = 300, 10


def experiment(hidden: int, networks: int, share: float, warmup: int) -> Experiment:
    task = {"name": "characters", "options": {"text": "war_and_peace", "share": share}}
    space = {"architecture": "lstm", "hidden_size": hidden, "per_combination": networks, "init_scale": 0.08}
    spectrum = {"sequences": 10, "steps": 100, "warmup": warmup}
    content = {"name": "characters", "task": task, "networks": {**space, "learning_rate": 0.002}}
    return parse_experiment({**content, "training": {"batch_size": 32}, "spectrum": spectrum})


def median_seconds(clock: Callable[[], float], repeats: int, function: Callable[[], object]) -> float:
    seconds = []
    for _ in range(repeats):
        started = clock()
        function()
        seconds.append(clock() - started)
    return statistics.median(seconds)


def on_cpu(
    settings: Experiment, task: Task, batches: int, repeats: int, states: Sequence[str]
) -> dict[str, float]:
    """CPU seconds of one network: training epoch, evaluation, and a spectrum of each kind."""
    torch.set_num_threads(1)
    trainee = NativeTraining(Cohort(tuple(variants(settings))), task, 1).trainees[0]
    whole, size = task.train, settings.training.batch_size
    task.train = whole.take(torch.arange(batches * size))
    train_epoch(trainee, task, 1)
    clock, driving = time.process_time, driving_sequences(settings, task)
    share = len(task.train) / len(whole)
    found = {"training": median_seconds(clock, repeats, lambda: train_epoch(trainee, task, 1)) / share}
    found["evaluation"] = median_seconds(clock, repeats, lambda: evaluate(trainee, task))
    task.train = whole
    for state in states:
        found[state] = median_seconds(
            clock, repeats, lambda state=state: _spectra([trainee.network], driving, settings, state)
        )
    return found


def of_population(settings: Experiment, task: Task, device: str, states: Sequence[str]) -> dict[str, float]:
    """Wall-clock seconds a network of a whole population: training epoch with evaluation, and spectra."""

    def clock() -> float:
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        return time.perf_counter()

    training = PopulationTraining(Cohort(tuple(variants(settings))), task, 2, device)
    epochs = iter(training)
    next(epochs), next(epochs)
    found = {"training": median_seconds(clock, 1, lambda: next(epochs)), "evaluation": 0.0}
    networks = [trainee.network.to(device) for trainee in training.trainees]
    driving = driving_sequences(settings, task).to(device)
    for state in states:
        found[state] = median_seconds(
            clock, 2, lambda state=state: _spectra(networks, driving, settings, state)
        )
    return {name: seconds / len(networks) for name, seconds in found.items()}


def _spectra(networks: list, driving: torch.Tensor, settings: Experiment, state: str) -> object:
    return lyapunov_spectra(
        networks, driving, state=state, warmup=settings.spectrum.warmup, qr_interval="auto"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256, 512])
    parser.add_argument("--states", nargs="+", default=["full", "hidden"])
    parser.add_argument("--batches", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--share", type=float, default=0.2, help="of the text")
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--networks", type=int, default=100, help="at once, on a GPU")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    task = make_task("characters", {"text": "war_and_peace", "share": options.share})
    workers = available_cores() if options.device == "cpu" else 1
    print(
        f"{len(task.train)} sequences of 100 characters an epoch; load {os.getloadavg()[0]:.1f} at the start"
    )
    print(
        "| LSTM | training | evaluation |"
        + "".join(f" spectrum, {state} | share of the epoch |" for state in options.states)
    )
    totals = dict.fromkeys(options.states, 0.0)
    for size in options.sizes:
        count = 1 if options.device == "cpu" else options.networks
        settings = experiment(size, count, options.share, options.warmup)
        if options.device == "cpu":
            found = on_cpu(settings, task, options.batches, options.repeats, options.states)
        else:
            found = of_population(settings, task, options.device, options.states)
        epoch = found["training"] + found["evaluation"]
        line = f"| {size} | {found['training']:.2f} s | {found['evaluation']:.2f} s |"
        for state in options.states:
            line += f" {found[state]:.2f} s | {found[state] / epoch:.0%} |"
            totals[state] += NETWORKS_A_SIZE * (EPOCHS * epoch + (EPOCHS + 1) * found[state]) / workers
        print(line, flush=True)
    for state, seconds in totals.items():
        print(
            f"extrapolated: {NETWORKS_A_SIZE} networks of each size, {EPOCHS} epochs, {state} spectra every epoch: "
            f"{seconds / 3600:.1f} h with {workers} worker{'s' * (workers > 1)}"
        )
    if options.device == "cpu":
        print("not measured on a GPU")


if __name__ == "__main__":
    main()
