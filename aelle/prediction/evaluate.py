"""Cross-validated early prediction: every method at every spectrum epoch, on networks it has not seen.

Folds are cut by network. Everything that is fitted sees the training networks of its fold only, and predicts the others
as a saved predictor would predict new ones. What `save` keeps is one of the methods that were judged, fitted on all
networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aelle.embedding.dataset import SpectraDataset, load_dataset
from aelle.prediction.aelle import WITH_ALL
from aelle.prediction.checks import require_varied, warnings_of
from aelle.prediction.costs import costs_at, seconds_per_network
from aelle.prediction.cross_validation import cross_validate
from aelle.prediction.errors import PredictionError
from aelle.prediction.folds import assign_folds, prediction_epochs
from aelle.prediction.ladder import ladder
from aelle.prediction.method import Method
from aelle.prediction.metrics import (
    coverage_and_width,
    percentile_interval,
    resampled_spearman,
    scores_of,
    spearman,
)
from aelle.prediction.predictor import Predictor
from aelle.prediction.report import Report, headline_of
from aelle.prediction.report_page import render_page
from aelle.prediction.table import Table
from aelle.records import (
    ExperimentFolder,
    digest_of,
    records_digest,
    write_bytes,
    write_frame,
    write_json,
)

__all__ = ["PredictionError", "Report", "evaluate"]


def evaluate(folder: ExperimentFolder | str | Path, *, save: bool = False, progress: bool = True) -> Report:
    """Cross-validate all methods on an experiment's records and write the report.

    Writes predictions.parquet, report.json and report.html; where it raises, nothing has been written.

    Args:
        folder: the experiment's folder.
        save: also fit "AeLLE + curve + hyperparameters" on all networks, and keep it in FOLDER/predictor.
        progress: draw a progress bar.

    Raises:
        RecordsError: for a missing, empty, corrupt or foreign folder.
        EmbeddingError: for fewer than 20 networks, a single outcome, or mixed conventions.
        PredictionError: for an epoch without enough spectra, too few finished networks for the folds, or too
            few networks with an outcome of their own.
    """
    if not isinstance(folder, ExperimentFolder):
        folder = ExperimentFolder(Path(folder))
    records = records_digest(folder)  # before they are read: a collection may be adding to them
    dataset = load_dataset(folder).require_predictable()
    folds = assign_folds(dataset)  # too few networks are refused before what is wrong with their values
    require_varied(dataset)
    table, methods = Table.of_dataset(dataset, prediction_epochs(dataset)), ladder(dataset.experiment)
    keep = next(method for method in methods if method.name == WITH_ALL) if save else None
    workers = dataset.experiment.training.workers
    predictions, seconds, kept = cross_validate(
        table, folds, methods, keep=keep, workers=workers, progress=progress
    )
    report = report_of(dataset, methods, predictions, seconds)
    page = render_page(report)
    write_frame(folder.predictions, predictions, {"records": records})
    write_json(folder.report, report.to_json(), {"predictions": digest_of(folder.predictions)})
    write_bytes(folder.report.with_suffix(".html"), page.encode())
    if kept is not None:
        predictor = Predictor(dataset.experiment, dataset.state, dataset.inputs, WITH_ALL, kept)
        predictor.save(folder.root / "predictor", {"records": records})
    return report


def report_of(
    dataset: SpectraDataset,
    methods: Sequence[Method],
    predictions: pd.DataFrame,
    fit_seconds: dict[str, float],
) -> Report:
    """Turn cross-validated predictions into the report's numbers."""
    setting = dataset.experiment.prediction
    epochs = sorted(int(epoch) for epoch in predictions["epoch"].unique())
    found = [_at_epoch(dataset, methods, predictions, fit_seconds, epoch) for epoch in epochs]
    comparisons = [comparison for _, comparison in found]
    counts = predictions.groupby("epoch")["network_id"].nunique()
    return Report(
        headline=headline_of(comparisons),
        experiment=dataset.experiment.name,
        task=dataset.experiment.task.name,
        metric_name=dataset.metric.name,
        higher_is_better=dataset.metric.higher_is_better,
        target=setting.target,
        networks=len(dataset.networks),
        diverged=int(dataset.diverged.sum()),
        infinite_exponents=dataset.infinite_exponents,
        excluded=dataset.excluded,
        without_spectrum={epoch: len(dataset.networks) - int(counts[epoch]) for epoch in epochs},
        folds=int(predictions["fold"].nunique()),
        leave_out=setting.leave_out,
        confidence=setting.confidence,
        interval=setting.interval,
        epochs=epochs,
        rows=[row for rows, _ in found for row in rows],
        comparisons=comparisons,
        costs=[costs_at(dataset, epoch) for epoch in epochs],
        warnings=warnings_of(dataset),
        look=dataset.look,
    )


