"""Fitted transforms: spectra → fixed-length standardised channels, targets → scores, context → numbers.

Each is fitted on training rows alone, and goes to and from plain JSON so that a checkpoint carries it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from aelle.embedding.channels import Measured, require_channels, resample
from aelle.records import Metric

__all__ = ["ContextTransform", "SpectraTransform", "Standardisation", "TargetTransform", "resample"]

_SMALLEST_SCALE = 1e-3  # a position that hardly varies in training must not be blown up
_FEWEST_ROWS = 10  # an epoch with fewer training spectra has no standardisation of its own
_LINEAR_UP_TO = 4.0  # standard deviations; what lies beyond counts by its logarithm


@dataclass(frozen=True)
class Standardisation:
    """Mean and scale of every entry at each recorded epoch, interpolated over ln(1 + epoch) between them.

    Spectra hardly differ from their first before training and much after: with one scale for all epochs, what
    tells networks apart at epoch 1 drowns in what epoch 3 adds to all of them.
    """

    epochs: np.ndarray  # (E,)
    mean: np.ndarray  # (E, …)
    scale: np.ndarray  # (E, …)

    @classmethod
    def fit(cls, values: np.ndarray, epochs: np.ndarray) -> Self:
        """Fit on values (rows, …), NaN where there is none, at `epochs` (rows,)."""
        found, counts = np.unique(epochs, return_counts=True)
        knots = found[counts >= _FEWEST_ROWS]
        chosen = [epochs == knot for knot in knots] or [np.ones(len(epochs), bool)]
        mean = np.stack([_mean(values[rows]) for rows in chosen])
        spread = [np.sqrt(_mean((values[rows] - m) ** 2)) for rows, m in zip(chosen, mean, strict=True)]
        knots = knots if len(knots) else found[:1]
        return cls(knots.astype(float), mean, np.maximum(np.stack(spread), _SMALLEST_SCALE))

    def at(self, epochs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and scale (rows, …) at `epochs`; beyond the first and last recorded epoch theirs."""
        place = np.interp(np.log1p(epochs), np.log1p(self.epochs), np.arange(len(self.epochs), dtype=float))
        lower = np.floor(place).astype(int)
        upper = np.minimum(lower + 1, len(self.epochs) - 1)
        share = (place - lower).reshape(-1, *[1] * (self.mean.ndim - 1))
        mean, scale = ((1 - share) * part[lower] + share * part[upper] for part in (self.mean, self.scale))
        return mean, scale

    def apply(self, values: np.ndarray, epochs: np.ndarray) -> np.ndarray:
        """Standardise, with outliers drawn in: c·asinh(z/c), which is z near 0 and grows as a logarithm."""
        mean, scale = self.at(epochs)
        standardised: np.ndarray = _LINEAR_UP_TO * np.arcsinh((values - mean) / scale / _LINEAR_UP_TO)
        return standardised

    def invert(self, standardised: np.ndarray, epochs: np.ndarray) -> np.ndarray:
        """Undo `apply`."""
        mean, scale = self.at(epochs)
        values: np.ndarray = _LINEAR_UP_TO * np.sinh(standardised / _LINEAR_UP_TO) * scale + mean
        return values

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {name: getattr(self, name).tolist() for name in ("epochs", "mean", "scale")}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Rebuild from plain data."""
        return cls(*(np.asarray(content[name], dtype=float) for name in ("epochs", "mean", "scale")))


@dataclass(frozen=True)
class SpectraTransform:
    """Spectra of any size → standardised channels of one length, with a mask, and standardised summaries.

    A spectrum is a function of the normalised index; it is interpolated at `length` places of it and standardised
    per channel, position and epoch. Channels: see `channels`.
    """

    channels: tuple[str, ...]
    length: int
    standardisation: Standardisation  # of (channels, length)
    summary: Standardisation  # of the summaries
    final_epoch: int

    @classmethod
    def fit(cls, rows: pd.DataFrame, channels: Sequence[str], length: int, final_epoch: int) -> Self:
        """Fit the standardisation on rows of `spectrum_rows`.

        Raises:
            EmbeddingError: where the rows hold none of a channel that is a record column of its own.
        """
        require_channels(rows, channels)
        return cls.fit_measured(Measured.of(rows, channels, length), channels, final_epoch)

    @classmethod
    def fit_measured(cls, measured: Measured, channels: Sequence[str], final_epoch: int) -> Self:
        """Fit the standardisation on measured rows."""
        return cls(
            tuple(channels),
            measured.channels.shape[2],
            Standardisation.fit(measured.channels, measured.epochs),
            Standardisation.fit(measured.summaries, measured.epochs),
            final_epoch,
        )

    def apply(self, rows: pd.DataFrame) -> np.ndarray:
        """Return (rows, channels, length), float32; what a record lacks is zero, the training mean."""
        return self.standardise(self.measure(rows))

    def measure(self, rows: pd.DataFrame) -> Measured:
        """Return rows of `spectrum_rows` as this transform takes them."""
        return Measured.of(rows, self.channels, self.length)

    def standardise(self, measured: Measured) -> np.ndarray:
        """Return (rows, channels, length), float32; zero where masked."""
        values = self.standardisation.apply(measured.channels, measured.epochs)
        return np.nan_to_num(values, nan=0.0).astype(np.float32)

    def summarise(self, measured: Measured) -> np.ndarray:
        """Return standardised summaries (rows, 6), float32; zero where there is none."""
        values = self.summary.apply(measured.summaries, measured.epochs)
        return np.nan_to_num(values, nan=0.0).astype(np.float32)

    def invert(self, standardised: np.ndarray, epochs: np.ndarray) -> np.ndarray:
        """Return standardised channels (rows, channels, length) at `epochs` (rows,) to nats per step."""
        return self.standardisation.invert(standardised, epochs)

    def epoch_scale(self, epochs: np.ndarray) -> np.ndarray:
        """Map epochs to [0, 1]: ln(1 + epoch) relative to the last epoch, since early epochs change most."""
        return (np.log1p(epochs) / np.log1p(self.final_epoch)).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "channels": list(self.channels),
            "length": self.length,
            "standardisation": self.standardisation.to_json(),
            "linear_up_to": _LINEAR_UP_TO,
            "summary": self.summary.to_json(),
            "final_epoch": self.final_epoch,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Rebuild from plain data."""
        return cls(
            tuple(content["channels"]),
            int(content["length"]),
            Standardisation.from_json(content["standardisation"]),
            Standardisation.from_json(content["summary"]),
            final_epoch=int(content["final_epoch"]),
        )


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over rows of what is recorded; 0 where nothing is."""
    recorded = np.isfinite(values)
    mean: np.ndarray = np.where(recorded, values, 0).sum(axis=0) / np.maximum(recorded.sum(axis=0), 1)
    return mean


@dataclass(frozen=True)
class TargetTransform:
    """Targets in metric units ↔ scores: standardised ranks among the training networks, higher is better.

    Ranks make the squared error of the head speak of order, which Spearman's ρ measures, and make it
    indifferent to the metric's unit and skew. Ties share their mean rank.
    """

    values: np.ndarray  # distinct training targets, worst first
    scores: np.ndarray  # their standardised mean ranks
    metric: Metric

    @classmethod
    def fit(cls, targets: np.ndarray, diverged: np.ndarray, metric: Metric) -> Self:
        """Fit on training networks; diverged ones count as the worst finished network *of the training set*."""
        filled = np.where(diverged, metric.worst(targets[~diverged]), targets)
        values, counts = np.unique(metric.oriented(filled), return_counts=True)
        ranks = np.cumsum(counts) - (counts + 1) / 2
        mean = np.average(ranks, weights=counts)
        deviation = np.sqrt(np.average((ranks - mean) ** 2, weights=counts))
        return cls(metric.oriented(values), (ranks - mean) / max(deviation, 1e-12), metric)

    def apply(self, targets: np.ndarray) -> np.ndarray:
        """Return scores; targets beyond the training range take the score of its end."""
        return np.interp(self.metric.oriented(targets), self.metric.oriented(self.values), self.scores)

    def invert(self, scores: np.ndarray) -> np.ndarray:
        """Return targets in metric units."""
        return np.interp(scores, self.scores, self.values)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "values": self.values.tolist(),
            "scores": self.scores.tolist(),
            "metric_name": self.metric.name,
            "higher_is_better": self.metric.higher_is_better,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Rebuild from plain data."""
        metric = Metric(str(content["metric_name"]), bool(content["higher_is_better"]))
        return cls(np.asarray(content["values"], float), np.asarray(content["scores"], float), metric)


