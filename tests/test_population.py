"""The population backend: the same networks, trained as one batch."""

import pytest
import torch

from aelle.collection.population import PopulationTraining
from aelle.collection.search_space import Cohort
from aelle.collection.training import NativeTraining
from aelle.tasks.registry import make_task
from tests.small_collection import cohort_of

# float32 rounding differs between the backends' orders of summation, and training amplifies it: measured
# below 2e-4 in the weights after three epochs of these small networks.
TOLERANCE = {"rtol": 0, "atol": 1e-3}


@pytest.fixture(scope="module")
def task():
    return make_task("latch", {"delay": 4, "train": 160, "validation": 50})


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("architecture", ["rnn", "relu_rnn", "gru", "lstm"])
def test_both_backends_agree(architecture, layers, bias, task):
    cohort = cohort_of(architecture, layers, bias=bias)
    native, population = NativeTraining(cohort, task, 3), PopulationTraining(cohort, task, 3)
    for one, other in zip(native, population, strict=True):
        for a, b in zip(one.trainees, other.trainees, strict=True):
            assert a.variant == b.variant
            assert b.val_loss == pytest.approx(a.val_loss, abs=1e-3)
            assert b.train_loss == pytest.approx(a.train_loss, abs=1e-3)
    weights = native.state()
    for name, tensor in population.state().items():
        torch.testing.assert_close(tensor, weights[name], **TOLERANCE)


def test_a_diverging_network_harms_no_other(task):
    cohort = cohort_of("relu_rnn", init_gain=[1.0, 600.0], per_combination=2, weight_decay=0.0)
    native, population = NativeTraining(cohort, task, 2), PopulationTraining(cohort, task, 2)
    for one, other in zip(native, population, strict=True):
        assert [t.status for t in one.trainees] == [t.status for t in other.trainees]
    assert sorted(t.status for t in population.trainees) == ["diverged", "diverged", "ok", "ok"]


def test_a_population_resumes_from_its_state(task):
    cohort = cohort_of("gru")
    straight = [[t.val_loss for t in e.trainees] for e in PopulationTraining(cohort, task, 3)]
    stopped = PopulationTraining(cohort, task, 3)
    for epoch in stopped:
        if epoch.number == 1:
            break
    state = {name: tensor.clone() for name, tensor in stopped.state().items()}
    resumed = PopulationTraining(cohort, task, 3)
    resumed.restore(state, {v.network_id: "ok" for v in cohort.variants}, 1)
    assert [[t.val_loss for t in e.trainees] for e in resumed] == straight[2:]


def test_dropout_is_per_network_and_of_the_right_rate(task):
    from aelle.collection.population import Population

    cohort = cohort_of("rnn", dropout=[0.0, 0.5], per_combination=2)
    training = PopulationTraining(cohort, task, 1)
    population = Population(training.trainees, torch.device("cpu"), epoch=1)
    inputs = torch.randn(4, 64, 5, 8)

    def outputs(seed):
        generator = torch.Generator().manual_seed(seed)
        return population(inputs, slice(None), generator)

    still = population(inputs, slice(None))
    many = torch.stack([outputs(seed) for seed in range(400)])
    rates = torch.tensor([v["dropout"] for v in cohort.variants])
    assert torch.equal(many[0][rates == 0], still[rates == 0])
    assert not torch.allclose(many[0][rates > 0], still[rates > 0])
    # Inverted dropout keeps the mean: within five standard errors of 400 draws, on average over outputs.
    error = (many.mean(0) - still).abs().mean()
    assert error < 5 * many.std(0).mean() / 20


def test_running_out_of_memory_halves_the_networks_at_once(task, monkeypatch):
    from aelle.collection import population

    cohort = cohort_of("gru")
    expected = [[t.val_loss for t in e.trainees] for e in PopulationTraining(cohort, task, 2)]
    sizes = []

    class Small(population.Population):
        def __init__(self, trainees, device, epoch):
            sizes.append(len(trainees))
            if len(trainees) > 1:
                raise torch.OutOfMemoryError
            super().__init__(trainees, device, epoch)

    monkeypatch.setattr(population, "Population", Small)
    found = [[t.val_loss for t in e.trainees] for e in PopulationTraining(cohort, task, 2)]
    assert sizes == [4, 2] + [1] * 12
    for row, other in zip(found, expected, strict=True):
        assert row == pytest.approx(other, abs=1e-5)


def test_backends_are_chosen_by_device_and_task(task):
    from aelle.collection.backend import Backend, chosen_backend
    from aelle.config import ConfigError, Training

    assert chosen_backend(Training(device="cpu"), task) == Backend("native", "cpu")
    population = chosen_backend(Training(backend="population", device="cpu", workers=3), task)
    assert population == Backend("population", "cpu", sharers=3)
    with pytest.raises(ConfigError, match=r"training\.device: 'abacus' cannot be used here"):
        chosen_backend(Training(device="abacus"), task)
    with pytest.raises(ConfigError, match="has its own learning rule"):
        chosen_backend(Training(backend="population"), make_task("target_learning", {}))
    # On a cluster's GPUs, which this machine need not have, two cohorts share the memory of one.
    assert chosen_backend(Training(), task, gpus=0.5) == Backend("population", "cuda", sharers=2)
    assert chosen_backend(Training(backend="native"), task, gpus=1.0) == Backend("native", "cpu")
    assert chosen_backend(Training(), make_task("target_learning", {}), gpus=1.0) == Backend("native", "cpu")
    with pytest.raises(ConfigError, match=r"training\.device: 'abacus' cannot be used here"):
        chosen_backend(Training(device="abacus"), task, gpus=1.0)


