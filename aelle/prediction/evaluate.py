"""Cross-validated early prediction: every method at every spectrum epoch, on networks it has not seen.

Folds are cut by network. Everything that is fitted (transforms, autoencoder, regressors, the scale of the
target) sees the training networks of its fold only.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import joblib  # type: ignore[import-untyped]
import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold
from tqdm import tqdm

from aelle.embedding.dataset import MINIMUM_NETWORKS, SpectraDataset, load_dataset
from aelle.embedding.optimise import single_threaded
from aelle.embedding.transform import TargetTransform
from aelle.prediction import early
from aelle.prediction.errors import PredictionError
from aelle.prediction.known import Known, known_at, seconds_per_network
from aelle.prediction.ladder import BASELINES, Method
from aelle.prediction.metrics import difference_interval, scores_of, spearman, spearman_interval
from aelle.prediction.report import Report, headline_of
from aelle.prediction.report_page import render_page
from aelle.records import ExperimentFolder, write_bytes, write_frame, write_json

# Scores (method, epoch, network, fold, score) and the seconds they took by (epoch, method).
_Job = tuple[pd.DataFrame, dict[tuple[int | None, str], float]]

__all__ = ["PredictionError", "Report", "cross_validate", "predict"]


def predict(folder: ExperimentFolder, *, progress: bool = True) -> Report:
    """Cross-validate all methods on an experiment's records and write the report.

    Writes predictions.parquet, report.json and report.html; where it raises, nothing has been written.

    Raises:
        RecordsError: for a missing, empty, corrupt or foreign folder.
        EmbeddingError: for fewer than 20 networks, a single outcome, or mixed conventions.
        PredictionError: for an epoch without enough spectra, or too few finished networks for the folds.
    """
    dataset = load_dataset(folder).require_predictable()
    predictions, fit_seconds = cross_validate(dataset, progress=progress)
    report = evaluate(dataset, predictions, fit_seconds)
    page = render_page(report)
    write_frame(folder.predictions, predictions)
    write_json(folder.report, report.to_json())
    write_bytes(folder.report.with_suffix(".html"), page.encode())
    return report


def cross_validate(
    dataset: SpectraDataset, *, progress: bool = False
) -> tuple[pd.DataFrame, dict[tuple[int, str], float]]:
    """Predict every network's target from folds that do not contain it.

    Returns:
        predictions (method, epoch, network_id, fold, actual, predicted), in metric units; and the seconds
        that fitting took, by (epoch, method), summed over the folds.
    """
    epochs = prediction_epochs(dataset)
    folds = assign_folds(dataset)
    fold_numbers = np.unique(folds).tolist()
    setting = dataset.experiment.prediction
    # The autoencoders take longest and so go first, widest view first; the baselines fill the gaps.
    views = sorted(setting.views, key=len, reverse=True)
    jobs = [joblib.delayed(_aelle_job)(dataset, folds, fold, view) for view in views for fold in fold_numbers]
    jobs += [
        joblib.delayed(_baseline_job)(dataset, folds, fold, at) for fold in fold_numbers for at in epochs
    ]
    workers = dataset.experiment.training.workers or joblib.cpu_count()
    done = _run(jobs, workers, progress)
    scored = pd.concat([frame for frame, _ in done[: len(views) * len(fold_numbers)]], ignore_index=True)
    stacking = [
        joblib.delayed(_stacking_job)(dataset, folds, fold, at, scored[scored["fold"] == fold])
        for fold in fold_numbers
        for at in epochs
    ]
    done += _run(stacking, workers, progress)
    scores = pd.concat([_held_out(frame, folds) for frame, _ in done], ignore_index=True)
    return _in_metric_units(dataset, folds, scores, epochs), _sum_seconds((s for _, s in done), epochs)


def _groups(dataset: SpectraDataset, column: str) -> np.ndarray:
    """Make every architecture or size a fold of its own."""
    values, groups = np.unique(dataset.networks[column].to_numpy(), return_inverse=True)
    for group in range(len(values)):
        finished = int((~dataset.diverged & (groups != group)).sum())
        if finished < MINIMUM_NETWORKS:
            raise PredictionError(
                f"leaving {column} {values[group]} out leaves {finished} finished networks to learn from; "
                f"at least {MINIMUM_NETWORKS} are needed"
            )
    return groups


def _run(jobs: list[Any], workers: int, progress: bool) -> list[_Job]:
    """Run jobs in single-threaded processes, or in this one where there is one worker."""
    parallel = joblib.parallel_config(backend="loky", inner_max_num_threads=1)
    with parallel if workers > 1 else single_threaded():
        running = joblib.Parallel(n_jobs=workers, return_as="generator")(jobs)
        return list(
            tqdm(running, total=len(jobs), desc="predict", unit="fit", disable=not progress, leave=False)
        )


def _held_out(scores: pd.DataFrame, folds: np.ndarray) -> pd.DataFrame:
    """Keep the scores of each fold's held-out networks."""
    return scores[folds[scores["network"]] == scores["fold"]]


