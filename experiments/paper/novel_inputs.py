"""The same networks under inputs they were not judged on: do they stay where they are in the latent space?

    python experiments/paper/novel_inputs.py artifacts/paper-characters

Needs the final weights: collect with `--set training.keep_checkpoints=true`, spectra at epoch 0 and at the last epoch.
Networks unseen by the autoencoder (each unseen once, `--folds`) are driven anew: by sequences of the task's test split,
and by Gaussian noise with the mean and spread of its inputs. At the left and in the middle, PC1 of their latents under
new inputs against that under the recorded ones; at the right, how well the head's predictions rank them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from common import AELLE, Verdict, finish, panels, parser, run
from held_out import Fold, folds, last_epoch
from safetensors import safe_open
from torch import Tensor

from aelle import ExperimentFolder, LyapunovSpectrum, lyapunov_spectrum, read_records
from aelle.collection.cohort_job import driving_sequences
from aelle.collection.search_space import variants
from aelle.collection.training import build_network
from aelle.config import Experiment
from aelle.embedding.dataset import read_experiment
from aelle.explorer.theme import LIGHT
from aelle.prediction.metrics import spearman, spearman_interval
from aelle.recurrent.network import Network
from aelle.tasks.registry import make_task
from aelle.tasks.task import Task

KINDS = {"recorded": "as recorded", "test": "test sequences", "noise": "noise"}
ENOUGH, NEAR = 0.9, 0.05
CLAIM = "the representation generalises to novel inputs of the same task"
CRITERION = (
    f"unseen networks under test sequences keep their PC1 (correlation at least {ENOUGH}), and the Spearman correlation of "
    f"predicted and final metric falls by less than {NEAR}"
)


def final_weights(folder: ExperimentFolder, epoch: int) -> dict[str, dict[str, Tensor]]:
    """Weights of every network after an epoch, by network and parameter."""
    found: dict[str, dict[str, Tensor]] = {}
    for path in sorted(folder.checkpoints.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            if int(file.metadata()["epoch"]) != epoch:
                continue
            for key in file.keys():  # noqa: SIM118
                network, kind, name = key.split("/")
                if kind == "weight":
                    found.setdefault(network, {})[name] = file.get_tensor(key)
    if not found:
        raise ValueError(
            f"{folder.checkpoints}: no weights of epoch {epoch}, the last one with spectra; collect with --set "
            "training.keep_checkpoints=true and spectra at the last epoch"
        )
    return found


def networks_of(
    experiment: Experiment, task: Task, weights: dict[str, dict[str, Tensor]]
) -> Iterator[tuple[str, Network, Network]]:
    """Id, untrained and trained network of every network whose weights are known."""
    for variant in variants(experiment):
        if variant.network_id in weights:
            trained = build_network(variant, task)
            trained.load_state_dict(weights[variant.network_id])
            yield variant.network_id, build_network(variant, task), trained


def driving(experiment: Experiment, task: Task, kind: str) -> Tensor:
    """New driving sequences: of the test split, or noise."""
    settings = experiment.spectrum
    steps, generator = settings.warmup + settings.steps, torch.Generator().manual_seed(experiment.seed + 1)
    if kind == "test":
        task.validation = task.test  # where driving sequences are drawn from
    source = "noise" if kind == "noise" else "validation"
    return task.driving_sequences(settings.sequences, steps, source, generator).double()


def new_records(folder: ExperimentFolder, epoch: int, kinds: Iterable[str]) -> dict[str, pd.DataFrame]:
    """Records of the first and the last spectrum with the spectra taken anew under each kind of inputs."""
    experiment = read_experiment(folder)
    task = make_task(experiment.task.name, experiment.task.options, experiment.task.data_folder)
    weights, records = final_weights(folder, epoch), read_records(folder)
    recorded = driving_sequences(experiment, task)
    inputs = {kind: driving(experiment, task, kind) for kind in kinds}
    spectra: dict[str, dict[tuple[str, int], Any]] = {kind: {} for kind in inputs}
    for number, (network_id, *pair) in enumerate(networks_of(experiment, task, weights)):
        if number == 0:
            check_weights(experiment, pair[1], recorded, _spectrum_at(records, network_id, epoch))
        for network, at in zip(pair, (0, epoch), strict=True):
            for kind, sequences in inputs.items():
                spectra[kind][network_id, at] = spectrum_under(experiment, network, sequences)
    return {"recorded": records[records["epoch"].isin([0, epoch])]} | {
        kind: _with_spectra(records, found) for kind, found in spectra.items()
    }


def spectrum_under(experiment: Experiment, network: Network, sequences: Tensor) -> LyapunovSpectrum:
    """The spectrum as the experiment takes it."""
    settings = experiment.spectrum
    return lyapunov_spectrum(network, sequences, state=settings.state, warmup=settings.warmup)


def check_weights(experiment: Experiment, network: Network, sequences: Tensor, recorded: np.ndarray) -> None:
    """Stop where the weights, under the recorded inputs, do not give the recorded spectrum."""
    found = spectrum_under(experiment, network, sequences).exponents.numpy()
    upper = slice(0, len(recorded) // 2)  # the lower half of a spectrum can be rounding noise
    if not np.allclose(found[upper], recorded[upper], atol=1e-3):
        raise ValueError("the checkpoints do not give the recorded spectra: are they of another collection?")


def _spectrum_at(records: pd.DataFrame, network_id: str, epoch: int) -> np.ndarray:
    row = records[(records["network_id"] == network_id) & (records["epoch"] == epoch)]
    return np.asarray(row["spectrum"].iloc[0], float)


def _with_spectra(records: pd.DataFrame, spectra: dict[tuple[str, int], Any]) -> pd.DataFrame:
    """Records of these networks and epochs with other spectra.

    `spectrum_inputs` stays as it was: the autoencoder refuses spectra under inputs that it was not trained on, and
    what it makes of them is what is asked here.
    """
    keys = list(zip(records["network_id"], records["epoch"], strict=True))
    kept = records[[key in spectra for key in keys]].copy()
    taken = [spectra[key] for key in keys if key in spectra]
    for column, values in (
        ("spectrum", [s.exponents for s in taken]),
        ("spectrum_se", [s.standard_error for s in taken]),
        ("spectrum_std", [s.temporal_std for s in taken]),
    ):
        kept[column] = pd.Series([value.float().numpy() for value in values], index=kept.index, dtype=object)
    return kept


def measure(every: Iterable[Fold], records: dict[str, pd.DataFrame], epoch: int) -> dict[str, Any]:
    parts = []
    for number, fold in enumerate(every):
        plane = fold.principal(epoch)
        for kind, own in records.items():
            latents = fold.described(fold.fitted.embed(own))
            latents = latents[(latents["epoch"] == epoch) & latents["unseen"]]
            oriented = fold.dataset.metric.oriented(latents["predicted"].to_numpy(float))
            row = latents[["network_id", "target", "oriented"]].assign(
                kind=kind, fold=number, predicted=oriented
            )
            parts.append(row.assign(pc1=fold.project(latents, plane)[:, 0]))
    table = pd.concat(parts)
    wide = table.pivot_table(index="network_id", columns="kind", values=["pc1", "predicted"]).dropna()
    final = table.drop_duplicates("network_id").set_index("network_id").loc[wide.index]
    first = wide[(final["fold"] == 0).to_numpy()]
    return {
        "task": fold.dataset.experiment.task.name,
        "epoch": epoch,
        "networks": len(wide),
        "kinds": {kind: _scores(wide, final, kind) for kind in records},
        "points_of_first_fold": {kind: first["pc1"][kind].to_numpy() for kind in records},
    }


def _scores(wide: pd.DataFrame, final: pd.DataFrame, kind: str) -> dict[str, Any]:
    predicted, outcome = wide["predicted"][kind].to_numpy(float), final["oriented"].to_numpy(float)
    # Components differ from fold to fold, so only networks of one fold are compared.
    folds_of = [wide["pc1"][(final["fold"] == fold).to_numpy()] for fold in sorted(final["fold"].unique())]
    return {
        "pc1_correlation": float(
            np.mean([np.corrcoef(own["recorded"], own[kind])[0, 1] for own in folds_of])
        ),
        "spearman": float(spearman(outcome, predicted)),
        "interval": spearman_interval(outcome, predicted, 2000, 0.95, 0),
    }


def judge(numbers: dict[str, Any]) -> Verdict:
    recorded, test, noise = (numbers["kinds"][kind] for kind in KINDS)
    reproduced = test["pc1_correlation"] >= ENOUGH and test["spearman"] > recorded["spearman"] - NEAR
    finding = (
        f"{numbers['task']}, epoch {numbers['epoch']}, {numbers['networks']} unseen networks: PC1 under test sequences "
        f"correlates {test['pc1_correlation']:.3f} with the recorded one (noise {noise['pc1_correlation']:.3f}); Spearman of "
        f"predicted and final metric {recorded['spearman']:.2f} as recorded, {test['spearman']:.2f} under test sequences, "
        f"{noise['spearman']:.2f} under noise"
    )
    return Verdict(AELLE, CLAIM, CRITERION, reproduced, finding)


def draw(numbers: dict[str, Any]) -> Any:
    titles = [f"{numbers['task']}: test sequences", "noise", "predicted against final metric"]
    axes = [("PC1, as recorded", "PC1 under test sequences"), ("PC1, as recorded", "PC1 under noise")]
    figure = panels(titles, [*axes, ("", "Spearman, 95 % interval")])
    points = {name: np.asarray(values, float) for name, values in numbers["points_of_first_fold"].items()}
    ends = [min(points["recorded"]), max(points["recorded"])]
    diagonal = {"color": LIGHT.ink, "width": 1, "dash": "dash"}
    for column, kind in ((1, "test"), (2, "noise")):
        marker = {"color": LIGHT.group_a, "size": 8, "line": {"width": 0.75, "color": LIGHT.edge}}
        look = {"mode": "markers", "marker": marker, "showlegend": False}
        figure.add_scatter(x=points["recorded"], y=points[kind], **look, row=1, col=column)
        figure.add_scatter(x=ends, y=ends, mode="lines", line=diagonal, showlegend=False, row=1, col=column)
    scores = np.array([numbers["kinds"][kind]["spearman"] for kind in KINDS], float)
    around = np.array([numbers["kinds"][kind]["interval"] for kind in KINDS], float)
    bars = {"array": around[:, 1] - scores, "arrayminus": scores - around[:, 0], "color": LIGHT.muted}
    look = {"mode": "markers", "marker": {"size": 10, "color": LIGHT.accent}, "showlegend": False}
    figure.add_scatter(x=list(KINDS.values()), y=scores, error_y=bars, **look, row=1, col=3)
    figure.update_yaxes(range=[min(0.0, around.min() - 0.05), 1.03], row=1, col=3)
    return figure.update_layout(margin_b=50, height=380)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument(
        "folder", type=Path, help="records with spectra at epoch 0 and the last, and checkpoints"
    )
    arguments.add_argument("--folds", type=int, default=5)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    every = list(folds(options.folder, options.out / "work" / "novel_inputs", options.folds))
    epoch = last_epoch(every[0].dataset)
    records = new_records(ExperimentFolder(options.folder), epoch, ("noise", "test"))
    numbers = measure(every, records, epoch)
    finish(options, "novel_inputs", {"": draw(numbers)}, numbers, judge(numbers), task=numbers["task"])


if __name__ == "__main__":
    run(main)
