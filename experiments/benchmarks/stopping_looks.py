"""A sweep of spectra as one of economy looks: what `experiments/goals/look_power.py` saw of its networks, and the price."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from aelle.config import Autoencoder, Prediction
from aelle.config.collection import LOOK_SEQUENCES
from aelle.embedding.dataset import SpectraDataset, spectrum_rows

STEPS = 100  # of a sequence at most, as in a collection by default
_OF_SPECTRA = (
    "spectrum",
    "spectrum_se",
    "spectrum_std",
    "spectrum_hidden",
    "spectrum_noise",
    "readout_growth",
)


def with_looks(dataset: SpectraDataset, measured: Path) -> SpectraDataset:
    """The dataset with looks in place of spectra, under present settings.

    A look is charged by what it cost beside an epoch of the same network in one process, times the recorded seconds
    of the network's epochs.
    """
    found = [json.loads(file.read_text()) for file in sorted(measured.glob("*.json"))]
    sequences = min(LOOK_SEQUENCES, max(row["sequences"] for f in found for row in f["rows"]))
    looks = pd.DataFrame(
        [
            {
                "network_id": f["network_id"],
                "epoch": row["epoch"],
                "leading_exponents": np.asarray(row["leading"], np.float32),
                "mean_exponent": None if math.isnan(row["mean"]) else row["mean"],
                "readout_growth": np.asarray(row["growth"], np.float32),
            }
            for f in found
            for row in f["rows"]
            if (row["sequences"], row["steps"]) == (sequences, STEPS)
        ]
    )
    name = f"look {sequences} {STEPS}"
    share = pd.Series(
        {f["network_id"]: f["prices"][name] / f["prices"]["epoch"] for f in found if f["prices"]}
    )
    records = dataset.records.drop(columns=[*_OF_SPECTRA, "leading_exponents", "mean_exponent"])
    records = records.merge(looks, on=["network_id", "epoch"], how="left")
    trained = records[records["epoch"] > 0].groupby("network_id")["train_seconds"].median()
    price = records["network_id"].map(share.fillna(share.median()) * trained)
    records = records.assign(
        spectrum_seconds=price.where(records["leading_exponents"].notna()), also_seconds=0.0, spectrum=None,
        spectrum_se=None, spectrum_std=None, trusted_count=None,
    )  # fmt: skip
    spectra = spectrum_rows(records)
    spectra.insert(1, "network", dataset.networks.index.get_indexer(pd.Index(spectra["network_id"])))
    present = {"autoencoder": Autoencoder(), "prediction": Prediction()}
    experiment = dataset.experiment.model_copy(update=present)
    return replace(dataset, experiment=experiment, records=records, spectra=spectra, look="economy")
