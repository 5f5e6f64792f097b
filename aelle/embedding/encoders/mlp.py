"""Fully connected layers over all channels and positions at once."""

from __future__ import annotations

import torch
from torch import Tensor

from aelle.embedding.encoders.encoder import Encoder, EncoderShape
from aelle.embedding.layers import layers


class MLPEncoder(Encoder):
    """An MLP on the resampled index: each position has weights of its own."""

    def __init__(self, shape: EncoderShape, generator: torch.Generator) -> None:
        super().__init__()
        sizes = [shape.channels * shape.length + shape.extra, *shape.hidden_sizes, shape.outputs]
        self.layers = layers(shape.members, sizes, generator, shape.activation, shape.dropout)

    def forward(self, spectra: Tensor, mask: Tensor, extra: Tensor) -> Tensor:
        """See `Encoder.forward`."""
        encoded: Tensor = self.layers(torch.cat([spectra.flatten(start_dim=2), extra], dim=-1))
        return encoded
