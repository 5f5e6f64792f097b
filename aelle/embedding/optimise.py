"""Train M autoencoders together: full-batch or minibatch Adam, each member with its own early stopping."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from aelle.config import Autoencoder as Settings
from aelle.embedding.autoencoder import Autoencoder, Inputs
from aelle.embedding.losses import LossTerms, final_prediction_weight, joint_loss, prediction_weight
from aelle.optimiser import AdamW


@dataclass(frozen=True)
class Batch:
    """R rows for each of M members. Members may differ in rows and transforms, hence the leading dimension."""

    inputs: Inputs
    scores: Tensor  # (M, R)
    weight: Tensor  # (M, R); zero for the padding of members with fewer rows

    def rows(self, chosen: Tensor) -> Batch:
        """Return the rows at these positions, the same for every member."""
        return Batch(self.inputs.rows(chosen), self.scores[:, chosen], self.weight[:, chosen])


@dataclass
class History:
    """Loss terms by name after every epoch, of training and validation, for the first member."""

    epochs: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0

    def add(self, training: LossTerms, validation: LossTerms, weight: float) -> None:
        """Append one epoch."""
        row = {f"training_{name}": value for name, value in training.named().items()}
        row |= {f"validation_{name}": value for name, value in validation.named().items()}
        self.epochs.append(row | {"prediction_weight": weight})


def optimise(
    model: Autoencoder,
    training: Batch,
    validation: Batch,
    settings: Settings,
    on_epoch: Callable[[int], None] = lambda epoch: None,
) -> History:
    """Fit every member in place and leave it at its epoch of least validation loss.

    Validation loss uses the *final* weight of the prediction term throughout: under a rising weight the
    totals of different epochs could not be compared. A member whose patience is spent is frozen.
    """
    optimiser = AdamW(model.parameters(), settings.learning_rate, settings.weight_decay)
    keeper = _BestOfEach(model, settings.patience)
    history = History()
    final_weight = final_prediction_weight(settings)
    for epoch in range(settings.epochs):
        weight = prediction_weight(epoch, settings)
        learnt = _one_epoch(model, optimiser, training, settings, weight)
        held_out = evaluate(model, validation, settings, final_weight)
        history.add(learnt, held_out, weight)
        on_epoch(epoch)
        # The rising weight has to have reached its end before patience counts.
        if keeper.update(epoch, getattr(held_out, settings.select_by), counting=weight >= final_weight):
            break
    keeper.restore()
    history.best_epoch = int(keeper.best_epoch[0])
    return history


@torch.no_grad()
def evaluate(model: Autoencoder, batch: Batch, settings: Settings, weight: float) -> LossTerms:
    """Compute the loss terms of each member."""
    model.eval()
    return joint_loss(model(batch.inputs), batch.inputs, batch.scores, batch.weight, weight, settings)


def _one_epoch(
    model: Autoencoder, optimiser: AdamW, batch: Batch, settings: Settings, weight: float
) -> LossTerms:
    """Pass once over all rows; return the mean training terms."""
    model.train()
    rows = batch.scores.shape[1]
    whole = rows <= settings.batch_size
    order = torch.arange(rows) if whole else torch.randperm(rows, generator=model.generator)
    collected = []
    for chosen in order.split(settings.batch_size):
        part = batch if whole else batch.rows(chosen)
        terms = joint_loss(model(part.inputs), part.inputs, part.scores, part.weight, weight, settings)
        optimiser.zero_grad()
        terms.total.sum().backward()  # members share no parameter, so the sum trains each alone
        optimiser.step()
        collected.append(torch.stack([getattr(terms, term.name) for term in fields(terms)]).detach())
    return LossTerms(*torch.stack(collected).mean(dim=0))


class _BestOfEach:
    """Keep each member's parameters at its best epoch, and know when its patience is spent."""

    def __init__(self, model: Autoencoder, patience: int) -> None:
        self.model, self.patience = model, patience
        self.parameters = [parameter.detach().clone() for parameter in model.parameters()]
        self.loss = torch.full((model.members,), torch.inf)
        self.best_epoch = torch.zeros(model.members, dtype=torch.long)
        self.waited = torch.zeros(model.members, dtype=torch.long)

    def update(self, epoch: int, loss: Tensor, counting: bool) -> bool:
        """Take in one epoch's validation loss; return whether every member has spent its patience."""
        better = (loss < self.loss) & (self.waited < self.patience)
        self.loss = torch.where(better, loss, self.loss)
        self.best_epoch[better] = epoch
        for kept, current in zip(self.parameters, self.model.parameters(), strict=True):
            kept[better] = current.detach()[better]
        frozen = self.waited >= self.patience
        self.waited = torch.where(better, 0, self.waited + int(counting))
        self.waited[frozen] = self.patience
        return bool((self.waited >= self.patience).all())

    def restore(self) -> None:
        """Put every member back to its best epoch."""
        with torch.no_grad():
            for kept, current in zip(self.parameters, self.model.parameters(), strict=True):
                current.copy_(kept)


@contextmanager
def single_threaded() -> Iterator[None]:
    """Let torch use one thread in this block: on matrices this small more threads wait more than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
