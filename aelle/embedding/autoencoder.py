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
from aelle.embedding.encoders.encoder import EncoderShape
from aelle.embedding.encoders.registry import make_encoder
from aelle.embedding.layers import layers

_LARGEST_LOG_VARIANCE = 8.0


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

    latent: Tensor  # (M, R, latent_size); its mean where the autoencoder is variational
    reconstruction: Tensor  # (M, R, channels · length), standardised
    prediction: Tensor  # (M, R), score read off the latent point
    prediction_in_context: Tensor  # (M, R), score read off latent point, architecture and size
    spread: Tensor | None = None  # (M, R), predicted standard deviation of the score, where it was learnt
    spread_in_context: Tensor | None = None
    log_variance: Tensor | None = None  # (M, R, latent_size), of a variational latent point


class Autoencoder(nn.Module):
    """Encoder, decoder and two heads, for M members.

    Args:
        members: M.
        settings: widths, encoder, activation, and which options are on.
        context_size: width of the context that the second head sees (architecture and size).
        summary_size: width of the summaries that the encoder sees besides the channels.
        seed: determines initial weights, dropout and latent noise.
    """

    def __init__(
        self, members: int, settings: Settings, context_size: int, summary_size: int = 0, seed: int = 0
    ) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)
        self.members, self.settings = members, settings
        self.epoch_size = int(settings.epoch_conditioned)
        self.outputs = 1 + (settings.prediction_loss == "gaussian")
        input_size = len(settings.channels) * settings.length
        shape = EncoderShape(
            members,
            len(settings.channels),
            settings.length,
            self.epoch_size + summary_size,
            settings.hidden_sizes,
            settings.latent_size * (1 + (settings.kl_weight > 0)),
            settings.activation,
            settings.dropout,
        )
        self.encoder = make_encoder(settings.encoder, shape, self.generator)
        known = settings.latent_size + self.epoch_size
        dropped = settings.dropout if settings.decoder_dropout else 0.0
        mirrored = [known, *reversed(settings.hidden_sizes), input_size]
        self.decoder = layers(members, mirrored, self.generator, settings.activation, dropped, dropped)
        self.head = self._head(known)
        self.head_in_context = self._head(known + context_size)

    def _head(self, inputs: int) -> nn.Sequential:
        sizes = [inputs, *self.settings.head_sizes, self.outputs]
        return layers(self.members, sizes, self.generator, self.settings.activation, self.settings.dropout)

    def forward(self, inputs: Inputs) -> Embedded:
        """Embed, reconstruct and predict; in training a variational latent point is drawn, else it is the mean."""
        extra = torch.cat([inputs.summary, self._conditioned(inputs.epoch)], dim=-1)
        encoded = self.encoder(inputs.spectra, inputs.mask, extra)
        latent, log_variance, point = encoded, None, encoded
        if self.settings.kl_weight > 0:
            latent, log_variance = encoded.chunk(2, dim=-1)
            log_variance = log_variance.clamp(-_LARGEST_LOG_VARIANCE, _LARGEST_LOG_VARIANCE)
            point = self._drawn(latent, log_variance)
        known = torch.cat([point, self._conditioned(inputs.epoch)], dim=-1)
        prediction, spread = self._distribution(self.head(known))
        in_context, spread_in_context = self._distribution(
            self.head_in_context(torch.cat([known, inputs.context], dim=-1))
        )
        return Embedded(
            latent, self.decoder(known), prediction, in_context, spread, spread_in_context, log_variance
        )

    def decode(self, latent: Tensor, epoch: Tensor) -> Tensor:
        """Map latent points (M, R, latent_size) back to standardised spectra (M, R, channels · length)."""
        reconstruction: Tensor = self.decoder(torch.cat([latent, self._conditioned(epoch)], dim=-1))
        return reconstruction

    def _conditioned(self, epoch: Tensor) -> Tensor:
        return epoch[..., : self.epoch_size]

    def _drawn(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        if not self.training:
            return mean
        noise = torch.randn(mean.shape, generator=self.generator)
        return mean + noise * (log_variance / 2).exp()

    def _distribution(self, output: Tensor) -> tuple[Tensor, Tensor | None]:
        """Split a head's output into the predicted score and, where it was learnt, its standard deviation."""
        if self.outputs == 1:
            return output.squeeze(-1), None
        log_variance = output[..., 1].clamp(-_LARGEST_LOG_VARIANCE, _LARGEST_LOG_VARIANCE)
        return output[..., 0], (log_variance / 2).exp()
