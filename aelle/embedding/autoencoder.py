"""The autoencoder of Lyapunov spectra with an accuracy head (AeLLE), many members at once.

After Vogt, Zheng & Shlizerman, "Lyapunov-guided representation of recurrent neural network performance"
(2024): an encoder maps a spectrum to a latent point, a decoder maps it back, and a head reads the network's
final accuracy off the latent point. Here the training epoch is an input of all three.

Every parameter carries a leading *member* dimension M: the folds of a cross-validation or an ensemble are
trained as one batched product. Members never mix, so M autoencoders at once are M autoencoders apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Embedded:
    """What the autoencoder says of R spectra, for each of M members."""

    latent: Tensor  # (M, R, latent_size)
    reconstruction: Tensor  # (M, R, input_size), standardised
    prediction: Tensor  # (M, R), score read off the latent point
    prediction_in_context: Tensor  # (M, R), score read off latent point, architecture and size


class MemberLinear(nn.Module):
    """M linear maps side by side, (M, R, in) → (M, R, out), with torch's own initialisation U(±1/√in)."""

    def __init__(self, members: int, inputs: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        bound = inputs**-0.5
        weight = torch.rand(members, inputs, outputs, generator=generator)
        bias = torch.rand(members, 1, outputs, generator=generator)
        self.weight = nn.Parameter((2 * weight - 1) * bound)
        self.bias = nn.Parameter((2 * bias - 1) * bound)

    def forward(self, x: Tensor) -> Tensor:
        """Apply each member's map to its own rows."""
        return torch.baddbmm(self.bias, x, self.weight)


class MemberDropout(nn.Module):
    """Dropout that draws from its own generator, so that the caller's random state is left alone."""

    def __init__(self, probability: float, generator: torch.Generator) -> None:
        super().__init__()
        self.probability, self.generator = probability, generator

    def forward(self, x: Tensor) -> Tensor:
        """Zero entries with the given probability in training; identity otherwise.

        Members share the mask: they differ in data and weights, and random numbers cost as much as products.
        """
        if not self.training or self.probability == 0:
            return x
        kept = torch.rand(x.shape[1:], generator=self.generator) >= self.probability
        return x * kept / (1 - self.probability)


class Autoencoder(nn.Module):
    """Encoder, decoder and two heads, for M members.

    Args:
        members: M.
        input_size: channels × length of a standardised spectrum.
        context_size: width of the context that the second head sees (architecture and size).
        hidden_sizes: widths of the encoder's hidden layers; the decoder mirrors them.
        latent_size: dimension of the latent space.
        dropout: probability of dropout after each hidden layer of the encoder and the heads.
        seed: determines initial weights and dropout.
    """

    def __init__(
        self,
        members: int,
        input_size: int,
        context_size: int,
        hidden_sizes: Sequence[int],
        latent_size: int,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)
        self.members, self.dropout = members, dropout
        mirrored = list(reversed(hidden_sizes))
        head = [2 * latent_size]
        # The epoch is one more input of each part.
        self.encoder = self._layers([input_size + 1, *hidden_sizes, latent_size], dropout)
        self.decoder = self._layers([latent_size + 1, *mirrored, input_size], 0.0)
        self.head = self._layers([latent_size + 1, *head, 1], dropout)
        self.head_in_context = self._layers([latent_size + 1 + context_size, *head, 1], dropout)

    def _layers(self, sizes: Sequence[int], dropout: float) -> nn.Sequential:
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes[:-1]):
            layers += [MemberLinear(self.members, inputs, outputs, self.generator), nn.SiLU()]
            layers += [MemberDropout(dropout, self.generator)]
        layers.append(MemberLinear(self.members, sizes[-2], sizes[-1], self.generator))
        return nn.Sequential(*layers)

    def forward(self, spectra: Tensor, epoch: Tensor, context: Tensor) -> Embedded:
        """Embed, reconstruct and predict.

        Args:
            spectra: (M, R, input_size), standardised.
            epoch: (M, R, 1), scaled to [0, 1].
            context: (M, R, context_size).
        """
        latent = self.encoder(torch.cat([spectra, epoch], dim=-1))
        known = torch.cat([latent, epoch], dim=-1)
        return Embedded(
            latent=latent,
            reconstruction=self.decoder(known),
            prediction=self.head(known).squeeze(-1),
            prediction_in_context=self.head_in_context(torch.cat([known, context], dim=-1)).squeeze(-1),
        )

    def decode(self, latent: Tensor, epoch: Tensor) -> Tensor:
        """Map latent points (M, R, latent_size) back to standardised spectra (M, R, input_size)."""
        reconstruction: Tensor = self.decoder(torch.cat([latent, epoch], dim=-1))
        return reconstruction
