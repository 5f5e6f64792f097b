"""What a step through the latent space does to the spectrum it stands for.

    python experiments/paper/latent_perturbation.py artifacts/paper-characters

Latents of networks unseen by the autoencoder are moved, and decoded into spectra: at the left, by the shortest step that
changes the predicted outcome by Δ (in standard deviations of its rank, by a linear fit on the training networks), as the
papers' code does; in the middle, by the step that latents themselves make, on average, between networks Δ apart. At
the right, the change for Δ = 1 beside what really sets good networks apart: the mean spectrum of the best third less
that of the worst third of the unseen networks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from common import AELLE, Verdict, finish, panels, records_parser, run, zero_line
from held_out import Fold, folds, last_epoch
from scipy.stats import rankdata, zscore
from sklearn.linear_model import Ridge

from aelle.embedding.dataset import spectrum_rows
from aelle.embedding.transform import resample
from aelle.explorer.figures.spectra import NORMALISED_INDEX, epoch_colours
from aelle.explorer.theme import LIGHT
from aelle.records import normalised_index

STEPS = (-2.0, -1.0, 0.0, 1.0, 2.0)
STEP_NAMES = ("shortest", "along")
RANDOM, ENOUGH = 200, 0.5
CLAIM = "moving latents towards better performance decodes into the spectra that better networks have"
CRITERION = (
    f"in units of the spread of each exponent, the mean decoded change for the shortest step has a cosine of at least {ENOUGH} with the difference of real spectra, mean of the folds, "
    "and in each fold a larger one than 95 % of random steps of the same length"
)


def steps_towards_better(rows: pd.DataFrame, columns: list[str]) -> dict[str, np.ndarray]:
    """Two steps (latent size,) for one standard deviation of the outcome's rank, fitted on `rows`.

    "shortest" raises a linear prediction by one with the least length, as the papers' code does; "along" is how
    latents themselves differ, on average, between networks one apart.
    """
    latents, scores = rows[columns].to_numpy(float), zscore(rankdata(rows["oriented"].to_numpy(float)))
    slope = Ridge(alpha=1.0).fit(latents, scores).coef_
    return {"shortest": slope / (slope @ slope), "along": scores @ latents / len(scores)}


def real_spectra(fold: Fold, rows: pd.DataFrame, length: int) -> np.ndarray:
    """The recorded spectra of these networks, resampled to (rows, length)."""
    taken = spectrum_rows(fold.dataset.records)
    taken = taken[taken["epoch"] == rows["epoch"].iloc[0]].set_index("network_id")["spectrum"]
    return resample([np.maximum(spectrum, -20.0) for spectrum in taken.loc[rows["network_id"]]], length)


def best_less_worst(spectra: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    """Mean spectrum of the third of best outcome less that of the worst third, (length,)."""
    order, third = np.argsort(outcome, kind="stable"), max(1, len(outcome) // 3)
    difference: np.ndarray = spectra[order[-third:]].mean(axis=0) - spectra[order[:third]].mean(axis=0)
    return difference


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))


def perturb(fold: Fold, epoch: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Scores of both steps, and the mean curves to draw: decoded by size of step, and the real difference."""
    rows = fold.at(epoch)
    unseen = rows[rows["unseen"]]
    latents = unseen[fold.columns].to_numpy(float)
    base = fold.fitted.decode(latents, epoch)
    length = base.shape[1]
    scale = real_spectra(fold, rows[~rows["unseen"]], length).std(axis=0)
    real = best_less_worst(real_spectra(fold, unseen, length), unseen["oriented"].to_numpy(float))
    scores, shown = {}, {"real": real}
    for name, step in steps_towards_better(rows[~rows["unseen"]], fold.columns).items():
        decoded = {size: fold.fitted.decode(latents + size * step, epoch) for size in STEPS}
        random = np.random.default_rng(0).normal(size=(RANDOM, len(step)))
        random *= np.linalg.norm(step) / np.linalg.norm(random, axis=1, keepdims=True)
        others = [(fold.fitted.decode(latents + other, epoch) - base).mean(axis=0) for other in random]
        each = (decoded[1.0] - base) / scale
        change = each.mean(axis=0)
        scores[name] = {
            "cosine": cosine(change, real / scale),
            "random_95": float(np.quantile([cosine(other / scale, real / scale) for other in others], 0.95)),
            "agreement_of_networks": float(np.mean([cosine(one, change) for one in each])),
            "size_of_change": float(np.linalg.norm(change) / np.linalg.norm(real / scale)),
        }
        shown[name] = {f"{size:g}": curves.mean(axis=0) for size, curves in decoded.items()}
    return scores, shown


