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


class Autoencoder(Strict):
    """The autoencoder of spectra and its accuracy head.

    `preset` "paper" takes every setting that is not given from the autoencoder of Vogt, Zheng & Shlizerman
    (arXiv:2204.04876) instead of from the defaults here.

    What it sees: `channels` of each spectrum (spectrum, change, temporal_std, standard_error, change_of_X, or
    any record column X that holds lists), each as `length` values over the normalised index, and with
    `summaries` six numbers of the spectrum. With `epoch_conditioned` the epoch is an input of all parts.

    What it is: `encoder` "mlp" reads all positions at once; "set", "convolution" and "attention" share their
    weights over positions, as tokens (index fraction, values). `hidden_sizes` are the widths of its layers,
    mirrored by the decoder; `head_sizes` those of the heads, which read the latent point. With `kl_weight`
    above 0 the latent point is drawn from a Gaussian held near N(0, 1) (variational). `head` "network" predicts
    by the network's head; "forest" by the mean of `forest_trees` extra-trees and of gradient boosting, grown for
    every epoch and member on the same inputs; "mixture" by the mean of all three. The latents and what
    `aelle train` predicts always come from the network.

    How it learns: reconstruction_weight · reconstruction + w · prediction + kl_weight · divergence.
    `prediction_loss` "gaussian" makes the heads predict a variance too. w rises from `prediction_weight_start` by
    the factor `prediction_weight_growth` an epoch up to `prediction_weight_end`; or, where `prediction_weights`
    lists some, it takes each of them for an equal share of the epochs. Kept is the epoch of the least validation
    loss, of the sum or of the `prediction` term alone (`select_by`).
    """

    preset: Literal["aelle", "paper"] = "aelle"
    encoder: Literal["mlp", "set", "convolution", "attention"] = "mlp"
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
    prediction_loss: Literal["squared", "gaussian"] = "squared"
    kl_weight: NonNegativeFloat = 0.0
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
        if isinstance(content, Mapping) and content.get("preset") == "paper":
            return {**_paper_preset(content), **content}
        return content
