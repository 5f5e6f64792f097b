"""The autoencoder's decoder and head in numpy: latent points back to spectra and predicted metric.

The page takes the transforms of `aelle.embedding`, but runs the two small networks itself, so that it needs no torch.
Reads autoencoder/model.json and weights.safetensors, neither of which can run code. The parts are layers
`<part>.<k>.weight` (1, in, out) and `<part>.<k>.bias` (1, 1, out) with SiLU or tanh between them; the last input of
each part is the scaled epoch, unless the autoencoder is not conditioned on it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aelle.embedding.transform import SpectraTransform, TargetTransform
from aelle.explorer.errors import ExplorerError
from aelle.records import ExperimentFolder, RecordsError, read_bytes, read_json

_FORMAT = "aelle autoencoder 3"
Layers = list[tuple[NDArray[np.float64], NDArray[np.float64]]]


@dataclass(frozen=True)
class Decoder:
    """What maps latent points to spectra and to the predicted final metric."""

    decoder: Layers
    head: Layers
    activation: str
    transform: SpectraTransform
    target: TargetTransform

    def spectra(self, latents: NDArray[np.float64], epoch: float) -> NDArray[np.float64]:
        """Decode latents (rows × latent size) into exponents (rows × length), nats per step, descending."""
        decoded = _run(self.decoder, self._with_epoch(self.decoder, latents, epoch), self.activation)
        channels = decoded.reshape(len(decoded), len(self.transform.channels), self.transform.length)
        values = self.transform.invert(channels, np.full(len(decoded), float(epoch)))
        spectra = values[:, self.transform.channels.index("spectrum")]
        return -np.sort(-spectra, axis=1)  # a decoder need not keep the order that defines a spectrum

    def predicted(self, latents: NDArray[np.float64], epoch: float) -> NDArray[np.float64]:
        """Predict the final metric from latents, in the metric's unit."""
        return self.target.invert(self.score(latents, epoch))

    def score(self, latents: NDArray[np.float64], epoch: float) -> NDArray[np.float64]:
        """The head's score: higher is better, whatever the metric."""
        return _run(self.head, self._with_epoch(self.head, latents, epoch), self.activation)[:, 0]

    def uphill(self, latent: NDArray[np.float64], epoch: float) -> NDArray[np.float64]:
        """Direction (unit length) in which the score rises fastest at one latent; zero where it is flat."""
        step = 1e-4 * np.eye(len(latent))
        slope = self.score(latent + step, epoch) - self.score(latent - step, epoch)
        length = float(np.linalg.norm(slope))
        return slope / length if length > 0 else np.zeros_like(latent)

    def _with_epoch(self, layers: Layers, latents: NDArray[np.float64], epoch: float) -> NDArray[np.float64]:
        if len(layers[0][0]) == np.atleast_2d(latents).shape[1]:
            return np.atleast_2d(latents)
        scaled = float(self.transform.epoch_scale(np.array(epoch)))
        rows = np.atleast_2d(latents)
        return np.concatenate([rows, np.full((len(rows), 1), scaled)], axis=1)


def load_decoder(folder: ExperimentFolder) -> Decoder:
    """Read the fitted autoencoder's decoder and head.

    Raises:
        ExplorerError: where there is none, or the files are of another version or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    again = f"run `aelle train {folder.root}`"
    try:
        content = read_json(folder.autoencoder / "model.json")
        stored = read_bytes(folder.autoencoder / "weights.safetensors")
        weights = load(stored)
    except RecordsError as error:
        there = (folder.autoencoder / "model.json").exists()
        what = str(error) if there else f"{folder.autoencoder}: holds no autoencoder; {again}"
        raise ExplorerError(what) from error
    except (ValueError, SafetensorError) as error:
        raise ExplorerError(f"{folder.autoencoder}: cannot be read; {again}") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ExplorerError(f"{folder.autoencoder}: was written by another version; {again}")
    if content.get("weights_sha256") not in (None, hashlib.sha256(stored).hexdigest()):
        raise ExplorerError(
            f"{folder.autoencoder}: its weights are not those that model.json describes; {again}"
        )
    try:
        return _rebuild(content, weights)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ExplorerError(f"{folder.autoencoder}: is damaged; {again}") from error


def _rebuild(content: Mapping[str, Any], weights: Mapping[str, NDArray[Any]]) -> Decoder:
    transform = SpectraTransform.from_json(content["transform"]["spectra"])
    if "spectrum" not in transform.channels:
        raise ValueError("the bare spectrum is not among the channels")
    return Decoder(
        _layers(weights, "decoder"),
        _layers(weights, "head"),
        str(content["settings"]["activation"]),
        transform,
        TargetTransform.from_json(content["transform"]["target"]),
    )


def _layers(weights: Mapping[str, NDArray[Any]], part: str) -> Layers:
    numbers = sorted(
        int(found[1]) for name in weights if (found := re.fullmatch(rf"{part}\.(\d+)\.weight", name))
    )
    if not numbers:
        raise KeyError(part)
    return [
        (weights[f"{part}.{k}.weight"][0].astype(float), weights[f"{part}.{k}.bias"][0].astype(float))
        for k in numbers
    ]


def _run(layers: Layers, x: NDArray[np.float64], activation: str) -> NDArray[np.float64]:
    for weight, bias in layers[:-1]:
        x = x @ weight + bias
        # SiLU; this form of the logistic function cannot overflow.
        x = np.tanh(x) if activation == "tanh" else x * (0.5 * (1 + np.tanh(0.5 * x)))
    return x @ layers[-1][0] + layers[-1][1]
