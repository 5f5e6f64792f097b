"""A synthetic experiment's folder with latents, predictions and a report, for tests of the explorer."""

import numpy as np
import pandas as pd
import pyarrow as pa

from aelle.records import SCHEMA, read_records, write_frame, write_json, write_table
from tests.synthetic import write_synthetic_experiment


def write_explorer_folder(root, networks=60, latent_size=4, seed=0, latents=True, predictions=True):
    """Write records, and latents that turn with gain and epoch; return the ExperimentFolder."""
    folder = write_synthetic_experiment(root, networks=networks, seed=seed)
    if latents:
        write_latents(folder, latent_size, seed)
    if predictions:
        write_predictions(folder, seed)
    return folder


def write_fitted_explorer_folder(root, networks):
    """As `write_explorer_folder`, with an autoencoder fitted to the records."""
    from aelle.embedding.fit import train

    folder = write_explorer_folder(root, networks=networks)
    train(folder, progress=False)
    return folder


def write_latents(folder, latent_size=4, seed=0, networks=None):
    records = read_records(folder, ["init_gain", "spectrum", "val_metric"])
    if networks is not None:
        records = records[records["network_id"].isin(records["network_id"].unique()[:networks])]
    taken = records[records["spectrum"].notna()].reset_index(drop=True)
    random = np.random.default_rng(seed)
    angle = taken["init_gain"].to_numpy() / 3 + 0.15 * taken["epoch"].to_numpy()
    turn = random.normal(size=(2, latent_size))
    latents = np.stack([np.cos(angle) * 2, np.sin(angle)], axis=1) @ turn + 0.1 * random.normal(
        size=(len(taken), latent_size)
    )
    frame = taken[["network_id", "epoch"]].copy()
    for k in range(latent_size):
        frame[f"latent_{k}"] = latents[:, k]
    frame["predicted"] = 0.9 - 0.05 * abs(taken["init_gain"] - 3)
    frame["split"] = np.where(np.arange(len(taken)) % 5 == 0, "validation", "train")
    frame["reconstruction_error"] = random.uniform(0.001, 0.01, len(taken))
    write_frame(folder.latents, frame)


def write_predictions(folder, seed=0):
    records = read_records(folder, ["val_metric"])
    final = records.groupby("network_id")["val_metric"].last().dropna()
    random = np.random.default_rng(seed)
    noise = {"last value": 0.2, "hyperparameters": 0.06, "AeLLE": 0.03}
    rows = []
    for method, spread in noise.items():
        for epoch in (0, 1, 3):
            predicted = final + random.normal(0, spread / (1 + epoch), len(final))
            frame = pd.DataFrame(
                {
                    "method": method,
                    "epoch": epoch,
                    "network_id": final.index,
                    "fold": np.arange(len(final)) % 5,
                    "actual": final.to_numpy(),
                    "predicted": predicted.to_numpy(),
                }
            )
            if method == "AeLLE":
                frame["lower"], frame["upper"] = frame["predicted"] - 0.06, frame["predicted"] + 0.06
            rows.append(frame)
    write_frame(folder.predictions, pd.concat(rows, ignore_index=True))
    table = [
        {"epoch": epoch, "method": method, "spearman": value + 0.02 * epoch, "spearman_low": value - 0.08,
         "spearman_high": min(value + 0.06 + 0.02 * epoch, 1.0), "r2": value**2, "mae": 0.1 * (1 - value)}
        for method, value in (("last value", 0.1), ("hyperparameters", 0.8), ("AeLLE", 0.86)) for epoch in (0, 1, 3)
    ]  # fmt: skip
    write_json(folder.report, {
        "headline": "At epoch 0 AeLLE ranks networks best (Spearman 0.86).", "experiment": "synthetic",
        "task": "digits", "metric_name": "accuracy", "target": "final", "networks": len(final),
        "excluded": 1, "epochs": [0, 1, 3], "rows": table,
    })  # fmt: skip


def write_many_points(root, networks):
    """Write one epoch of very many networks, with short spectra, as fast as Parquet allows."""
    random = np.random.default_rng(0)
    folder = write_synthetic_experiment(root, networks=1)
    template = read_records(folder).iloc[:1]
    frame = template.loc[template.index.repeat(networks)].reset_index(drop=True)
    frame["network_id"] = [f"{k:012x}" for k in range(networks)]
    frame["init_gain"] = random.uniform(0.3, 12, networks)
    frame["val_metric"] = random.random(networks)
    frame["spectrum"] = list(-np.sort(random.random((networks, 16)), axis=1).astype(np.float32))
    for file in folder.records.rglob("*.parquet"):
        file.unlink()
    write_table(folder.cohort_file("many"), pa.Table.from_pandas(frame, schema=SCHEMA, preserve_index=False))
    latents = random.normal(size=(networks, 8)).astype(np.float32)
    columns = {f"latent_{k}": latents[:, k] for k in range(8)}
    write_frame(
        folder.latents, pd.DataFrame({"network_id": frame["network_id"], "epoch": frame["epoch"], **columns})
    )
    return folder