def _in_metric_units(
    dataset: SpectraDataset, folds: np.ndarray, scores: pd.DataFrame, epochs: list[int]
) -> pd.DataFrame:
    """Average the views and turn scores into metric units by each fold's own target scale."""
    keys = ["method", "epoch", "network", "fold"]
    scores = scores[scores["epoch"].isin(epochs)].groupby(keys)["score"].mean().reset_index()
    predicted = scores["score"].to_numpy(copy=True)
    plain = scores["method"].isin([method.name for method in BASELINES if method.in_metric_units])
    for fold in np.unique(folds):
        chosen = ((scores["fold"] == fold) & ~plain).to_numpy()
        predicted[chosen] = _target_of(dataset, folds != fold).invert(predicted[chosen])
    network = scores["network"].to_numpy()
    return pd.DataFrame(
        {
            "method": scores["method"],
            "epoch": scores["epoch"],
            "network_id": dataset.networks.index.to_numpy()[network],
            "fold": scores["fold"],
            "actual": dataset.targets[network],
            "predicted": predicted,
        }
    ).sort_values(["epoch", "method", "network_id"], ignore_index=True)


def prediction_epochs(dataset: SpectraDataset) -> list[int]:
    """Epochs at which to predict: those asked for, or every one with spectra of at least 20 networks.

    Raises:
        PredictionError: for an epoch that was asked for and holds too few spectra, or if none remains.
    """
    counts = dict(zip(*np.unique(dataset.spectra["epoch"].to_numpy(), return_counts=True), strict=True))
    enough = [int(epoch) for epoch, count in counts.items() if count >= MINIMUM_NETWORKS]
    asked = dataset.experiment.prediction.epochs
    for epoch in asked:
        if epoch not in enough:
            raise PredictionError(
                f"epoch {epoch} has spectra of {counts.get(epoch, 0)} networks, at least {MINIMUM_NETWORKS} are needed; "
                f"epochs with enough: {', '.join(map(str, enough)) or 'none'}"
            )
    if not enough:
        raise PredictionError(f"no epoch has spectra of at least {MINIMUM_NETWORKS} networks")
    return sorted(set(asked)) or enough


def assign_folds(dataset: SpectraDataset) -> np.ndarray:
    """Give every network a fold; diverged networks are spread evenly, unless whole groups are left out.

    Raises:
        PredictionError: where fewer networks finished than two a fold, or there is no second group.
    """
    setting = dataset.experiment.prediction
    if setting.leave_out != "network":
        return _groups(dataset, setting.leave_out)
    folds = setting.folds
    finished = int((~dataset.diverged).sum())
    if finished < 2 * folds:
        raise PredictionError(
            f"only {finished} of {len(dataset.networks)} networks finished; {folds} folds need at least {2 * folds}"
        )
    # A class smaller than the number of folds cannot be stratified; it then goes with the others.
    few = dataset.diverged.sum() < folds
    stratum = np.zeros(len(dataset.networks), int) if few else dataset.diverged.astype(int)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=dataset.experiment.seed)
    assigned = np.empty(len(dataset.networks), dtype=int)
    for fold, (_, held_out) in enumerate(splitter.split(stratum, stratum)):
        assigned[held_out] = fold
    return assigned


