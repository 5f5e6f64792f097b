"""Spectra over the epochs of training, and how soon they are what they end as.

    aelle collect experiments/characters.toml --output artifacts/paper-characters --set networks.per_combination=15 \\
        --set 'spectrum.epochs=[0,1,2,4,8]' --set training.keep_checkpoints=true
    python experiments/paper/convergence_over_epochs.py artifacts/paper-characters

At the left, the spectra of one network (the one of median outcome of an architecture); in the middle, the distance
that spectra still have to go, relative to all of their way, median and quartiles over networks; at the right, the
same of the validation loss.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import VOGT_2022, Verdict, finish, panels, parser, run, zero_line

from aelle import read_records
from aelle.embedding.dataset import spectrum_rows
from aelle.explorer.figures.spectra import add_band, epoch_colours
from aelle.explorer.theme import LIGHT

CLAIM = "the spectrum settles within the first epochs of training"
CRITERION = (
    "after a quarter of the epochs the spectrum of the median network has less than half of its way from epoch 0 to the "
    "last epoch before it (root mean square over exponents)"
)


def remaining_ways(records: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Share of the way to the last epoch that spectra and losses still have before them; networks × epochs."""
    rows = spectrum_rows(records)
    last = rows["epoch"].max()
    spectra, losses = {}, {}
    for network, own in rows.groupby("network_id"):
        taken = own.set_index("epoch")["spectrum"]
        loss = records[records["network_id"] == network].set_index("epoch")["val_loss"]
        if last not in taken.index or 0 not in taken.index or not np.isfinite(loss.loc[[0, last]]).all():
            continue
        spectra[network] = {e: _rms(taken[e], taken[last]) / _rms(taken[0], taken[last]) for e in taken.index}
        losses[network] = {e: (loss[e] - loss[last]) / (loss[0] - loss[last]) for e in taken.index}
    return pd.DataFrame(spectra).T.sort_index(axis=1), pd.DataFrame(losses).T.sort_index(axis=1)


def _rms(first: np.ndarray, second: np.ndarray) -> float:
    with np.errstate(invalid="ignore"):  # of two exponents of minus infinity
        difference = first - second
    finite = difference[np.isfinite(difference)].astype(float)
    return float(np.sqrt(np.mean(finite**2)))


def measure(records: pd.DataFrame, architecture: str | None) -> dict[str, Any]:
    if architecture is not None:
        records = records[records["architecture"] == architecture]
    if records.empty:
        raise ValueError(f"no network of architecture {architecture!r} in these records")
    spectra, losses = remaining_ways(records)
    if spectra.empty:
        raise ValueError("no network has a spectrum at epoch 0 and at the last epoch; set spectrum.epochs")
    shown = records[records["network_id"].isin(spectra.index)]
    final = shown.groupby("network_id")["val_metric"].last().sort_values()
    example = shown[shown["network_id"] == final.index[len(final) // 2]]
    return {
        "task": records["task"].iloc[0],
        "networks": len(spectra),
        "epochs": spectra.columns.tolist(),
        "remaining_spectrum": spectra.quantile([0.25, 0.5, 0.75]).to_numpy(),
        "remaining_loss": losses.quantile([0.25, 0.5, 0.75]).to_numpy(),
        "share_with_less_than_half_left": (spectra < 0.5).mean().to_numpy(),
        "example": {
            "architecture": example["architecture"].iloc[0],
            "hidden_size": int(example["hidden_size"].iloc[0]),
            "spectra": {int(r.epoch): r.spectrum for r in spectrum_rows(example).itertuples()},
        },
    }


def judge(numbers: dict[str, Any]) -> Verdict:
    epochs = np.array(numbers["epochs"])
    quarter = int(np.flatnonzero(epochs <= max(epochs[-1] / 4, epochs[1]))[-1])
    ways = {
        name: float(np.asarray(numbers[f"remaining_{name}"])[1, quarter]) for name in ("spectrum", "loss")
    }
    share = float(np.asarray(numbers["share_with_less_than_half_left"])[quarter])
    finding = (
        f"{numbers['task']}: after {epochs[quarter]} of {epochs[-1]} epochs the median of {numbers['networks']} networks has "
        f"{ways['spectrum']:.0%} of its spectrum's way before it ({share:.0%} of networks less than half), and {ways['loss']:.0%} of its loss's"
    )
    return Verdict(VOGT_2022, CLAIM, CRITERION, ways["spectrum"] < 0.5, finding)


def draw(numbers: dict[str, Any]) -> Any:
    example = numbers["example"]
    titles = [
        f"one {example['architecture'].upper()} of {example['hidden_size']} units",
        "spectra",
        "validation loss",
    ]
    axes = [("index i of the exponent", "exponent λ (nats per step)")]
    axes += [("epoch", "way to the last epoch's, relative"), ("epoch", "way to the last epoch's, relative")]
    figure = panels(titles, axes)
    colours = epoch_colours(len(example["spectra"]))
    for (epoch, spectrum), colour in zip(example["spectra"].items(), colours, strict=True):
        index = np.arange(1, len(spectrum) + 1)
        line = {"mode": "lines", "line": {"color": colour, "width": 2}, "name": f"epoch {epoch}"}
        figure.add_scatter(x=index, y=spectrum, **line, row=1, col=1)
    for column, name in ((2, "spectrum"), (3, "loss")):
        low, middle, high = np.asarray(numbers[f"remaining_{name}"], float)
        x = np.array(numbers["epochs"], float)
        add_band(figure, x, middle, low, high, "median and quartiles", LIGHT.group_a, row=1, col=column)
        figure.data[-1].update(mode="lines+markers", showlegend=column == 2)
        figure.update_yaxes(range=[-0.05, 1.25], row=1, col=column)
    zero_line(figure, 1)
    return figure


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument(
        "folder", type=Path, help="records with spectra at several epochs, the last included"
    )
    arguments.add_argument("--architecture", help="networks of one architecture only")
    options = arguments.parse_args()
    numbers = measure(read_records(options.folder), options.architecture)
    finish(
        options,
        "convergence_over_epochs",
        {"": draw(numbers)},
        numbers,
        judge(numbers),
        task=numbers["task"],
    )


if __name__ == "__main__":
    run(main)
