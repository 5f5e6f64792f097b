"""A set encoder: one small network for every token, their mean, and fully connected layers on it.

After Zaheer et al., "Deep sets" (2017): a sum over elements makes the encoder indifferent to their number.
"""

from __future__ import annotations

import torch
from torch import Tensor

from aelle.embedding.encoders.encoder import Encoder, EncoderShape, over_tokens, pooled, token_size, tokens
from aelle.embedding.layers import ACTIVATIONS, layers


class SetEncoder(Encoder):
    """Tokens → shared MLP → mean over positions → MLP with the further inputs."""

    def __init__(self, shape: EncoderShape, generator: torch.Generator) -> None:
        super().__init__()
        width = shape.hidden_sizes[0]
        self.element = layers(
            shape.members, [token_size(shape.channels), width, width], generator, shape.activation
        )
        self.activation = ACTIVATIONS[shape.activation]()
        sizes = [width + shape.extra, *shape.hidden_sizes[1:], shape.outputs]
        self.layers = layers(shape.members, sizes, generator, shape.activation, shape.dropout)

    def forward(self, spectra: Tensor, mask: Tensor, extra: Tensor) -> Tensor:
        """See `Encoder.forward`."""
        features = self.activation(over_tokens(self.element, tokens(spectra, mask)))
        encoded: Tensor = self.layers(torch.cat([pooled(features, mask), extra], dim=-1))
        return encoded
