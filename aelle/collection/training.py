"""Training with torch's own kernels: one network after another, one thread, one epoch at a time.

Every random draw of a network comes from its own seed and the epoch, so no generator state has to be kept:
a resumed network, or one in another cohort or process, continues to the same bits.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aelle.collection.search_space import Cohort, Variant
from aelle.conditioning import condition
from aelle.conditioning.parts import MOST
from aelle.modules.architectures import architecture
from aelle.recurrent.network import Network
from aelle.tasks.learning_rule import Optimiser
from aelle.tasks.task import Task

EXPLODED_LOSS = 1e6  # a loss above this is recorded as divergence, like NaN


@dataclass
class Trainee:
    """One network in training, and what is known of it after its last epoch."""

    variant: Variant
    network: Network
    optimiser: Optimiser
    status: str = "ok"
    error: str | None = None
    error_line: str | None = None
    train_loss: float | None = None
    val_loss: float | None = None
    val_metric: float | None = None
    train_seconds: float = 0.0

    @property
    def active(self) -> bool:
        """Whether it takes part in further epochs."""
        return self.status == "ok"

    def fail(self, error: BaseException) -> None:
        """Record an exception as what ended this network, with the line it came from."""
        what = str(error) or ("out of memory" if isinstance(error, MemoryError) else "")
        self.status, self.error = "failed", " ".join(f"{type(error).__name__}: {what}".split())
        frame = traceback.extract_tb(error.__traceback__)[-1]
        self.error_line = f"{frame.filename}:{frame.lineno}"

    def judge(self) -> None:
        """Set the status to "diverged" where a loss is not finite or has exploded."""
        losses = [loss for loss in (self.train_loss, self.val_loss) if loss is not None]
        if not all(math.isfinite(loss) and loss < EXPLODED_LOSS for loss in losses):
            self.status = "diverged"


@dataclass
class Epoch:
    """One epoch of a cohort: the trainees that took part in it, in the cohort's order."""

    number: int
    trainees: list[Trainee]


class NativeTraining:
    """Train a cohort's networks one after another with torch's fused recurrent kernels.

    Iterating yields epoch 0, the untrained networks, and then one `Epoch` after another. A network that
    diverges or raises takes part in the epoch in which it does so, and in none after it.
    """

    def __init__(self, cohort: Cohort, task: Task, epochs: int) -> None:
        self.task, self.epochs, self.next_epoch = task, epochs, 0
        self.trainees = [_trainee(variant, task) for variant in cohort.variants]

    def __iter__(self) -> Iterator[Epoch]:
        while self.next_epoch <= self.epochs and any(t.active for t in self.trainees):
            active = [trainee for trainee in self.trainees if trainee.active]
            seconds = [self._condition(trainee) if self.next_epoch == 0 else 0.0 for trainee in active]
            self._advance([trainee for trainee in active if trainee.active], self.next_epoch)
            for trainee, spent in zip(active, seconds, strict=True):
                trainee.train_seconds += spent
            self.next_epoch += 1
            yield Epoch(self.next_epoch - 1, active)

    def _condition(self, trainee: Trainee) -> float:
        """Condition a network where its variant says so, along training sequences; return the seconds it took."""
        method, started = trainee.variant["condition"], time.perf_counter()
        if method == "none":
            return 0.0
        try:
            inputs = self.task.encode(self.task.train.inputs[:MOST])
            begun = self.task.learning_rule.running_state(trainee.optimiser)
            condition(trainee.network, inputs, method=method, initial_state=begun)
        except (Exception, SystemExit) as error:
            trainee.fail(error)
        return time.perf_counter() - started

    def _advance(self, active: list[Trainee], epoch: int) -> None:
        for trainee in active:
            self._advance_one(trainee, epoch)

    def _advance_one(self, trainee: Trainee, epoch: int) -> None:
        started = time.perf_counter()
        # The networks of a cohort share nothing, so that whatever goes wrong in one stays with it.
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed_of(trainee.variant, epoch))
                if epoch > 0:
                    trainee.train_loss = train_epoch(trainee, self.task, epoch)
            trainee.val_loss, trainee.val_metric = evaluate(trainee, self.task)
        except (Exception, SystemExit) as error:
            trainee.fail(error)
        else:
            trainee.judge()
        trainee.train_seconds = time.perf_counter() - started

    def state(self) -> dict[str, Tensor]:
        """Weights and optimiser moments of every network, by `network_id/kind/parameter`."""
        tensors = {}
        for trainee in self.trainees:
            for name, parameter in trainee.network.named_parameters():
                prefix = f"{trainee.variant.network_id}/"
                tensors[f"{prefix}weight/{name}"] = parameter.detach()
                for moment, value in trainee.optimiser.state.get(parameter, {}).items():
                    tensors[f"{prefix}{moment}/{name}"] = value
        return tensors

    def restore(self, tensors: Mapping[str, Tensor], statuses: Mapping[str, str], epoch: int) -> None:
        """Continue after `epoch`, from what `state` gave there."""
        for trainee in self.trainees:
            trainee.status = statuses[trainee.variant.network_id]
            for name, parameter in trainee.network.named_parameters():
                prefix = f"{trainee.variant.network_id}/"
                with torch.no_grad():
                    parameter.copy_(tensors[f"{prefix}weight/{name}"])
                stored = {
                    key.removeprefix(prefix).removesuffix(f"/{name}"): tensor
                    for key, tensor in tensors.items()
                    if key.startswith(prefix) and key.endswith(f"/{name}")
                }
                del stored["weight"]
                if stored:
                    trainee.optimiser.state[parameter] = stored
        self.next_epoch = epoch + 1


