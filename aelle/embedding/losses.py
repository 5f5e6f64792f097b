"""The joint loss in named terms, and the rising weight of its prediction term."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from aelle.embedding.autoencoder import Embedded


@dataclass(frozen=True)
class LossTerms:
    """Mean losses per member, each of shape (M,).

    reconstruction: squared error of the standardised spectrum, averaged over positions and rows.
    prediction: squared error of the score, averaged over rows and over the two heads.
    total: reconstruction + weight · prediction.
    """

    reconstruction: Tensor
    prediction: Tensor
    total: Tensor

    def named(self, member: int = 0) -> dict[str, float]:
        """Return one member's terms by name."""
        return {
            name: float(getattr(self, name)[member]) for name in ("reconstruction", "prediction", "total")
        }


def joint_loss(
    embedded: Embedded, spectra: Tensor, scores: Tensor, row_weight: Tensor, weight: float
) -> LossTerms:
    """Compute the loss of every member over the rows that its `row_weight` (M, R) selects.

    Args:
        embedded: what the autoencoder says of the rows.
        spectra: standardised spectra (M, R, input_size).
        scores: true scores (M, R).
        row_weight: weight of each row; zero leaves it out. A member without rows has zero loss.
        weight: weight of the prediction term.
    """
    normaliser = row_weight.sum(dim=1).clamp(min=1e-9)
    squared = (embedded.reconstruction - spectra).square().mean(dim=-1)
    errors = (embedded.prediction - scores).square() + (embedded.prediction_in_context - scores).square()
    reconstruction = (squared * row_weight).sum(dim=1) / normaliser
    prediction = (errors / 2 * row_weight).sum(dim=1) / normaliser
    return LossTerms(reconstruction, prediction, reconstruction + weight * prediction)


def prediction_weight(epoch: int, start: float, growth: float, end: float) -> float:
    """Weight of the prediction term after `epoch` epochs: start · growth^epoch, at most `end`.

    The representation is learnt first and then bent towards performance, as Vogt et al. (2024) do.
    """
    if growth == 1 or epoch * torch.tensor(growth).log().item() < 700:
        return min(start * growth**epoch, end)
    return end
