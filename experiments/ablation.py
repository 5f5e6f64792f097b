"""What each part of AeLLE is worth on one experiment's records: encoders, channels, losses, variation, ensembles.

    python experiments/ablation.py artifacts/digits                       # every variant, into artifacts/digits/ablation.csv
    python experiments/ablation.py artifacts/digits --groups encoder head --seeds 0 1 2 --workers 2

Each variant is cross-validated by network as `aelle predict` does it: an ensemble a fold, whose members stop early
on another part of the training networks each. One row of the table is a variant, an epoch and a method: the network's
head alone, its mean with extra-trees (mixture), and extra-trees alone on the same inputs, grown on all training networks
(trees); each from the spectrum alone and with architecture and size (in context). Numbers are Spearman
correlations, their mean and spread over the seeds, each of which cuts the folds anew.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field, replace
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
from aelle.embedding.members import fit_members, fit_transforms, validation_splits
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
    Variant("encoder", "set", {"encoder": "set"}),
    Variant("encoder", "convolution", {"encoder": "convolution"}),
    Variant("encoder", "attention", {"encoder": "attention"}),
    Variant("encoder", "without summaries", {"summaries": False}),
    Variant("encoder", "without the epoch", {"epoch_conditioned": False}),
    Variant("encoder", "latent of 2", {"latent_size": 2}),
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
    Variant("loss", "Gaussian prediction", {"prediction_loss": "gaussian"}),
    Variant("loss", "constant weight 1", {"prediction_weights": [1.0]}),
    Variant("variational", "kl 0.001", {"kl_weight": 0.001}),
    Variant("variational", "kl 0.01", {"kl_weight": 0.01}),
    Variant("variational", "kl 0.1", {"kl_weight": 0.1}),
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
    parser.add_argument("--output", type=Path, default=None, help="default: ablation.csv in the folder")
    arguments = parser.parse_args()
    dataset = load_dataset(ExperimentFolder(arguments.folder)).require_predictable()
    variants = [v for v in recorded_variants(dataset) if not arguments.groups or v.group in arguments.groups]
    table = ablate(dataset, variants, arguments.seeds, arguments.folds, arguments.workers)
    output = arguments.output or arguments.folder / "ablation.csv"
    table.to_csv(output, index=False, float_format="%.4f")
    text = markdown(table)
    output.with_suffix(".md").write_text(text)
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
    dataset: SpectraDataset, variants: list[Variant], seeds: list[int], folds: int, workers: int
) -> pd.DataFrame:
    """Cross-validate every variant; one row a variant, method, context and epoch."""
    jobs = [joblib.delayed(_scores)(dataset, v, seed, folds) for v in variants for seed in seeds]
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        scored = pd.concat(joblib.Parallel(n_jobs=workers)(jobs), ignore_index=True)
    keys = ["group", "variant", "ensemble", "method", "in_context", "epoch"]
    table = scored.groupby(keys, sort=False).agg(
        spearman=("spearman", "mean"), spread=("spearman", "std"), seconds=("seconds", "mean")
    )
    return table.reset_index()


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


def _scores(dataset: SpectraDataset, variant: Variant, seed: int, folds: int) -> pd.DataFrame:
    """Spearman correlations of one variant under one cut into folds."""
    started = time.perf_counter()
    with single_threaded():
        predicted = _cross_validated(dataset, variant, seed, folds)
    seconds = time.perf_counter() - started
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


def _cross_validated(
    dataset: SpectraDataset, variant: Variant, seed: int, folds: int
) -> dict[tuple[str, bool], np.ndarray]:
    """Scores of every spectrum from folds that do not contain its network."""
    # The settings as they are by default, whatever the experiment's own: variants are compared with one another.
    settings = Settings.model_validate(variant.changes | {"head": "mixture"})
    network = dataset.spectra["network"].to_numpy()
    keys = [(method, context) for method in ("network", "mixture", "trees") for context in (False, True)]
    scores = {key: np.full(len(network), np.nan) for key in keys}
    for fold, (_, held) in enumerate(KFold(folds, shuffle=True, random_state=seed).split(dataset.networks)):
        held_out = np.isin(np.arange(len(dataset.networks)), held)
        splits = validation_splits(~held_out, variant.ensemble, 100 * seed + fold)
        members = fit_members(dataset, splits, settings, 100 * seed + fold)
        rows = held_out[network]
        for method, fitted in (("network", replace(members, forests=None)), ("mixture", members)):
            embedded, _ = fitted.embed(dataset.spectra, dataset.networks.iloc[network])
            for context, head in enumerate((embedded.prediction, embedded.prediction_in_context)):
                scores[method, bool(context)][rows] = head.mean(dim=0).numpy()[rows]
        for context in (False, True):
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
