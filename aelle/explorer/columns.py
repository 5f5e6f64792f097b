"""What a column of the points means: its words, whether it is a quantity or a kind, and its colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aelle.hyperparameters import LABELS

MAX_KINDS = 8  # as many as the palette tells apart
OTHER, MISSING = "other", "no value"
_HIDDEN = {"network", "network_id", "experiment", "metric_name", "higher_is_better"}
_LABELS = {
    **LABELS,
    "lambda_max": "largest exponent λ₁ (nats per step)",
    "lambda_mean": "mean exponent (nats per step)",
    "positive_exponents": "exponents above zero",
    "train_loss": "training loss at that epoch",
    "val_loss": "validation loss at that epoch",
    "reconstruction_error": "reconstruction error of the spectrum",
    "split": "split of the autoencoder",
    "trusted_count": "trusted exponents",
    "certificate": "residual of the determinant certificate",
    "spectrum_state": "state of the spectrum",
    "spectrum_inputs": "inputs of the spectrum",
    "train_seconds": "training time of the epoch (s)",
    "spectrum_seconds": "time of the spectrum (s)",
    "also_seconds": "time of the further spectra (s)",
    "cause": "why it stopped",
    "cause_at": "step at which it stopped",
    "readout_growth": "growth of the readout (nats per step)",
    "bias": "biases",
    "interval_width": "width of the prediction interval",
    "outcome": "how training ended",
    "status": "status at that epoch",
}
_FIRST = (
    "final_metric",
    "architecture",
    "hidden_size",
    "init_gain",
    "lambda_max",
    "lambda_mean",
    "predicted",
)


@dataclass(frozen=True)
class Column:
    """A column that points can be coloured by. `levels` is empty for a quantity."""

    name: str
    label: str
    levels: tuple[str, ...] = ()
    low: float = 0.0  # ends of the colour bar: most of the values, without lone outliers
    high: float = 1.0
    logarithmic: bool = False
    constant: bool = False

    @property
    def is_kind(self) -> bool:
        """Whether the values are kinds with a legend, not quantities with a bar."""
        return bool(self.levels)


def column_label(name: str, metric: str = "metric") -> str:
    """Say in words what a column holds."""
    own = {
        "final_metric": f"final validation {metric}",
        "best_metric": f"best validation {metric}",
        "val_metric": f"validation {metric} at that epoch",
        "predicted": f"predicted final {metric} (AeLLE)",
    }
    own["predicted_in_context"] = f"{own['predicted']} with architecture and size"
    if name.startswith("latent_"):
        return f"latent {name.removeprefix('latent_')}"
    return own.get(name) or _LABELS.get(name) or name.replace("_", " ")


def describe(points: pd.DataFrame, name: str, metric: str = "metric") -> Column:
    """Describe one column of the points."""
    values, label = points[name], column_label(name, metric)
    distinct = values.dropna().unique()
    if _is_kind(values, len(distinct)):
        return Column(name, label, _levels(values), constant=len(distinct) < 2)
    numbers = values.to_numpy(np.float64)
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return Column(name, label, (MISSING,), constant=True)
    logarithmic = _spans_decades(numbers)
    low, high = _bar_ends(np.log10(numbers) if logarithmic else numbers)
    return Column(name, label, (), low, high, logarithmic, len(distinct) < 2)


def colour_columns(points: pd.DataFrame, metric: str = "metric") -> list[Column]:
    """Every column that points can be coloured by: the telling ones first, constant ones last."""
    columns = [
        describe(points, str(name), metric)
        for name in points.columns
        if name not in _HIDDEN and not _holds_lists(points[name])
    ]
    rank = {name: place for place, name in enumerate(_FIRST)}
    return sorted(columns, key=lambda c: (c.constant, rank.get(c.name, len(rank))))


def kind_codes(values: pd.Series, column: Column) -> NDArray[np.int32]:
    """The position of each value in the column's levels; a rare level counts as `other`, nothing as missing."""
    places = {level: place for place, level in enumerate(column.levels)}
    fallback = places.get(OTHER, -1)
    words = _words(values)
    codes = words.map(places).fillna(fallback).to_numpy(np.int32)
    return np.where(values.isna(), places.get(MISSING, fallback), codes).astype(np.int32)


def quantity(values: pd.Series, column: Column) -> NDArray[np.float32]:
    """The values as they are placed on the colour bar; NaN where there is none."""
    numbers = values.to_numpy(np.float64, na_value=np.nan)
    if column.logarithmic:
        with np.errstate(divide="ignore", invalid="ignore"):
            numbers = np.log10(numbers)
    return np.where(np.isfinite(numbers), numbers, np.nan).astype(np.float32)


def _is_kind(values: pd.Series, distinct: int) -> bool:
    if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
        return True
    whole = pd.api.types.is_integer_dtype(values) and values.name not in ("epoch", "seed", "trusted_count")
    return whole and distinct <= MAX_KINDS


def _spans_decades(numbers: NDArray[np.float64]) -> bool:
    """Whether values need a logarithmic scale: positive, over two decades, and crowded at the low end."""
    low, high = float(numbers.min()), float(numbers.max())
    return low > 0 and high / low > 100 and float(np.median(numbers)) - low < 0.15 * (high - low)


def _levels(values: pd.Series) -> tuple[str, ...]:
    """The kinds in order (of size for numbers, else of the alphabet), the rarest joined as `other`."""
    counts = values.dropna().value_counts()
    kept = counts.index[: MAX_KINDS if len(counts) <= MAX_KINDS else MAX_KINDS - 1]
    levels = [str(level) for level in sorted(kept, key=lambda v: (isinstance(v, str), v))]
    if len(counts) > len(kept):
        levels.append(OTHER)
    if values.isna().any() or not levels:
        levels.append(MISSING)
    return tuple(levels)


def _words(values: pd.Series) -> pd.Series:
    return values.astype("object").map(str, na_action="ignore")


def _bar_ends(numbers: NDArray[np.float64]) -> tuple[float, float]:
    """The range of the values, cut to the inner 98 % where outliers would flatten the rest."""
    low, high = float(numbers.min()), float(numbers.max())
    inner_low, inner_high = (float(q) for q in np.quantile(numbers, [0.01, 0.99]))
    if high - low > 3 * (inner_high - inner_low) > 0:
        low, high = inner_low, inner_high
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _holds_lists(values: pd.Series) -> bool:
    first = values.dropna().iloc[:1]
    return bool(len(first)) and isinstance(first.iloc[0], (list, tuple, dict, np.ndarray))
