"""The fitted autoencoder on disk: weights.safetensors and model.json. Neither can run code when it is read.

model.json carries the settings, the fitted transforms, the split, the history of the loss terms, and the
checksum of the weights that belong to it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from aelle.config import Autoencoder as Settings
from aelle.embedding.dataset import EmbeddingError, read_experiment, spectrum_rows
from aelle.embedding.ensemble_files import members_from, tensors_of
from aelle.embedding.members import FittedMembers, Transforms
from aelle.embedding.optimise import single_threaded
from aelle.files import read_plain
from aelle.records import (
    BLANK,
    ExperimentFolder,
    RecordsError,
    fill,
    looked,
    read_bytes,
    write_bytes,
    write_json,
)
from aelle.words import first_line

FORMAT = "aelle autoencoder 3"


@dataclass(frozen=True)
class FittedAutoencoder:
    """A trained autoencoder with its transforms, usable on new records.

    Attributes:
        members: the one trained member.
        settings: the settings it was trained with.
        about: experiment, task, metric and the convention of the spectra it was trained on.
        split: `training` and `validation` network ids.
    """

    members: FittedMembers
    settings: Settings
    about: dict[str, str]
    split: dict[str, list[str]]

    @property
    def latent_size(self) -> int:
        """Dimension of the latent space."""
        return self.settings.latent_size

    def embed(self, records: pd.DataFrame) -> pd.DataFrame:
        """Embed every recorded spectrum, one row each.

        Returns:
            network_id, epoch, latent_0 …, predicted (from the spectrum alone) and predicted_in_context (with
            architecture and size) in metric units; reconstruction_error (root mean square over the trusted
            positions, in training standard deviations).

        Raises:
            EmbeddingError: where the records hold no spectrum, or spectra of another task or convention.
        """
        self._check(records)
        rows = spectrum_rows(records)
        if rows.empty:
            raise EmbeddingError("the records hold no spectrum to embed")
        networks = records.drop_duplicates("network_id").set_index("network_id").loc[rows["network_id"]]
        embedded, inputs = self.members.embed(rows, networks)
        target = self.members.transforms[0].target
        latent = embedded.latent[0].numpy()
        columns = {f"latent_{i}": latent[:, i] for i in range(self.latent_size)}
        mask = inputs.mask[0].flatten(start_dim=1)
        squared = (embedded.reconstruction[0] - inputs.spectra[0].flatten(start_dim=1)).square() * mask
        error = (squared.sum(dim=1) / mask.sum(dim=1).clamp(min=1)).sqrt()
        return rows[["network_id", "epoch"]].assign(
            **columns,
            predicted=target.invert(embedded.prediction[0].numpy()),
            predicted_in_context=target.invert(embedded.prediction_in_context[0].numpy()),
            reconstruction_error=error.numpy(),
        )

    @torch.no_grad()
    def decode(self, latent: np.ndarray, epoch: float) -> np.ndarray:
        """Decode latent points (rows, latent_size) into spectra (rows, length) in nats per step.

        Raises:
            EmbeddingError: where the bare spectrum is not among the channels.
        """
        transform = self.members.transforms[0].spectra
        if "spectrum" not in transform.channels:
            raise EmbeddingError(
                "this autoencoder does not see the bare spectrum and so cannot decode into one; "
                "add 'spectrum' to [autoencoder] channels and run `aelle train` again"
            )
        points = torch.from_numpy(np.array(latent, dtype=np.float32, ndmin=2)).unsqueeze(0)
        scaled = torch.full((1, points.shape[1], 1), float(transform.epoch_scale(np.array(epoch))))
        with single_threaded():
            decoded = self.members.model.eval().decode(points, scaled)[0].numpy()
        channels = transform.invert(
            decoded.reshape(len(decoded), len(transform.channels), transform.length),
            np.full(len(decoded), float(epoch)),
        )
        spectra: np.ndarray = channels[:, transform.channels.index("spectrum")]
        return spectra

    def _check(self, records: pd.DataFrame) -> None:
        described = records[["task", "spectrum_state", "spectrum_inputs"]].assign(look=looked(records))
        for column in map(str, described):
            found = set(described[column].dropna().unique()) - {self.about[column]}
            if found:
                raise EmbeddingError(
                    f"the autoencoder was trained on {column} {self.about[column]!r}, "
                    f"the records have {', '.join(sorted(map(repr, found)))}"
                )


def save(
    folder: ExperimentFolder, fitted: FittedAutoencoder, made_from: Mapping[str, str] | None = None
) -> None:
    """Write the checkpoint: weights first, then the description that vouches for them, and says what they are from."""
    weights = fill(save_tensors(tensors_of(fitted.members), {"digest": BLANK}))
    write_bytes(folder.autoencoder / "weights.safetensors", weights)
    write_json(
        folder.autoencoder / "model.json",
        {
            "format": FORMAT,
            **fitted.about,
            "settings": fitted.settings.model_dump(mode="json"),
            "split": fitted.split,
            "transform": fitted.members.transforms[0].to_json(),
            "best_epoch": fitted.members.history.best_epoch,
            "history": fitted.members.history.epochs,
            "weights_sha256": hashlib.sha256(weights).hexdigest(),
        },
        made_from,
    )


def load(folder: ExperimentFolder) -> FittedAutoencoder:
    """Read the fitted autoencoder of an experiment.

    Raises:
        RecordsError: for a folder that holds no experiment.
        EmbeddingError: where there is none, or a file is corrupt, foreign, or not of this checkpoint.
    """
    description_file, weights_file = (
        folder.autoencoder / "model.json",
        folder.autoencoder / "weights.safetensors",
    )
    content = _read_description(description_file)
    name = read_experiment(folder).name
    if content.get("experiment") != name:
        raise EmbeddingError(
            f"{description_file}: fitted on experiment {content.get('experiment')!r}, not on {name!r}; "
            "run `aelle train` again"
        )
    weights = _read(weights_file, digest=False)  # that of model.json says more: these weights, and no others
    if hashlib.sha256(weights).hexdigest() != content.get("weights_sha256"):
        raise EmbeddingError(
            f"{weights_file}: not the weights that model.json describes; run `aelle train` again"
        )
    try:
        return _rebuild(content, load_tensors(weights))
    except (
        KeyError,
        TypeError,
        ValueError,
        IndexError,
        RuntimeError,
        SafetensorError,
        ValidationError,
    ) as error:
        reason = first_line(error)
        raise EmbeddingError(
            f"{description_file}: not a usable autoencoder ({reason}); run `aelle train` again"
        ) from error


def _read(path: Path, digest: bool = True) -> bytes:
    if not path.exists():
        raise EmbeddingError(f"{path}: no such file; fit the autoencoder first with `aelle train`")
    try:
        return read_bytes(path) if digest else read_plain(path)[0]
    except RecordsError as error:
        raise EmbeddingError(str(error)) from error
    except OSError as error:
        raise EmbeddingError(f"{path}: cannot be read: {error.strerror}") from error


def _read_description(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, EmbeddingError):
            raise
        raise EmbeddingError(f"{path}: not valid JSON ({error}); run `aelle train` again") from None
    found = content.get("format") if isinstance(content, dict) else None
    if isinstance(found, str) and found.startswith("aelle autoencoder ") and found != FORMAT:
        raise EmbeddingError(
            f"{path}: written by another version ({found!r}, this one reads {FORMAT!r}); run `aelle train` again"
        )
    if found != FORMAT:
        raise EmbeddingError(f"{path}: not the description of an aelle autoencoder (format {FORMAT!r})")
    return content


def _rebuild(content: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> FittedAutoencoder:
    split = {name: [str(i) for i in content["split"][name]] for name in ("training", "validation")}
    members = members_from(content, [Transforms.from_json(content["transform"])], weights)
    about = {name: str(content[name]) for name in ("experiment", "task", "spectrum_state", "spectrum_inputs")}
    about["look"] = str(content.get("look", "full"))  # which earlier versions did not say
    return FittedAutoencoder(members, members.model.settings, about, split)
