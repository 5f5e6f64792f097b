"""What each part of AeLLE is worth on one experiment's records: inputs, channels, losses, ensembles.

    python experiments/ablation.py artifacts/digits                       # every variant, into artifacts/digits/ablation/
    python experiments/ablation.py artifacts/digits --groups inputs loss --seeds 0 1 2 --workers 2

Every variant and seed is written as it is done, and a second call goes on where the first was stopped. Trees that
see the same inputs are grown once for all variants, and cut for cut the folds and members are the same for all.

Each variant is cross-validated by network as `aelle evaluate` does it: an ensemble a fold, whose members stop early
on another part of the training networks each. One row of the table is a variant, an epoch and a method: the network's
head alone, its mean with extra-trees (mixture), and extra-trees alone on the same inputs, grown on all training networks
(trees); each from the spectrum alone and with architecture and size (in context). Numbers are Spearman
correlations, their mean and spread over the seeds, each of which cuts the folds anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import KFold

from aelle.config import Autoencoder as Settings
from aelle.embedding.dataset import SpectraDataset, load_dataset
from aelle.embedding.members import Split, fit_members, fit_transforms, validation_splits
from aelle.embedding.optimise import single_threaded
from aelle.records import ExperimentFolder

THREE = ["spectrum", "change", "temporal_std"]
RECORDED = ["spectrum_hidden", "spectrum_noise", "readout_growth"]


@dataclass(frozen=True)
class Variant:
    """A change of the default settings, with a name and the group it is compared within."""

    group: str
    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    ensemble: int = 3


VARIANTS = [
    Variant("default", "as it is"),
    Variant("inputs", "without summaries", {"summaries": False}),
    Variant("inputs", "without the epoch", {"epoch_conditioned": False}),
    Variant("inputs", "latent of 2", {"latent_size": 2}),
    Variant("channels", "spectrum", {"channels": ["spectrum"]}),
    Variant("channels", "spectrum, change", {"channels": ["spectrum", "change"]}),
    Variant("channels", "spectrum, temporal std", {"channels": ["spectrum", "temporal_std"]}),
    Variant("channels", "and standard error", {"channels": [*THREE, "standard_error"]}),
    *(Variant("channels", f"and {name}", {"channels": [*THREE, name]}) for name in RECORDED),
    *(
        Variant("channels", f"and {name} with its change", {"channels": [*THREE, name, f"change_of_{name}"]})
        for name in RECORDED
    ),
    Variant("loss", "no reconstruction", {"reconstruction_weight": 0.0}),
    Variant("loss", "absolute reconstruction", {"reconstruction_loss": "absolute"}),
    Variant("loss", "constant weight 1", {"prediction_weights": [1.0]}),
    Variant("ensemble", "2 members", ensemble=2),
    Variant("ensemble", "6 members", ensemble=6),
    Variant("ensemble", "10 members", ensemble=10),
    # The published schedule is 4,000 epochs at 0.0001; a tenth of it at ten times the rate.
    Variant("paper", "paper, 400 epochs", {"preset": "paper", "epochs": 400, "learning_rate": 0.001}),
]


def main() -> None:
    """Read the command line, cross-validate, write and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="an experiment's folder with finished records")
    parser.add_argument("--groups", nargs="+", choices=sorted({v.group for v in VARIANTS}), default=None)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--output", type=Path, default=None, help="a folder; default: ablation/ in the experiment's"
    )
    arguments = parser.parse_args()
    dataset = load_dataset(ExperimentFolder(arguments.folder)).require_predictable()
    variants = [v for v in recorded_variants(dataset) if not arguments.groups or v.group in arguments.groups]
    output = arguments.output or arguments.folder / "ablation"
    output.mkdir(parents=True, exist_ok=True)
    table = ablate(dataset, variants, arguments.seeds, arguments.folds, arguments.workers, output)
    table.to_csv(output / "ablation.csv", index=False, float_format="%.4f")
    text = markdown(table)
    (output / "ablation.md").write_text(text)
    print(
        f"{dataset.experiment.name}, {len(dataset.networks)} networks, seeds {arguments.seeds}\n\n{text}\n{output}"
    )


