"""The plane of the first two principal components of the latents, coloured by accuracy, size and parameter.

    python experiments/paper/latent_pca.py artifacts/paper-characters

The components are those of the training networks; squares are networks that the autoencoder has not seen. How well
place in the plane tells a quantity is measured on unseen networks: from the five nearest seen ones, each network
unseen once (`--folds`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from common import AELLE, Verdict, finish, records_parser, run
from held_out import Fold, folds, last_epoch
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from aelle import plot
from aelle.explorer import figures
from aelle.explorer.projection import Projection
from aelle.prediction.metrics import spearman, spearman_interval

COLOURS = ("final_metric", "hidden_size", "init_gain", "architecture")
QUANTITIES, KINDS = ("oriented", "init_gain"), ("hidden_size", "architecture")
NEIGHBOURS, ENOUGH = 5, 0.7
CLAIM = "networks of like accuracy lie together in the first two principal components of the latents"
CRITERION = (
    f"the mean final metric of the {NEIGHBOURS} nearest seen networks in the plane has a Spearman correlation of at least "
    f"{ENOUGH} with that of unseen networks"
)


def told_by_place(fold: Fold, epoch: int) -> pd.DataFrame:
    """What the plane says of each unseen network, beside the truth."""
    rows = fold.at(epoch)
    plane = fold.project(rows, fold.principal(epoch))[:, :2]
    unseen = rows["unseen"].to_numpy(bool)
    found = {}
    for name in (*QUANTITIES, *KINDS):
        kind = KNeighborsRegressor if name in QUANTITIES else KNeighborsClassifier
        values = rows[name].to_numpy() if name != "init_gain" else np.log(rows[name].to_numpy(float))
        near = kind(min(NEIGHBOURS, int((~unseen).sum()))).fit(plane[~unseen], values[~unseen])
        found[name], found[f"{name}_told"] = values[unseen], near.predict(plane[unseen])
    return pd.DataFrame(found)


def pictures(fold: Fold, epoch: int) -> dict[str, go.Figure]:
    """The plane, once for each colour."""
    data, components = plot.load(fold.folder), fold.principal(epoch)
    places = (data.points[data.latent_columns].to_numpy(float) - components.mean) @ components.axes.T
    projection = Projection("PCA", places, components.share, components.mean, components.axes)
    drawn = {}
    for colour in COLOURS:
        info = figures.latent_map_info(data, projection, colour, epoch, shape="split")
        task = fold.dataset.experiment.task.name.replace("_", " ")
        figure = figures.latent_map(info, title=f"{task}, epoch {epoch}")
        drawn[colour] = figure.update_layout(width=620, height=480)
    return drawn


def measure(every: Iterable[Fold], epoch: int | None) -> tuple[dict[str, Any], dict[str, go.Figure]]:
    parts, drawn = [], {}
    for fold in every:
        at = last_epoch(fold.dataset) if epoch is None else epoch
        parts.append(told_by_place(fold, at))
        drawn = drawn or pictures(fold, at)
    told = pd.concat(parts, ignore_index=True)
    numbers: dict[str, Any] = {"task": fold.dataset.experiment.task.name, "epoch": at, "networks": len(told)}
    for name in QUANTITIES:
        actual, said = told[name].to_numpy(float), told[f"{name}_told"].to_numpy(float)
        words = "final_metric" if name == "oriented" else name
        numbers[words] = {
            "spearman": float(spearman(actual, said)),
            "interval": spearman_interval(actual, said, 2000, 0.95, 0),
        }
    for name in KINDS:
        right = float((told[name] == told[f"{name}_told"]).mean())
        numbers[name] = {"right": right, "by_chance": float((told[name].value_counts() / len(told)).max())}
    return numbers, drawn


def judge(numbers: dict[str, Any]) -> Verdict:
    found, gain = numbers["final_metric"], numbers["init_gain"]
    finding = (
        f"{numbers['task']}, epoch {numbers['epoch']}: place in the plane tells the final metric of {numbers['networks']} "
        f"unseen networks with Spearman {found['spearman']:.2f} [{found['interval'][0]:.2f}, {found['interval'][1]:.2f}], the "
        f"initial gain with {gain['spearman']:.2f}, the size in {numbers['hidden_size']['right']:.0%} and the architecture "
        f"in {numbers['architecture']['right']:.0%} of cases"
    )
    return Verdict(AELLE, CLAIM, CRITERION, found["spearman"] >= ENOUGH, finding)


def main() -> None:
    options = records_parser(__doc__).parse_args()
    every = folds(options.folder, options.out / "work" / "latent_pca", options.folds)
    numbers, drawn = measure(every, options.epoch)
    finish(options, "latent_pca", drawn, numbers, judge(numbers), task=numbers["task"])


if __name__ == "__main__":
    run(main)
