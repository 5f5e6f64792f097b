"""Adding, copy memory and delayed XOR: targets recomputed from the inputs, and the losses of chance."""

import math

import pytest
import torch

from aelle.tasks.registry import make_task


def test_adding_targets_are_the_sums_of_the_marked_numbers():
    task = make_task("adding", {"length": 31, "train": 500, "validation": 100})
    assert [len(s) for s in (task.train, task.validation, task.test)] == [500, 100, 100]
    for inputs, target in zip(task.train.inputs, task.train.targets, strict=True):
        marked = [step for step in range(31) if inputs[step, 1] == 1.0]
        assert len(marked) == 2
        assert marked[0] < 15 <= marked[1]
        assert target.item() == pytest.approx(sum(inputs[step, 0].item() for step in marked))
    assert sorted(task.train.inputs[..., 1].unique().tolist()) == [0.0, 1.0]


def test_adding_by_chance_costs_the_variance_of_the_sum():
    task = make_task("adding", {"length": 10, "train": 20_000, "validation": 10})
    blind = torch.ones(20_000, 1, 1)
    # Two independent uniforms: variance 1/6, and the mean of 20,000 squares is within 0.005 of it.
    assert task.metric(blind, task.train.targets) == pytest.approx(1 / 6, abs=0.005)


def test_copy_memory_asks_for_the_first_symbols_after_the_delimiter():
    task = make_task("copy_memory", {"copied": 3, "delay": 7, "symbols": 5, "train": 50, "validation": 20})
    blank, delimiter = 5, 6
    assert task.encode(task.train.inputs).shape == (50, 13, 7)
    for inputs, targets in zip(task.train.inputs.tolist(), task.train.targets.tolist(), strict=True):
        assert max(inputs[:3]) < 5
        assert inputs[3:] == [blank] * 6 + [delimiter] + [blank] * 3
        assert targets == [blank] * 10 + inputs[:3]


def test_copy_memory_without_memory_costs_what_the_literature_says():
    task = make_task("copy_memory", {"train": 4000, "validation": 10})
    steps = task.train.inputs.shape[1]
    assert steps == 70
    memoryless = torch.full((4000, steps, 9), -100.0)
    memoryless[:, :60, 8] = 0.0
    memoryless[:, 60:, :8] = 0.0
    assert task.loss(memoryless, task.train.targets).item() == pytest.approx(10 * math.log(8) / 70, rel=1e-5)
    assert task.metric(memoryless, task.train.targets) == pytest.approx(1 / 8, abs=0.01)
    perfect = 50.0 * torch.nn.functional.one_hot(task.train.targets, 9).float()
    assert task.metric(perfect, task.train.targets) == 1.0


def test_delayed_xor_asks_whether_two_bits_of_the_past_differ():
    task = make_task("delayed_xor", {"delay": 6, "length": 15, "train": 40, "validation": 20})
    assert [len(s) for s in (task.train, task.validation, task.test)] == [40, 20, 20]
    asked = range(15)[task.readout_steps]
    assert list(asked) == list(range(6, 15))
    for bits, targets in zip(task.train.inputs[..., 0].tolist(), task.train.targets.tolist(), strict=True):
        assert set(bits) <= {0.0, 1.0}
        assert targets == [float(bits[step - 6] != bits[step - 3]) for step in asked]


def test_delayed_xor_is_told_by_both_bits_and_by_neither_alone():
    task = make_task("delayed_xor", {"delay": 4, "length": 104, "train": 500, "validation": 10})
    bits, targets = task.train.inputs[..., 0], task.train.targets
    older, younger = bits[:, :100], bits[:, 2:102]
    perfect = (older + younger - 2 * older * younger - 0.5).unsqueeze(-1) * 100
    assert task.metric(perfect, targets) == 1.0
    assert task.loss(perfect, targets).item() < 1e-6
    assert task.loss(torch.zeros(500, 100, 1), targets).item() == pytest.approx(math.log(2), rel=1e-6)
    for one in (older, younger):
        # 50,000 answers, of which half are right: a standard deviation of 0.0022.
        assert task.metric((one - 0.5).unsqueeze(-1), targets) == pytest.approx(0.5, abs=0.01)
