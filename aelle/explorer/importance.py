"""Which hyperparameters go with how training ended: permutation importance, an association and no cause."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aelle.explorer.columns import Column, describe, kind_codes, quantity
from aelle.explorer.data import ExplorerData
from aelle.explorer.errors import ExplorerError
from aelle.hyperparameters import NAMES

FEWEST = 40  # networks
_MOST = 2000  # networks that are fitted: more change the intervals, not the picture
_FOLDS, _SHUFFLES, _DRAWS = 5, 8, 1000


@dataclass(frozen=True)
class Importance:
    """By how much squared error rises, as a share of the outcome's variance, when a column is shuffled."""

    column: Column
    value: float
    low: float  # 95 % interval over networks
    high: float


def varying_hyperparameters(data: ExplorerData) -> list[Column]:
    """The hyperparameters in which networks differ; the gain stands for the scale that it is made of."""
    names = [name for name in (*NAMES, "init_gain") if name in data.networks and name != "seed"]
    if "init_gain" in names and data.networks["init_gain"].notna().any():
        names = [name for name in dict.fromkeys(names) if name != "init_scale"]
    found = [describe(data.networks, name, data.metric_name) for name in dict.fromkeys(names)]
    return [column for column in found if not column.constant]


def importances(data: ExplorerData) -> tuple[list[Importance], float]:
    """Importance of every varying hyperparameter for the final metric, largest first, and R² on held-out networks.

    A random forest is fitted on four fifths of the networks and asked about the last, five times; a column is shuffled
    among the networks that it is asked about.

    Raises:
        ExplorerError: for too few networks with an outcome, one outcome, or no hyperparameter that varies.
    """
    columns = varying_hyperparameters(data)
    known = data.networks[np.isfinite(data.networks["final_metric"].to_numpy(float))]
    if len(known) < FEWEST or not columns or known["final_metric"].nunique() < 2:
        raise ExplorerError(
            f"Importance needs {FEWEST} networks with different outcomes and a hyperparameter that varies; "
            f"{len(known)} have an outcome"
        )
    random = np.random.default_rng(0)
    if len(known) > _MOST:
        known = known.iloc[np.sort(random.choice(len(known), _MOST, replace=False))]
    inputs = np.stack([_numbers(known, column) for column in columns], axis=1)
    outcome = known["final_metric"].to_numpy(float)
    rises, errors = _rises(inputs, outcome, random)
    variance = float(outcome.var())
    draws = random.integers(0, len(outcome), (_DRAWS, len(outcome)))
    found = []
    for column, rise in zip(columns, rises / variance, strict=True):
        low, high = np.quantile(rise[draws].mean(axis=1), [0.025, 0.975])
        found.append(Importance(column, float(rise.mean()), float(low), float(high)))
    return sorted(found, key=lambda each: -each.value), 1 - float(errors.mean()) / variance


def _numbers(networks: pd.DataFrame, column: Column) -> NDArray[np.float64]:
    values = networks[column.name]
    codes = kind_codes(values, column) if column.is_kind else quantity(values, column)
    return np.nan_to_num(
        np.asarray(codes, np.float64), nan=-1e6
    )  # a forest parts what is missing from what is not


def _rises(
    inputs: NDArray[np.float64], outcome: NDArray[np.float64], random: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each column and network how much its squared error rises (mean of the shuffles), and the error itself."""
    from sklearn.ensemble import RandomForestRegressor

    count, width = inputs.shape
    rises, errors = np.zeros((width, count)), np.zeros(count)
    fold = random.permutation(count) % _FOLDS
    for held in range(_FOLDS):
        out = np.flatnonzero(fold == held)
        forest = RandomForestRegressor(100, min_samples_leaf=2, random_state=held, n_jobs=1)
        forest.fit(inputs[fold != held], outcome[fold != held])
        errors[out] = (forest.predict(inputs[out]) - outcome[out]) ** 2
        for k in range(width):
            shuffled = np.tile(inputs[out], (_SHUFFLES, 1))
            shuffled[:, k] = np.concatenate([random.permutation(inputs[out, k]) for _ in range(_SHUFFLES)])
            error = (forest.predict(shuffled).reshape(_SHUFFLES, -1) - outcome[out]) ** 2
            rises[k, out] = error.mean(axis=0) - errors[out]
    return rises, errors
