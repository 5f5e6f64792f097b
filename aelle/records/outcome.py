"""How each network ended: the one definition of outcome, for autoencoder, prediction and page alike."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

STOPPED = (
    "diverged",
    "failed",
    "pruned",
)  # statuses that end a network; the first that it has is its outcome
OUTCOMES = ("ok", *STOPPED, "unfinished")


@dataclass(frozen=True)
class Metric:
    """The validation metric that is predicted."""

    name: str
    higher_is_better: bool

    def oriented(self, values: np.ndarray) -> np.ndarray:
        """Return the values with their sign set so that higher is better."""
        return values if self.higher_is_better else -values

    def worst(self, values: np.ndarray) -> float:
        """Return the worst of the finite values; zero where there is none."""
        finite = values[np.isfinite(values)]
        if finite.size == 0:
            return 0.0
        return float(finite.min() if self.higher_is_better else finite.max())


def best_of(values: Iterable[float | None], higher_is_better: bool) -> float | None:
    """Return the best of the finite values, or None where there is none."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    return (max if higher_is_better else min)(finite) if finite else None


def outcomes(
    records: pd.DataFrame, metric: Metric, final_epoch: int, target: Literal["final", "best"] = "final"
) -> pd.DataFrame:
    """Say of every network how it ended, and with which metric.

    Args:
        records: rows with network_id, epoch, status and val_metric, each network and epoch once.
        metric: of val_metric.
        final_epoch: the last epoch of training.
        target: "final" takes the metric after the final epoch, "best" the best of all recorded epochs.

    Returns:
        one row per network, indexed by network_id in order:
        outcome: "diverged", "failed" or "pruned" where a record says so (in this order, where several do); "diverged"
            too where the target is not finite after the final epoch; "unfinished" where that epoch is not
            recorded; else "ok".
        target: the metric of a network that is "ok". One that diverged counts as the worst of these, zero where
            there is none; the others have none (NaN).
    """
    ids = pd.Index(np.unique(records["network_id"].to_numpy(dtype=object)), name="network_id")
    rows = records.set_index("network_id")
    at_end = rows.loc[(rows["epoch"] == final_epoch).to_numpy(), "val_metric"].astype(float)
    value = at_end if target == "final" else _best_by_network(rows["val_metric"].astype(float), metric)
    value = value.reindex(ids)
    ended = ids.isin(at_end.index)
    outcome = np.where(ended, np.where(np.isfinite(value), "ok", "diverged"), "unfinished").astype(object)
    for status in reversed(STOPPED):
        outcome[ids.isin(rows.index[(rows["status"] == status).to_numpy()])] = status
    reached = np.where(outcome == "ok", value.to_numpy(float), np.nan)
    reached[outcome == "diverged"] = metric.worst(reached)
    return pd.DataFrame({"outcome": outcome, "target": reached}, index=ids)


def _best_by_network(values: pd.Series, metric: Metric) -> pd.Series:
    groups = values.groupby(level=0)
    return groups.max() if metric.higher_is_better else groups.min()
