"""How much of the outcome is luck: the same untrained networks, trained again with other draws.

    python experiments/goals/ceiling.py artifacts/goals/latch-fixed artifacts/goals/target-learning-fixed

Initial weights and hyperparameters are those of the records; the order of the training data, dropout, and in target
learning the state that training starts from, are drawn anew. The Spearman correlation r of both outcomes is what the
outcome of one training says about that of another. Whoever knows all that is fixed before training, and nothing of
the draws, can reach about √r (attenuation of a correlation by independent, equal noise: Spearman 1904; exact for
linear correlations, so here an estimate). Writes `ceiling.csv` to experiments/results/.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch

from aelle.collection.search_space import Cohort, Variant, variants
from aelle.collection.training import NativeTraining, evaluate, seed_of, train_epoch
from aelle.config import load_experiment
from aelle.embedding.dataset import load_dataset
from aelle.prediction.metrics import spearman, spearman_interval
from aelle.records import ExperimentFolder
from aelle.tasks.registry import make_task

RESULTS = Path(__file__).parent.parent / "results" / "ceiling.csv"
RESAMPLES, CONFIDENCE = 2000, 0.95
_NEXT = 1000  # epochs; draw 0 is the recorded one


def trained_again(variant: Variant, epochs: int, draw: int) -> float:
    """Train one network from its own initial weights with other draws; its last validation metric.

    NaN where it diverged. Draw 0 repeats the recorded training.
    """
    torch.set_num_threads(1)
    task = make_task(variant.task, json.loads(variant.task_options))
    [trainee] = NativeTraining(Cohort((variant,)), task, epochs).trainees
    generator = torch.Generator().manual_seed(seed_of(variant, _NEXT * draw))
    trainee.optimiser = task.learning_rule.optimiser(trainee.network, variant.learning(), generator)
    metric = float("nan")
    for epoch in range(1, epochs + 1):
        torch.manual_seed(seed_of(variant, _NEXT * draw + epoch))
        loss = train_epoch(trainee, task, epoch)
        validation, metric = evaluate(trainee, task)
        if not np.isfinite([loss, validation, metric]).all():
            return float("nan")
    return metric


def ceiling(path: Path, workers: int, draw: int) -> dict[str, object]:
    """Correlate the recorded outcomes of a set with those of a second training."""
    experiment = load_experiment(path / "experiment.toml")
    dataset = load_dataset(ExperimentFolder(path))
    first = dict(zip(dataset.networks.index, dataset.targets, strict=True))
    found = [variant for variant in variants(experiment) if variant.network_id in first]
    jobs = (joblib.delayed(trained_again)(variant, experiment.training.epochs, draw) for variant in found)
    again = np.array(joblib.Parallel(n_jobs=workers)(jobs))
    recorded = np.array([first[variant.network_id] for variant in found])
    ended = (
        np.isfinite(again)
        & ~dataset.diverged[dataset.networks.index.get_indexer([v.network_id for v in found])]
    )
    r = float(spearman(recorded[ended], again[ended]))
    low, high = spearman_interval(recorded[ended], again[ended], RESAMPLES, CONFIDENCE, 0)
    task, kind = path.name.rsplit("-", 1)
    bounds = {
        name: round(max(value, 0.0) ** 0.5, 4)
        for name, value in (("ceiling", r), ("ceiling_low", low), ("ceiling_high", high))
    }
    return {
        "task": task,
        "set": kind,
        "networks": int(ended.sum()),
        "again": round(r, 4),
        "low": round(low, 4),
        "high": round(high, 4),
    } | bounds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", type=Path, nargs="+", help="collected sets, <task>-fixed or <task>-varied")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--draw", type=int, default=1, help="number of the second draw")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    for path in options.sets:
        row = ceiling(path, options.workers, options.draw)
        print(row, flush=True)
        table = pd.DataFrame([row])
        if options.results.exists():
            old = pd.read_csv(options.results)
            table = pd.concat([old[(old["task"] != row["task"]) | (old["set"] != row["set"])], table])
        table.sort_values(["task", "set"]).to_csv(options.results, index=False)


if __name__ == "__main__":
    main()
