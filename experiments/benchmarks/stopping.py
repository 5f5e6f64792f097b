"""Regret against compute: stopping bad runs by their spectra, next to the usual ways, on recorded sweeps.

    python experiments/benchmarks/stopping.py artifacts/goals/*-varied --csv experiments/results/stopping.csv \
        --json experiments/results/stopping.json --figure experiments/results/stopping.png
    python experiments/benchmarks/stopping.py artifacts/goals/*-varied --csv experiments/results/stopping.csv \
        --looks artifacts/looks    # economy looks in place of spectra, as experiments/goals/look_power.py left them

Each sweep's networks are halved at random; predictors are fitted on one half and every strategy searches the
other, in many random orders. Regret is the best final metric in the searched half minus the best one found;
before a network has ended, it is counted from the worst. Compute is recorded wall-clock, a network's median an
epoch: training, validation and, for strategies that use them, spectra. What a predictor's training half cost is not charged, to none of the
strategies that use one.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import stopping_strategies as strategies
from stopping_looks import with_looks
from stopping_strategies import Forecast, Pool, Strategy

from aelle.config import Autoencoder, Prediction
from aelle.embedding.dataset import SpectraDataset, load_dataset
from aelle.hyperparameters import NAMES
from aelle.prediction.ladder import method_named
from aelle.prediction.predictor import Predictor
from aelle.prediction.table import Table
from aelle.records import ExperimentFolder, read_records

COMMAND = "python experiments/benchmarks/stopping.py artifacts/goals/*-varied"
BUDGETS = (2, 4, 8, 16, 32)  # of compute, in full trainings of the pool's mean network
FLOOR = 1e-3  # of a sweep's largest regret: the bottom of its panel
SPECTRA = (0, 1, 3)  # epochs at which strategies may take spectra
# What is hidden from the predictor that knows no hyperparameters but architecture and size.
HIDDEN = tuple(name for name in NAMES if name not in ("architecture", "hidden_size", "num_layers"))
ORDERS, HALVINGS = 30, 3
REFERENCE = "ASHA (Optuna)"
GATE = strategies.gate_then_asha
STRATEGIES: dict[str, Strategy] = {
    "random search": strategies.random_search,
    "median pruner (Optuna)": strategies.with_optuna(strategies.median_pruner),
    REFERENCE: strategies.with_optuna(strategies.asha_pruner),
    "successive halving": strategies.successive_halving,
    "screening, epoch 1": strategies.screening(1),
    "hyperparameters: screening, epoch 0": strategies.screening_on("hyperparameters", 0),
    "hyperparameters: gate, then ASHA": strategies.with_optuna(GATE, "hyperparameters", [0]),
    "curve + hyperparameters: screening, epoch 1": strategies.screening_on("curve + hyperparameters", 1),
}


def that_read(what: str) -> dict[str, Strategy]:
    """Strategies by predictions from spectra, or from looks."""
    screening, optuna = strategies.screening_on, strategies.with_optuna
    return {
        f"{what}: pruner, 0.9 quantile": optuna(strategies.spectrum_pruner(0.9, False), what, SPECTRA),
        f"{what}: pruner, best so far": optuna(strategies.spectrum_pruner(None, True), what, SPECTRA),
        f"{what}: screening, epoch 0": screening(what, 0),
        f"{what}: screening, epoch 1": screening(what, 1),
        f"{what}: successive halving": strategies.successive_halving_on(what, SPECTRA),
        f"{what}: gate, then ASHA": optuna(GATE, what, [0]),
        f"{what} + hyperparameters: gate, then ASHA": optuna(GATE, f"{what} + hyperparameters", [0]),
    }


KNOWN = "hyperparameters: gate, then ASHA"
STRATEGIES |= that_read("spectrum")
OF_LOOKS = {name: STRATEGIES[name] for name in (REFERENCE, KNOWN)} | that_read("look")
OF_LOOKS |= {
    f"{what}: gate after epoch 1, then ASHA": strategies.with_optuna(GATE, what, [1])
    for what in ("look", "look + hyperparameters")
}
LINES = {  # what the figure shows: colour and dash
    "random search": ("#888888", "dot"),
    "median pruner (Optuna)": ("#b39ddb", "dash"),
    REFERENCE: ("#5e35b1", "solid"),
    "screening, epoch 1": ("#8d6e63", "dash"),
    "hyperparameters: gate, then ASHA": ("#ef6c00", "dash"),
    "spectrum: pruner, 0.9 quantile": ("#80cbc4", "solid"),
    "spectrum: screening, epoch 0": ("#26a69a", "dash"),
    "spectrum: gate, then ASHA": ("#004d40", "solid"),
}


def benchmark(root: Path, orders: int, halvings: int, jobs: int, looks: Path | None = None) -> list[dict]:
    """All strategies on one sweep: one row a strategy and budget. With `looks`, those that read looks alone."""
    dataset = load_dataset(ExperimentFolder(root))
    if looks is None:
        what, names, dataset = "spectrum", list(STRATEGIES), _as_it_is_now(dataset, readout_share(root))
    else:
        what, names, dataset = "look", list(OF_LOOKS), with_looks(dataset, looks / root.name)
    fitted = [pool for seed in range(halvings) for pool in pools(dataset, seed, what)]
    free = [replace(pool, spectrum_seconds=0 * pool.spectrum_seconds) for pool in fitted]
    charged = regrets(fitted, names, orders, jobs)
    uncharged = charged | regrets(free, [name for name in names if what in name], orders, jobs)
    found = rows(root, dataset, fitted, charged, uncharged)
    return [row for row in found if what == "spectrum" or row["strategy"] not in STRATEGIES]


def readout_share(root: Path) -> float:
    """Seconds of readout growth to those of a spectrum, from the set beside it in which no more was recorded."""
    beside = ExperimentFolder(root.parent / root.name.replace("-varied", "-fixed"))
    records = read_records(beside, columns=["spectrum_seconds", "also_seconds"]).dropna()
    return float((records["also_seconds"] / records["spectrum_seconds"]).median())


def _as_it_is_now(dataset: SpectraDataset, share: float) -> SpectraDataset:
    """With present defaults, and readout growth charged; these sets recorded other spectra besides, unread here."""
    present = {"autoencoder": Autoencoder(), "prediction": Prediction()}
    records = dataset.records.assign(spectrum_seconds=dataset.records["spectrum_seconds"] * (1 + share))
    experiment = dataset.experiment.model_copy(update=present)
    return replace(dataset, experiment=experiment, records=records)


def regrets(searched: list[Pool], names: list[str], orders: int, jobs: int) -> dict[str, np.ndarray]:
    """Regret of each strategy, (pools, orders, budgets)."""
    tasks = [joblib.delayed(replay)(pool, name, orders) for name in names for pool in searched]
    found = np.stack(joblib.Parallel(n_jobs=jobs)(tasks))
    shape = (len(names), len(searched), orders, len(BUDGETS))
    return dict(zip(names, found.reshape(shape), strict=True))


def pools(dataset: SpectraDataset, seed: int, what: str = "spectrum") -> Iterator[Pool]:
    """Halve the networks; each half is once the pool, with predictors fitted on the other."""
    chosen = np.random.default_rng(seed).permutation(len(dataset.networks)) % 2 == 0
    for training in (chosen, ~chosen):
        predictor = Predictor.fit(subset(dataset, training))
        forecasts = {
            "hyperparameters": ladder_forecast(dataset, training, "hyperparameters only", [0]),
            "curve + hyperparameters": ladder_forecast(dataset, training, "curve + hyperparameters", [1]),
            what: spectrum_forecast(dataset, predictor, hidden=HIDDEN),
            f"{what} + hyperparameters": spectrum_forecast(dataset, predictor, hidden=()),
        }
        told = ("task", "metric_name", "higher_is_better", "spectrum_state", "level")
        bars = Bars(*(getattr(predictor, name) for name in told), dataset.targets[training])
        yield only(pool_of(dataset, forecasts, bars), ~training)


@dataclass(frozen=True)
class Bars:
    """What the pruner asks of a predictor that has already predicted."""

    task: str
    metric_name: str
    higher_is_better: bool
    spectrum_state: str
    level: float
    finals: np.ndarray

    def quantile(self, share: float) -> float:
        """The metric that this share of the training networks does not surpass, the worst ones first."""
        return float(np.quantile(self.finals, share if self.higher_is_better else 1 - share))


def subset(dataset: SpectraDataset, chosen: np.ndarray) -> SpectraDataset:
    """Some networks of a dataset, with nothing of the others left in it."""
    networks = dataset.networks[chosen]
    spectra = dataset.spectra[chosen[dataset.spectra["network"]]].reset_index(drop=True)
    records = dataset.records[dataset.records["network_id"].isin(networks.index)].reset_index(drop=True)
    spectra["network"] = networks.index.get_indexer(pd.Index(spectra["network_id"]))
    return replace(dataset, networks=networks, spectra=spectra, records=records)


def spectrum_forecast(dataset: SpectraDataset, predictor: Predictor, hidden: tuple[str, ...]) -> Forecast:
    """The saved predictor's predictions for all networks; hidden columns are not shown to it."""
    shown = dataset.records.drop(columns=list(hidden))
    parts: dict[str, dict[int, np.ndarray]] = {"predicted": {}, "lower": {}, "upper": {}}
    for epoch in (e for e in predictor.epochs if e in SPECTRA):
        found = predictor.predict(shown, epoch, explain=False).set_index("network_id")
        for name, columns in parts.items():
            columns[epoch] = found[name].reindex(dataset.networks.index).to_numpy(float)
    return Forecast(**parts)


