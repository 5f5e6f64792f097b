"""Methods that predict the best validation loss, cross-validated by architecture as `aelle evaluate` does by network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from runs import Run
from store import Measured, key_of
from untrained import DRAWS, of_recipe

from aelle.embedding.forest import Forest
from aelle.prediction.baselines import Baseline, extrapolation, last_value, regression
from aelle.prediction.cross_validation import cross_validate
from aelle.prediction.inputs import Beside, Curves, FittedInput
from aelle.prediction.metrics import percentile_interval, spearman
from aelle.prediction.regression import Model
from aelle.prediction.table import Table
from aelle.records import Metric, outcomes

EPOCHS = (0, 1, 3, 5)
FOLDS, RESAMPLES, CONFIDENCE, SEED, LEVEL = 10, 1000, 0.95, 0, 0.9
METRIC = Metric("validation loss", higher_is_better=False)
SPECTRA, DYNAMICS = "spectra", "spectra + growth + memory"
OURS, OURS_WITH_CURVE = DYNAMICS, f"{DYNAMICS} + curve + parameters"
PUBLISHED = "published proxies"


@dataclass(frozen=True)
class Lists:
    """Lists of numbers that are known of the untrained network."""

    kinds: tuple[str, ...]

    def apply(self, table: Table) -> np.ndarray:
        """Return (networks, numbers)."""
        return np.concatenate([np.stack(table.list_at(kind, table.epoch)) for kind in self.kinds], axis=1)


def table_of(runs: Sequence[Run], measured: Mapping[str, Measured]) -> Table:
    """Runs with outcomes: rows at the epochs 0 to 5, each with what is known of the untrained network."""
    last = max(run.epochs for run in runs)
    records = pd.DataFrame([row for run in runs for row in _rows(run, last)])
    ended = outcomes(records, METRIC, last, "best")
    published = sorted({name for run in runs for name in run.proxies})
    lists = {run.name: _lists_of(run, measured, published) for run in runs}
    shown = records[records["epoch"] <= max(EPOCHS)].reset_index(drop=True)
    for kind in next(iter(lists.values())):
        shown[kind] = [lists[name][kind] for name in shown["network_id"]]
    table = Table.of_records(shown, max(EPOCHS), epochs=EPOCHS, final_epoch=last, metric=METRIC)
    ended = ended.reindex(table.networks.index)
    networks = table.networks.assign(target=ended["target"], diverged=ended["outcome"] == "diverged")
    return Table(networks, table.records, table.spectra, table.epoch, table.epochs, last, METRIC)


def _rows(run: Run, last: int) -> list[dict[str, Any]]:
    """A row an epoch; a run that was shorter than the others stays where it ended."""
    rows: list[dict[str, Any]] = [{"epoch": 0, "val_loss": np.nan, "train_loss": np.nan, "status": "ok"}]
    for epoch in range(1, last + 1):
        place = min(epoch, max(len(run.val_losses), 1)) - 1 if not run.diverged else epoch - 1
        val, train = (
            values[place] if place < len(values) else np.nan for values in (run.val_losses, run.train_losses)
        )
        rows.append({"epoch": epoch, "val_loss": val, "train_loss": train, "status": "ok"})
        if run.diverged and (not np.isfinite(val) or epoch >= len(run.val_losses)):
            rows[-1]["status"] = "diverged"
            break
    return [row | {"network_id": run.name, "val_metric": row["val_loss"]} for row in rows]


def _lists_of(run: Run, measured: Mapping[str, Measured], published: Sequence[str]) -> dict[str, list[float]]:
    """Means over seeds of what was measured, the draws of other sizes and drives one after the other."""
    found: dict[str, list[float]] = {}
    for size, drive in dict.fromkeys((draw.size, draw.drive) for draw in DRAWS):
        draws = [measured[key_of(run, d)] for d in DRAWS if (d.size, d.drive) == (size, drive)]
        for kind in draws[0]:
            together = np.array([draw[kind] for draw in draws], dtype=float)
            known = np.isfinite(together)
            mean = np.where(known, together, 0).sum(0) / np.maximum(known.sum(0), 1)
            found.setdefault(kind, []).extend(np.where(known.any(0), mean, np.nan).tolist())
    found["exploded"] = [float(np.isnan(found["spectrum"]).mean())]
    # A table takes spectra without NaN; what explodes stands above all others, and is told by `exploded`.
    found["spectrum"] = [1e3 if value != value else value for value in found["spectrum"]]
    return found | of_recipe(run) | {"published": [run.proxies.get(name, np.nan) for name in published]}


def methods_of(published: bool) -> tuple[Baseline, ...]:
    """Every method, those on the proxies that runs bring with them where they are asked for."""
    known = {"parameters": ("parameters",), "recipe's nodes": ("nodes", "parameters")}
    known["zero-cost proxies"] = ("proxies", "parameters")
    known |= {SPECTRA: ("spectrum", "exploded"), "spectra + growth": ("spectrum", "exploded", "growth")}
    known[DYNAMICS] = ("spectrum", "exploded", "growth", "memory", "states")
    known["spectra + zero-cost proxies"] = ("spectrum", "exploded", "proxies", "parameters")
    known["all that is known of the untrained network"] = (*known[DYNAMICS], "proxies", "nodes", "parameters")
    if published:
        known[PUBLISHED] = ("published", "parameters")
        known[f"spectra + growth + memory + {PUBLISHED}"] = (*known[DYNAMICS], *known[PUBLISHED])
    fitted = partial(regression, fit=trees, level=LEVEL, seed=SEED)
    found = [fitted(n, {"hyperparameters"}, lambda t, k=kinds: Lists(k)) for n, kinds in known.items()]
    found.append(extrapolation("last value", last_value, level=LEVEL, first_epoch=1))
    with_curve = {
        "curve": (),
        "curve + parameters": ("parameters",),
        "curve + recipe's nodes": known["recipe's nodes"],
    }
    with_curve["curve + zero-cost proxies"] = known["zero-cost proxies"]
    with_curve["spectra + curve + parameters"] = (*known[SPECTRA], "parameters")
    with_curve[OURS_WITH_CURVE] = (*known[DYNAMICS], "parameters")
    found += [
        fitted(name, {"curve", "hyperparameters"}, partial(_with_curve, kinds), first_epoch=1)
        for name, kinds in with_curve.items()
    ]
    return tuple(found)


def _with_curve(kinds: tuple[str, ...], table: Table) -> FittedInput:
    curves = Curves.fit(table, ("val_loss", "train_loss"))
    return Beside((curves, Lists(kinds))) if kinds else curves


def trees(inputs: np.ndarray, scores: np.ndarray, seed: int) -> Model:
    """Extra-trees, twice as many as the package's ladder grows: the runs are few."""
    return Forest.extra_trees(inputs, scores, 40, seed)


