"""Fit autoencoders on splits of one dataset, all splits as members of one batched model.

A member's transforms, weights and early stopping see that member's own training and validation networks
only; the networks in neither are as new to it as any other network.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from aelle.config import Autoencoder as Settings
from aelle.embedding.autoencoder import Autoencoder, Embedded, Inputs
from aelle.embedding.channels import Measured, require_channels
from aelle.embedding.dataset import KnownOutcomes
from aelle.embedding.forest import KINDS, EpochForests
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

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {part.name: getattr(self, part.name).to_json() for part in fields(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Rebuild from plain data."""
        return cls(
            SpectraTransform.from_json(content["spectra"]),
            TargetTransform.from_json(content["target"]),
            ContextTransform.from_json(content["context"]),
        )


@dataclass(frozen=True)
class ForestPair:
    """Forests grown on a member's training networks: on its inputs alone, and with architecture and size."""

    plain: EpochForests
    in_context: EpochForests

    def predict(self, plain: np.ndarray, in_context: np.ndarray, epochs: np.ndarray) -> np.ndarray:
        """Return both scores of every row by each kind of forest, (kinds, 2, rows)."""
        return np.stack(
            [self.plain.predict(plain, epochs), self.in_context.predict(in_context, epochs)], axis=1
        )


@dataclass(frozen=True)
class FittedMembers:
    """M trained autoencoders with their transforms, and their forests where the head has any."""

    model: Autoencoder
    transforms: list[Transforms]
    history: History
    forests: list[ForestPair] | None = None

    @torch.no_grad()
    def embed(self, rows: pd.DataFrame, networks: pd.DataFrame) -> tuple[Embedded, Inputs]:
        """Embed spectra with every member; its predictions are those of the head that was asked for.

        Args:
            rows: R rows of `spectrum_rows`; a network's earlier spectra should be among them.
            networks: R rows with the architecture and size of each row's network.

        Returns:
            the embedding, and the standardised inputs it was made of.
        """
        inputs = self._inputs(rows, networks)
        with single_threaded():
            embedded: Embedded = self.model.eval()(inputs)
        if self.forests is not None:
            plain, in_context = self._by_parts(embedded, inputs, rows).mean(dim=0)
            embedded = replace(embedded, prediction=plain, prediction_in_context=in_context)
        return embedded, inputs

    @torch.no_grad()
    def predict_by_parts(self, rows: pd.DataFrame, networks: pd.DataFrame) -> dict[str, Tensor]:
        """Predict with every member, by each part of its head: "network", "extra_trees", "boosting" or some of these.

        What is said of a row does not depend on the rows beside it: a matrix product may sum in another order
        with other rows, so the network computes in double precision and its scores are rounded to single.

        Args:
            rows, networks: as `embed` takes them.

        Returns:
            the two scores of each row, (2, M, R): from the latent point alone, and with architecture and size.
        """
        inputs = self._inputs(rows, networks)
        doubled = Inputs(*(getattr(inputs, field.name).double() for field in fields(Inputs)))
        with single_threaded():
            embedded: Embedded = self._in_double(doubled)
        return dict(zip(self.parts, self._by_parts(embedded, inputs, rows), strict=True))

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts of the head, whose predictions `embed` averages."""
        if self.forests is None:
            return ("network",)
        return KINDS if self.model.settings.head == "forest" else ("network", *KINDS)

    @cached_property
    def _in_double(self) -> Autoencoder:
        return copy.deepcopy(self.model).double().eval()

    def _inputs(self, rows: pd.DataFrame, networks: pd.DataFrame) -> Inputs:
        measured = self.transforms[0].spectra.measure(rows)
        return _inputs(self.transforms, measured, networks, self.model.settings.summaries)

    def _by_parts(self, embedded: Embedded, inputs: Inputs, rows: pd.DataFrame) -> Tensor:
        """Predictions of each part of the head, (parts, 2, M, R); `embedded` holds those of the network."""
        network = torch.stack([embedded.prediction, embedded.prediction_in_context]).float()
        if self.forests is None:
            return network[None]
        epochs = rows["epoch"].to_numpy(float)
        members = zip(self.forests, *_forest_inputs(inputs), strict=True)
        grown = np.stack([f.predict(x, y, epochs) for f, x, y in members], axis=2)
        by_forests = torch.from_numpy(grown).float()
        return by_forests if "network" not in self.parts else torch.cat([network[None], by_forests])


def fit_members(
    dataset: KnownOutcomes,
    splits: Sequence[Split],
    settings: Settings,
    seed: int,
    on_epoch: Callable[[int], None] = lambda epoch: None,
) -> FittedMembers:
    """Fit one autoencoder a split; equal arguments give equal results on one machine."""
    require_channels(dataset.spectra, settings.channels)
    measured = Measured.of(dataset.spectra, settings.channels, settings.length)
    known = np.any([split.training | split.validation for split in splits], axis=0)
    context = ContextTransform.fit(dataset.networks[known])
    transforms = [_fit_transforms(dataset, measured, split.training, settings, context) for split in splits]
    with single_threaded():
        rows = _all_rows(dataset, measured, transforms, settings)
        training = _chosen_rows(rows, dataset, [split.training for split in splits])
        validation = _chosen_rows(rows, dataset, [split.validation for split in splits])
        model = Autoencoder(len(splits), settings, context.width, rows.inputs.summary.shape[2], seed)
        history = optimise(model, training, validation, settings, on_epoch)
        forests = None if settings.head == "network" else _grow_forests(dataset, rows, splits, settings, seed)
    return FittedMembers(model, transforms, history, forests)


def _grow_forests(
    dataset: KnownOutcomes, rows: Batch, splits: Sequence[Split], settings: Settings, seed: int
) -> list[ForestPair]:
    """Grow each member's forests on its training networks: what it says of its validation networks is honest."""
    network, epochs = dataset.spectra["network"].to_numpy(), dataset.spectra["epoch"].to_numpy(float)
    inputs, grown = _forest_inputs(rows.inputs), []
    for member, split in enumerate(splits):
        seen = split.training[network]
        scores = rows.scores[member].numpy()[seen]
        pair = (
            EpochForests.fit(x[member][seen], epochs[seen], scores, settings.forest_trees, seed + member)
            for x in inputs
        )
        grown.append(ForestPair(*pair))
    return grown


