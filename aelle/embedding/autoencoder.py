"""The autoencoder of Lyapunov spectra with an accuracy head (AeLLE), many members at once.

After Vogt, Zheng & Shlizerman, "Lyapunov-guided representation of recurrent neural network performance"
(2024): an encoder maps a spectrum to a latent point, a decoder maps it back, and a head reads the network's
final accuracy off the latent point. Here the training epoch is an input of all three.

Every parameter carries a leading *member* dimension M: the folds of a cross-validation or an ensemble are
trained as one batched product. Members never mix, so M autoencoders at once are M autoencoders apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aelle.config import Autoencoder as Settings
from aelle.embedding.layers import layers


@dataclass(frozen=True)
class Inputs:
    """R rows as each of M members sees them."""

    spectra: Tensor  # (M, R, channels, length), standardised, zero where masked
    mask: Tensor  # (M, R, channels, length), 1 where recorded and trusted
    summary: Tensor  # (M, R, summaries); of width 0 without summaries
    epoch: Tensor  # (M, R, 1), scaled to [0, 1]
    context: Tensor  # (M, R, context_size): architecture and size

    def rows(self, chosen: Tensor) -> Inputs:
        """Return the rows at these positions, the same for every member."""
        return Inputs(*(getattr(self, name)[:, chosen] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Embedded:
    """What the autoencoder says of R spectra, for each of M members."""

    latent: Tensor  # (M, R, latent_size)
    reconstruction: Tensor  # (M, R, channels · length), standardised
    prediction: Tensor  # (M, R), score read off the latent point
    prediction_in_context: Tensor  # (M, R), score read off latent point, architecture and size


class Autoencoder(nn.Module):
    """Encoder, decoder and two heads, for M members.

    Args:
        members: M.
        settings: widths, activation, and which options are on.
        context_size: width of the context that the second head sees (architecture and size).
        summary_size: width of the summaries that the encoder sees besides the channels.
        seed: determines initial weights and dropout.
    """

    def __init__(
        self, members: int, settings: Settings, context_size: int, summary_size: int = 0, seed: int = 0
    ) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)
        self.members, self.settings = members, settings
        self.epoch_size = int(settings.epoch_conditioned)
        input_size = len(settings.channels) * settings.length
        seen = input_size + self.epoch_size + summary_size
        encoding = [seen, *settings.hidden_sizes, settings.latent_size]
        self.encoder = layers(members, encoding, self.generator, settings.activation, settings.dropout)
        known = settings.latent_size + self.epoch_size
        dropped = settings.dropout if settings.decoder_dropout else 0.0
        mirrored = [known, *reversed(settings.hidden_sizes), input_size]
        self.decoder = layers(members, mirrored, self.generator, settings.activation, dropped, dropped)
        self.head = self._head(known)
        self.head_in_context = self._head(known + context_size)

    def _head(self, inputs: int) -> nn.Sequential:
        sizes = [inputs, *self.settings.head_sizes, 1]
        return layers(self.members, sizes, self.generator, self.settings.activation, self.settings.dropout)

    def forward(self, inputs: Inputs) -> Embedded:
        """Embed, reconstruct and predict."""
        epoch = self._conditioned(inputs.epoch)
        seen = torch.cat([inputs.spectra.flatten(start_dim=2), inputs.summary, epoch], dim=-1)
        latent = self.encoder(seen)
        known = torch.cat([latent, epoch], dim=-1)
        prediction = self.head(known).squeeze(-1)
        in_context = self.head_in_context(torch.cat([known, inputs.context], dim=-1)).squeeze(-1)
        return Embedded(latent, self.decoder(known), prediction, in_context)

    def decode(self, latent: Tensor, epoch: Tensor) -> Tensor:
        """Map latent points (M, R, latent_size) back to standardised spectra (M, R, channels · length)."""
        reconstruction: Tensor = self.decoder(torch.cat([latent, self._conditioned(epoch)], dim=-1))
        return reconstruction

    def _conditioned(self, epoch: Tensor) -> Tensor:
        return epoch[..., : self.epoch_size]
