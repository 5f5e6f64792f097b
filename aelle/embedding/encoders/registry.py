"""The encoders by name."""

from __future__ import annotations

import torch

from aelle.embedding.encoders.attention import AttentionEncoder
from aelle.embedding.encoders.convolution import ConvolutionEncoder
from aelle.embedding.encoders.encoder import Encoder, EncoderShape
from aelle.embedding.encoders.mlp import MLPEncoder
from aelle.embedding.encoders.set import SetEncoder

ENCODERS: dict[str, type[MLPEncoder | SetEncoder | ConvolutionEncoder | AttentionEncoder]] = {
    "mlp": MLPEncoder,
    "set": SetEncoder,
    "convolution": ConvolutionEncoder,
    "attention": AttentionEncoder,
}


def make_encoder(name: str, shape: EncoderShape, generator: torch.Generator) -> Encoder:
    """Build an encoder with initial weights drawn from `generator`."""
    return ENCODERS[name](shape, generator)