def forest_inputs(
    transforms: Sequence[Transforms], rows: pd.DataFrame, networks: pd.DataFrame, with_summaries: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return what the forests see of rows of spectra, (M, R, …): without architecture and size, and with them."""
    measured = transforms[0].spectra.measure(rows)
    return _forest_inputs(_inputs(transforms, measured, networks, with_summaries))


def _forest_inputs(inputs: Inputs) -> tuple[np.ndarray, np.ndarray]:
    """Return what the forests see, (M, R, …): channels and summaries; the same with architecture and size."""
    plain = np.concatenate([inputs.spectra.flatten(start_dim=2).numpy(), inputs.summary.numpy()], axis=2)
    return plain, np.concatenate([plain, inputs.context.numpy()], axis=2)


def fit_transforms(dataset: KnownOutcomes, training: np.ndarray, settings: Settings) -> Transforms:
    """Fit the transforms of one member on its training networks.

    Raises:
        EmbeddingError: where the records hold none of a channel that is a record column of its own.
    """
    require_channels(dataset.spectra, settings.channels)
    measured = Measured.of(dataset.spectra, settings.channels, settings.length)
    return _fit_transforms(
        dataset, measured, training, settings, ContextTransform.fit(dataset.networks[training])
    )


def _fit_transforms(
    dataset: KnownOutcomes,
    measured: Measured,
    training: np.ndarray,
    settings: Settings,
    context: ContextTransform,
) -> Transforms:
    seen = measured.rows(training[dataset.spectra["network"].to_numpy()])
    return Transforms(
        SpectraTransform.fit_measured(seen, settings.channels, dataset.final_epoch),
        TargetTransform.fit(dataset.targets[training], dataset.diverged[training], dataset.metric),
        # All members share the names of the architectures that any of them saw; a network whose architecture a
        # member never saw meets untrained weights, as it must.
        context,
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
    transforms: Sequence[Transforms], measured: Measured, networks: pd.DataFrame, with_summaries: bool
) -> Inputs:
    """Return the rows as every member sees them."""
    members = len(transforms)
    # What is recorded and trusted depends on the row alone, so all members share the mask.
    mask = torch.from_numpy(np.isfinite(measured.channels).astype(np.float32))
    spectra = np.stack([t.spectra.standardise(measured) for t in transforms])
    summary = np.stack([t.spectra.summarise(measured) for t in transforms])
    context = np.stack([t.context.apply(networks) for t in transforms])
    epoch = torch.from_numpy(transforms[0].spectra.epoch_scale(measured.epochs))
    return Inputs(
        torch.from_numpy(spectra),
        mask.expand(members, *mask.shape),
        torch.from_numpy(summary if with_summaries else summary[..., :0]),
        epoch.expand(members, -1).unsqueeze(-1),
        torch.from_numpy(context),
    )


def _all_rows(
    dataset: KnownOutcomes, measured: Measured, transforms: Sequence[Transforms], settings: Settings
) -> Batch:
    """Return all rows of a dataset as each member sees them."""
    network = dataset.spectra["network"].to_numpy()
    inputs = _inputs(transforms, measured, dataset.networks.iloc[network], settings.summaries)
    scores = np.stack([t.target.apply(dataset.targets)[network] for t in transforms]).astype(np.float32)
    return Batch(inputs, torch.from_numpy(scores), torch.ones(scores.shape))


def _chosen_rows(rows: Batch, dataset: KnownOutcomes, masks: Sequence[np.ndarray]) -> Batch:
    """Gather the rows of each member's own networks, padded with rows of weight zero to equal numbers."""
    network = dataset.spectra["network"].to_numpy()
    chosen = [torch.from_numpy(np.flatnonzero(mask[network])) for mask in masks]
    index = pad_sequence(chosen, batch_first=True)
    weight = pad_sequence([torch.ones(len(rows_of_member)) for rows_of_member in chosen], batch_first=True)
    member = torch.arange(len(masks)).unsqueeze(1)
    gathered = Inputs(*(getattr(rows.inputs, field.name)[member, index] for field in fields(Inputs)))
    return Batch(gathered, rows.scores[member, index], weight)
