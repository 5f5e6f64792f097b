"""How well each look predicts outcomes, and its price: the second half of look_power.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata, spearmanr
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import KFold

from aelle.embedding.dataset import load_dataset
from aelle.records import ExperimentFolder, resample_rows

EPOCHS = (0, 1, 3)
TREES, FOLDS, SEEDS, RESAMPLED = 200, 5, (0, 1), 1000
_LENGTH, _FLOOR, _BOUND = 24, -15.0, 60.0
REFERENCE = "full spectrum + readout growth"
# name → (price, sequences, steps, parts)
CANDIDATES = {
    "look, 1 sequence": ("look 1 100", 1, 100, "leading mean growth"),
    "look, 2 sequences": ("look 2 100", 2, 100, "leading mean growth"),
    "look, 3 sequences": ("look 3 100", 3, 100, "leading mean growth"),
    "look, 6 sequences": ("look 6 100", 6, 100, "leading mean growth"),
    "look, 1 sequence of 25 steps": ("look 1 25", 1, 25, "leading mean growth"),
    "look, 2 sequences of 25 steps": ("look 2 25", 2, 25, "leading mean growth"),
    "look, 1 sequence, k = 1": ("look 1 100 k=1", 1, 100, "first mean growth"),
    "readout growth alone, 1 sequence": ("growth 1 100", 1, 100, "growth"),
    "readout growth alone, 2 sequences": ("growth 2 100", 2, 100, "growth"),
    "leading and mean exponents, 1 sequence": ("look 1 100", 1, 100, "leading mean"),
}


def judge(root: Path, measured: Path) -> pd.DataFrame:
    """One row a look and epoch: price, Spearman, and its difference to the full look with an interval."""
    dataset = load_dataset(ExperimentFolder(root))
    found = [json.loads(file.read_text()) for file in sorted(measured.glob("*.json"))]
    looks = pd.DataFrame([{"network_id": f["network_id"], **row} for f in found for row in f["rows"]])
    prices = pd.DataFrame({f["network_id"]: f["prices"] for f in found if f["prices"]}).T
    outcome = pd.Series(dataset.metric.oriented(dataset.targets), index=dataset.networks.index)
    rows = []
    for epoch in EPOCHS:
        spectra = dataset.spectra[dataset.spectra["epoch"] == epoch].set_index("network_id")
        at = looks[looks["epoch"] == epoch]
        ids = sorted(set(spectra.index) & set(at["network_id"]))
        spectra, known = spectra.loc[ids], _shape(dataset.networks.loc[ids])
        inputs: dict[str, tuple[str, list[np.ndarray]]] = {
            "architecture and size alone": ("", []),
            "full spectrum": ("full", [_spectra(spectra, "spectrum"), _spectra(spectra, "spectrum_std")]),
        }
        inputs[REFERENCE] = (
            "full + growth",
            [*inputs["full spectrum"][1], _growth(spectra["readout_growth"])],
        )
        for name, (price, sequences, steps, parts) in CANDIDATES.items():
            own = at[(at["sequences"] == sequences) & (at["steps"] == steps)].set_index("network_id")
            if set(ids) <= set(own.index):
                inputs[name] = (price, [_PARTS[part](own.loc[ids]) for part in parts.split()])
        ranks = rankdata(outcome.loc[ids])
        said = {
            name: [_out_of_fold(np.concatenate([known, *parts], axis=1), ranks, seed) for seed in SEEDS]
            for name, (_, parts) in inputs.items()
        }
        for name, difference in _differences(ranks, said).items():
            seconds = prices[inputs[name][0]] if inputs[name][0] else pd.Series(0.0, prices.index)
            rows.append(
                {
                    "task": root.name.removesuffix("-varied"), "epoch": epoch, "look": name, "networks": len(ids),
                    "milliseconds": round(1e3 * seconds.median(), 3),
                    "share": round((seconds / prices["epoch"]).median(), 4), **difference,
                }
            )  # fmt: skip
        print(root.name, "epoch", epoch, "judged", flush=True)
    return pd.DataFrame(rows)


def _differences(ranks: np.ndarray, said: dict[str, list[np.ndarray]]) -> dict[str, dict[str, float]]:
    """Spearman of each look, and what it has more than the full look, with 95 % intervals over networks."""
    random, n = np.random.default_rng(0), len(ranks)
    drawn = [random.integers(0, n, n) for _ in range(RESAMPLED)]

    def scores(predictions: list[np.ndarray]) -> np.ndarray:
        places = [np.arange(n), *drawn]
        return np.array([np.mean([spearmanr(p[i], ranks[i])[0] for p in predictions]) for i in places])

    by_name = {name: scores(predictions) for name, predictions in said.items()}
    found = {}
    for name, own in by_name.items():
        more = own - by_name[REFERENCE]
        low, high = np.quantile(own[1:], [0.025, 0.975])
        least, most = np.quantile(more[1:], [0.025, 0.975])
        values = {
            "spearman": own[0], "low": low, "high": high, "difference": more[0], "least": least, "most": most
        }  # fmt: skip
        found[name] = {key: round(float(value), 4) for key, value in values.items()}
    return found


def _out_of_fold(inputs: np.ndarray, ranks: np.ndarray, seed: int) -> np.ndarray:
    predicted = np.empty(len(ranks))
    for training, held_out in KFold(FOLDS, shuffle=True, random_state=seed).split(inputs):
        forest = ExtraTreesRegressor(TREES, max_features=0.5, min_samples_leaf=2, random_state=seed)
        predicted[held_out] = forest.fit(inputs[training], ranks[training]).predict(inputs[held_out])
    return predicted


def _shape(networks: pd.DataFrame) -> np.ndarray:
    kinds = pd.get_dummies(networks["architecture"]).to_numpy(float)
    return np.concatenate([kinds, np.log(networks[["hidden_size"]].to_numpy(float))], axis=1)


def _spectra(rows: pd.DataFrame, column: str) -> np.ndarray:
    floored = [np.maximum(np.nan_to_num(np.asarray(v, float), nan=_FLOOR), _FLOOR) for v in rows[column]]
    return np.concatenate([resample_rows(values[None], _LENGTH) for values in floored])


def _growth(values: pd.Series) -> np.ndarray:
    return np.stack([np.clip(np.asarray(v, float), -_BOUND, _BOUND) for v in values])


def _leading(rows: pd.DataFrame) -> np.ndarray:
    return np.stack([np.maximum(np.resize(np.asarray(v, float), 8), _FLOOR) for v in rows["leading"]])


_PARTS: dict[str, Callable[[pd.DataFrame], np.ndarray]] = {
    "leading": _leading,
    "first": lambda rows: _leading(rows)[:, :1],
    "mean": lambda rows: np.nan_to_num(rows[["mean"]].to_numpy(float), nan=2 * _FLOOR, neginf=_FLOOR),
    "growth": lambda rows: _growth(rows["growth"]),
}
