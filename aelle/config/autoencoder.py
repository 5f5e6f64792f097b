"""The autoencoder of spectra: what it sees, what it is, how it learns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from aelle.config.values import Channels, Epochs, Fraction, NonNegativeFloat, PositiveFloat, Strict


def _paper_preset(content: Mapping[str, Any]) -> dict[str, Any]:
    """The autoencoder of Vogt, Zheng & Shlizerman, as their published code builds and trains it by default.

    Three fully connected layers of n/8, n/16 and 32 units with tanh, mirrored; dropout after every layer of
    the decoder too; absolute error of the spectrum plus α times the squared error of a linear read-out of the
    latent point; α = 5, 5, 10, 20 for 1,000 epochs each; batches of 128; Adam.
    """
    length = content.get("length", 128)
    return {
        "length": length,
        "channels": ["spectrum"],
        "hidden_sizes": [max(1, length // part) for part in (8, 16)] if isinstance(length, int) else [16, 8],
        "latent_size": 32,
        "head_sizes": [],
        "head": "network",
        "activation": "tanh",
        "summaries": False,
        "epoch_conditioned": False,
        "decoder_dropout": True,
        "reconstruction_loss": "absolute",
        "learning_rate": 0.0001,
        "weight_decay": 0.0,
        "epochs": 4000,
        "patience": 4000,
        "batch_size": 128,
        "prediction_weights": [5.0, 5.0, 10.0, 20.0],
        "select_by": "prediction",
    }


# Settings of earlier versions, with the values that are now all there is: what lost is described in experiments/LOG.md.
_RETIRED = {"encoder": "mlp", "prediction_loss": "squared", "kl_weight": 0}


def _without_retired(content: Mapping[str, Any]) -> dict[str, Any]:
    """Pass over retired settings in the folders of earlier versions, where they ask for what there still is."""
    for name, value in _RETIRED.items():
        if content.get(name, value) != value:
            raise ValueError(
                f"{name} = {content[name]!r} is no longer there, since it lost; leave {name} out"
            )
    return {name: value for name, value in content.items() if name not in _RETIRED}


class Autoencoder(Strict):
    """The autoencoder of spectra and its accuracy head.

    `preset` "paper" takes every setting that is not given from the autoencoder of Vogt, Zheng & Shlizerman
    (arXiv:2204.04876) instead of from the defaults here.

    What it sees: `channels` of each spectrum (spectrum, change, temporal_std, standard_error, change_of_X, or
    any record column X that holds lists), each as `length` values over the normalised index, and with
    `summaries` six numbers of the spectrum. With `epoch_conditioned` the epoch is an input of all parts.

    What it is: `hidden_sizes` are the widths of the encoder's fully connected layers, mirrored by the decoder;
    `head_sizes` those of the heads, which read the latent point. `head` "network" predicts by the network's head; "forest" by the mean of `forest_trees` extra-trees and of gradient boosting, grown for
    every epoch and member on the same inputs; "mixture" by the mean of all three. The latents and what
    `aelle train` predicts always come from the network.

    How it learns: reconstruction_weight · reconstruction + w · prediction. w rises from `prediction_weight_start` by
    the factor `prediction_weight_growth` per epoch up to `prediction_weight_end`; or, where `prediction_weights`
    lists some, it takes each of them for an equal share of the epochs. Kept is the epoch of the least validation
    loss, of the sum or of the `prediction` term alone (`select_by`).
    """

    preset: Literal["aelle", "paper"] = "aelle"
    length: Annotated[int, Field(ge=8, le=4096)] = 32
    channels: Channels = ["spectrum", "change", "temporal_std"]
    summaries: bool = True
    epoch_conditioned: bool = True
    hidden_sizes: Annotated[
        list[Annotated[int, Field(ge=1, le=16384)]], Field(min_length=1, max_length=64)
    ] = [64, 32]
    latent_size: Annotated[int, Field(ge=1, le=1024)] = 8
    head_sizes: Annotated[list[Annotated[int, Field(ge=1, le=16384)]], Field(max_length=64)] = [16]
    head: Literal["network", "forest", "mixture"] = "mixture"
    forest_trees: Annotated[int, Field(ge=1, le=10**4)] = 20
    activation: Literal["silu", "tanh"] = "silu"
    reconstruction_loss: Literal["squared", "absolute"] = "squared"
    reconstruction_weight: NonNegativeFloat = 1.0
    learning_rate: PositiveFloat = 0.01
    weight_decay: NonNegativeFloat = 0.01
    epochs: Epochs = 100
    batch_size: Annotated[int, Field(ge=1, le=10**9)] = 512
    dropout: Fraction = 0.1
    decoder_dropout: bool = False
    patience: Epochs = 30
    select_by: Literal["total", "prediction"] = "total"
    validation_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.15
    prediction_weight_start: PositiveFloat = 0.1
    prediction_weight_growth: Annotated[float, Field(ge=1)] = 1.2
    prediction_weight_end: PositiveFloat = 10.0
    prediction_weights: list[NonNegativeFloat] = []

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, content: Any) -> Any:
        if not isinstance(content, Mapping):
            return content
        given = _without_retired(content)
        return {**_paper_preset(given), **given} if given.get("preset") == "paper" else given