def _at_epoch(
    dataset: SpectraDataset,
    methods: Sequence[Method],
    predictions: pd.DataFrame,
    fit_seconds: dict[str, float],
    epoch: int,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """One row for each method at one epoch, and how they compare on the same resampled networks."""
    setting = dataset.experiment.prediction
    at_epoch = predictions[predictions["epoch"] == epoch].sort_values("network_id")
    shown = [method for method in methods if epoch >= method.first_epoch]
    parts = [at_epoch[at_epoch["method"] == method.name] for method in shown]
    said = np.stack([part["predicted"].to_numpy(float) for part in parts])
    actual = parts[0]["actual"].to_numpy(float)
    resampled = resampled_spearman(actual, said, setting.bootstrap, dataset.experiment.seed)
    costs = seconds_per_network(dataset, epoch)
    rows = [
        {"epoch": epoch, **_row(dataset, method, part, drawn, costs), "fit_seconds": fit_seconds[method.name]}
        for method, part, drawn in zip(shown, parts, resampled, strict=True)
    ]
    return rows, _comparison(rows, resampled, setting.confidence)


def _row(
    dataset: SpectraDataset,
    method: Method,
    part: pd.DataFrame,
    resampled: np.ndarray,
    costs: tuple[float, float],
) -> dict[str, Any]:
    actual, predicted, lower, upper = (
        part[name].to_numpy(float) for name in ("actual", "predicted", "lower", "upper")
    )
    low, high = percentile_interval(resampled, dataset.experiment.prediction.confidence)
    coverage, width = coverage_and_width(actual, lower, upper)
    training, spectra = costs
    return {
        "method": method.name,
        "family": method.family,
        "reads": sorted(method.reads),
        "networks": len(part),
        **scores_of(actual, predicted, dataset.metric.higher_is_better),
        "spearman_within_folds": _within_folds(part),
        "spearman_low": low,
        "spearman_high": high,
        "coverage": coverage,
        "interval_width": width,
        "seconds": training * (method.reads != {"hyperparameters"}) + spectra * ("spectrum" in method.reads),
    }


def _within_folds(part: pd.DataFrame) -> float:
    """Mean of the folds' own correlations, blind to shifts between folds: the fair one for groups left out."""
    folds = [spearman(f["actual"].to_numpy(), f["predicted"].to_numpy()) for _, f in part.groupby("fold")]
    return float(np.mean(folds))


def _comparison(rows: list[dict[str, Any]], resampled: np.ndarray, confidence: float) -> dict[str, Any]:
    """Best AeLLE method against best baseline at one epoch, and what cannot be told apart from the best of all."""

    def value(place: int) -> float:
        spearman = rows[place]["spearman"]
        return -2.0 if np.isnan(spearman) else spearman

    def difference(first: int, second: int) -> tuple[float, float]:
        return percentile_interval(resampled[first] - resampled[second], confidence)

    ours, theirs = (
        max((i for i, row in enumerate(rows) if row["family"] == family), key=value)
        for family in ("AeLLE", "baseline")
    )
    best = max((ours, theirs), key=value)
    alike = [i for i in range(len(rows)) if i == best or difference(best, i)[0] <= 0]
    low, high = difference(ours, theirs)
    return {
        "epoch": rows[0]["epoch"],
        "aelle": rows[ours],
        "baseline": rows[theirs],
        "difference": rows[ours]["spearman"] - rows[theirs]["spearman"],
        "difference_low": low,
        "difference_high": high,
        "not_told_apart": [rows[i]["method"] for i in sorted(alike, key=value, reverse=True)],
        "informative": [row["method"] for row in rows if row["spearman_low"] > 0],
        "informative_spectra": [
            row["method"] for row in rows if row["spearman_low"] > 0 and row["reads"] == ["spectrum"]
        ],
    }
