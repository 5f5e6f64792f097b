"""The joint loss in named terms, and the schedule of its prediction term's weight."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from torch import Tensor

from aelle.config import Autoencoder as Settings
from aelle.embedding.autoencoder import Embedded, Inputs


@dataclass(frozen=True)
class LossTerms:
    """Mean losses per member, each of shape (M,).

    reconstruction: squared or absolute error of the standardised channels, over trusted positions and rows.
    prediction: squared error of the score, over rows and over the two heads.
    total: reconstruction_weight · reconstruction + w · prediction.
    """

    reconstruction: Tensor
    prediction: Tensor
    total: Tensor

    def named(self, member: int = 0) -> dict[str, float]:
        """Return one member's terms by name."""
        return {term.name: float(getattr(self, term.name)[member]) for term in fields(self)}


def joint_loss(
    embedded: Embedded,
    inputs: Inputs,
    scores: Tensor,
    row_weight: Tensor,
    weight: float,
    settings: Settings,
) -> LossTerms:
    """Compute the loss of every member over the rows that its `row_weight` (M, R) selects.

    Args:
        embedded: what the autoencoder says of the rows.
        inputs: what it saw of them.
        scores: true scores (M, R).
        row_weight: weight of each row; zero leaves it out. A member without rows has zero loss.
        weight: weight w of the prediction term.
        settings: which loss of the reconstruction, and its weight.
    """
    errors = _reconstruction_errors(embedded, inputs, settings.reconstruction_loss)
    reconstruction = _mean(errors, row_weight)
    heads = (embedded.prediction, embedded.prediction_in_context)
    first, second = ((prediction - scores).square() for prediction in heads)
    prediction = _mean((first + second) / 2, row_weight)
    total = settings.reconstruction_weight * reconstruction + weight * prediction
    return LossTerms(reconstruction, prediction, total)


def _mean(errors: Tensor, row_weight: Tensor) -> Tensor:
    return (errors * row_weight).sum(dim=1) / row_weight.sum(dim=1).clamp(min=1e-9)


def _reconstruction_errors(embedded: Embedded, inputs: Inputs, kind: str) -> Tensor:
    """Mean error of each row over the positions that are recorded and trusted, (M, R)."""
    difference = embedded.reconstruction - inputs.spectra.flatten(start_dim=2)
    errors = difference.square() if kind == "squared" else difference.abs()
    mask = inputs.mask.flatten(start_dim=2)
    return (errors * mask).sum(dim=-1) / mask.sum(dim=-1).clamp(min=1)


def prediction_weight(epoch: int, settings: Settings) -> float:
    """Weight of the prediction term after `epoch` epochs: it rises, as in Vogt et al. (2024).

    Either start · growth^epoch, at most `end`; or, where `prediction_weights` lists stages, each of them for
    an equal share of all epochs. The representation is learnt first and then bent towards performance.
    """
    stages = settings.prediction_weights
    if stages:
        return stages[min(epoch * len(stages) // settings.epochs, len(stages) - 1)]
    start, growth, end = (
        settings.prediction_weight_start,
        settings.prediction_weight_growth,
        settings.prediction_weight_end,
    )
    if epoch * math.log(growth) >= math.log(max(end / start, 1.0)):
        return end
    return min(start * growth**epoch, end)


def final_prediction_weight(settings: Settings) -> float:
    """The weight that the schedule ends with."""
    return settings.prediction_weights[-1] if settings.prediction_weights else settings.prediction_weight_end