def recorded_variants(dataset: SpectraDataset) -> list[Variant]:
    """Return the variants whose channels these records hold."""
    absent = [name for name in RECORDED if name not in dataset.spectra]
    return [v for v in VARIANTS if not any(name in channel for name in absent for channel in _channels(v))]


def _channels(variant: Variant) -> list[str]:
    return list(variant.changes.get("channels", THREE))


def ablate(
    dataset: SpectraDataset, variants: list[Variant], seeds: list[int], folds: int, workers: int, output: Path
) -> pd.DataFrame:
    """Cross-validate every variant; one row a variant, method, context and epoch. `output` keeps what is done."""
    jobs = [joblib.delayed(_kept_scores)(dataset, v, seed, folds, output) for seed in seeds for v in variants]
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        scored = pd.concat(joblib.Parallel(n_jobs=workers)(jobs), ignore_index=True)
    keys = ["group", "variant", "ensemble", "method", "in_context", "epoch"]
    table = scored.groupby(keys, sort=False).agg(
        spearman=("spearman", "mean"), spread=("spearman", "std"), seconds=("seconds", "mean")
    )
    return table.reset_index()


def _kept_scores(
    dataset: SpectraDataset, variant: Variant, seed: int, folds: int, output: Path
) -> pd.DataFrame:
    """Read what an earlier call has written of this variant and seed, else score it."""
    path = (
        output
        / f"{_digest([variant.group, variant.name, variant.changes, variant.ensemble, seed, folds])}.csv"
    )
    if not path.exists():
        _scores(dataset, variant, seed, folds, output).to_csv(path, index=False)
    return pd.read_csv(path)


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def markdown(table: pd.DataFrame) -> str:
    """Lay the table out by variant, epochs side by side."""
    epochs = sorted(table["epoch"].unique())
    columns = [(m, c) for m in ("network", "mixture", "trees") for c in (False, True)]
    names = [f"{method}{', in context' if context else ''}" for method, context in columns]
    lines = [
        f"Spearman at epochs {' / '.join(map(str, epochs))}",
        "",
        f"| group | variant | {' | '.join(names)} | seconds |",
        "|---" * (len(names) + 3) + "|",
    ]
    for (group, variant), rows in table.groupby(["group", "variant"], sort=False):
        cells = []
        for method, context in columns:
            chosen = rows[(rows["method"] == method) & (rows["in_context"] == context)]
            cells.append(" / ".join(f"{v:.3f}" for v in chosen.sort_values("epoch")["spearman"]))
        lines.append(f"| {group} | {variant} | {' | '.join(cells)} | {rows['seconds'].iloc[0]:.1f} |")
    return "\n".join(lines) + "\n"


def _scores(dataset: SpectraDataset, variant: Variant, seed: int, folds: int, output: Path) -> pd.DataFrame:
    """Spearman correlations of one variant under one cut into folds."""
    started = time.perf_counter()
    with single_threaded():
        grown = _kept_trees(dataset, variant, seed, folds, output)
        started = time.perf_counter()
        predicted = _networks(dataset, variant, seed, folds)
    seconds = time.perf_counter() - started
    for context in (False, True):
        parts = [predicted["network", context], grown["extra", context], grown["boosting", context]]
        predicted["mixture", context] = np.mean(parts, axis=0)
        predicted["trees", context] = grown["trees", context]
    actual = dataset.metric.oriented(dataset.targets)[dataset.spectra["network"].to_numpy()]
    epochs = dataset.spectra["epoch"].to_numpy()
    rows = [
        {
            "group": variant.group,
            "variant": variant.name,
            "ensemble": variant.ensemble,
            "method": method,
            "in_context": in_context,
            "epoch": epoch,
            "spearman": spearmanr(actual[epochs == epoch], scores[epochs == epoch]).statistic,
            "seconds": seconds,
        }
        for (method, in_context), scores in predicted.items()
        for epoch in np.unique(epochs)
    ]
    return pd.DataFrame(rows)


