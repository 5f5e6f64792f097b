"""What is said at one epoch from one choice of views and of what else is known: blend, trees, interval."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from aelle.embedding.transform import TargetTransform
from aelle.prediction.blending import blend, blend_weights, cross_fitted
from aelle.prediction.inputs import OTHER_HYPERPARAMETERS, SIZE, Curves, FittedInput, Hyperparameters
from aelle.prediction.intervals import Bounded, ScoreInterval
from aelle.prediction.regression import CrossFitted, trees
from aelle.prediction.spectrum_reader import FittedReader
from aelle.prediction.table import CURVES, Table

Known = Literal["architecture and size", "hyperparameters", "validation curve", "losses"]
KNOWN: tuple[Known, ...] = ("architecture and size", "hyperparameters", "validation curve", "losses")
# Trees without the size would read the other hyperparameters wrongly, and losses without the metric.
_NEEDS: dict[Known, Known] = {"hyperparameters": "architecture and size", "losses": "validation curve"}


@dataclass(frozen=True)
class KnownInputs:
    """The inputs beside the spectrum at one epoch, of those kinds that tell training networks apart."""

    parts: dict[Known, FittedInput]
    architectures: tuple[str, ...]

    @classmethod
    def fit(cls, known: Table) -> KnownInputs:
        """Fit on the training networks with a spectrum at the epoch."""
        size = Hyperparameters.fit(known, SIZE)
        others = Hyperparameters.fit(known, OTHER_HYPERPARAMETERS)
        metric, losses = Curves.fit(known, CURVES[:1]), Curves.fit(known, CURVES[1:])
        parts: dict[Known, FittedInput] = {"architecture and size": size}
        if others.columns:
            parts["hyperparameters"] = others
        if metric.columns:
            parts["validation curve"] = metric
        if losses.columns:
            parts["losses"] = losses
        return cls(parts, size.architectures)

    def usable(self, table: Table, allowed: Iterable[Known]) -> list[tuple[Known, ...]]:
        """Say for each network which of the allowed kinds are wholly known."""
        there: dict[Known, np.ndarray] = {}
        for name in (name for name in KNOWN if name in self.parts and name in allowed):
            there[name] = np.isfinite(self.parts[name].apply(table)).all(axis=1)
            if name == "architecture and size":
                there[name] &= table.networks["architecture"].isin(self.architectures).to_numpy()
            if name in _NEEDS:
                there[name] &= there.get(_NEEDS[name], np.zeros(len(table), dtype=bool))
        return [tuple(name for name in there if there[name][i]) for i in range(len(table))]

    def apply(self, table: Table, used: Sequence[Known]) -> np.ndarray:
        """Return the inputs of some kinds side by side, (networks, columns)."""
        return np.concatenate([self.parts[name].apply(table) for name in used], axis=1)


@dataclass(frozen=True)
class Combination:
    """AeLLE's scores of the spectrum, blended, and whatever else is used: together one prediction.

    Attributes:
        models: positions of the models whose scores are blended.
        used: what is used beside the spectrum.
        weights: (models, 2 heads).
        regression: trees on both; None where the blended score of a head stands as it is: the first head's where
            the spectrum is all there is, the second one's where architecture and size are known too.
        interval: around that score.
    """

    models: np.ndarray
    used: tuple[Known, ...]
    inputs: KnownInputs
    weights: np.ndarray
    interval: ScoreInterval
    regression: CrossFitted | None

    @classmethod
    def fit(
        cls,
        reader: FittedReader,
        epoch: int,
        views: Sequence[int],
        used: tuple[Known, ...],
        inputs: KnownInputs,
        level: float,
        seed: int,
    ) -> Combination:
        """Fit on the reader's training networks with a spectrum at the epoch."""
        models = reader.models_of(views)
        training = reader.training
        target = TargetTransform.fit(training.targets, training.diverged, training.metric)
        known, said = scored_training(reader, epoch)
        said = said[:, models]
        scores = target.apply(known.targets)
        weights, blended = blend_weights(said, scores), cross_fitted(said, scores)
        interval = ScoreInterval(target, scores, blended[:, int("architecture and size" in used)], level)
        regression = None
        if set(used) - {"architecture and size"}:
            values = _beside(blended, inputs, known, used)
            regression = CrossFitted.fit(values, target, known.targets, trees, level, seed)
        return cls(models, used, inputs, weights, interval, regression)

    def predict(self, scores: np.ndarray, table: Table) -> Bounded:
        """Return predicted, lower and upper in metric units, from AeLLE's scores (n, all models, heads) and the rest."""
        blended = blend(scores[:, self.models], self.weights)
        if self.regression is None:
            return self.interval.predict(blended[:, int("architecture and size" in self.used)])
        return self.regression.predict(_beside(blended, self.inputs, table, self.used))


def scored_training(reader: FittedReader, epoch: int) -> tuple[Table, np.ndarray]:
    """The training networks that can be read at an epoch, with their out-of-fold scores (n, models, heads)."""
    known = reader.training.up_to(epoch)
    rows = (reader.training.spectra["epoch"] == epoch).to_numpy()
    scores = np.full((len(known), *reader.out_of_fold.shape[1:]), np.nan)
    scores[reader.training.spectra.loc[rows, "network"]] = reader.out_of_fold[rows]
    present = known.predictable
    return known.of(present), scores[present]


def _beside(blended: np.ndarray, inputs: KnownInputs, table: Table, used: Sequence[Known]) -> np.ndarray:
    """Set blended scores beside the inputs; the second head counts only where what it reads is used."""
    heads = blended if "architecture and size" in used else blended[:, :1]
    return np.concatenate([heads, inputs.apply(table, used)], axis=1)
