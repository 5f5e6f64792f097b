"""The predictor's second stage: AeLLE's scores blended, trees on them and what else is known, the interval."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline

from aelle.embedding.transform import TargetTransform
from aelle.hyperparameters import NAMES as HYPERPARAMETERS
from aelle.prediction.intervals import Scale, conformal_interval
from aelle.prediction.known import Numbers
from aelle.prediction.ladder import trees
from aelle.prediction.new_networks import CURVES
from aelle.prediction.views import cross_fitted, stacking_weights
from aelle.records import Metric

SIZE, HYPER, METRIC, LOSSES = "architecture and size", "hyperparameters", "validation curve", "losses"
HEADS = ("aelle", "aelle_in_context")  # in the columns of the table
_SIZE_COLUMNS = ("architecture", "hidden_size", "num_layers")


@dataclass(frozen=True)
class Table:
    """The training networks of a predictor, one row each, indexed by network_id.

    Columns: target and diverged; fold (for calibration); hyperparameters; `val_metric@e`, `val_loss@e`,
    `train_loss@e`; and AeLLE's out-of-fold scores by each view v and part p of the head, `aelle@e/v/p` and
    `aelle_in_context@e/v/p`, NaN where a network has no spectrum at epoch e.
    """

    frame: pd.DataFrame
    metric: Metric

    @property
    def targets(self) -> np.ndarray:
        """Outcomes in metric units."""
        return self.frame["target"].to_numpy(float)

    @cached_property
    def target(self) -> TargetTransform:
        """Outcomes ↔ scores."""
        return TargetTransform.fit(self.targets, self.frame["diverged"].to_numpy(bool), self.metric)

    @cached_property
    def size(self) -> Numbers:
        """Architecture and size as numbers."""
        return Numbers.fit(self.frame, _SIZE_COLUMNS)

    @cached_property
    def hyperparameters(self) -> Numbers:
        """The other hyperparameters that vary."""
        return Numbers.fit(self.frame, [name for name in HYPERPARAMETERS if name not in _SIZE_COLUMNS])

    @property
    def curve_epochs(self) -> list[int]:
        """Epochs of which curve values are kept."""
        names = map(str, self.frame.columns)
        return sorted(int(name.split("@")[1]) for name in names if name.startswith("val_metric@"))

    def curve(self, names: tuple[str, ...], epoch: int) -> list[str]:
        """Columns of these curves up to an epoch that hold a value for some training network."""
        columns = [f"{name}@{e}" for name in names for e in self.curve_epochs if e <= epoch]
        return [name for name in columns if self.frame[name].notna().any()]

    def usable(self, networks: pd.DataFrame, epoch: int) -> list[tuple[str, ...]]:
        """Say for each new network which inputs beside its spectrum are wholly known."""
        known = {
            SIZE: networks["architecture"].isin(self.size.architectures).to_numpy()
            & np.isfinite(self.size.apply(networks)).all(axis=1),
            HYPER: np.isfinite(self.hyperparameters.apply(networks)).all(axis=1),
            METRIC: networks[self.curve(CURVES[:1], epoch)].notna().all(axis=1).to_numpy(),
            LOSSES: networks[self.curve(CURVES[1:], epoch)].notna().all(axis=1).to_numpy(),
        }
        known[HYPER] = known[HYPER] & known[SIZE]  # trees without the size would read the rest wrongly
        known[LOSSES] = known[LOSSES] & known[METRIC]
        there = {SIZE, METRIC} if not self.hyperparameters.columns else {SIZE, HYPER, METRIC}
        there |= {LOSSES} if self.curve(CURVES[1:], epoch) else set()
        order = [name for name in (SIZE, HYPER, METRIC, LOSSES) if name in there]
        return [tuple(name for name in order if known[name][i]) for i in range(len(networks))]

    @cached_property
    def parts(self) -> list[str]:
        """Parts of the head, in the order in which they were fitted."""
        scored = [name.split("/") for name in map(str, self.frame.columns) if "/" in name]
        return list(dict.fromkeys(part for _, _, part in scored))

    def out_of_fold(self, epoch: int, views: tuple[int, ...]) -> np.ndarray:
        """AeLLE's out-of-fold scores at an epoch by these views and all parts, (n, views · parts, heads)."""
        models = [f"{epoch}/{view}/{part}" for view in views for part in self.parts]
        columns = [[f"{head}@{model}" for head in HEADS] for model in models]
        return np.stack([self.frame[names].to_numpy(float) for names in columns], axis=1)

    def inputs(
        self, aelle: np.ndarray, networks: pd.DataFrame, epoch: int, used: tuple[str, ...]
    ) -> np.ndarray:
        """Set AeLLE's scores (n, heads) beside what else is used: (n, …)."""
        parts = [aelle if SIZE in used else aelle[:, :1]]  # the second head reads architecture and size
        if SIZE in used:
            parts.append(self.size.apply(networks))
        if HYPER in used:
            parts.append(self.hyperparameters.apply(networks))
        if METRIC in used:
            parts.append(networks[self.curve(CURVES[:1], epoch)].to_numpy(float))
        if LOSSES in used:
            parts.append(networks[self.curve(CURVES[1:], epoch)].to_numpy(float))
        return np.concatenate(parts, axis=1)


