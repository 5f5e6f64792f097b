"""What every encoder is, and the tokens of those that share their weights over positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aelle.records import normalised_index


@dataclass(frozen=True)
class EncoderShape:
    """Sizes and settings of an encoder of M members: (M, R, channels, length) and (M, R, extra) → (M, R, outputs)."""

    members: int
    channels: int
    length: int
    extra: int  # further inputs a row: epoch, summaries
    hidden_sizes: Sequence[int]
    outputs: int
    activation: str
    dropout: float


class Encoder(nn.Module):
    """Maps standardised channels, their mask and further inputs of each row to its latent parameters."""

    def forward(self, spectra: Tensor, mask: Tensor, extra: Tensor) -> Tensor:
        """Encode.

        Args:
            spectra: (M, R, channels, length), zero where masked.
            mask: (M, R, channels, length), 1 where recorded and trusted, else 0.
            extra: (M, R, extra).

        Returns:
            (M, R, outputs).
        """
        raise NotImplementedError


def tokens(spectra: Tensor, mask: Tensor) -> Tensor:
    """Turn each position into a token: index fraction, the values of all channels, the share that is recorded.

    Returns:
        (M, R, length, channels + 2).
    """
    members, rows, _, length = spectra.shape
    fraction = 2 * torch.from_numpy(normalised_index(length)).to(spectra.dtype) - 1
    place = fraction.expand(members, rows, length).unsqueeze(-1)
    recorded = mask.mean(dim=2).unsqueeze(-1)
    return torch.cat([place, spectra.transpose(2, 3), recorded], dim=-1)


def token_size(channels: int) -> int:
    """Width of a token."""
    return channels + 2


def pooled(features: Tensor, mask: Tensor) -> Tensor:
    """Mean over the positions at which anything is recorded: (M, R, length, F) → (M, R, F)."""
    recorded = (mask.amax(dim=2) > 0).to(features.dtype).unsqueeze(-1)
    mean: Tensor = (features * recorded).sum(dim=2) / recorded.sum(dim=2).clamp(min=1)
    return mean


def over_tokens(map_rows: nn.Module, x: Tensor) -> Tensor:
    """Apply a member map of rows to every token: (M, R, L, F) → (M, R, L, G)."""
    members, rows, length, width = x.shape
    mapped: Tensor = map_rows(x.reshape(members, rows * length, width))
    return mapped.reshape(members, rows, length, -1)