def _folds(
    dataset: SpectraDataset, variant: Variant, seed: int, folds: int
) -> Iterator[tuple[np.ndarray, np.ndarray, list[Split], int]]:
    """Held-out networks, their rows, the members' splits and their seed, fold by fold: the same for all variants."""
    network = dataset.spectra["network"].to_numpy()
    for fold, (_, held) in enumerate(KFold(folds, shuffle=True, random_state=seed).split(dataset.networks)):
        held_out = np.isin(np.arange(len(dataset.networks)), held)
        splits = validation_splits(~held_out, variant.ensemble, 100 * seed + fold)
        yield held_out, held_out[network], splits, 100 * seed + fold


def _networks(
    dataset: SpectraDataset, variant: Variant, seed: int, folds: int
) -> dict[tuple[str, bool], np.ndarray]:
    """Scores of every spectrum by the network's head, from folds that do not contain its network."""
    # The settings as they are by default, whatever the experiment's own: variants are compared with one another.
    settings = Settings.model_validate(variant.changes | {"head": "network"})
    scores = {("network", context): np.full(len(dataset.spectra), np.nan) for context in (False, True)}
    rows_of = dataset.networks.iloc[dataset.spectra["network"].to_numpy()]
    for _, rows, splits, fold_seed in _folds(dataset, variant, seed, folds):
        embedded, _ = fit_members(dataset, splits, settings, fold_seed).embed(dataset.spectra, rows_of)
        for context, head in enumerate((embedded.prediction, embedded.prediction_in_context)):
            scores["network", bool(context)][rows] = head.mean(dim=0).numpy()[rows]
    return scores


def _kept_trees(
    dataset: SpectraDataset, variant: Variant, seed: int, folds: int, output: Path
) -> dict[tuple[str, bool], np.ndarray]:
    """Scores by the members' forests and by trees on all training networks; they depend on the inputs alone."""
    settings = Settings.model_validate(variant.changes | {"head": "forest", "epochs": 1})
    seen = [settings.channels, settings.length, settings.summaries, variant.ensemble, seed, folds]
    path = output / f"trees-{_digest(seen)}.npz"
    if not path.exists():
        grown = _grow(dataset, variant, settings, seed, folds)
        np.savez(path, **{f"{method} {int(context)}": values for (method, context), values in grown.items()})
    with np.load(path) as kept:
        return {(name.split()[0], name.endswith("1")): kept[name] for name in kept.files}


def _grow(
    dataset: SpectraDataset, variant: Variant, settings: Settings, seed: int, folds: int
) -> dict[tuple[str, bool], np.ndarray]:
    keys = [(method, context) for method in ("extra", "boosting", "trees") for context in (False, True)]
    scores = {key: np.full(len(dataset.spectra), np.nan) for key in keys}
    rows_of = dataset.networks.iloc[dataset.spectra["network"].to_numpy()]
    for held_out, rows, splits, fold_seed in _folds(dataset, variant, seed, folds):
        parts = fit_members(dataset, splits, settings, fold_seed).predict_by_parts(dataset.spectra, rows_of)
        for context in (False, True):
            for method, part in (("extra", "extra_trees"), ("boosting", "boosting")):
                scores[method, context][rows] = parts[part][int(context)].mean(dim=0).numpy()[rows]
            scores["trees", context][rows] = _trees(dataset, ~held_out, settings, context, seed)[rows]
    return scores


def _trees(
    dataset: SpectraDataset, training: np.ndarray, settings: Settings, context: bool, seed: int
) -> np.ndarray:
    """Extra-trees, one forest an epoch, on the channels that AeLLE sees."""
    network, epochs = dataset.spectra["network"].to_numpy(), dataset.spectra["epoch"].to_numpy()
    transforms = fit_transforms(dataset, training, settings)
    inputs = transforms.spectra.apply(dataset.spectra).reshape(len(network), -1)
    if context:
        inputs = np.concatenate([inputs, transforms.context.apply(dataset.networks.iloc[network])], axis=1)
    targets = transforms.target.apply(dataset.targets)[network]
    scores = np.zeros(len(network))
    for epoch in np.unique(epochs):
        seen, now = (epochs == epoch) & training[network], epochs == epoch
        forest = ExtraTreesRegressor(100, min_samples_leaf=2, max_features=0.5, random_state=seed)
        scores[now] = forest.fit(inputs[seen], targets[seen]).predict(inputs[now])
    return scores


if __name__ == "__main__":
    main()
