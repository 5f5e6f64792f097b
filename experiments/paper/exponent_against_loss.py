"""Single exponents against the loss: the largest for characters, the mean for motion capture.

    python experiments/paper/exponent_against_loss.py \\
        --characters artifacts/paper-characters --motion-capture artifacts/paper-motion-capture

(The files in `experiments/paper/settings/` say how to collect the records.) Each point is one network, as the paper
chooses it: at its epoch of lowest validation loss, of those at which spectra were taken.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import VOGT_2022, Verdict, finish, panels, parser, run

from aelle import read_records
from aelle.embedding.dataset import spectrum_rows
from aelle.explorer.theme import LIGHT
from aelle.prediction.metrics import spearman, spearman_interval

SHOWN = {"characters": "largest", "motion_capture": "mean"}
WORDS = {"largest": "largest exponent λ₁ (nats per step)", "mean": "mean exponent (nats per step)"}
RESAMPLES, CONFIDENCE = 2000, 0.95
CLAIM = (
    "networks with a larger λ₁ have a lower loss on characters, those with a larger mean exponent on motion capture, where "
    "λ₁ says less"
)
CRITERION = (
    "Spearman with the loss, all networks: on characters that of λ₁ has a 95 % interval below 0 and is larger, in size, "
    "than that of mean λ; on motion capture the other way round"
)


def best_spectra(records: pd.DataFrame) -> pd.DataFrame:
    """One row per network that was trained to its end: λ₁, mean exponent (finite ones) and loss at the best epoch with spectra."""
    reached = records.groupby("network_id")["epoch"].transform("max")
    records = records[reached == records["epoch"].max()]
    table = spectrum_rows(records).merge(
        records[
            ["network_id", "epoch", "val_loss", "architecture", "hidden_size", "init_gain", "spectrum_state"]
        ],
        on=["network_id", "epoch"],
    )
    table["largest"] = [float(spectrum[0]) for spectrum in table["spectrum"]]
    table["mean"] = [float(spectrum[np.isfinite(spectrum)].mean()) for spectrum in table["spectrum"]]
    table = table[np.isfinite(table["val_loss"])]
    return table.loc[table.groupby("network_id")["val_loss"].idxmin()].reset_index(drop=True)


def correlations(table: pd.DataFrame) -> dict[str, Any]:
    """Spearman of each candidate and the loss, with its bootstrap interval, for all networks and each architecture."""
    groups = {"all": table} | {str(name): own for name, own in table.groupby("architecture")}
    return {name: {"networks": len(own)} | _correlations(own) for name, own in groups.items()}


def _correlations(table: pd.DataFrame) -> dict[str, Any]:
    loss = table["val_loss"].to_numpy(float)
    candidates = {
        "largest": table["largest"].to_numpy(),
        "mean": table["mean"].to_numpy(),
        "distance of λ₁ from 0": table["largest"].abs().to_numpy(),
    }
    return {
        name: {
            "spearman": float(spearman(loss, values)),
            "interval": spearman_interval(loss, values, RESAMPLES, CONFIDENCE, 0),
        }
        for name, values in candidates.items()
    }


def measure(folder: Path) -> dict[str, Any]:
    table = best_spectra(read_records(folder))
    return {
        "epochs": table["epoch"].quantile([0, 0.5, 1]).astype(int).to_list(),
        "state": table["spectrum_state"].iloc[0],
        "correlations": correlations(table),
        "best_tenth": {
            name: table.nsmallest(max(3, len(table) // 10), "val_loss")[name]
            .quantile([0.1, 0.5, 0.9])
            .to_list()
            for name in ("largest", "mean")
        },
        "points": table[["architecture", "hidden_size", "init_gain", "largest", "mean", "val_loss"]].to_dict(
            "list"
        ),
    }


def judge(numbers: dict[str, Any]) -> Verdict:
    found = {task: numbers[task]["correlations"]["all"] for task in SHOWN}
    holds, words = [], []
    for task, own in SHOWN.items():
        other = "mean" if own == "largest" else "largest"
        stronger = abs(found[task][own]["spearman"]) > abs(found[task][other]["spearman"])
        holds.append(found[task][own]["interval"][1] < 0 and stronger)
        words.append(
            f"{task.replace('_', ' ')} λ₁ {_shown(found[task]['largest'])}, mean λ {_shown(found[task]['mean'])}"
        )
    return Verdict(VOGT_2022, CLAIM, CRITERION, all(holds), "Spearman with the loss: " + "; ".join(words))


def _shown(found: dict[str, Any]) -> str:
    return f"{found['spearman']:.2f} [{found['interval'][0]:.2f}, {found['interval'][1]:.2f}]"


def draw(numbers: dict[str, Any]) -> Any:
    titles = [f"{task.replace('_', ' ')}, best epochs" for task in SHOWN]
    axes = [(WORDS[name], "validation loss") for name in SHOWN.values()]
    figure = panels(titles, axes, width=1000, height=440)
    for column, (task, name) in enumerate(SHOWN.items(), start=1):
        points = pd.DataFrame(numbers[task]["points"])
        for (architecture, own), colour in zip(points.groupby("architecture"), LIGHT.kinds, strict=False):
            marker = {
                "color": colour,
                "size": 8,
                "line": {"width": 0.75, "color": LIGHT.edge},
                "opacity": 0.85,
            }
            figure.add_scatter(
                x=own[name], y=own["val_loss"], mode="markers", marker=marker, name=str(architecture).upper(),
                legendgroup=str(architecture), showlegend=column == 1, row=1, col=column,
            )  # fmt: skip
        figure.add_vline(x=0, line={"color": LIGHT.ink, "width": 1, "dash": "dash"}, row=1, col=column)
    figure.update_yaxes(type="log", tickvals=[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2], row=1, col=2)
    return figure


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument(
        "--characters", type=Path, required=True, help="records of a characters experiment"
    )
    arguments.add_argument(
        "--motion-capture", type=Path, required=True, help="records of a motion capture experiment"
    )
    options = arguments.parse_args()
    numbers = {"characters": measure(options.characters), "motion_capture": measure(options.motion_capture)}
    finish(options, "exponent_against_loss", {"": draw(numbers)}, numbers, judge(numbers))


if __name__ == "__main__":
    run(main)