def measure(every: Iterable[Fold], epoch: int | None) -> dict[str, Any]:
    found = []
    for fold in every:
        at = last_epoch(fold.dataset) if epoch is None else epoch
        found.append(perturb(fold, at))
    return {
        "task": fold.dataset.experiment.task.name,
        "epoch": at,
        "networks": len(fold.dataset.networks),
        "folds": [scores for scores, _ in found],
        "curves_of_first_fold": found[0][1],
    }


def judge(numbers: dict[str, Any]) -> Verdict:
    shortest, along = (values_of(numbers, step) for step in STEP_NAMES)
    reproduced = shortest["cosine"].mean() >= ENOUGH and (shortest["cosine"] > shortest["random_95"]).all()
    finding = (
        f"{numbers['task']}, epoch {numbers['epoch']}: the shortest step's decoded change has a cosine of "
        f"{shortest['cosine'].mean():.2f} ({min(shortest['cosine']):.2f} to {max(shortest['cosine']):.2f} over "
        f"{len(shortest['cosine'])} folds) with the real difference and {shortest['size_of_change'].mean():.2f} of its "
        f"size, 95 % of random steps lie below {shortest['random_95'].mean():.2f}; a step along the latents' own regression "
        f"on the outcome {along['cosine'].mean():.2f}, {along['size_of_change'].mean():.2f} of its size"
    )
    return Verdict(AELLE, CLAIM, CRITERION, bool(reproduced), finding)


def values_of(numbers: dict[str, Any], step: str) -> dict[str, np.ndarray]:
    names = ("cosine", "random_95", "size_of_change")
    return {name: np.array([fold[step][name] for fold in numbers["folds"]], float) for name in names}


def draw(numbers: dict[str, Any]) -> Any:
    shown = numbers["curves_of_first_fold"]
    titles = [f"{numbers['task']}: shortest step", "step along the latents", "change for Δ = 1"]
    axes = [(NORMALISED_INDEX, "exponent λ (nats per step)")] * 2
    figure = panels(titles, [*axes, (NORMALISED_INDEX, "difference of λ (nats per step)")])
    index = normalised_index(len(shown["real"]))
    curves = {name: {k: np.asarray(c, float) for k, c in shown[name].items()} for name in STEP_NAMES}
    for column, decoded in enumerate(curves.values(), start=1):
        for (size, curve), colour in zip(decoded.items(), epoch_colours(len(STEPS)), strict=True):
            look = {"mode": "lines", "line": {"color": colour, "width": 2.5}, "showlegend": column == 1}
            figure.add_scatter(x=index, y=curve, name=f"Δ = {size}", **look, row=1, col=column)
    words = {"shortest": "shortest step", "along": "step along the latents"}
    changes = {words[name]: decoded["1"] - decoded["0"] for name, decoded in curves.items()}
    changes["real: best third less worst third"] = shown["real"]
    for (name, values), colour in zip(changes.items(), LIGHT.kinds, strict=False):
        line = {"color": colour, "width": 2.5}
        figure.add_scatter(x=index, y=values, mode="lines", name=name, line=line, row=1, col=3)
    for column in (1, 2, 3):
        zero_line(figure, column)
    return figure


def main() -> None:
    options = records_parser(__doc__).parse_args()
    every = folds(options.folder, options.out / "work" / "latent_perturbation", options.folds)
    numbers = measure(every, options.epoch)
    finish(options, "latent_perturbation", {"": draw(numbers)}, numbers, judge(numbers), task=numbers["task"])


if __name__ == "__main__":
    run(main)