def folds_of(architectures: Sequence[str], seed: int = SEED) -> np.ndarray:
    """A fold for every run, that of its architecture: no run's twin is in another fold."""
    names, group = np.unique(np.asarray(architectures, dtype=object).astype(str), return_inverse=True)
    order: np.ndarray = np.random.default_rng(seed).permutation(len(names))
    return order[group] % min(FOLDS, len(names))


def predictions(table: Table, folds: np.ndarray, methods: Sequence[Baseline]) -> pd.DataFrame:
    """Predict every run from folds without its architecture."""
    found, _, _ = cross_validate(table, folds, methods, workers=2)
    return found


def predictions_of_others(table: Table, judged: np.ndarray, methods: Sequence[Baseline]) -> pd.DataFrame:
    """Predict the runs of the mask by methods that are fitted on all others."""
    frames = []
    for method in methods:
        fitted = method.fit(table, ~judged)
        for epoch in (e for e in EPOCHS if e >= method.first_epoch):
            known = table.up_to(epoch)
            said = fitted.predict(known, judged & known.predictable).reset_index()
            actual = table.networks["target"].reindex(said["network_id"]).to_numpy(float)
            frames.append(said.assign(method=method.name, epoch=epoch, fold=0, actual=actual))
    return pd.concat(frames, ignore_index=True)


def correlations(found: pd.DataFrame, architectures: Mapping[str, str]) -> list[dict[str, Any]]:
    """Spearman of every method and epoch, and how far it lies above the best baselines, with paired intervals.

    Bootstrap over architectures, so that twins are drawn together; all methods on the same draws.
    """
    rows: list[dict[str, Any]] = []
    for epoch, at in found.groupby("epoch"):
        said = at.pivot(index="network_id", columns="method", values="predicted")
        actual = at.groupby("network_id")["actual"].first().reindex(said.index).to_numpy(float)
        drawn = _draws([architectures[name] for name in said.index])
        again = {m: _resampled(actual, said[m].to_numpy(float), drawn) for m in said}
        value = {m: float(spearman(actual, said[m].to_numpy(float))) for m in said}
        ours = OURS if epoch == 0 else OURS_WITH_CURVE
        for method in said:
            low, high = percentile_interval(again[method], CONFIDENCE)
            less, more = percentile_interval(again[ours] - again[method], CONFIDENCE)
            rows.append(
                {
                    "epoch": int(str(epoch)),
                    "method": method,
                    "networks": len(said),
                    "spearman": value[method],
                    "low": low,
                    "high": high,
                    "ours": ours,
                    "lead": value[ours] - value[method],
                    "lead_low": less,
                    "lead_high": more,
                }
            )
    return rows


def _draws(architectures: Sequence[str]) -> list[np.ndarray]:
    """Positions of the runs of architectures that are drawn with replacement."""
    _, group = np.unique(np.asarray(architectures, dtype=object).astype(str), return_inverse=True)
    members = [np.flatnonzero(group == i) for i in range(group.max() + 1)]
    generator = np.random.default_rng(SEED)
    return [
        np.concatenate([members[i] for i in generator.integers(len(members), size=len(members))])
        for _ in range(RESAMPLES)
    ]


def _resampled(actual: np.ndarray, said: np.ndarray, drawn: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([float(spearman(actual[chosen], said[chosen])) for chosen in drawn])
