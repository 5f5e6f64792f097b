"""Fit autoencoders on splits of one dataset, all splits as members of one batched model.

A member's transforms, weights and early stopping see that member's own training and validation networks
only; the networks in neither are as new to it as any other network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from aelle.config import Autoencoder as Settings
from aelle.embedding.autoencoder import Autoencoder, Embedded
from aelle.embedding.dataset import SpectraDataset
from aelle.embedding.optimise import Batch, History, optimise, single_threaded
from aelle.embedding.transform import ContextTransform, SpectraTransform, TargetTransform


@dataclass(frozen=True)
class Split:
    """Which networks a member learns from and which stop it; boolean masks over the dataset's networks."""

    training: np.ndarray
    validation: np.ndarray


@dataclass(frozen=True)
class Transforms:
    """The fitted transforms of one member."""

    spectra: SpectraTransform
    target: TargetTransform
    context: ContextTransform


@dataclass(frozen=True)
class FittedMembers:
    """M trained autoencoders with their transforms."""

    model: Autoencoder
    transforms: list[Transforms]
    history: History

    @torch.no_grad()
    def embed(self, rows: pd.DataFrame, networks: pd.DataFrame) -> tuple[Embedded, Tensor]:
        """Embed spectra with every member.

        Args:
            rows: R rows of `spectrum_rows`; a network's earlier spectra should be among them.
            networks: R rows with the architecture and size of each row's network.

        Returns:
            the embedding, and the standardised spectra (M, R, input_size) it was made of.
        """
        inputs = _inputs(self.transforms, rows, networks)
        self.model.eval()
        with single_threaded():
            embedded: Embedded = self.model(*inputs)
        return embedded, inputs[0]


def fit_members(
    dataset: SpectraDataset,
    splits: Sequence[Split],
    settings: Settings,
    seed: int,
    on_epoch: Callable[[int], None] = lambda epoch: None,
) -> FittedMembers:
    """Fit one autoencoder a split; equal arguments give equal results on one machine."""
    transforms = [fit_transforms(dataset, split.training, settings) for split in splits]
    with single_threaded():
        inputs = _all_rows(dataset, transforms)
        training = _chosen_rows(inputs, dataset, [split.training for split in splits])
        validation = _chosen_rows(inputs, dataset, [split.validation for split in splits])
        model = Autoencoder(
            members=len(splits),
            input_size=len(settings.channels) * settings.length,
            context_size=training.context.shape[2],
            hidden_sizes=settings.hidden_sizes,
            latent_size=settings.latent_size,
            dropout=settings.dropout,
            seed=seed,
        )
        history = optimise(model, training, validation, settings, on_epoch)
    return FittedMembers(model, transforms, history)


def fit_transforms(dataset: SpectraDataset, training: np.ndarray, settings: Settings) -> Transforms:
    """Fit the transforms of one member on its training networks."""
    rows = dataset.spectra[training[dataset.spectra["network"]]]
    return Transforms(
        SpectraTransform.fit(rows, settings.channels, settings.length, dataset.final_epoch),
        TargetTransform.fit(dataset.targets[training], dataset.diverged[training], dataset.metric),
        # The names of the architectures are part of the question, so all members share them; a network whose
        # architecture a member never saw meets untrained weights, as it must.
        ContextTransform.fit(dataset.networks),
    )


def validation_splits(candidates: np.ndarray, parts: int, seed: int) -> list[Split]:
    """Cut the candidate networks (a boolean mask) into `parts`; each part validates one member."""
    chosen = np.flatnonzero(candidates)
    order = np.random.default_rng(seed).permutation(chosen)
    splits = []
    for part in np.array_split(order, parts):
        validation = np.zeros_like(candidates)
        validation[part] = True
        splits.append(Split(candidates & ~validation, validation))
    return splits


def _inputs(
    transforms: Sequence[Transforms], rows: pd.DataFrame, networks: pd.DataFrame
) -> tuple[Tensor, Tensor, Tensor]:
    """Return spectra (M, R, input_size), epoch (M, R, 1) and context (M, R, context_size)."""
    members = len(transforms)
    spectra = np.stack([t.spectra.apply(rows).reshape(len(rows), -1) for t in transforms])
    context = np.stack([t.context.apply(networks) for t in transforms])
    epoch = torch.from_numpy(transforms[0].spectra.epoch_scale(rows["epoch"].to_numpy(float)))
    return torch.from_numpy(spectra), epoch.expand(members, -1).unsqueeze(-1), torch.from_numpy(context)


def _all_rows(dataset: SpectraDataset, transforms: Sequence[Transforms]) -> Batch:
    """Return all rows of a dataset as each member sees them."""
    network = dataset.spectra["network"].to_numpy()
    inputs = _inputs(transforms, dataset.spectra, dataset.networks.iloc[network])
    scores = np.stack([t.target.apply(dataset.targets)[network] for t in transforms]).astype(np.float32)
    return Batch(*inputs, torch.from_numpy(scores), torch.ones(scores.shape))


def _chosen_rows(rows: Batch, dataset: SpectraDataset, masks: Sequence[np.ndarray]) -> Batch:
    """Gather the rows of each member's own networks, padded with rows of weight zero to equal numbers."""
    network = dataset.spectra["network"].to_numpy()
    chosen = [torch.from_numpy(np.flatnonzero(mask[network])) for mask in masks]
    index = pad_sequence(chosen, batch_first=True)
    weight = pad_sequence([torch.ones(len(rows_of_member)) for rows_of_member in chosen], batch_first=True)
    member = torch.arange(len(masks)).unsqueeze(1)
    gathered = {
        name: getattr(rows, name)[member, index] for name in ("spectra", "epoch", "context", "scores")
    }
    return Batch(**gathered, weight=weight)
