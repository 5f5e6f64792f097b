"""The goals of early prediction, cross-validated over networks, with paired bootstrap intervals.

    python experiments/goals/evaluate.py artifacts/goals            # fits where needed, then writes the tables
    python experiments/goals/evaluate.py artifacts/goals --only latch-varied

The folder holds <task>-fixed and <task>-varied, collected from the experiments beside this file. Predictions of
every method go to <set>/goal_predictions.parquet, and are made again only where the records or --refit ask for
it; the small tables go to experiments/results/.

a. Learning rate fixed, epoch 0: AeLLE (with architecture and size) at 0.90 or more, and at least hyperparameters
   only - 0.02.
b. Everything varies, epoch 1: AeLLE (with architecture and size) at least the better of extra-trees and gradient
   boosting on the very inputs of its own trees, readout growth among them, - 0.01; and better than the best rung that
   sees the learning curve alone, with the paired interval above 0.
c. Everything varies: AeLLE + curve + hyperparameters better than the better regressor on curve +
   hyperparameters + weight statistics, with the paired interval above 0.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from methods import ALONE, NO_READOUT, STACKED, WEIGHTS, methods_of, rivals

from aelle.collection.status import status
from aelle.config import Autoencoder, Prediction
from aelle.embedding.dataset import SpectraDataset, load_dataset
from aelle.prediction.aelle import WITH_SIZE
from aelle.prediction.cross_validation import cross_validate
from aelle.prediction.folds import assign_folds, prediction_epochs
from aelle.prediction.metrics import difference_interval, spearman, spearman_interval
from aelle.prediction.table import Table
from aelle.records import ExperimentFolder, write_frame

RESULTS = Path(__file__).parent.parent / "results"
CURVE_ONLY = ("last value", "best so far", "sum of training losses", "power law", "learning curve")
RESAMPLES, CONFIDENCE = 2000, 0.95


def predictions_of(folder: ExperimentFolder, workers: int, refit: bool) -> pd.DataFrame:
    """Every method's prediction of each network, fitted without its fold, as `cross_validate` returns them."""
    path = folder.root / "goal_predictions.parquet"
    newest = max(file.stat().st_mtime for file in folder.records.glob("*.parquet"))
    if path.exists() and path.stat().st_mtime > newest and not refit:
        return pd.read_parquet(path)
    dataset = _with_present_defaults(load_dataset(folder).require_predictable())
    epochs = [0] if folder.root.name.endswith("-fixed") else prediction_epochs(dataset)
    table = Table.of_dataset(dataset, epochs)
    has_readout = "readout_growth" in table.spectra
    methods = methods_of(dataset.experiment, has_readout)
    found, _, _ = cross_validate(table, assign_folds(dataset), methods, workers=workers)
    write_frame(path, found)
    return found


def _with_present_defaults(dataset: SpectraDataset) -> SpectraDataset:
    """The stored experiment holds the defaults of the day it was collected; AeLLE is judged as it is now."""
    present = {"autoencoder": Autoencoder(), "prediction": Prediction()}
    return replace(dataset, experiment=dataset.experiment.model_copy(update=present))


def correlations(name: str, predictions: pd.DataFrame) -> list[dict[str, object]]:
    """Spearman of every method and epoch of a set, with its interval."""
    task, kind = name.rsplit("-", 1)
    rows = []
    for (epoch, method), group in predictions.groupby(["epoch", "method"], sort=False):
        pair = group["actual"].to_numpy(float), group["predicted"].to_numpy(float)
        low, high = spearman_interval(*pair, RESAMPLES, CONFIDENCE, 0)
        rows.append(
            {
                "task": task,
                "set": kind,
                "epoch": int(epoch),
                "method": method,
                "networks": len(group),
                "spearman": float(spearman(*pair)),
                "low": low,
                "high": high,
            }
        )
    return rows


def comparison(predictions: pd.DataFrame, epoch: int, ours: str, theirs: list[str]) -> dict[str, object]:
    """Ours against the best of theirs at one epoch: both correlations and their paired difference."""
    at = predictions[predictions["epoch"] == epoch]
    table = at.pivot(index="network_id", columns="method", values="predicted")
    actual = at.groupby("network_id")["actual"].first().reindex(table.index).to_numpy(float)
    known = [name for name in theirs if name in table]
    value = {name: float(spearman(actual, table[name].to_numpy(float))) for name in (ours, *known)}
    best = max(known, key=lambda name: value[name] if np.isfinite(value[name]) else -2.0)
    low, high = difference_interval(
        actual, table[ours].to_numpy(float), table[best].to_numpy(float), RESAMPLES, CONFIDENCE, 0
    )
    return {
        "epoch": epoch,
        "method": ours,
        "spearman": value[ours],
        "against": best,
        "spearman_against": value[best],
        "difference": value[ours] - value[best],
        "low": low,
        "high": high,
    }


def verdicts(name: str, predictions: pd.DataFrame) -> list[dict[str, object]]:
    """The comparisons that a set's goals ask for, each with whether it is met on this task."""
    task, kind = name.rsplit("-", 1)
    if kind == "fixed":
        a = comparison(predictions, 0, WITH_SIZE, ["hyperparameters only"])
        a |= {"goal": "a", "met": a["spearman"] >= 0.90 and a["difference"] >= -0.02}
        return [{"task": task} | a]
    known = set(predictions["method"])
    rows = []
    for ours, trees in rivals(WITH_SIZE + NO_READOUT in known).items():
        found = comparison(predictions, 1, ours, list(trees))
        alone = {"goal": "beside b", "met": None}
        goal = {"goal": "b, trees", "met": found["difference"] >= -0.01}
        rows.append(found | (alone if ours.endswith(ALONE) else goal))
    for ours in (name for name in (WITH_SIZE, WITH_SIZE + NO_READOUT) if name in known):
        found = comparison(predictions, 1, ours, list(CURVE_ONLY))
        rows.append(found | {"goal": "b, learning curve", "met": found["low"] > 0})
    for ours in (name for name in STACKED if name in known):
        for epoch in (0, 1, 3):
            found = comparison(predictions, epoch, ours, list(WEIGHTS))
            rows.append(found | {"goal": "c", "met": found["low"] > 0})
    return [{"task": task} | row for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the sets are")
    parser.add_argument("--only", nargs="+", help="names of sets; the tables keep the other sets' rows")
    parser.add_argument("--refit", action="store_true", help="make predictions again")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    for path in sorted(p.parent for p in options.folder.glob("*/experiment.toml")):
        if (options.only and path.name not in options.only) or not _finished(path):
            continue
        predictions = predictions_of(ExperimentFolder(path), options.workers, options.refit)
        task, kind = path.name.rsplit("-", 1)
        _replace(options.results / "goals_spearman.csv", correlations(path.name, predictions), task, kind)
        made = [{"set": kind} | row for row in verdicts(path.name, predictions)]
        _replace(options.results / "goals_verdicts.csv", made, task, kind)
        print(f"{path.name}: done", flush=True)


def _finished(path: Path) -> bool:
    """Whether every network of a collection has come to its end."""
    found = status(ExperimentFolder(path))
    return found.finished == found.networks


def _replace(path: Path, rows: list[dict[str, object]], task: str, kind: str) -> None:
    """Put a set's rows in the place of those it has in a table, sorted by task and set."""
    made = pd.DataFrame(rows).round(4)
    if path.exists():
        old = pd.read_csv(path)
        made = pd.concat([old[(old["task"] != task) | (old["set"] != kind)], made], ignore_index=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.sort_values(["task", "set"], kind="stable").to_csv(path, index=False)


if __name__ == "__main__":
    main()
