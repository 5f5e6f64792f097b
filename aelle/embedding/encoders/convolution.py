"""A one-dimensional convolution along the index: two layers that see neighbouring exponents, then their mean."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from aelle.embedding.encoders.encoder import Encoder, EncoderShape, over_tokens, pooled, token_size, tokens
from aelle.embedding.layers import ACTIVATIONS, MemberLinear, layers

_WIDTH = 5  # positions that one output of a layer sees
_STRIDE = 2


class ConvolutionEncoder(Encoder):
    """Tokens → two strided convolutions → mean over positions → MLP with the further inputs."""

    def __init__(self, shape: EncoderShape, generator: torch.Generator) -> None:
        super().__init__()
        width = shape.hidden_sizes[0] // 2 or 1
        self.first = MemberLinear(shape.members, _WIDTH * token_size(shape.channels), width, generator)
        self.second = MemberLinear(shape.members, _WIDTH * width, width, generator)
        self.activation = ACTIVATIONS[shape.activation]()
        sizes = [width + shape.extra, *shape.hidden_sizes[1:], shape.outputs]
        self.layers = layers(shape.members, sizes, generator, shape.activation, shape.dropout)

    def forward(self, spectra: Tensor, mask: Tensor, extra: Tensor) -> Tensor:
        """See `Encoder.forward`."""
        features = self.activation(over_tokens(self.first, _windows(tokens(spectra, mask))))
        features = self.activation(over_tokens(self.second, _windows(features)))
        # What is not recorded entered as zero beside a flag; the mean is over all windows.
        everywhere = torch.ones_like(features[..., 0]).unsqueeze(2)
        encoded: Tensor = self.layers(torch.cat([pooled(features, everywhere), extra], dim=-1))
        return encoded


def _windows(x: Tensor) -> Tensor:
    """Return overlapping windows: (M, R, L, F) → (M, R, ⌈L/stride⌉, width · F)."""
    side = _WIDTH // 2
    padded = pad(x, (0, 0, side, side))
    return padded.unfold(2, _WIDTH, _STRIDE).flatten(start_dim=3)
