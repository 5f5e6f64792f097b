"""What the inputs of a prediction cost, in wall-clock."""

from __future__ import annotations

from typing import Any

from aelle.embedding.dataset import SpectraDataset


def seconds_per_network(dataset: SpectraDataset, epoch: int) -> tuple[float, float]:
    """Mean wall-clock seconds per network of training up to an epoch, and of its spectra up to it.

    What `[spectrum] also` asked for besides is counted with the spectra, whether some view reads it or not.
    """
    records = dataset.records[dataset.records["epoch"] <= epoch]
    columns = ["train_seconds", "spectrum_seconds", "also_seconds"]
    spent = records.reindex(columns=columns).astype(float).fillna(0).sum() / len(dataset.networks)
    return float(spent["train_seconds"]), float(spent["spectrum_seconds"] + spent["also_seconds"])


def costs_at(dataset: SpectraDataset, epoch: int) -> dict[str, Any]:
    """What training to an epoch and the spectra up to it cost, in mean seconds per network."""
    training, spectra = seconds_per_network(dataset, epoch)
    whole, _ = seconds_per_network(dataset, dataset.final_epoch)
    return {
        "epoch": epoch,
        "train_seconds": training,
        "spectrum_seconds": spectra,
        "whole_training_seconds": whole,
        "spectrum_share_of_whole_training": spectra / whole if whole > 0 else float("nan"),
    }