def build_network(variant: Variant, task: Task) -> Network:
    """Build a variant's untrained network: recurrent parameters U(±init_scale), readout U(±1/√H)."""
    generator = torch.Generator().manual_seed(seed_of(variant, 0))
    kind, sizes = (
        architecture(variant["architecture"]),
        [task.input_size] + [variant["hidden_size"]] * variant["num_layers"],
    )
    options = json.loads(variant.cell_options or "{}")
    with torch.random.fork_rng(devices=[]):  # the modules' own initialisation, which is drawn over here
        cells = [kind(below, variant["hidden_size"], variant["bias"], **options) for below in sizes[:-1]]
        readout = nn.Linear(variant["hidden_size"], task.output_size)
    for cell in cells:
        cell.requires_grad_(kind.trained)
        cell.reset_parameters(variant["init_scale"], generator)
    with torch.no_grad():
        for parameter in readout.parameters():
            parameter.uniform_(
                -(variant["hidden_size"] ** -0.5), variant["hidden_size"] ** -0.5, generator=generator
            )
    network = Network(cells, readout, variant["dropout"])
    task.learning_rule.prepare(network)
    return network


def seed_of(variant: Variant, epoch: int) -> int:
    """Derive the seed of one network's epoch: 63 bits of a hash of its id and the epoch."""
    digest = hashlib.sha256(f"{variant.network_id}/{epoch}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def train_epoch(trainee: Trainee, task: Task, epoch: int) -> float:
    """Train one network for the given epoch by the task's learning rule; return its mean loss."""
    learning = trainee.variant.learning(epoch)
    return task.learning_rule.train_epoch(trainee.network, trainee.optimiser, task, learning)


def evaluate(trainee: Trainee, task: Task) -> tuple[float, float]:
    """Validation loss and metric of one network."""
    return task.learning_rule.evaluate(trainee.network, trainee.optimiser, task)


def _trainee(variant: Variant, task: Task) -> Trainee:
    network = build_network(variant, task)
    generator = torch.Generator().manual_seed(seed_of(variant, 0))
    return Trainee(variant, network, task.learning_rule.optimiser(network, variant.learning(), generator))