def pool_of(dataset: SpectraDataset, forecasts: dict[str, Forecast], bars: Bars) -> Pool:
    """All networks of a sweep."""
    epochs, ids = range(dataset.final_epoch + 1), dataset.networks.index
    tables = {
        name: dataset.records.pivot(index="network_id", columns="epoch", values=name)
        .reindex(index=ids, columns=epochs)
        .to_numpy(float, copy=True)
        for name in ("val_metric", "train_seconds", "spectrum_seconds")
    }
    train, spectrum = tables["train_seconds"], tables["spectrum_seconds"]
    # The epochs of a network, and its spectra, are equal work: medians keep what else the machine did out.
    train[:, 1:] = np.where(np.isnan(train[:, 1:]), 0, np.nanmedian(train[:, 1:], axis=1, keepdims=True))
    spectrum = np.where(np.isnan(spectrum), 0, np.nanmedian(spectrum, axis=1, keepdims=True))
    higher = dataset.metric.higher_is_better
    return Pool(tables["val_metric"], dataset.targets, train, spectrum, higher, forecasts, bars)


def only(pool: Pool, chosen: np.ndarray) -> Pool:
    """The networks of a mask."""

    def part(values: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
        return {epoch: column[chosen] for epoch, column in values.items()}

    forecasts = {
        name: Forecast(part(f.predicted), part(f.lower), part(f.upper), f.needs_spectra)
        for name, f in pool.forecasts.items()
    }
    arrays = {
        name: getattr(pool, name)[chosen] for name in ("metric", "final", "train_seconds", "spectrum_seconds")
    }
    return replace(pool, forecasts=forecasts, **arrays)


def ladder_forecast(dataset: SpectraDataset, training: np.ndarray, name: str, epochs: list[int]) -> Forecast:
    """A method of the ladder without spectra, fitted on the training networks."""
    table = Table.of_dataset(dataset, epochs)
    fitted = method_named(dataset.experiment, name).fit(table, training)
    everyone = np.ones(len(table), dtype=bool)
    predicted = {
        epoch: fitted.predict(table.up_to(epoch), everyone)["predicted"].to_numpy(float) for epoch in epochs
    }
    return Forecast(predicted, needs_spectra=False)


def replay(pool: Pool, name: str, orders: int) -> np.ndarray:
    """Regret of a strategy at each budget, (orders, budgets)."""
    limits = np.array(BUDGETS) * full_training(pool)
    best = pool.oriented(pool.final).max()
    found = np.empty((orders, len(BUDGETS)))
    for seed in range(orders):
        order = np.random.default_rng(seed).permutation(len(pool.final)).tolist()
        found[seed] = search(pool, (STRATEGIES | OF_LOOKS)[name](pool, order), limits)
    return best - found


def full_training(pool: Pool) -> float:
    """Seconds that training to the end takes, mean over the pool's networks."""
    return float(pool.train_seconds.sum(axis=1).mean())


def search(pool: Pool, steps: Iterator[strategies.Step], limits: np.ndarray) -> np.ndarray:
    """Best final metric found within each limit of seconds, higher is better."""
    finals = pool.oriented(pool.final)
    best, spent, found = finals.min(), 0.0, np.full(len(limits), np.nan)
    for seconds, network in steps:
        spent += seconds
        found[np.isnan(found) & (limits < spent)] = best
        if spent > limits[-1]:
            break
        if network is not None:
            best = max(best, finals[network])
    return np.where(np.isnan(found), best, found)


def rows(
    root: Path,
    dataset: SpectraDataset,
    searched: list[Pool],
    charged: dict[str, np.ndarray],
    uncharged: dict[str, np.ndarray],
) -> Iterator[dict]:
    """Mean regrets, and their differences from ASHA in the same pool and order, with 95 % intervals."""
    seconds = np.mean([full_training(pool) for pool in searched])
    spectrum = np.mean([p.spectrum_seconds[:, 0].sum() / p.train_seconds[:, 1].sum() for p in searched])
    about = {
        "sweep": root.name,
        "metric": dataset.metric.name,
        "networks": len(dataset.networks),
        "pools": len(searched),
        "orders": next(iter(charged.values())).shape[1],
        "epochs": dataset.final_epoch,
        "seconds_of_full_training": float(seconds),
        "epochs_a_spectrum_costs": float(spectrum),
    }
    for name, regret in charged.items():
        for i, budget in enumerate(BUDGETS):
            difference = regret[..., i] - charged[REFERENCE][..., i]
            yield about | {
                "strategy": name,
                "budget": budget,
                **with_interval("regret", regret[..., i]),
                **with_interval("minus_asha", difference),
                **with_interval("minus_hyperparameters", regret[..., i] - charged[KNOWN][..., i]),
                "regret_if_spectra_were_free": float(uncharged[name][..., i].mean()),
            }


def with_interval(name: str, values: np.ndarray) -> dict[str, float]:
    """Mean of (pools, orders) and its interval."""
    low, high = interval(values)
    return {name: float(values.mean()), f"{name}_low": low, f"{name}_high": high}


def interval(values: np.ndarray, draws: int = 2000) -> tuple[float, float]:
    """Bootstrap over pools, and over orders within them: 95 % interval of the mean of (pools, orders)."""
    random = np.random.default_rng(0)
    pool = random.integers(len(values), size=(draws, len(values), 1))
    order = random.integers(values.shape[1], size=(draws, len(values), values.shape[1]))
    low, high = np.quantile(values[pool, order].mean(axis=(1, 2)), [0.025, 0.975])
    return float(low), float(high)


def summary(table: pd.DataFrame) -> dict:
    """What each sweep was like, and the regret of every strategy at each budget."""
    about = [
        "metric",
        "networks",
        "epochs",
        "pools",
        "orders",
        "seconds_of_full_training",
        "epochs_a_spectrum_costs",
    ]
    sweeps = {}
    for sweep, own in table.groupby("sweep"):
        regret = own.pivot(index="strategy", columns="budget", values="regret").round(5)
        by_strategy = {name: row.tolist() for name, row in regret.iterrows()}
        sweeps[sweep] = json.loads(own[about].iloc[0].to_json()) | {"regret": by_strategy}
    return {"command": COMMAND, "budgets_in_full_trainings": BUDGETS, "sweeps": sweeps}


def figure(table: pd.DataFrame):
    """Regret against compute, one panel a sweep; regrets below the floor are drawn on it."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    sweeps = list(dict.fromkeys(table["sweep"]))
    metrics = table.groupby("sweep")["metric"].first()
    titles = [f"{sweep}: {metrics[sweep].replace('_', ' ')}" for sweep in sweeps]
    drawn = make_subplots(
        rows=-(-len(sweeps) // 3),
        cols=3,
        subplot_titles=titles,
        horizontal_spacing=0.07,
        vertical_spacing=0.15,
    )
    for i, sweep in enumerate(sweeps):
        own = table[table["sweep"] == sweep]
        floor = FLOOR * own["regret"].max()
        for name, (colour, dash) in LINES.items():
            rows = own[own["strategy"] == name]
            high, low, mean = (
                rows[column].clip(lower=floor) for column in ("regret_high", "regret_low", "regret")
            )
            error = {"type": "data", "symmetric": False, "thickness": 0.8, "width": 2}
            line = go.Scatter(
                x=rows["budget"], y=mean, name=name, legendgroup=name, showlegend=i == 0,
                mode="lines+markers", line={"color": colour, "dash": dash},
                error_y=error | {"array": high - mean, "arrayminus": mean - low},
            )  # fmt: skip
            drawn.add_trace(line, row=1 + i // 3, col=1 + i % 3)
    drawn.update_xaxes(title="compute, full trainings", type="log", tickvals=BUDGETS)
    drawn.update_yaxes(type="log", dtick=1, exponentformat="power")
    drawn.update_yaxes(title="regret", col=1)
    drawn.update_layout(
        template="plotly_white", width=1250, height=780, legend={"x": 0.72, "y": 0.42, "yanchor": "top"},
        margin={"l": 70, "r": 20, "t": 50, "b": 50},
    )  # fmt: skip
    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", help="folders of collected experiments")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path, help=".png or .html")
    parser.add_argument(
        "--looks", type=Path, help="what look_power.py left: economy looks, with their prices"
    )
    parser.add_argument("--orders", type=int, default=ORDERS)
    parser.add_argument("--halvings", type=int, default=HALVINGS)
    parser.add_argument("--jobs", type=int, default=2)
    chosen = parser.parse_args()
    table = pd.DataFrame()
    if chosen.csv is not None and chosen.csv.exists():  # rows of other sweeps stay
        table = pd.read_csv(chosen.csv)
        again = OF_LOOKS.keys() - STRATEGIES if chosen.looks else STRATEGIES.keys()
        own = table["sweep"].isin([root.name for root in chosen.folders])
        table = table[~(own & table["strategy"].isin(again))]
    for root in chosen.folders:
        started = time.perf_counter()
        found = pd.DataFrame(benchmark(root, chosen.orders, chosen.halvings, chosen.jobs, chosen.looks))
        table = pd.concat([table, found], ignore_index=True)
        print(f"{root.name}: {time.perf_counter() - started:.0f} s", flush=True)
        shown = found.pivot(index="strategy", columns="budget", values="regret")
        print(shown.to_string(float_format=lambda value: f"{value:.4f}"), flush=True)
        table = table.sort_values("sweep", kind="stable", ignore_index=True)
        if chosen.csv is not None:  # after each sweep, so that a run cut short has lost one at most
            table.to_csv(chosen.csv, index=False, float_format="%.5g")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(summary(table), indent=1) + "\n")
    if chosen.figure is not None:
        drawn = figure(table)
        drawn.write_html(chosen.figure) if chosen.figure.suffix == ".html" else drawn.write_image(
            chosen.figure, scale=2
        )


if __name__ == "__main__":
    main()