@dataclass(frozen=True)
class Stage:
    """Trees for one epoch and one choice of views and inputs, with the errors they make on networks left out."""

    table: Table
    epoch: int
    views: tuple[int, ...]
    used: tuple[str, ...]
    level: float
    weights: np.ndarray  # (views · parts, heads)
    target: TargetTransform
    model: Any  # None where AeLLE's score stands as it is
    left_out: np.ndarray  # (n, 2) actual and predicted scores of calibration networks

    @classmethod
    def fit(
        cls, table: Table, epoch: int, views: tuple[int, ...], used: tuple[str, ...], level: float, seed: int
    ) -> Stage:
        """Fit on the training networks with a spectrum at the epoch; equal arguments give equal trees."""
        scored = table.out_of_fold(epoch, views)
        there = np.isfinite(scored).all(axis=(1, 2))
        known, scored = table.frame[there], scored[there]
        target = table.target
        scores = target.apply(known["target"].to_numpy(float))
        weights = np.stack(
            [stacking_weights(scored[..., head], scores) for head in range(len(HEADS))], axis=1
        )
        aelle = np.stack([cross_fitted(scored[..., head], scores) for head in range(len(HEADS))], axis=1)
        if not used:  # nothing to combine
            actual = Scale(target).score(known["target"].to_numpy(float))
            pairs = np.stack([actual, Scale(target).clip(aelle[:, 0])], axis=1)
            return cls(table, epoch, views, used, level, weights, target, None, pairs)
        inputs = table.inputs(aelle, known, epoch, used)
        folds, said = known["fold"].to_numpy(), np.empty(len(known))
        for fold in np.unique(folds):
            rest = folds != fold
            said[~rest] = _fitted(inputs[rest], scores[rest], seed).predict(inputs[~rest])
        model = _fitted(inputs, scores, seed)
        left_out = np.stack([scores, said], axis=1)
        return cls(table, epoch, views, used, level, weights, target, model, left_out)

    def blend(self, scored: np.ndarray) -> np.ndarray:
        """Blend AeLLE's scores by each view and part (networks, views · parts, heads) into (networks, heads)."""
        blended: np.ndarray = np.einsum("nmh,mh->nh", scored, self.weights)
        return blended

    def score(self, aelle: np.ndarray, networks: pd.DataFrame) -> np.ndarray:
        """Score networks from AeLLE's scores of them and what else is known."""
        if self.model is None:
            return Scale(self.target).clip(aelle[:, 0])
        scores: np.ndarray = self.model.predict(self.table.inputs(aelle, networks, self.epoch, self.used))
        return scores

    def interval(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return lower and upper bounds in metric units."""
        lower, upper = conformal_interval(self.left_out[:, 0], self.left_out[:, 1], scores, self.level)
        return Scale(self.target).bounds(lower, upper)


def _fitted(inputs: np.ndarray, scores: np.ndarray, seed: int) -> Any:
    model = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), trees(seed))
    return model.fit(inputs, scores)
