"""Attention over the tokens of a spectrum: one layer with a residual connection, then their mean.

After Vaswani et al., "Attention is all you need" (2017), with one head; the index fraction in each token
stands for its place.
"""

from __future__ import annotations

import torch
from torch import Tensor

from aelle.embedding.encoders.encoder import Encoder, EncoderShape, over_tokens, pooled, token_size, tokens
from aelle.embedding.layers import ACTIVATIONS, MemberLinear, layers


class AttentionEncoder(Encoder):
    """Tokens → linear map → attention → mean over positions → MLP with the further inputs."""

    def __init__(self, shape: EncoderShape, generator: torch.Generator) -> None:
        super().__init__()
        width = shape.hidden_sizes[0] // 2 or 1
        self.embed = MemberLinear(shape.members, token_size(shape.channels), width, generator)
        self.query, self.key, self.value = (
            MemberLinear(shape.members, width, width, generator) for _ in range(3)
        )
        self.mix = MemberLinear(shape.members, width, width, generator)
        self.activation = ACTIVATIONS[shape.activation]()
        sizes = [width + shape.extra, *shape.hidden_sizes[1:], shape.outputs]
        self.layers = layers(shape.members, sizes, generator, shape.activation, shape.dropout)

    def forward(self, spectra: Tensor, mask: Tensor, extra: Tensor) -> Tensor:
        """See `Encoder.forward`."""
        x = self.activation(over_tokens(self.embed, tokens(spectra, mask)))
        query, key, value = (over_tokens(part, x) for part in (self.query, self.key, self.value))
        affinity = query @ key.transpose(-1, -2) / x.shape[-1] ** 0.5
        unrecorded = mask.amax(dim=2) == 0
        affinity = affinity.masked_fill(
            unrecorded.unsqueeze(-2), -1e4
        )  # finite: a row may have no token at all
        x = x + over_tokens(self.mix, affinity.softmax(dim=-1) @ value)
        encoded: Tensor = self.layers(torch.cat([pooled(self.activation(x), mask), extra], dim=-1))
        return encoded
