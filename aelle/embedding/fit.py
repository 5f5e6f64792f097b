"""Fit the autoencoder of an experiment: records → autoencoder/ and latents.parquet."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from aelle.config import Autoencoder as Settings
from aelle.embedding.checkpoint import FittedAutoencoder, load, save
from aelle.embedding.dataset import EmbeddingError, SpectraDataset, describe_excluded, load_dataset
from aelle.embedding.members import Split, fit_members
from aelle.records import ExperimentFolder, digest_of, records_digest, write_frame

__all__ = ["EmbeddingError", "FittedAutoencoder", "TrainSummary", "fit_autoencoder", "load", "train"]


@dataclass(frozen=True)
class TrainSummary:
    """What the autoencoder was fitted on, and how well; losses are those of the validation networks."""

    networks: int
    spectra: int
    diverged: int
    infinite_exponents: int
    untrusted_exponents: int
    excluded: dict[str, int]
    epochs: int
    reconstruction: float
    prediction: float
    unit: str  # of the two losses
    seconds: float

    def __str__(self) -> str:
        """Return two readable lines."""
        return (
            f"autoencoder fitted on {self.spectra} spectra of {self.networks} networks "
            f"({self.diverged} diverged, counted as the worst; {self.infinite_exponents} exponents of -inf "
            f"and {self.untrusted_exponents} untrusted ones masked; "
            f"left out: {describe_excluded(self.excluded)})\n"
            f"best of {self.epochs} epochs on held-out networks: reconstruction {self.reconstruction:.3f}, "
            f"prediction {self.prediction:.3f} ({self.unit}) in {self.seconds:.1f} s"
        )


def train(folder: ExperimentFolder, *, progress: bool = True) -> TrainSummary:
    """Fit the autoencoder and its heads on all networks and spectrum epochs of an experiment.

    Writes autoencoder/weights.safetensors, autoencoder/model.json and latents.parquet; where it raises,
    nothing has been written.

    Raises:
        RecordsError: for a missing, empty, corrupt or foreign folder.
        EmbeddingError: for fewer than 20 networks, a single outcome, or mixed conventions.
    """
    started = time.perf_counter()
    of_records = {"records": records_digest(folder.require())}
    dataset = load_dataset(folder).require_predictable()
    settings = dataset.experiment.autoencoder
    with tqdm(total=settings.epochs, desc="train", unit="epoch", disable=not progress, leave=False) as bar:
        fitted = fit_autoencoder(dataset, settings, dataset.experiment.seed, on_epoch=lambda _: bar.update())
    latents = fitted.embed(dataset.records)
    validation = latents["network_id"].isin(fitted.split["validation"])
    latents["split"] = np.where(validation, "validation", "train")
    save(folder, fitted, of_records)
    model = digest_of(folder.autoencoder / "model.json")
    write_frame(folder.latents, latents, made_from=of_records | {"autoencoder": model})
    history = fitted.members.history
    best = history.epochs[history.best_epoch]
    return TrainSummary(
        networks=len(dataset.networks),
        spectra=len(dataset.spectra),
        diverged=int(dataset.diverged.sum()),
        infinite_exponents=dataset.infinite_exponents,
        untrusted_exponents=dataset.untrusted_exponents,
        excluded=dataset.excluded,
        epochs=len(history.epochs),
        reconstruction=best["validation_reconstruction"],
        prediction=best["validation_prediction"],
        unit=_unit(settings),
        seconds=time.perf_counter() - started,
    )


def _unit(settings: Settings) -> str:
    if settings.reconstruction_loss == "squared":
        return "squared errors, 1 = knows nothing"
    return f"{settings.reconstruction_loss} error, squared error"


def fit_autoencoder(
    dataset: SpectraDataset,
    settings: Settings,
    seed: int,
    on_epoch: Callable[[int], None] = lambda epoch: None,
) -> FittedAutoencoder:
    """Fit one autoencoder on a dataset, stopped early on a validation split by network."""
    split = _validation_split(dataset, settings.validation_fraction, seed)
    # Latents, decoder and prediction have to agree, so what is kept is the network alone, without a forest.
    settings = settings.model_copy(update={"head": "network"})
    members = fit_members(dataset, [split], settings, seed, on_epoch)
    ids = dataset.networks.index.to_numpy()
    return FittedAutoencoder(
        members=members,
        settings=settings,
        about={
            "experiment": dataset.experiment.name,
            "task": dataset.experiment.task.name,
            "spectrum_state": dataset.state,
            "spectrum_inputs": dataset.inputs,
            "look": dataset.look,
        },
        split={"training": ids[split.training].tolist(), "validation": ids[split.validation].tolist()},
    )


def _validation_split(dataset: SpectraDataset, fraction: float, seed: int) -> Split:
    """Hold out a fraction of the networks; a finished network always stays in training."""
    count = max(1, round(fraction * len(dataset.networks)))
    order = np.random.default_rng(seed).permutation(len(dataset.networks))
    finished = np.flatnonzero(~dataset.diverged[order])
    order = np.append(np.delete(order, finished[-1]), order[finished[-1]])
    validation = np.zeros(len(dataset.networks), dtype=bool)
    validation[order[:count]] = True
    return Split(~validation, validation)
