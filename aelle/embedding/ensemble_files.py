"""Ensembles of autoencoders on disk: weights.safetensors and model.json. Neither can run code when it is read.

model.json carries the settings, every member's transforms, and the checksum of the weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from aelle.config import Autoencoder as Settings
from aelle.embedding.autoencoder import Autoencoder
from aelle.embedding.dataset import EmbeddingError
from aelle.embedding.forest import EpochForests
from aelle.embedding.members import FittedMembers, ForestPair, Transforms
from aelle.embedding.optimise import History
from aelle.files import read_plain
from aelle.records import write_bytes, write_json
from aelle.words import first_line

WEIGHTS, DESCRIPTION = "weights.safetensors", "model.json"
_FOREST = "forest."  # prefix of the forests among the tensors


def save_members(folder: Path, members: FittedMembers) -> list[str]:
    """Write an ensemble, the description last; return the names of its files."""
    weights = save_tensors(tensors_of(members))
    write_bytes(folder / WEIGHTS, weights)
    content = {
        "settings": members.model.settings.model_dump(mode="json"),
        "transforms": [transforms.to_json() for transforms in members.transforms],
        "best_epoch": members.history.best_epoch,
        "history": members.history.epochs,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    write_json(folder / DESCRIPTION, content)
    return [WEIGHTS, DESCRIPTION]


def load_members(folder: Path) -> FittedMembers:
    """Read an ensemble that `save_members` wrote.

    Raises:
        EmbeddingError: where a file is missing, corrupt or not of this ensemble.
    """
    try:
        content = json.loads(read_plain(folder / DESCRIPTION)[0])
        weights = read_plain(folder / WEIGHTS)[0]
        if hashlib.sha256(weights).hexdigest() != content["weights_sha256"]:
            raise EmbeddingError(f"{folder / WEIGHTS}: not the weights that {DESCRIPTION} describes")
        transforms = [Transforms.from_json(part) for part in content["transforms"]]
        return members_from(content, transforms, load_tensors(weights))
    except EmbeddingError:
        raise
    except (
        OSError,
        KeyError,
        TypeError,
        ValueError,
        IndexError,
        AttributeError,
        RuntimeError,  # a RecursionError is one
        SafetensorError,
        ValidationError,
    ) as error:
        raise EmbeddingError(
            f"{folder}: not a usable ensemble of autoencoders ({first_line(error)})"
        ) from error


def tensors_of(members: FittedMembers) -> dict[str, torch.Tensor]:
    """Return weights and forests as named tensors."""
    tensors = {name: t.contiguous() for name, t in members.model.state_dict().items()}
    for number, pair in enumerate(members.forests or []):
        for head, forests in (("plain", pair.plain), ("in_context", pair.in_context)):
            prefix = f"{_FOREST}{number}.{head}."
            tensors |= {prefix + name: torch.from_numpy(array) for name, array in forests.to_arrays().items()}
    return tensors


def members_from(
    content: Mapping[str, Any], transforms: list[Transforms], tensors: Mapping[str, torch.Tensor]
) -> FittedMembers:
    """Rebuild from settings and history, each member's transforms, and named tensors."""
    settings = Settings.model_validate(content["settings"])
    shape = (len(settings.channels), settings.length)
    first = transforms[0]
    if first.spectra.standardisation.mean.shape[1:] != shape:
        raise ValueError(f"the transform's arrays are not of shape {shape}")
    summary = first.spectra.summary.mean.shape[1] if settings.summaries else 0
    model = Autoencoder(len(transforms), settings, first.context.width, summary)
    model.load_state_dict({name: t for name, t in tensors.items() if not name.startswith(_FOREST)})
    history = History(list(content["history"]), int(content["best_epoch"]))
    forests = None
    if settings.head != "network":
        forests = [
            ForestPair(*(_forests(tensors, f"{_FOREST}{number}.{head}.") for head in ("plain", "in_context")))
            for number in range(len(transforms))
        ]
    return FittedMembers(model, transforms, history, forests)


def _forests(tensors: Mapping[str, torch.Tensor], prefix: str) -> EpochForests:
    found = {name.removeprefix(prefix): t.numpy() for name, t in tensors.items() if name.startswith(prefix)}
    return EpochForests.from_arrays(found)
