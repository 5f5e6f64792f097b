"""The goals of early prediction, cross-validated over networks, with paired bootstrap intervals.

    python experiments/goals/evaluate.py artifacts/goals            # fits where needed, then writes the tables
    python experiments/goals/evaluate.py artifacts/goals --only latch-varied

The folder holds <task>-fixed and <task>-varied, collected from the experiments beside this file. Predictions of
every method go to <set>/goal_predictions.parquet, and are made again only where the records or --refit ask for
it; the small tables go to experiments/results/.

a. Learning rate fixed, epoch 0: AeLLE (with architecture and size) at 0.90 or more, and at least hyperparameters
   only - 0.02.
b. Everything varies, epoch 1: AeLLE (with architecture and size) at least the better of extra-trees and gradient
   boosting on the same channels, readout growth among them, - 0.01; and better than the best rung that sees the learning curve alone, with the
   paired interval above 0.
c. Everything varies: AeLLE + curve + hyperparameters better than the better regressor on curve +
   hyperparameters + weight statistics, with the paired interval above 0.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from methods import (
    ALONE,
    ATTEMPTS,
    BARE,
    BESIDE,
    STACKS,
    TREES,
    WEIGHTS,
    Inputs,
    aelle_block,
    inputs_at,
)

from aelle.collection.status import status
from aelle.config import Autoencoder, Prediction
from aelle.embedding.dataset import SpectraDataset, load_dataset
from aelle.embedding.members import fit_members, validation_splits
from aelle.embedding.transform import TargetTransform
from aelle.prediction import early
from aelle.prediction.cross_validation import assign_folds, prediction_epochs
from aelle.prediction.ladder import BASELINES
from aelle.prediction.metrics import difference_interval, spearman, spearman_interval
from aelle.prediction.views import blend, views_of
from aelle.records import ExperimentFolder, write_frame

RESULTS = Path(__file__).parent.parent / "results"
AELLE = early.AELLE_IN_CONTEXT
CURVE_ONLY = ("last value", "best so far", "sum of training losses", "power law", "learning curve")
RESAMPLES, CONFIDENCE = 2000, 0.95


def predictions_of(folder: ExperimentFolder, workers: int, refit: bool) -> pd.DataFrame:
    """method, epoch, network_id, fold, actual, predicted of every method, each network from another fold."""
    path = folder.root / "goal_predictions.parquet"
    newest = max(file.stat().st_mtime for file in folder.records.glob("*.parquet"))
    if path.exists() and path.stat().st_mtime > newest and not refit:
        return pd.read_parquet(path)
    dataset = _with_present_defaults(load_dataset(folder).require_predictable())
    folds = assign_folds(dataset)
    epochs = [0] if folder.root.name.endswith("-fixed") else prediction_epochs(dataset)
    inputs = {epoch: inputs_at(dataset, epoch) for epoch in epochs}
    jobs = [joblib.delayed(_fold)(dataset, inputs, folds, fold) for fold in np.unique(folds).tolist()]
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        found = pd.concat(joblib.Parallel(n_jobs=workers)(jobs), ignore_index=True)
    write_frame(path, found)
    return found


def _with_present_defaults(dataset: SpectraDataset) -> SpectraDataset:
    """The stored experiment holds the defaults of the day it was collected; AeLLE is judged as it is now."""
    present = {"autoencoder": Autoencoder(), "prediction": Prediction()}
    return replace(dataset, experiment=dataset.experiment.model_copy(update=present))


def _fold(dataset: SpectraDataset, inputs: dict[int, Inputs], folds: np.ndarray, fold: int) -> pd.DataFrame:
    """All methods at all epochs on the networks of one fold, in metric units."""
    seed = 1000 * dataset.experiment.seed + fold
    learnt = folds != fold
    target = TargetTransform.fit(dataset.targets[learnt], dataset.diverged[learnt], dataset.metric)
    scored = _aelle(dataset, learnt, target.apply(dataset.targets), seed)
    frames = []
    for epoch, at_epoch in inputs.items():
        known = at_epoch.known
        training, held_out = learnt[known.network], known.network[~learnt[known.network]]
        scores = target.apply(dataset.targets[known.network[training]])
        values = {}
        blocks = dict(at_epoch.blocks)
        for suffix, frame in scored.items():
            block = aelle_block(frame, known, early.HEADS)
            blocks["aelle" + suffix] = block
            values |= {head + suffix: target.invert(s) for head, s in zip(early.HEADS, block.T, strict=True)}
        for rung in (rung for rung in BASELINES if epoch >= rung.first_epoch):
            found = rung.predict(known, training, scores, seed)
            values[rung.name] = found if rung.in_metric_units else target.invert(found)
        for stack in (s for s in STACKS if epoch in s.epochs and set(s.blocks) <= set(blocks)):
            found = stack.predict(Inputs(known, blocks), training, scores, seed)
            values[stack.name] = target.invert(found)
        for name, value in values.items():
            columns = {"method": name, "epoch": epoch, "fold": fold, "actual": dataset.targets[held_out]}
            ids = dataset.networks.index.to_numpy()[held_out]
            frames.append(pd.DataFrame(columns | {"network_id": ids, "predicted": value[~training]}))
    return pd.concat(frames, ignore_index=True)


def _aelle(
    dataset: SpectraDataset, learnt: np.ndarray, scores: np.ndarray, seed: int
) -> dict[str, pd.DataFrame]:
    """Scores of AeLLE as it is by default, by the views without readout growth, and by its networks alone."""
    splits = validation_splits(learnt, dataset.experiment.prediction.ensemble, seed)
    parts: dict[str, list[pd.DataFrame]] = {"": [], BARE: [], ALONE: []}
    for place, view in enumerate(views_of(dataset)):
        settings = dataset.experiment.autoencoder.model_copy(update={"channels": view})
        members = fit_members(dataset, splits, settings, seed)
        scored = early.scores_by(members, dataset, learnt, splits).assign(view=place)
        parts[""].append(scored)
        parts[ALONE].append(scored[scored["part"] == "network"])
        if "readout_growth" not in view:
            parts[BARE].append(scored)
    if len(parts[BARE]) == len(parts[""]):  # readout growth was not recorded
        del parts[BARE]
    return {name: blend(pd.concat(frames), learnt, scores) for name, frames in parts.items()}


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
        a = comparison(predictions, 0, AELLE, ["hyperparameters only"])
        a |= {"goal": "a", "met": a["spearman"] >= 0.90 and a["difference"] >= -0.02}
        return [{"task": task} | a]
    known = set(predictions["method"])
    rows = []
    for head, pair in TREES.items():
        if head in known:
            trees = [stack.name for stack in pair if stack.name in known]
            found = comparison(
                predictions,
                1,
                head,
                trees or [stack.name for stack in TREES[head.removesuffix(ALONE) + BARE]],
            )
            alone = head.endswith(ALONE)
            goal = (
                {"goal": "beside b", "met": None}
                if alone
                else {"goal": "b, trees", "met": found["difference"] >= -0.01}
            )
            rows.append(found | goal)
    for head in (head for head in (AELLE, AELLE + BARE) if head in known):
        found = comparison(predictions, 1, head, list(CURVE_ONLY))
        rows.append(found | {"goal": "b, learning curve", "met": found["low"] > 0})
    baselines = [stack.name for stack in WEIGHTS]
    for attempt in (stack for stack in ATTEMPTS if stack.name in known):
        for epoch in attempt.epochs:
            found = comparison(predictions, epoch, attempt.name, baselines)
            rows.append(found | {"goal": "c", "met": found["low"] > 0})
    for stack in (stack for stack in BESIDE if stack.name in known):
        for epoch in stack.epochs:
            rows.append(
                comparison(predictions, epoch, stack.name, baselines) | {"goal": "beside c", "met": None}
            )
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
