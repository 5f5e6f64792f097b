"""Leave one task out: does what was learnt on some tasks order the networks of another?

Metrics of different tasks have different units, so everything is put in ranks: the outcome among the networks
of its task, and each value of a learning curve among those of its task and epoch. What is judged is therefore
the order within the left-out task, never the level; a single network cannot be placed this way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from aelle.embedding.dataset import MINIMUM_NETWORKS, SpectraDataset, load_dataset
from aelle.embedding.transform import TargetTransform
from aelle.prediction.checks import require_varied
from aelle.prediction.cross_validation import cross_validate
from aelle.prediction.errors import PredictionError
from aelle.prediction.folds import prediction_epochs
from aelle.prediction.ladder import ladder
from aelle.prediction.metrics import spearman, spearman_interval
from aelle.prediction.table import Table
from aelle.records import ExperimentFolder, Metric, without_nan


@dataclass(frozen=True)
class Transfer:
    """Rank correlations within tasks that nothing was learnt from.

    Attributes:
        tasks: task → number of its networks.
        epochs: the epochs at which all tasks have spectra.
        confidence: level of the bootstrap intervals.
        rows: one dictionary per left-out task, epoch and method: spearman, spearman_low, spearman_high.
    """

    tasks: dict[str, int]
    epochs: list[int]
    confidence: float
    rows: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Return plain data; what is undefined is null."""
        content: dict[str, Any] = without_nan(asdict(self))
        return content

    def __str__(self) -> str:
        """Return a table per epoch, one column per left-out task."""
        counts = ", ".join(f"{task} ({n})" for task, n in self.tasks.items())
        lines = [
            f"Order of the networks of a task that was left out, learnt on the others: {counts}; Spearman "
            f"within the left-out task, {self.confidence:.0%} bootstrap intervals"
        ]
        for epoch in self.epochs:
            rows = [row for row in self.rows if row["epoch"] == epoch]
            methods = list(dict.fromkeys(row["method"] for row in rows))
            width, wide = max(map(len, methods)), max(22, *(len(task) + 2 for task in self.tasks))
            lines += ["", f"epoch {epoch}", "  " + " " * width + "".join(f"{t:>{wide}}" for t in self.tasks)]
            for method in methods:
                cells = [_cell(row) for row in rows if row["method"] == method]
                lines.append(f"  {method:<{width}}" + "".join(f"{cell:>{wide}}" for cell in cells))
        return "\n".join(lines)


def _cell(row: dict[str, Any]) -> str:
    if math.isnan(row["spearman"]):
        return "–"
    return f"{row['spearman']:.2f} [{row['spearman_low']:.2f}, {row['spearman_high']:.2f}]"


def evaluate_transfer(folders: Sequence[ExperimentFolder], *, progress: bool = True) -> Transfer:
    """Leave out each task in turn, learn from the others, and correlate within it.

    The settings of autoencoder and prediction are those of the first folder.

    Raises:
        RecordsError: for a missing, empty, corrupt or foreign folder.
        EmbeddingError: for fewer than 20 networks of a task, or a single outcome.
        PredictionError: for fewer than two tasks, one task twice, spectra of several conventions, or no common
            epoch with spectra.
    """
    datasets = [require_varied(load_dataset(folder).require_predictable()) for folder in folders]
    combined, task = combine(datasets)
    setting, methods = combined.experiment.prediction, ladder(combined.experiment)
    table = Table.of_dataset(combined, setting.epochs)
    workers = combined.experiment.training.workers
    predictions, _, _ = cross_validate(table, task, methods, workers=workers, progress=progress)
    names = [dataset.experiment.task.name for dataset in datasets]
    rows: list[dict[str, Any]] = []
    for _, part in predictions.groupby(["fold", "epoch", "method"], sort=False):
        fold, epoch, method = part[["fold", "epoch", "method"]].iloc[0]
        actual, predicted = part["actual"].to_numpy(float), part["predicted"].to_numpy(float)
        low, high = spearman_interval(
            actual, predicted, setting.bootstrap, setting.confidence, combined.experiment.seed
        )
        rows.append(
            {
                "task": names[int(fold)],
                "epoch": int(epoch),
                "method": str(method),
                "networks": len(part),
                "spearman": float(spearman(actual, predicted)),
                "spearman_low": low,
                "spearman_high": high,
            }
        )
    order = [method.name for method in methods]
    rows.sort(key=lambda row: (row["epoch"], names.index(row["task"]), order.index(row["method"])))
    sizes = {name: len(dataset.networks) for name, dataset in zip(names, datasets, strict=True)}
    return Transfer(sizes, sorted({row["epoch"] for row in rows}), setting.confidence, rows)


