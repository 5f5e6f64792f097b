"""Cross-validated early prediction: every method at every spectrum epoch, on networks it has not seen.

Folds are cut by network. Everything that is fitted (transforms, autoencoder, regressors, the scale of the
target) sees the training networks of its fold only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from aelle.embedding.dataset import SpectraDataset, load_dataset
from aelle.prediction import early
from aelle.prediction.checks import require_varied, warnings_of
from aelle.prediction.cross_validation import assign_folds, cross_validate, prediction_epochs
from aelle.prediction.errors import PredictionError
from aelle.prediction.intervals import coverage_and_width
from aelle.prediction.known import seconds_per_network
from aelle.prediction.ladder import BASELINES, Method
from aelle.prediction.metrics import difference_interval, scores_of, spearman, spearman_interval
from aelle.prediction.report import Report, headline_of
from aelle.prediction.report_page import render_page
from aelle.records import ExperimentFolder, write_bytes, write_frame, write_json

__all__ = ["PredictionError", "Report", "assign_folds", "cross_validate", "predict", "prediction_epochs"]


def predict(folder: ExperimentFolder, *, progress: bool = True) -> Report:
    """Cross-validate all methods on an experiment's records and write the report.

    Writes predictions.parquet, report.json and report.html; where it raises, nothing has been written.

    Raises:
        RecordsError: for a missing, empty, corrupt or foreign folder.
        EmbeddingError: for fewer than 20 networks, a single outcome, or mixed conventions.
        PredictionError: for an epoch without enough spectra, too few finished networks for the folds, or too
            few networks with an outcome of their own.
    """
    dataset = load_dataset(folder).require_predictable()
    assign_folds(dataset)  # too few networks are refused before what is wrong with their values
    require_varied(dataset)
    predictions, fit_seconds = cross_validate(dataset, progress=progress)
    report = evaluate(dataset, predictions, fit_seconds)
    page = render_page(report)
    write_frame(folder.predictions, predictions)
    write_json(folder.report, report.to_json())
    write_bytes(folder.report.with_suffix(".html"), page.encode())
    return report


def evaluate(
    dataset: SpectraDataset, predictions: pd.DataFrame, fit_seconds: dict[tuple[int, str], float]
) -> Report:
    """Turn cross-validated predictions into the report's numbers."""
    epochs = sorted(int(epoch) for epoch in predictions["epoch"].unique())
    rows = [
        _row(dataset, epoch, method, predictions, fit_seconds[epoch, method.name])
        for epoch in epochs
        for method in METHODS
        if epoch >= method.first_epoch
    ]
    comparisons = [_comparison(dataset, epoch, rows, predictions) for epoch in epochs]
    at_epoch = predictions.groupby("epoch")["network_id"].nunique()
    setting = dataset.experiment.prediction
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
        without_spectrum={epoch: len(dataset.networks) - int(at_epoch[epoch]) for epoch in epochs},
        folds=int(predictions["fold"].nunique()),
        leave_out=setting.leave_out,
        confidence=setting.confidence,
        interval=setting.interval,
        epochs=epochs,
        rows=rows,
        comparisons=comparisons,
        costs=[_cost(dataset, epoch) for epoch in epochs],
        warnings=warnings_of(dataset),
    )


_AELLE_METHODS = tuple(Method(name, lambda *_: np.empty(0), needs_spectrum=True) for name in early.METHODS)
METHODS = (*BASELINES, *_AELLE_METHODS)


def _pair(predictions: pd.DataFrame, epoch: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    chosen = predictions[(predictions["epoch"] == epoch) & (predictions["method"] == name)]
    return chosen["actual"].to_numpy(float), chosen["predicted"].to_numpy(float)


def _within_folds(predictions: pd.DataFrame, epoch: int, name: str) -> float:
    """Mean of the folds' own correlations, blind to shifts between folds: the fair one for groups left out."""
    chosen = predictions[(predictions["epoch"] == epoch) & (predictions["method"] == name)]
    folds = [spearman(f["actual"].to_numpy(), f["predicted"].to_numpy()) for _, f in chosen.groupby("fold")]
    return float(np.mean(folds))


def _row(
    dataset: SpectraDataset, epoch: int, method: Method, predictions: pd.DataFrame, fit_seconds: float
) -> dict[str, Any]:
    setting = dataset.experiment.prediction
    actual, predicted = _pair(predictions, epoch, method.name)
    low, high = spearman_interval(
        actual, predicted, setting.bootstrap, setting.confidence, dataset.experiment.seed
    )
    chosen = predictions[(predictions["epoch"] == epoch) & (predictions["method"] == method.name)]
    bounds = (chosen[end].to_numpy(float) for end in ("lower", "upper"))
    coverage, width = coverage_and_width(actual, *bounds)
    training, spectra = seconds_per_network(dataset, epoch)
    return {
        "epoch": epoch,
        "method": method.name,
        "family": "AeLLE" if method.name in early.METHODS else "baseline",
        "networks": len(actual),
        **scores_of(actual, predicted, dataset.metric.higher_is_better),
        "spearman_within_folds": _within_folds(predictions, epoch, method.name),
        "spearman_low": low,
        "spearman_high": high,
        "coverage": coverage,
        "interval_width": width,
        "seconds": training * method.needs_training + spectra * method.needs_spectrum,
        "fit_seconds": fit_seconds,
    }


def _cost(dataset: SpectraDataset, epoch: int) -> dict[str, Any]:
    """What training to an epoch and the spectra up to it cost, in mean seconds a network."""
    training, spectra = seconds_per_network(dataset, epoch)
    whole, _ = seconds_per_network(dataset, dataset.final_epoch)
    return {
        "epoch": epoch,
        "train_seconds": training,
        "spectrum_seconds": spectra,
        "whole_training_seconds": whole,
        "spectrum_share_of_whole_training": spectra / whole if whole > 0 else float("nan"),
    }


def _comparison(
    dataset: SpectraDataset, epoch: int, rows: list[dict[str, Any]], predictions: pd.DataFrame
) -> dict[str, Any]:
    """Best AeLLE method against best baseline at one epoch, with the interval of the paired difference."""
    best = {
        family: max(
            (row for row in rows if row["epoch"] == epoch and row["family"] == family),
            key=lambda row: -2.0 if np.isnan(row["spearman"]) else row["spearman"],
        )
        for family in ("AeLLE", "baseline")
    }
    setting = dataset.experiment.prediction
    actual, ours = _pair(predictions, epoch, best["AeLLE"]["method"])
    _, theirs = _pair(predictions, epoch, best["baseline"]["method"])
    low, high = difference_interval(
        actual, ours, theirs, setting.bootstrap, setting.confidence, dataset.experiment.seed
    )
    return {
        "epoch": epoch,
        "aelle": best["AeLLE"],
        "baseline": best["baseline"],
        "difference": best["AeLLE"]["spearman"] - best["baseline"]["spearman"],
        "difference_low": low,
        "difference_high": high,
    }