@dataclass(frozen=True)
class ContextTransform:
    """What is known of a network beside its spectrum: architecture (one-hot), log₂ size, number of layers."""

    architectures: tuple[str, ...]
    mean: np.ndarray  # of (log2 hidden_size, num_layers)
    scale: np.ndarray

    @classmethod
    def fit(cls, networks: pd.DataFrame) -> Self:
        """Fit on training networks."""
        numbers = _sizes(networks)
        scale = numbers.std(axis=0)
        return cls(
            tuple(sorted(networks["architecture"].unique())),
            numbers.mean(axis=0),
            np.where(scale > 0, scale, 1.0),
        )

    @property
    def width(self) -> int:
        """Number of context inputs."""
        return len(self.architectures) + len(self.mean)

    def apply(self, networks: pd.DataFrame) -> np.ndarray:
        """Return (networks, width), float32; an architecture unseen in training is all zeros."""
        architecture = networks["architecture"].to_numpy()[:, None] == np.array(self.architectures)[None]
        numbers = (_sizes(networks) - self.mean) / self.scale
        return np.concatenate([architecture, numbers], axis=1).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "architectures": list(self.architectures),
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Rebuild from plain data."""
        return cls(
            tuple(content["architectures"]),
            np.asarray(content["mean"], float),
            np.asarray(content["scale"], float),
        )


def _sizes(networks: pd.DataFrame) -> np.ndarray:
    return np.stack(
        [np.log2(networks["hidden_size"].to_numpy(float)), networks["num_layers"].to_numpy(float)], axis=1
    )
