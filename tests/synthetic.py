"""A folder of records as `collect` writes them, made in milliseconds, for tests of the later stages.

The final metric depends on the initial gain; so do the spectra, with noise; learning curves rise towards
the final metric. One network diverges and one has exponents of -inf.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aelle.config import dump_experiment, parse_experiment
from aelle.records import SCHEMA, ExperimentFolder, write_bytes, write_epoch

EPOCHS = 6
SMALL_AUTOENCODER = {"epochs": 20, "forest_trees": 4}  # where a test is not about how well it predicts
SPECTRUM_EPOCHS = (0, 1, 3)


def write_synthetic_experiment(
    root: Path, networks: int = 60, seed: int = 0, name: str = "synthetic", **sections
):
    """Write `networks` networks in cohorts of 20, under the settings in `sections`; return the ExperimentFolder."""
    folder = ExperimentFolder(Path(root))
    content = {"name": name, "task": {"name": "digits"}, "training": {"epochs": EPOCHS}}
    experiment = parse_experiment(content | sections)
    write_bytes(folder.experiment_file, dump_experiment(experiment).encode())
    random = np.random.default_rng(seed)
    members = [_network(i, random) for i in range(networks)]
    for start in range(0, networks, 20):
        cohort = f"cohort{start // 20:04d}"
        for epoch in range(EPOCHS + 1):
            rows = [_row(m, epoch, cohort, name) for m in members[start : start + 20]]
            write_epoch(folder, cohort, epoch, [row for row in rows if row is not None])
    return folder


def _network(index, random):
    architecture = ("rnn", "gru", "lstm")[index % 3]
    gain = random.uniform(0.3, 12)
    final = 0.95 - 0.06 * abs(gain - 3) - 0.05 * (architecture == "rnn") + random.normal(0, 0.02)
    return {
        "index": index,
        "architecture": architecture,
        "hidden_size": (16, 32)[index // 3 % 2],
        "gain": gain,
        "final": float(np.clip(final, 0.1, 0.99)),
        "noise": random.normal(size=(EPOCHS + 1, 64)),
        "diverges": index == 7,
        "has_infinite": index == 5,
    }


def _row(network, epoch, cohort, experiment):
    if network["diverges"] and epoch > 2:
        return None
    diverged = network["diverges"] and epoch == 2
    hidden, n = (
        network["hidden_size"],
        network["hidden_size"] * (2 if network["architecture"] == "lstm" else 1),
    )
    noise, rise = network["noise"][epoch], 1 - np.exp(-epoch)
    metric = 0.1 + (network["final"] - 0.1) * (1.0 if epoch == EPOCHS else rise) + 0.01 * noise[0]
    row = {
        "network_id": f"{network['index']:012x}", "cohort": cohort, "experiment": experiment, "task": "digits",
        "architecture": network["architecture"], "hidden_size": hidden, "num_layers": 1, "bias": False,
        "init_scale": network["gain"] / hidden**0.5, "init_gain": network["gain"], "learning_rate": 0.003,
        "dropout": 0.0, "weight_decay": 0.0, "batch_size": 32, "seed": network["index"], "epoch": epoch,
        "train_loss": None if epoch == 0 else 2.3 * np.exp(-epoch * network["final"]),
        "val_loss": float("nan") if diverged else 2.3 * np.exp(-epoch * network["final"]),
        "val_metric": float("nan") if diverged else metric, "metric_name": "accuracy", "higher_is_better": True,
        "status": "diverged" if diverged else "ok", "layer_sizes": [n], "train_seconds": 0.1,
        "weight_statistics": {"layer0.weight_hh.rms": network["gain"] / 3, "readout.weight.rms": 0.2 + 0.1 * epoch},
    }  # fmt: skip
    if epoch in SPECTRUM_EPOCHS:
        slope = np.linspace(0, -3, n)
        spectrum = np.sort(np.log(network["gain"] / 3) + slope + 0.05 * noise[:n])[::-1].copy()
        if network["has_infinite"]:
            spectrum[-3:] = -np.inf
        row |= {
            "spectrum": spectrum, "spectrum_se": np.full(n, 0.01), "spectrum_std": np.full(n, 0.3),
            "spectrum_state": "full", "spectrum_inputs": "validation", "trusted_count": n, "certificate": 1e-9,
            "spectrum_seconds": 0.02,
        }  # fmt: skip
    return row


def rewrite(folder, change):
    """Apply `change` to every file of records."""
    for file in sorted(folder.records.glob("*.parquet")):
        frame = change(pq.read_table(file).to_pandas(maps_as_pydicts="strict"))
        table = pa.Table.from_pandas(frame, schema=SCHEMA, preserve_index=False)
        pq.write_table(table, file)


def written(folder):
    """Names of what stands in the folder."""
    return sorted(p.name for p in folder.root.iterdir())
