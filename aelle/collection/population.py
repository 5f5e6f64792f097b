"""Training all networks of a cohort as one batch: the same contract as `NativeTraining`, for GPUs.

A single small recurrent network leaves a GPU waiting for kernel launches; a cohort of N in one batch costs
about as much as one. Weights are stacked to (N, …); every network keeps its own learning rate, weight decay,
dropout, gradient clipping, optimiser moments and data order. Without dropout the result equals the native
backend's to rounding; with it, the masks are other draws of the same distribution.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from aelle.collection.adam import PopulationAdam
from aelle.collection.search_space import Cohort
from aelle.collection.training import NativeTraining, Trainee, seed_of
from aelle.recurrent.cell import Cell
from aelle.tasks.task import Split, Task

EVALUATION_SEQUENCES = 256  # sequences a network and evaluation batch


class PopulationTraining(NativeTraining):
    """Train a cohort as one batch on `device`; yields the same epochs as `NativeTraining`.

    `at_once` networks are in memory at a time, all of them where None.

    Raises:
        ValueError: for a task with a learning rule that trains networks one by one.
    """

    def __init__(
        self,
        cohort: Cohort,
        task: Task,
        epochs: int,
        device: torch.device | str = "cpu",
        at_once: int | None = None,
    ) -> None:
        if not task.learning_rule.in_batches:
            raise ValueError(f"task {task.name!r} has its own learning rule; use training.backend = 'native'")
        super().__init__(cohort, task, epochs)
        self.at_once = at_once or len(cohort.variants)
        self.device = torch.device(device)
        self._train, self._validation = (
            Split(split.inputs.to(self.device), split.targets.to(self.device))
            for split in (task.train, task.validation)
        )

    def _advance(self, active: list[Trainee], epoch: int) -> None:
        """Advance as many networks at once as memory holds; running out of it halves the number for good."""
        start = 0
        while start < len(active):
            part = active[start : start + self.at_once]
            try:
                self._advance_together(part, epoch)
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                if len(part) > 1:
                    self.at_once = len(part) // 2
                    continue
                self._advance_apart(part, epoch)
            except Exception:
                self._advance_apart(part, epoch)
            start += len(part)

    def _advance_apart(self, part: list[Trainee], epoch: int) -> None:
        """Advance one by one where together something raised: who raises alone fails, the others go on."""
        for trainee in part:
            try:
                self._advance_together([trainee], epoch)
            except Exception as error:
                trainee.fail(error)

    def _advance_together(self, active: list[Trainee], epoch: int) -> None:
        started = time.perf_counter()
        population = Population(active, self.device, epoch)
        if epoch > 0:
            losses = self._train_epoch(population, active, epoch)
            population.write_back(active)
            for trainee, loss in zip(active, losses, strict=True):
                trainee.train_loss = loss
        for trainee, (loss, metric) in zip(active, self._evaluate(population), strict=True):
            trainee.val_loss, trainee.val_metric = loss, metric
            trainee.train_seconds = (time.perf_counter() - started) / len(active)
            trainee.judge()

    def _train_epoch(self, population: Population, active: list[Trainee], epoch: int) -> list[float]:
        order = _orders(active, len(self._train), epoch).to(self.device)
        generator = torch.Generator(self.device).manual_seed(seed_of(active[0].variant, epoch))
        total = torch.zeros(len(active), device=self.device)
        step = TrainingStep(population, self.task, generator)
        for index in order.split(active[0].variant["batch_size"], dim=1):
            losses = step(self._train.inputs[index], self._train.targets[index])
            total += losses * index.shape[1]
        return (total / order.shape[1]).tolist()

    @torch.no_grad()
    def _evaluate(self, population: Population) -> list[tuple[float, float]]:
        outputs = []
        for inputs in self._validation.inputs.split(EVALUATION_SEQUENCES):
            encoded = self.task.encode(inputs)
            shared = encoded.expand(population.size, *encoded.shape)
            outputs.append(population(shared, self.task.readout_steps))
        joined, targets = torch.cat(outputs, dim=1), self._validation.targets
        return [(self.task.loss(o, targets).item(), self.task.metric(o, targets)) for o in joined]


class Population:
    """The stacked parameters that learn, with moments, of N networks of one shape, and their joint forward pass."""

    def __init__(self, trainees: Sequence[Trainee], device: torch.device, epoch: int) -> None:
        self.size = len(trainees)
        networks = [trainee.network for trainee in trainees]
        layers = range(len(networks[0].layers))
        self.cells: list[Cell] = [_stack([n.layers[i] for n in networks]).to(device) for i in layers]
        for cell in self.cells:
            cell.requires_grad_(cell.trained)
        self.parameters: dict[str, Tensor] = {
            f"cells.{i}.{name}": parameter
            for i, cell in enumerate(self.cells)
            for name, parameter in cell.named_parameters()
            if parameter.requires_grad
        }
        for name in ("weight", "bias"):
            stacked = torch.stack([n.get_parameter(f"readout.{name}").detach() for n in networks])
            self.parameters[f"readout.{name}"] = stacked.to(device).requires_grad_()
        self.keep = 1 - torch.tensor([n.dropout.p for n in networks], device=device).view(-1, 1, 1, 1)
        self.adam = PopulationAdam(self.parameters, trainees, device, epoch)

    def __call__(
        self, inputs: Tensor, readout_steps: slice, dropout: torch.Generator | None = None
    ) -> Tensor:
        """Map inputs (N, batch, T, input_size) to outputs (N, batch, steps read, output_size)."""
        for cell in self.cells:
            inputs, _ = cell.scan(inputs, cell.initial_state(inputs.shape[1]))
            if dropout is not None and bool((self.keep < 1).any()):
                kept = torch.rand(inputs.shape, generator=dropout, device=inputs.device) < self.keep
                inputs = inputs * kept / self.keep
        read = inputs[:, :, readout_steps].flatten(1, 2)
        weight, bias = self.parameters["readout.weight"], self.parameters["readout.bias"]
        outputs = torch.baddbmm(bias.unsqueeze(1), read, weight.mT)
        return outputs.unflatten(1, (inputs.shape[1], -1))

    @torch.no_grad()
    def write_back(self, trainees: Sequence[Trainee]) -> None:
        """Copy weights and moments back into the networks and their own optimisers."""
        for position, trainee in enumerate(trainees):
            for name in self.parameters:
                parameter = trainee.network.get_parameter(name)
                parameter.copy_(self.parameters[name][position])
                trainee.optimiser.state[parameter] = self.adam.state_of(name, position)


class TrainingStep:
    """One update of all networks on one batch each; returns their losses (N,).

    On a CUDA device the whole update is captured once a batch shape as a CUDA graph and replayed, so that it
    costs one launch instead of thousands.
    """

    def __init__(self, population: Population, task: Task, dropout: torch.Generator) -> None:
        self.population, self.task, self.dropout = population, task, dropout
        self._captured: dict[tuple[int, ...], Any] = {}

    def __call__(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Update on inputs (N, batch, …) and targets (N, batch, …)."""
        if inputs.device.type != "cuda":
            return self._update(inputs, targets)
        shape = tuple(inputs.shape)
        if shape not in self._captured:
            self._captured[shape] = self._capture(inputs, targets)
        graph, static_inputs, static_targets, losses = self._captured[shape]
        static_inputs.copy_(inputs)
        static_targets.copy_(targets)
        graph.replay()
        return losses.clone()

    def _update(self, inputs: Tensor, targets: Tensor) -> Tensor:
        encoded = self.task.encode(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])
        outputs = self.population(encoded, self.task.readout_steps, self.dropout)
        losses = torch.vmap(self.task.loss)(outputs, targets)
        gradients = torch.autograd.grad(losses.sum(), list(self.population.parameters.values()))
        self.population.adam.update(gradients)
        return losses.detach()

    def _capture(self, inputs: Tensor, targets: Tensor) -> Any:
        static_inputs, static_targets = inputs.clone(), targets.clone()
        saved = self.population.adam.snapshot()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # warm-up, as capture demands; undone below
            for _ in range(3):
                self._update(static_inputs, static_targets)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.dropout)
        with torch.cuda.graph(graph):
            losses = self._update(static_inputs, static_targets)
        self.population.adam.reset_to(saved)
        return graph, static_inputs, static_targets, losses


def _orders(trainees: Sequence[Trainee], count: int, epoch: int) -> Tensor:
    """Each network's own order of the training data, as the native backend draws it: (N, count)."""
    generators = (torch.Generator().manual_seed(seed_of(t.variant, epoch)) for t in trainees)
    return torch.stack([torch.randperm(count, generator=g) for g in generators])


def _stack(cells: Sequence[Cell]) -> Cell:
    return type(cells[0]).stack(cells)
