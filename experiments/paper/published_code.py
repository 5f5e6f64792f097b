"""Do the papers' conclusions depend on how their published code takes a spectrum?

    python experiments/paper/published_code.py artifacts/paper-characters

`calc_LEs_an` of github.com/shlizee/LyapunovAutoEncode multiplies the frame by the transposed Jacobian of each step, in
the order of time: Jᵀ_T … Jᵀ_1 Q. That product belongs to no trajectory; its singular values are those of
J_1 … J_T, the steps in reverse order. The sum of all exponents is the same, since a determinant does not ask for the
order; single exponents are not. Its warm-up of 10 steps turns the frame and the state, and the measured run then
starts at the first input again. Here both ways take the spectra of the same networks under the same sequences, and
the same regressions follow. Needs the final weights: collect with `--set training.keep_checkpoints=true`, an LSTM, GRU
or RNN of one layer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import VOGT_2022, Verdict, finish, panels, parser, run
from novel_inputs import final_weights, networks_of
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, cross_val_predict
from torch import Tensor

from aelle import ExperimentFolder, lyapunov_spectrum, read_records
from aelle.collection.cohort_job import driving_sequences
from aelle.embedding.dataset import read_experiment
from aelle.explorer.theme import LIGHT
from aelle.prediction.metrics import difference_interval, spearman, spearman_interval
from aelle.recurrent.cell import Cell
from aelle.tasks.registry import make_task

WARMUP = 10  # of the published code's own
RESAMPLES, CONFIDENCE = 2000, 0.95
FEATURES = {"largest": "λ₁", "mean": "mean exponent", "spectrum": "regression on the spectrum"}
CLAIM = "spectra as the published code takes them lead to the published conclusions"
CRITERION = (
    "for λ₁, the mean exponent and a linear regression on whole spectra (10-fold), the Spearman correlation with the loss "
    "is the same both ways: its difference over resampled networks has a 95 % interval that holds 0"
)


@torch.no_grad()
def published_exponents(cell: Cell, inputs: Tensor) -> Tensor:
    """Exponents of ∂h'/∂h as `calc_LEs_an` takes them, in nats per step, descending.

    Args:
        cell: one layer, (input_size → hidden_size).
        inputs: (sequences, steps, input_size).

    Returns:
        (hidden_size,), averaged over the sequences.
    """
    size, state = cell.hidden_size, cell.initial_state(len(inputs))
    frame = torch.eye(size, dtype=inputs.dtype).expand(len(inputs), size, size)
    for x in inputs[:, :WARMUP].unbind(1):
        frame = cell.jacobian(x, state)[:, :size, :size].mT @ frame
        state = cell.step(x, state)
    frame = torch.linalg.qr(frame).Q
    logs = inputs.new_zeros(len(inputs), size)
    for x in inputs.unbind(1):
        frame, triangle = torch.linalg.qr(cell.jacobian(x, state)[:, :size, :size].mT @ frame)
        logs += triangle.diagonal(dim1=-2, dim2=-1).abs().log()
        state = cell.step(x, state)
    return (logs / inputs.shape[1]).mean(0).sort(descending=True).values


def measure(folder: ExperimentFolder) -> dict[str, Any]:
    """Both spectra of every network with its weights and a finite loss, and what follows from each."""
    experiment = read_experiment(folder)
    if experiment.networks.num_layers != 1:
        raise ValueError(f"{folder.root}: networks of one layer are needed")
    task = make_task(experiment.task.name, experiment.task.options, experiment.task.data_folder)
    records, inputs = read_records(folder), driving_sequences(experiment, task)
    epoch = int(records.loc[records["spectrum"].notna(), "epoch"].max())
    loss_of = records[records["epoch"] == epoch].set_index("network_id")["val_loss"]
    found: dict[str, list[np.ndarray]] = {"ours": [], "published": []}
    losses = []
    for network_id, _, network in networks_of(experiment, task, final_weights(folder, epoch)):
        cell, loss = network.layers[0].double(), loss_of.get(network_id, np.nan)
        if not np.isfinite(loss):
            continue
        losses.append(float(loss))
        ours = lyapunov_spectrum(cell, inputs, state="hidden", warmup=experiment.spectrum.warmup)
        found["ours"].append(ours.exponents.numpy())
        found["published"].append(published_exponents(cell, inputs.double()).numpy())
    spectra = {way: np.stack(values) for way, values in found.items()}
    return {
        "task": experiment.task.name,
        "hidden_size": spectra["ours"].shape[1],
        "epoch": epoch,
        "networks": len(losses),
        "differences": _differences(spectra),
        "correlations": _correlations(np.array(losses), spectra),
        "points": {way: values[:, 0] for way, values in spectra.items()} | {"loss": losses},
        "median_spectra": {way: np.median(values, axis=0) for way, values in spectra.items()},
    }


def _differences(spectra: dict[str, np.ndarray]) -> dict[str, float]:
    """Median and largest distance over networks, nats per step."""
    apart = np.abs(spectra["ours"] - spectra["published"])
    mean = np.abs((spectra["ours"] - spectra["published"]).mean(axis=1))
    values = {
        "largest": apart[:, 0],
        "upper half": apart[:, : apart.shape[1] // 2].mean(axis=1),
        "mean": mean,
    }
    return {
        f"{name}, {word}": float(function(value))
        for name, value in values.items()
        for word, function in (("median", np.median), ("most", np.max))
    }


def _correlations(loss: np.ndarray, spectra: dict[str, np.ndarray]) -> dict[str, Any]:
    features = {way: _features(loss, values) for way, values in spectra.items()}
    return {
        name: {
            way: {
                "spearman": float(spearman(loss, features[way][name])),
                "interval": spearman_interval(loss, features[way][name], RESAMPLES, CONFIDENCE, 0),
            }
            for way in features
        }
        | {
            "difference": difference_interval(
                loss, features["ours"][name], features["published"][name], RESAMPLES, CONFIDENCE, 0
            )
        }
        for name in FEATURES
    }


def _features(loss: np.ndarray, spectra: np.ndarray) -> dict[str, np.ndarray]:
    folds = KFold(min(10, len(loss)), shuffle=True, random_state=0)
    kept = np.maximum(np.nan_to_num(spectra, neginf=-50.0), -50.0)  # rounding noise lies below
    predicted = cross_val_predict(LinearRegression(), kept, loss, cv=folds)
    return {"largest": spectra[:, 0], "mean": kept.mean(axis=1), "spectrum": predicted}


def judge(numbers: dict[str, Any]) -> Verdict:
    """The same both ways, by every feature."""
    same, words = [], []
    for name, label in FEATURES.items():
        own = numbers["correlations"][name]
        low, high = own["difference"]
        same.append(low <= 0 <= high)
        words.append(
            f"{label} {own['ours']['spearman']:.2f} and {own['published']['spearman']:.2f} "
            f"(difference [{low:.2f}, {high:.2f}])"
        )
    apart = numbers["differences"]
    finding = (
        f"{numbers['task']}, {numbers['networks']} networks of {numbers['hidden_size']} units: λ₁ differs by "
        f"{apart['largest, median']:.3f} in the median and {apart['largest, most']:.3f} at most, the mean exponent by "
        f"{apart['mean, median']:.4f}; Spearman with the loss, ours and published: {'; '.join(words)}"
    )
    return Verdict(VOGT_2022, CLAIM, CRITERION, all(same), finding)


def draw(numbers: dict[str, Any]) -> Any:
    """Median spectra at the left; λ₁ one way against the other, and both against the loss."""
    titles = [f"{numbers['task']}: median spectra", "λ₁ both ways", "λ₁ and the loss"]
    axes = [("exponent's number", "nats per step"), ("ours", "published"), ("λ₁", "validation loss")]
    figure = panels(titles, axes)
    points = {name: np.asarray(values, float) for name, values in numbers["points"].items()}
    for (way, median), colour in zip(numbers["median_spectra"].items(), LIGHT.kinds, strict=False):
        marker = {"color": colour, "size": 7, "line": {"width": 0.75, "color": LIGHT.edge}}
        shared = {"name": way, "legendgroup": way}
        figure.add_scatter(
            y=median,
            x=np.arange(1, len(median) + 1),
            mode="lines",
            line={"color": colour},
            **shared,
            row=1,
            col=1,
        )
        figure.add_scatter(
            x=points[way],
            y=points["loss"],
            mode="markers",
            marker=marker,
            **shared,
            showlegend=False,
            row=1,
            col=3,
        )
    ends = [points["ours"].min(), points["ours"].max()]
    diagonal = {"color": LIGHT.ink, "width": 1, "dash": "dash"}
    figure.add_scatter(x=ends, y=ends, mode="lines", line=diagonal, showlegend=False, row=1, col=2)
    marker = {"color": LIGHT.accent, "size": 7, "line": {"width": 0.75, "color": LIGHT.edge}}
    figure.add_scatter(
        x=points["ours"], y=points["published"], mode="markers", marker=marker, showlegend=False, row=1, col=2
    )
    return figure


def main() -> None:
    """Measure one folder of records."""
    arguments = parser(__doc__)
    arguments.add_argument("folder", type=Path, help="records with checkpoints")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    numbers = measure(ExperimentFolder(options.folder))
    finish(options, "published_code", {"": draw(numbers)}, numbers, judge(numbers), task=numbers["task"])


if __name__ == "__main__":
    run(main)
