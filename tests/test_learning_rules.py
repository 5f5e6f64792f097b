"""Learning rules are members of one family: gradient descent, FORCE, and one of a user's own."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from aelle.collection.backend import chosen_backend
from aelle.collection.population import PopulationTraining
from aelle.collection.search_space import Cohort, variants
from aelle.collection.training import NativeTraining, build_network, seed_of
from aelle.config import ConfigError, parse_experiment
from aelle.optimiser import AdamW
from aelle.recurrent.elman import TanhRNN
from aelle.recurrent.network import Network
from aelle.tasks.force import Force
from aelle.tasks.gradient_descent import GradientDescent
from aelle.tasks.latch import Latch
from aelle.tasks.learning_rule import LearningRule
from aelle.tasks.registry import TASKS, make_task

SETTINGS = {"learning_rate": 0.1, "weight_decay": 0.2, "batch_size": 3, "gradient_clip": None}


class Still(LearningRule):
    """A rule that learns nothing and notes what it was told."""

    def optimiser(self, network, hyperparameters, generator):
        return SimpleNamespace(state={}, told=dict(hyperparameters))

    def train_epoch(self, network, optimiser, task, hyperparameters):
        optimiser.state[next(network.parameters())] = {"epochs": torch.ones(1)}
        return 0.25

    def evaluate(self, network, optimiser, task):
        return 0.5, 0.75


class StillLatch(Latch):
    learning_rule = Still()


def cohort(**networks):
    content = {"architecture": "rnn", "hidden_size": 4, "per_combination": 2, **networks}
    return Cohort(
        tuple(variants(parse_experiment({"name": "x", "task": {"name": "latch"}, "networks": content})))
    )


def test_every_task_has_a_rule():
    assert isinstance(Latch.learning_rule, GradientDescent)
    assert isinstance(make_task("target_learning", {"period": 60}).learning_rule, Force)
    assert all(isinstance(getattr(task, "learning_rule", None), LearningRule) for task in TASKS.values())


def test_a_rule_of_ones_own_trains_a_cohort():
    training = NativeTraining(cohort(learning_rate=0.02, weight_decay=0.3), StillLatch(delay=2), 1)
    before, after = [
        [(t.train_loss, t.val_loss, t.val_metric, t.status) for t in e.trainees] for e in training
    ]
    assert before == [(None, 0.5, 0.75, "ok")] * 2
    assert after == [(0.25, 0.5, 0.75, "ok")] * 2
    told = training.trainees[0].optimiser.told
    assert (told["learning_rate"], told["weight_decay"], told["gradient_clip"]) == (0.02, 0.3, None)
    assert any("epochs/" in name for name in training.state())  # what a rule keeps is in the checkpoint


def test_a_rule_that_knows_no_batches_trains_one_by_one():
    with pytest.raises(ValueError, match="learning rule"):
        PopulationTraining(cohort(), StillLatch(delay=2), 1)
    settings = {
        "name": "x",
        "task": {"name": "latch"},
        "training": {"backend": "population", "device": "cpu"},
    }
    training = parse_experiment(settings).training
    with pytest.raises(ConfigError, match="has its own learning rule; use 'native'"):
        chosen_backend(training, StillLatch(delay=2))
    assert chosen_backend(training, Latch(delay=2)).name == "population"


def test_gradient_descent_takes_torchs_steps():
    task, rule = Latch(delay=2, train=7), GradientDescent()
    networks = []
    for _ in range(2):
        torch.manual_seed(0)
        networks.append(Network([TanhRNN(task.input_size, 4)], nn.Linear(4, task.output_size), 0.0))
    ours, theirs = networks
    optimiser = rule.optimiser(ours, SETTINGS, torch.Generator())
    torch.manual_seed(1)
    loss = rule.train_epoch(ours, optimiser, task, SETTINGS)
    torch.manual_seed(1)
    adam = torch.optim.AdamW(theirs.parameters(), lr=0.1, weight_decay=0.2)
    losses = []
    for index in torch.randperm(len(task.train)).split(3):
        outputs, _ = theirs(task.encode(task.train.inputs[index]), readout_steps=task.readout_steps)
        value = task.loss(outputs, task.train.targets[index])
        adam.zero_grad()
        value.backward()
        adam.step()
        losses.append(value.item() * len(index))
    assert loss == pytest.approx(sum(losses) / len(task.train), rel=1e-6)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other)


def cohort_with_decay():
    content = {
        "name": "x",
        "task": {"name": "latch"},
        "networks": {"architecture": "rnn", "hidden_size": 4, "per_combination": 1, "learning_rate": 0.05},
        "training": {"learning_rate_decay": 0.5, "decay_after": 1, "batch_size": 4},
    }
    return Cohort(tuple(variants(parse_experiment(content))))


@pytest.mark.parametrize("backend", [NativeTraining, PopulationTraining])
def test_the_learning_rate_decays_as_torchs_scheduler_lowers_it(backend):
    task, trained, theirs = (
        Latch(delay=2, train=8),
        backend(cohort_with_decay(), Latch(delay=2, train=8), 4),
        [],
    )
    variant = trained.trainees[0].variant
    network = build_network(variant, task)
    adam = torch.optim.AdamW(network.parameters(), lr=0.05, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda past: 0.5 ** max(0, past))
    for epoch in range(1, 5):
        torch.manual_seed(seed_of(variant, epoch))
        for index in torch.randperm(8).split(4):
            outputs, _ = network(task.encode(task.train.inputs[index]), readout_steps=task.readout_steps)
            adam.zero_grad()
            task.loss(outputs, task.train.targets[index]).backward()
            adam.step()
        theirs.append(adam.param_groups[0]["lr"])
        schedule.step()
    assert theirs == [0.05, 0.025, 0.0125, 0.00625]
    list(trained)
    for mine, other in zip(trained.trainees[0].network.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


def test_gradient_descent_needs_its_own_optimiser_and_starts_spectra_from_zero():
    task, network = Latch(delay=2), Network([TanhRNN(9, 4)], nn.Linear(4, 8), 0.0)
    with pytest.raises(TypeError, match="needs AdamW, got SimpleNamespace"):
        GradientDescent().train_epoch(network, SimpleNamespace(state={}), task, SETTINGS)
    assert GradientDescent().running_state(AdamW([], 0.1, 0.0)) is None
