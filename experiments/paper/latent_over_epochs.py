"""Latents over the epochs of training, and what they say early of how networks will end.

    python experiments/paper/latent_over_epochs.py artifacts/paper-characters

At the left, the way of networks unseen by the autoencoder through the first two principal components (of the training
networks' last latents), coloured by their final metric. At the right, Spearman of the final metric and what the
autoencoder's head predicts of unseen networks (each network unseen once) at each epoch, beside the metric itself at
that epoch.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import AELLE, Verdict, finish, panels, parser, run
from held_out import Fold, folds, last_epoch

from aelle.explorer.figures.spectra import add_band
from aelle.explorer.theme import LIGHT, VIRIDIS
from aelle.prediction.metrics import spearman, spearman_interval

ENOUGH, NEAR = 0.7, 0.1
CLAIM = (
    "the latent representation is formed early in training: it predicts the accuracy that training will reach"
)
CRITERION = (
    f"on unseen networks, at the first epoch after training began, Spearman of predicted and final metric is at least "
    f"{ENOUGH}, and within {NEAR} of that at the last epoch with spectra"
)


def measure(every: Iterable[Fold]) -> dict[str, Any]:
    parts, ways = [], None
    for fold in every:
        latents = fold.latents.drop(columns="predicted_in_context", errors="ignore")
        final = fold.dataset.metric.oriented(latents["predicted"].to_numpy(float))
        metric = fold.dataset.records[["network_id", "epoch", "val_metric"]]
        rows = latents.assign(predicted=final).merge(metric, on=["network_id", "epoch"])
        rows["now"] = fold.dataset.metric.oriented(rows["val_metric"].to_numpy(float))
        parts.append(rows.loc[rows["unseen"], ["epoch", "oriented", "predicted", "now"]])
        ways = _ways(fold) if ways is None else ways
    shown = pd.concat(parts)
    return {
        "task": fold.dataset.experiment.task.name,
        "metric": fold.dataset.metric.name,
        "networks": int((shown["epoch"] == shown["epoch"].min()).sum()),
        "by_epoch": [{"epoch": int(e)} | _scores(own) for e, own in shown.groupby("epoch")],
        "ways": ways,
    }


def _scores(own: pd.DataFrame) -> dict[str, Any]:
    known = own[np.isfinite(own["now"])]
    final, now, predicted = (known[name].to_numpy(float) for name in ("oriented", "now", "predicted"))
    return {
        "aelle": float(spearman(final, predicted)),
        "aelle_interval": spearman_interval(final, predicted, 2000, 0.95, 0),
        "last_value": float(spearman(final, now)),
        "last_value_interval": spearman_interval(final, now, 2000, 0.95, 0),
    }


def _ways(fold: Fold) -> list[dict[str, Any]]:
    """The way of each unseen network through the plane."""
    plane = fold.principal(last_epoch(fold.dataset))
    ways = []
    for _, own in fold.latents[fold.latents["unseen"]].sort_values("epoch").groupby("network_id"):
        places = fold.project(own, plane)
        ways.append({"x": places[:, 0], "y": places[:, 1], "epoch": own["epoch"].tolist()}
                    | {"final": float(own["target"].iloc[0])})  # fmt: skip
    return ways


def judge(numbers: dict[str, Any]) -> Verdict:
    rows = {row["epoch"]: row for row in numbers["by_epoch"]}
    first, last = min(e for e in rows if e > 0), max(rows)
    early, late = rows[first], rows[last]
    low, high = early["aelle_interval"]
    before = f"{rows[0]['aelle']:.2f} before training, " if 0 in rows else ""
    finding = (
        f"{numbers['task']}: Spearman with the final metric on {numbers['networks']} unseen networks {before}"
        f"{early['aelle']:.2f} [{low:.2f}, {high:.2f}] at epoch {first} (the metric itself {early['last_value']:.2f}), "
        f"{late['aelle']:.2f} at epoch {last}"
    )
    reproduced = early["aelle"] >= ENOUGH and early["aelle"] >= late["aelle"] - NEAR
    return Verdict(AELLE, CLAIM, CRITERION, reproduced, finding)


def draw(numbers: dict[str, Any]) -> Any:
    titles = [f"{numbers['task']}: {len(numbers['ways'])} unseen networks", "what the latents predict"]
    axes = [("PC 1 of the latents", "PC 2"), ("epoch", "Spearman with the final metric")]
    figure = panels(titles, axes, width=1060, height=460, spacing=0.17)
    draw_ways(figure, numbers)
    epochs = np.array([row["epoch"] for row in numbers["by_epoch"]], float)
    for key, name, colour in (
        ("aelle", "AeLLE", LIGHT.group_a),
        ("last_value", "the metric so far", LIGHT.group_b),
    ):
        middle = np.array([row[key] for row in numbers["by_epoch"]], float)
        ends = np.array([row[f"{key}_interval"] for row in numbers["by_epoch"]], float)
        add_band(figure, epochs, middle, ends[:, 0], ends[:, 1], name, colour, row=1, col=2)
        figure.data[-1].update(mode="lines+markers")
    lowest = min(float(row["last_value_interval"][0] or 0.0) for row in numbers["by_epoch"])
    figure.update_yaxes(range=[min(0.0, lowest) - 0.05, 1.03], row=1, col=2)
    return figure.update_layout(legend={"x": 0.6})


def draw_ways(figure: Any, numbers: dict[str, Any]) -> None:
    """Thin lines from epoch to epoch; points grow with the epoch and bear the colour of the final metric."""
    finals = np.array([way["final"] for way in numbers["ways"]])
    for way in numbers["ways"]:
        line = {"color": LIGHT.faint, "width": 1}
        figure.add_scatter(x=way["x"], y=way["y"], mode="lines", line=line, showlegend=False, row=1, col=1)
    bar = {"title": {"text": f"final {numbers['metric'].replace('_', ' ')}", "side": "right"}}
    bar["title"]["font"] = {"size": 12, "color": LIGHT.muted}
    bar |= {"x": 0.42, "thickness": 10, "outlinewidth": 0, "tickfont": {"size": 11, "color": LIGHT.muted}}
    counts = [len(way["x"]) for way in numbers["ways"]]
    marker = {
        "color": np.repeat(finals, counts), "colorscale": [list(stop) for stop in VIRIDIS], "colorbar": bar,
        "size": np.concatenate([np.linspace(4, 11, count) for count in counts]),
        "line": {"width": 0.5, "color": LIGHT.edge},
    }  # fmt: skip
    x, y = (np.concatenate([np.asarray(way[key], float) for way in numbers["ways"]]) for key in "xy")
    figure.add_scatter(x=x, y=y, mode="markers", marker=marker, showlegend=False, row=1, col=1)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument(
        "folder", type=Path, help="records with spectra at epoch 0 and at least two epochs more"
    )
    arguments.add_argument("--folds", type=int, default=5)
    options = arguments.parse_args()
    numbers = measure(folds(options.folder, options.out / "work" / "latent_over_epochs", options.folds))
    finish(options, "latent_over_epochs", {"": draw(numbers)}, numbers, judge(numbers), task=numbers["task"])


if __name__ == "__main__":
    run(main)
