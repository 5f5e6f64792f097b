"""Fit a predictor on all finished networks of an experiment."""

from __future__ import annotations

from dataclasses import replace

import joblib  # type: ignore[import-untyped]
import numpy as np
import pandas as pd

from aelle.embedding.checkpoint import FittedAutoencoder
from aelle.embedding.dataset import SpectraDataset
from aelle.embedding.members import Split, fit_members, validation_splits
from aelle.embedding.optimise import single_threaded
from aelle.hyperparameters import NAMES as HYPERPARAMETERS
from aelle.prediction.checks import require_varied
from aelle.prediction.cross_validation import assign_folds, prediction_epochs
from aelle.prediction.new_networks import CURVES
from aelle.prediction.occlusion import MedianSpectra
from aelle.prediction.predictor import Predictor
from aelle.prediction.stage import HEADS, Table
from aelle.prediction.views import views_of


def fit(dataset: SpectraDataset, level: float) -> Predictor:
    """Fit a predictor; the folds that calibrate its intervals are cut as in the report."""
    dataset = _by_network(dataset.require_predictable())
    epochs, folds = prediction_epochs(dataset), assign_folds(dataset)
    require_varied(dataset)
    setting = dataset.experiment.prediction
    splits = validation_splits(
        np.ones(len(dataset.networks), bool), setting.ensemble, dataset.experiment.seed
    )
    jobs = [
        joblib.delayed(_member)(dataset, split, list(view), number)
        for view in views_of(dataset)
        for number, split in enumerate(splits)
    ]
    workers = min(dataset.experiment.training.workers or joblib.cpu_count(), len(jobs))
    parallel = joblib.parallel_config(backend="loky", inner_max_num_threads=1)
    with parallel if workers > 1 else single_threaded():
        fitted = joblib.Parallel(n_jobs=workers)(jobs)
    members = [fitted[i : i + len(splits)] for i in range(0, len(fitted), len(splits))]
    frame = _networks(dataset, folds, epochs).join(_out_of_fold(dataset, members, splits, epochs))
    return Predictor(
        experiment=dataset.experiment,
        metric=dataset.metric,
        spectrum_state=dataset.state,
        spectrum_inputs=dataset.inputs,
        epochs=tuple(epochs),
        level=level,
        members=members,
        table=Table(frame, dataset.metric),
        medians=MedianSpectra.fit(dataset.spectra, dataset.experiment.autoencoder.length),
    )


def _by_network(dataset: SpectraDataset) -> SpectraDataset:
    """Cut folds by network whatever the report leaves out: new networks are of the kinds that were seen."""
    prediction = dataset.experiment.prediction.model_copy(update={"leave_out": "network"})
    return replace(dataset, experiment=dataset.experiment.model_copy(update={"prediction": prediction}))


def _member(dataset: SpectraDataset, split: Split, view: list[str], number: int) -> FittedAutoencoder:
    """Fit one autoencoder of the ensemble on its part of the networks."""
    settings = dataset.experiment.autoencoder.model_copy(update={"channels": view})
    ids = dataset.networks.index.to_numpy()
    about = {
        "experiment": dataset.experiment.name,
        "task": dataset.experiment.task.name,
        "spectrum_state": dataset.state,
        "spectrum_inputs": dataset.inputs,
    }
    return FittedAutoencoder(
        members=fit_members(dataset, [split], settings, 1000 * dataset.experiment.seed + number),
        settings=settings,
        about=about,
        split={"training": ids[split.training].tolist(), "validation": ids[split.validation].tolist()},
    )


def _out_of_fold(
    dataset: SpectraDataset, members: list[list[FittedAutoencoder]], splits: list[Split], epochs: list[int]
) -> pd.DataFrame:
    """Score every training network by the member of each view that did not learn from it, at each epoch."""
    network = dataset.spectra["network"].to_numpy()
    parts = members[0][0].members.parts
    scores = np.empty((len(members), len(parts), len(HEADS), len(network)))
    for place, view in enumerate(members):
        for member, split in zip(view, splits, strict=True):
            unseen = split.validation[network]
            by_parts = member.members.predict_by_parts(dataset.spectra, dataset.networks.iloc[network])
            for part, values in enumerate(by_parts.values()):
                scores[place, part, :, unseen] = values[:, 0].numpy().T[unseen]
    columns = {}
    for epoch in epochs:
        at = (dataset.spectra["epoch"] == epoch).to_numpy()
        ids = dataset.spectra.loc[at, "network_id"]
        for place, part, head in np.ndindex(scores.shape[:3]):
            name = f"{HEADS[head]}@{epoch}/{place}/{parts[part]}"
            columns[name] = pd.Series(scores[place, part, head, at], index=ids)
    return pd.DataFrame(columns, index=dataset.networks.index)


def _networks(dataset: SpectraDataset, folds: np.ndarray, epochs: list[int]) -> pd.DataFrame:
    """Outcome, fold, hyperparameters and learning curve of every training network."""
    kept = [name for name in HYPERPARAMETERS if name in dataset.networks]
    frame = dataset.networks[["target", "diverged", *kept]].assign(fold=folds)
    records = dataset.records[dataset.records["epoch"] <= max(epochs)]
    for name in CURVES:
        table = records.pivot(index="network_id", columns="epoch", values=name).reindex(frame.index)
        finite = table.where(np.isfinite(table.astype(float)))
        frame = frame.join(finite.add_prefix(f"{name}@").astype(float))
    return frame
