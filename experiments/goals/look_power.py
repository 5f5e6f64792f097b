"""What looks predict, and what they cost: `aelle.look` with more and fewer sequences, steps and parts, beside full spectra.

    python experiments/goals/look_power.py artifacts/goals/*-varied --out artifacts/looks --minutes 10    # resumes
    python experiments/goals/look_power.py artifacts/goals/*-varied --out artifacts/looks --judge

The first command trains each network again up to epoch 3, which gives the bits of the collection, keeps its weights,
and looks at them at epochs 0, 1 and 3; prices are CPU time of one core, beside one epoch of the same network in the same
process, after epoch 1. The second one cross-validates extra-trees on each look with architecture and size, and
writes experiments/results/look_power.csv. An interval is over networks, of the difference to the full look.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from look_verdicts import judge
from safetensors.torch import load_file, save_file
from torch import Tensor

from aelle.collection.measurement import driving_sequences
from aelle.collection.search_space import Cohort, Variant, variants
from aelle.collection.training import NativeTraining, Trainee, train_epoch
from aelle.config import Experiment, load_experiment
from aelle.spectra import look, lyapunov_spectrum, readout_growth
from aelle.tasks.registry import make_task
from aelle.tasks.task import Task

EPOCHS = (0, 1, 3)
PRICED = 1  # the epoch after which prices are taken
LOOKS = ((1, 100), (2, 100), (3, 100), (6, 100), (1, 25), (2, 25))  # sequences, and steps of each at most
PRICED_EVERY = 6  # networks: prices are medians over these
REPEATS = 3
_STATE = "__running_state__"


@dataclass(frozen=True)
class Set:
    """A collection, and where its networks' weights and looks are kept."""

    root: Path
    out: Path

    @property
    def folder(self) -> Path:
        """Where what is measured of its networks goes: one JSON file each."""
        return self.out / self.root.name

    def weights(self, variant: Variant, epoch: int) -> Path:
        """Weights of a network after an epoch."""
        return self.folder / "weights" / f"{variant.network_id}-{epoch}.safetensors"


def measure(of: Set, until: float) -> int:
    """Measure what is not measured yet, until the time has come; return how many networks are left."""
    experiment = load_experiment(of.root / "experiment.toml")
    task = make_task(experiment.task.name, experiment.task.options, experiment.task.data_folder)
    every = variants(experiment)
    (of.folder / "weights").mkdir(parents=True, exist_ok=True)
    priced = {variant.network_id for variant in every[::PRICED_EVERY]}
    left = [v for v in every if not (of.folder / f"{v.network_id}.json").exists()]
    for done, variant in enumerate(left):
        if time.monotonic() > until:
            return len(left) - done
        found = _measured(of, experiment, task, variant, variant.network_id in priced)
        file = of.folder / f"{variant.network_id}.json"
        file.with_suffix(".partial").write_text(json.dumps(found))
        file.with_suffix(".partial").rename(file)
    return 0


def _measured(of: Set, experiment: Experiment, task: Task, variant: Variant, priced: bool) -> dict:
    """Looks of a network by epoch, sequences and steps, and prices in seconds of CPU after epoch 1."""
    rows, prices = [], {}
    for epoch, trainee in _trained(of, task, variant):
        start = task.learning_rule.running_state(trainee.optimiser)
        for sequences, steps in LOOKS:
            inputs = task.encode(task.validation.inputs[:sequences])[:, :steps].double()
            if len(inputs) < sequences:
                continue
            try:
                seen = look(trainee.network, inputs, initial_state=start)
            except ValueError:  # of a diverged network there is nothing to see
                continue
            rows.append(
                {
                    "epoch": epoch, "sequences": sequences, "steps": steps, "leading": seen.leading.tolist(),
                    "mean": seen.mean_exponent, "growth": seen.readout_growth.tolist(),
                }
            )  # fmt: skip
        if priced and epoch == PRICED and rows and rows[-1]["epoch"] == epoch:
            prices = _prices(experiment, task, trainee, start)
    return {"network_id": variant.network_id, "rows": rows, "prices": prices}


def _trained(of: Set, task: Task, variant: Variant) -> Iterator[tuple[int, Trainee]]:
    """The network after each of the epochs, from its kept weights or from training it again."""
    training = NativeTraining(Cohort((variant,)), task, max(EPOCHS))
    (trainee,) = training.trainees
    if not all(of.weights(variant, epoch).exists() for epoch in EPOCHS):
        for epoch in training:
            if epoch.number in EPOCHS and trainee.active:
                tensors = {name: t.detach().clone() for name, t in trainee.network.state_dict().items()}
                running = task.learning_rule.running_state(trainee.optimiser)
                tensors |= {} if running is None else {_STATE: running.clone()}
                save_file(tensors, of.weights(variant, epoch.number))
    for number in (e for e in EPOCHS if of.weights(variant, e).exists()):
        tensors = load_file(of.weights(variant, number))
        running = tensors.pop(_STATE, None)
        trainee.network.load_state_dict(tensors)
        if running is not None:
            task.learning_rule.running_state(trainee.optimiser).copy_(running)
        yield number, trainee


def _prices(experiment: Experiment, task: Task, trainee: Trainee, start: Tensor | None) -> dict[str, float]:
    network, given = trainee.network, task.encode(task.validation.inputs).double()
    driving = driving_sequences(experiment, task)
    spectrum = lambda: lyapunov_spectrum(  # noqa: E731
        network, driving, warmup=experiment.spectrum.warmup, initial_state=start
    )
    three = given[: experiment.spectrum.sequences]
    calls: dict[str, Callable[[], object]] = {
        f"look {sequences} {steps}": lambda n=sequences, t=steps: look(
            network, given[:n, :t], initial_state=start
        )
        for sequences, steps in LOOKS
        if len(given) >= sequences
    }
    calls["look 1 100 k=1"] = lambda: look(network, given[:1, :100], k=1, initial_state=start)
    calls["growth 1 100"] = lambda: readout_growth(network, given[:1, :100], initial_state=start)
    calls["growth 2 100"] = lambda: readout_growth(network, given[:2, :100], initial_state=start)
    found = {name: _seconds(call) for name, call in calls.items()}
    found["full"] = _seconds(spectrum, 1)
    found["full + growth"] = found["full"] + _seconds(
        lambda: readout_growth(network, three, initial_state=start), 1
    )
    # Last, for it changes the network; no other draw of batches costs more or less.
    found["epoch"] = _seconds(lambda: train_epoch(trainee, task, PRICED + 1), 1)
    return found


def _seconds(call: Callable[[], object], repeats: int = REPEATS) -> float:
    """CPU seconds of a call, the least of the repeats; nothing else in this process runs meanwhile."""
    least = math.inf
    for _ in range(repeats):
        started = time.process_time()
        call()
        least = min(least, time.process_time() - started)
    return least


def _judged(root: Path, measured: Path) -> pd.DataFrame:
    """Verdicts on one set; made once."""
    file = measured / "verdicts.csv"
    if not file.exists():
        judge(root, measured).to_csv(file, index=False)
    return pd.read_csv(file)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, or judge what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("roots", type=Path, nargs="+", metavar="SET")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--judge", action="store_true")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.judge:
        tables = [_judged(root, options.out / root.name) for root in options.roots]
        pd.concat(tables).to_csv(Path(__file__).parents[1] / "results" / "look_power.csv", index=False)
        return
    until = time.monotonic() + 60 * options.minutes
    for root in options.roots:
        print(f"{root.name}: {measure(Set(root, options.out), until)} networks left", flush=True)


if __name__ == "__main__":
    main()