@pytest.mark.slow
def test_a_population_is_collected_like_any_cohort(tmp_path):
    from aelle.collection.collect import collect
    from tests.small_collection import comparable, experiment

    networks = {"architecture": "gru", "dropout": 0.0}
    native, population = (
        experiment(networks=networks, training={"backend": backend}) for backend in ("native", "population")
    )
    collect(native, tmp_path / "native", progress=False)
    collect(population, tmp_path / "population", progress=False)
    one, other = comparable(tmp_path / "native"), comparable(tmp_path / "population")
    assert list(one.network_id) == list(other.network_id)
    assert one.val_loss.to_numpy() == pytest.approx(other.val_loss.to_numpy(), abs=1e-3)


def test_what_a_network_needs_grows_as_what_backpropagation_keeps(task):
    from aelle.collection.memory import bytes_per_network

    def needed(architecture="gru", **networks):
        return bytes_per_network(cohort_of(architecture, **networks).variants[0], task)

    # 32 sequences of 5 steps: a tanh network keeps at least its states, 4 bytes each, for the backward pass.
    assert needed("rnn") > 4 * 32 * 5 * 7
    assert 1.3 < needed(num_layers=2) / needed() < 2.3
    long = make_task("latch", {"delay": 49, "train": 160, "validation": 50})
    grown = bytes_per_network(cohort_of("gru").variants[0], long) / needed()
    assert 5 < grown < 10.5  # ten times the steps, but not the parameters


def test_the_count_of_bytes_bounds_what_training_allocates(task):
    """Measured in a process of its own, on a population large enough to outweigh what torch itself takes."""
    import subprocess
    import sys

    program = """
import torch
from pathlib import Path
from aelle.collection.memory import bytes_per_network
from aelle.collection.population import PopulationTraining
from aelle.tasks.registry import make_task
from tests.small_collection import cohort_of

torch.set_num_threads(1)
task = make_task("latch", {"delay": 49, "train": 64, "validation": 50})
small, large = (cohort_of("lstm", hidden_size=64, per_combination=n) for n in (1, 33))
def peak(cohort):
    for _ in PopulationTraining(cohort, task, 1): pass
    # Of this process alone: ru_maxrss would count what the parent held when it started us.
    return 1024 * int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])
first = peak(small)
grown = (peak(large) - first) / 32
print(grown / bytes_per_network(small.variants[0], task))
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, timeout=600, capture_output=True, text=True
    )
    assert 0.2 < float(ran.stdout) < 1.2


def test_cohorts_are_as_large_as_free_memory_allows(task, monkeypatch):
    from aelle.collection import backend
    from aelle.collection.memory import bytes_per_network
    from aelle.collection.search_space import cohorts
    from aelle.config import Training

    found = list(cohort_of("gru", per_combination=10).variants)
    each = bytes_per_network(found[0], task)
    monkeypatch.setattr(backend, "free_bytes", lambda device: int(4.5 * each / 0.6))
    settings = Training(backend="population", device="cpu", workers=1)
    chosen = backend.chosen_backend(settings, task)
    sizes = [len(c.variants) for c in cohorts(found, chosen.cohort_size(settings, task))]
    assert sizes == [4, 4, 2]
    # A cohort made on a machine with more memory trains in parts that fit here.
    assert chosen.training(Cohort(tuple(found)), task, 1).at_once == 4
    # Two processes share what is free; where nothing is, one network is tried; and what is set is set.
    two = backend.chosen_backend(settings.model_copy(update={"workers": 2}), task)
    assert two.training(Cohort(tuple(found)), task, 1).at_once == 2
    monkeypatch.setattr(backend, "free_bytes", lambda device: 0)
    assert chosen.training(Cohort(tuple(found)), task, 1).at_once == 1
    fixed = settings.model_copy(update={"cohort_size": 7})
    assert chosen.cohort_size(fixed, task) == 7


def test_free_memory_is_that_of_the_container(tmp_path, monkeypatch):
    from aelle.collection import memory

    free = memory.free_bytes("cpu")
    assert free > 2**20
    (tmp_path / "memory.max").write_text(f"{2**20}\n")
    (tmp_path / "memory.current").write_text(f"{2**19}\n")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert memory.free_bytes("cpu") == 2**19
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_bytes("cpu") > 2**20


def test_a_network_that_raises_fails_alone(task, monkeypatch):
    from aelle.collection import population

    cohort = cohort_of("gru")
    expected = [[t.val_loss for t in e.trainees] for e in PopulationTraining(cohort, task, 2)]
    bad = cohort.variants[1].network_id

    class Raising(population.Population):
        def __init__(self, trainees, device, epoch):
            super().__init__(trainees, device, epoch)
            if any(t.variant.network_id == bad and t.val_loss is not None for t in trainees):
                raise ValueError("no more of this")

    monkeypatch.setattr(population, "Population", Raising)
    training = PopulationTraining(cohort, task, 2)
    found = [[t.val_loss for t in e.trainees] for e in training]
    assert [t.status for t in training.trainees] == ["ok", "failed", "ok", "ok"]
    assert training.trainees[1].error == "ValueError: no more of this"
    assert found[1][0] == pytest.approx(expected[1][0], abs=1e-5)
    assert found[2] == pytest.approx([expected[2][i] for i in (0, 2, 3)], abs=1e-5)
