"""Fitted transforms: spectra → fixed-length standardised channels, targets → scores, context → numbers.

Each is fitted on training rows alone, and goes to and from plain JSON so that a checkpoint carries it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from aelle.embedding.dataset import Metric

_FLOOR_QUANTILE = 0.002  # exponents below this quantile of the finite training exponents are floored
_SMALLEST_SCALE = 1e-3  # a position that hardly varies in training must not be blown up


@dataclass(frozen=True)
class SpectraTransform:
    """Spectra of any size → standardised channels of one length.

    A spectrum of n exponents is a function of the normalised index (i + ½)/n; it is floored (which also takes
    in exponents of -inf), interpolated at (j + ½)/length, and standardised per channel and position.

    Channels: `spectrum`; `change` since the network's first recorded spectrum; `temporal_std`, the temporal
    standard deviation of the local exponents; `standard_error`.
    """

    channels: tuple[str, ...]
    floor: float
    mean: np.ndarray  # (channels, length)
    scale: np.ndarray  # (channels, length)
    final_epoch: int

    @property
    def length(self) -> int:
        """Number of exponents after resampling."""
        return int(self.mean.shape[1])

    @classmethod
    def fit(cls, rows: pd.DataFrame, channels: Sequence[str], length: int, final_epoch: int) -> Self:
        """Fit the floor and the standardisation on rows of `spectrum_rows`."""
        values = np.concatenate(rows["spectrum"].to_list())
        finite = values[np.isfinite(values)]
        floor = float(np.quantile(finite, _FLOOR_QUANTILE)) if len(finite) else 0.0
        resampled = resample_channels(rows, channels, length, floor)
        mean = np.nan_to_num(_nanmean(resampled))
        scale = np.sqrt(np.nan_to_num(_nanmean((resampled - mean) ** 2)))
        return cls(tuple(channels), floor, mean, np.maximum(scale, _SMALLEST_SCALE), final_epoch)

    def apply(self, rows: pd.DataFrame) -> np.ndarray:
        """Return (rows, channels, length), float32; what a record lacks is zero, the training mean."""
        resampled = resample_channels(rows, self.channels, self.length, self.floor)
        standardised = (resampled - self.mean) / self.scale
        return np.nan_to_num(standardised, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float32)

    def invert(self, standardised: np.ndarray) -> np.ndarray:
        """Return standardised channels (…, channels, length) to nats per step."""
        return standardised * self.scale + self.mean

    def epoch_scale(self, epochs: np.ndarray) -> np.ndarray:
        """Map epochs to [0, 1]: ln(1 + epoch) relative to the last epoch, since early epochs change most."""
        return (np.log1p(epochs) / np.log1p(self.final_epoch)).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "channels": list(self.channels),
            "floor": self.floor,
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "final_epoch": self.final_epoch,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Rebuild from plain data."""
        arrays = {name: np.asarray(content[name], dtype=float) for name in ("mean", "scale")}
        return cls(
            tuple(content["channels"]),
            float(content["floor"]),
            **arrays,
            final_epoch=int(content["final_epoch"]),
        )


def resample_channels(rows: pd.DataFrame, channels: Sequence[str], length: int, floor: float) -> np.ndarray:
    """Resample each channel over the normalised index: (rows, channels, length), NaN where not recorded."""
    spectrum = resample([np.maximum(s, floor) for s in rows["spectrum"]], length)
    parts = []
    for channel in channels:
        if channel == "spectrum":
            parts.append(spectrum)
        elif channel == "change":
            parts.append(spectrum - spectrum[_first_of_network(rows)])
        else:
            column = "spectrum_std" if channel == "temporal_std" else "spectrum_se"
            parts.append(_resample_optional(rows, column, length))
    return np.stack(parts, axis=1)


def resample(spectra: Sequence[np.ndarray], length: int) -> np.ndarray:
    """Interpolate sequences of any lengths linearly at (j + ½)/length of the normalised index: (rows, length)."""
    positions = (np.arange(length) + 0.5) / length
    result = np.empty((len(spectra), length))
    for n in {len(s) for s in spectra}:
        members = [i for i, s in enumerate(spectra) if len(s) == n]
        place = np.clip(positions * n - 0.5, 0, n - 1)
        lower = np.floor(place).astype(int)
        upper = np.minimum(lower + 1, n - 1)
        values = np.stack([np.asarray(spectra[i], dtype=float) for i in members])
        with np.errstate(invalid="ignore"):  # inf - inf is NaN, which means "not recorded" below
            result[members] = values[:, lower] + (place - lower) * (values[:, upper] - values[:, lower])
    return result


def _resample_optional(rows: pd.DataFrame, column: str, length: int) -> np.ndarray:
    """Resample a column that some records lack; the temporal spread is taken in logarithms."""
    filled = [
        np.full(1, np.nan) if values is None or np.ndim(values) == 0 or len(values) == 0 else values
        for values in rows[column]
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = [np.log(np.maximum(np.asarray(v, dtype=float), 1e-6)) for v in filled]
    resampled = resample(logs, length)
    return np.where(np.isfinite(resampled), resampled, np.nan)


def _first_of_network(rows: pd.DataFrame) -> np.ndarray:
    """Position of the earliest row of each row's network."""
    positions = pd.Series(np.arange(len(rows)), index=rows.index)
    ordered = positions.loc[rows.sort_values("epoch", kind="stable").index]
    return (
        ordered.groupby(rows["network_id"].loc[ordered.index]).transform("first").loc[rows.index].to_numpy()
    )


def _nanmean(values: np.ndarray) -> np.ndarray:
    recorded = np.isfinite(values)
    return np.where(recorded, values, 0).sum(axis=0) / np.maximum(recorded.sum(axis=0), 1)


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
