"""A saved early predictor: a fitted method, with what has to be known to use it on new and running networks.

    Predictor.fit(load_dataset(folder)).save(folder.root / "predictor")
    Predictor.load("artifacts/digits/predictor").predict(records, epoch=1)

It is a method of the report (`aelle.prediction.method`), by default "AeLLE + curve + hyperparameters", fitted on all
finished networks of an experiment; what the report says of that method was measured on the same object, fitted
without a fold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from aelle.config import Experiment
from aelle.embedding.dataset import SpectraDataset
from aelle.prediction import predictor_files
from aelle.prediction.aelle import WITH_ALL, FittedAelle
from aelle.prediction.checks import require_one_unit, require_varied
from aelle.prediction.errors import PredictorError
from aelle.prediction.explanation import Explainer
from aelle.prediction.folds import prediction_epochs
from aelle.prediction.ladder import method_named
from aelle.prediction.method import FittedMethod
from aelle.prediction.table import Table
from aelle.records import Metric, looks_of
from aelle.words import first_line

__all__ = ["Predictor", "PredictorError"]

_IN_WORDS = {"full": "full spectra", "economy": "economy looks"}


@dataclass(frozen=True)
class Predictor:
    """Predict the final metric of networks from what is known of them at an early epoch.

    Attributes:
        experiment: the experiment whose networks it was fitted on.
        spectrum_state, spectrum_inputs: convention of the spectra it was fitted on.
        method_name: the method's name in the report.
        method: the fitted method.
    """

    experiment: Experiment
    spectrum_state: str
    spectrum_inputs: str
    method_name: str
    method: FittedMethod

    @classmethod
    def fit(cls, dataset: SpectraDataset, *, level: float | None = None, method: str = WITH_ALL) -> Predictor:
        """Fit on all finished networks of a dataset.

        Args:
            dataset: the networks.
            level: probability with which the intervals are to cover; by default the experiment's.
            method: name of a method of the report.

        Raises:
            EmbeddingError: for fewer than 20 networks, or a single outcome.
            PredictionError: where no epoch has enough spectra, or too few networks finished.
        """
        dataset = require_varied(dataset.require_predictable())
        experiment = dataset.experiment
        if level is not None:
            prediction = experiment.prediction.model_copy(update={"interval": level})
            experiment = experiment.model_copy(update={"prediction": prediction})
        table = Table.of_dataset(dataset, prediction_epochs(dataset))
        fitted = method_named(experiment, method).fit(table, np.ones(len(table), dtype=bool))
        return cls(experiment, dataset.state, dataset.inputs, method, fitted)

    @classmethod
    def load(cls, folder: str | Path) -> Predictor:
        """Read a predictor; nothing in its files can run code.

        Raises:
            PredictorError: where there is none, or a file is missing, corrupt or of another predictor.
        """
        return cls(*predictor_files.load(Path(folder)))

    def save(self, folder: str | Path, made_from: Mapping[str, str] | None = None) -> None:
        """Write the predictor: safetensors, Parquet, TOML and JSON. One that is there stands until this one does.

        `made_from` holds digests by name, of the records for example, by which it is told to be older than they are.
        """
        conventions = {"spectrum_state": self.spectrum_state, "spectrum_inputs": self.spectrum_inputs}
        predictor_files.save(
            Path(folder), self.experiment, conventions, self.method_name, self.method, made_from
        )

    @property
    def look(self) -> str:
        """ "full" where it reads whole spectra, "economy" where it reads looks (`aelle.look`)."""
        return looks_of(self.training.spectra)[0]

    @property
    def training(self) -> Table:
        """The networks it was fitted on."""
        return self.method.training

    @property
    def metric(self) -> Metric:
        """The metric it predicts."""
        return self.training.metric

    @property
    def task(self) -> str:
        """The task whose networks it was fitted on."""
        return self.experiment.task.name

    @property
    def metric_name(self) -> str:
        """Name of the metric it predicts."""
        return self.metric.name

    @property
    def higher_is_better(self) -> bool:
        """Direction of the metric."""
        return self.metric.higher_is_better

    @property
    def epochs(self) -> tuple[int, ...]:
        """The epochs at which it can predict."""
        return self.training.epochs

    @property
    def level(self) -> float:
        """Probability with which its intervals are to cover."""
        return self.experiment.prediction.interval

    def quantile(self, share: float) -> float:
        """Return the metric that this share of the training networks does not surpass, the worst ones first."""
        ends = self.metric.oriented(self.training.targets)
        return float(self.metric.oriented(np.quantile(ends, share)))

    def percentile(self, values: np.ndarray) -> np.ndarray:
        """Return the percentage of training networks that ended worse than these values; equals count half."""
        ends = np.sort(self.metric.oriented(self.training.targets))
        sides = [np.searchsorted(ends, self.metric.oriented(values), side) for side in ("left", "right")]
        return np.where(np.isnan(values), np.nan, 50.0 * (sides[0] + sides[1]) / len(ends))

    def predict(self, rows: pd.DataFrame, epoch: int, *, explain: bool = True) -> pd.DataFrame:
        """Predict the final metric of every network in some record rows.

        Args:
            rows: in the columns of records; rows after `epoch` are not looked at. Columns may be missing:
                without hyperparameters, curve, or what some view of the spectrum needs, the prediction rests
                on the rest, with the interval of predictions that rest on it.
            epoch: one of `epochs`.
            explain: also find out what moved each prediction; several times the work.

        Returns:
            one row per network: network_id, epoch, predicted, lower, upper (metric units; NaN where nothing can
            be predicted), percentile (of training networks that ended worse than predicted), why (what moved
            it, or why nothing can be predicted), used (what the prediction rests on), warning.

        Raises:
            PredictorError: for another task, metric, look or convention of the spectrum, or an unknown epoch.
        """
        self._check(rows, epoch)
        table = Table.of_records(
            rows, epoch, epochs=self.epochs, final_epoch=self.training.final_epoch, metric=self.metric
        )
        try:
            return self._predicted(table, epoch, explain)
        except (IndexError, KeyError, TypeError, ValueError, RuntimeError) as error:
            if isinstance(error, PredictorError):
                raise
            # Files that were written by others may each be right, and not fit together.
            raise PredictorError(
                f"the predictor cannot be used on these records ({first_line(error)}); where it is damaged, save it "
                f"again with `aelle evaluate --save`"
            ) from error

    def _predicted(self, table: Table, epoch: int, explain: bool) -> pd.DataFrame:
        found = self.method.predict(table, np.ones(len(table), dtype=bool))
        silent = found["predicted"].isna().to_numpy()
        why_not = self.method.why_not(table)
        words = pd.DataFrame(
            {"why": [why_not.get(i, "") for i in found.index], "used": "", "warning": ""}, found.index
        )
        if self._explainer is not None and not silent.all():
            words.update(self._explainer.describe(table.of(~silent), explain))
        columns = [
            "network_id",
            "epoch",
            "predicted",
            "lower",
            "upper",
            "percentile",
            "why",
            "used",
            "warning",
        ]
        percentile = self.percentile(found["predicted"].to_numpy(float))
        found = found.assign(epoch=epoch, percentile=percentile).join(words).reset_index()[columns]
        return pd.concat([found[~silent], found[silent]], ignore_index=True)

    @cached_property
    def _explainer(self) -> Explainer | None:
        return Explainer(self.method) if isinstance(self.method, FittedAelle) else None

    def _check(self, rows: pd.DataFrame, epoch: int) -> None:
        if epoch not in self.epochs:
            raise PredictorError(
                f"the predictor was fitted for the epochs {', '.join(map(str, self.epochs))}, not for epoch {epoch}"
            )
        require_one_unit(rows)
        for other in set(looks_of(rows[rows["epoch"] <= epoch] if "epoch" in rows else rows)) - {self.look}:
            have, needs = (_IN_WORDS[look] for look in (other, self.look))
            raise PredictorError(
                f"the predictor was fitted on {needs}, the records hold {have}; use one fitted on {have}, or collect "
                f'records with [spectrum] look = "{self.look}"'
            )
        asked: Sequence[tuple[str, str, object]] = (
            ("task", "task", self.task),
            ("metric_name", "metric", self.metric_name),
            ("higher_is_better", "direction higher_is_better", self.higher_is_better),
            ("spectrum_state", "state convention", self.spectrum_state),
            ("spectrum_inputs", "driving inputs", self.spectrum_inputs),
        )
        for column, words, learnt in asked:
            found = set() if column not in rows else set(rows[column].dropna().unique()) - {learnt}
            if found:
                raise PredictorError(
                    f"the predictor was fitted on {words} {learnt!r}, the records have "
                    f"{', '.join(sorted(repr(v) if isinstance(v, str) else str(v) for v in found))}; use one fitted on records of the same kind"
                )