def combine(datasets: Sequence[SpectraDataset]) -> tuple[SpectraDataset, np.ndarray]:
    """Put the networks of several tasks into one set, outcomes and curves in ranks of their own task.

    Returns:
        the set, and the position of each network's task.
    """
    _require_comparable(datasets)
    common = set.intersection(*(set(prediction_epochs(dataset)) for dataset in datasets))
    if not common:
        raise PredictionError(
            "there is no epoch at which all tasks have spectra; collect them at the same ones"
        )
    parts = [_in_ranks(dataset) for dataset in datasets]
    networks = pd.concat([part.networks for part in parts], keys=range(len(parts)), names=["task"])
    networks = networks.reset_index("task").sort_index()
    task = networks.pop("task").to_numpy(int)
    spectra = pd.concat([part.spectra for part in parts], ignore_index=True)
    spectra["network"] = networks.index.get_indexer(pd.Index(spectra["network_id"]))
    first = datasets[0].experiment
    prediction = first.prediction.model_copy(update={"epochs": sorted(common), "leave_out": "network"})
    training = first.training.model_copy(update={"epochs": max(d.final_epoch for d in datasets)})
    combined = replace(
        datasets[0],
        experiment=first.model_copy(update={"prediction": prediction, "training": training}),
        networks=networks,
        spectra=spectra,
        records=pd.concat([part.records for part in parts], ignore_index=True),
        metric=Metric("rank", higher_is_better=True),
        excluded={},
    )
    return combined, task


def _require_comparable(datasets: Sequence[SpectraDataset]) -> None:
    names = [dataset.experiment.task.name for dataset in datasets]
    if len(set(names)) < 2:
        raise PredictionError(
            f"transfer needs folders of at least two tasks, got {', '.join(names) or 'none'}"
        )
    for name in names:
        if names.count(name) > 1:
            raise PredictionError(f"several folders are of the task {name}; give one folder a task")
    for words, found in (
        ("state conventions", {d.state for d in datasets}),
        ("driving inputs", {d.inputs for d in datasets}),
        ("looks", {d.look for d in datasets}),
    ):
        if len(found) > 1:
            raise PredictionError(f"the folders hold spectra of several {words} ({', '.join(sorted(found))})")
    for dataset in datasets:
        others = sum(int((~d.diverged).sum()) for d in datasets if d is not dataset)
        if others < MINIMUM_NETWORKS:
            raise PredictionError(
                f"leaving {dataset.experiment.task.name} out leaves {others} finished networks to learn from; "
                f"at least {MINIMUM_NETWORKS} are needed"
            )


def _in_ranks(dataset: SpectraDataset) -> SpectraDataset:
    """Name networks after their task, and put outcome and curves into ranks among its networks."""
    prefix = f"{dataset.experiment.task.name}/"
    target = TargetTransform.fit(dataset.targets, dataset.diverged, dataset.metric)
    networks = dataset.networks.assign(target=target.apply(dataset.targets))
    networks.index = pd.Index(prefix + networks.index.astype(str), name="network_id")
    records = dataset.records.assign(network_id=prefix + dataset.records["network_id"].astype(str))
    for name in ("val_metric", "val_loss", "train_loss"):
        values = records[name].astype(float).replace([np.inf, -np.inf], np.nan)
        oriented = dataset.metric.oriented(values.to_numpy()) if name == "val_metric" else values.to_numpy()
        ranks = pd.Series(oriented, index=records.index).groupby(records["epoch"]).rank(pct=True)
        records[name] = ranks.to_numpy()
    spectra = dataset.spectra.assign(network_id=prefix + dataset.spectra["network_id"].astype(str))
    return replace(dataset, networks=networks, spectra=spectra, records=records)