def _aelle_job(dataset: SpectraDataset, folds: np.ndarray, fold: int, view: list[str]) -> _Job:
    """One fold and view of AeLLE at all epochs, since the epoch is an input."""
    started = time.perf_counter()
    setting = dataset.experiment.prediction
    frame = early.score_fold(dataset, folds != fold, view, setting.ensemble, _seed(dataset, fold))
    elapsed = time.perf_counter() - started
    return frame.assign(fold=fold), {(None, name): elapsed for name in early.HEADS}


def _baseline_job(dataset: SpectraDataset, folds: np.ndarray, fold: int, epoch: int) -> _Job:
    """All baselines of one fold at one epoch."""
    known, in_training, targets = _fold_inputs(dataset, folds, fold, epoch)
    frames: list[pd.DataFrame] = []
    seconds: dict[tuple[int | None, str], float] = {}
    for method in (m for m in BASELINES if epoch >= m.first_epoch):
        started = time.perf_counter()
        score = method.predict(known, in_training, targets, _seed(dataset, fold))
        seconds[epoch, method.name] = time.perf_counter() - started
        frames.append(_scores(known, method.name, fold, score))
    return pd.concat(frames, ignore_index=True), seconds


def _stacking_job(
    dataset: SpectraDataset, folds: np.ndarray, fold: int, epoch: int, scored: pd.DataFrame
) -> _Job:
    """AeLLE + curve + hyperparameters of one fold at one epoch."""
    started = time.perf_counter()
    known, in_training, targets = _fold_inputs(dataset, folds, fold, epoch)
    score = early.score_with_curve(known, scored, in_training, targets, _seed(dataset, fold))
    name = early.AELLE_WITH_CURVE
    return _scores(known, name, fold, score), {(epoch, name): time.perf_counter() - started}


def _fold_inputs(
    dataset: SpectraDataset, folds: np.ndarray, fold: int, epoch: int
) -> tuple[Known, np.ndarray, np.ndarray]:
    """What is known at an epoch, the mask of the training networks in it, and their target scores."""
    known = known_at(dataset, epoch)
    in_training = folds[known.network] != fold
    target = _target_of(dataset, folds != fold)
    return known, in_training, target.apply(dataset.targets[known.network[in_training]])


def _scores(known: Known, method: str, fold: int, score: np.ndarray) -> pd.DataFrame:
    columns = {"method": method, "epoch": known.epoch, "network": known.network, "fold": fold, "score": score}
    return pd.DataFrame(columns)


def _target_of(dataset: SpectraDataset, training: np.ndarray) -> TargetTransform:
    return TargetTransform.fit(dataset.targets[training], dataset.diverged[training], dataset.metric)


def _seed(dataset: SpectraDataset, fold: int) -> int:
    return 1000 * dataset.experiment.seed + int(fold)


def _sum_seconds(
    parts: Iterator[dict[tuple[int | None, str], float]], epochs: list[int]
) -> dict[tuple[int, str], float]:
    """Sum over folds; what was fitted once for all epochs counts in full at each."""
    total: dict[tuple[int, str], float] = {}
    for part in parts:
        for (epoch, name), seconds in part.items():
            for at in epochs if epoch is None else [epoch]:
                total[at, name] = total.get((at, name), 0.0) + seconds
    return total


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
        epochs=epochs,
        rows=rows,
        comparisons=comparisons,
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
        "seconds": training * method.needs_training + spectra * method.needs_spectrum,
        "fit_seconds": fit_seconds,
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
