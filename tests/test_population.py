"""The population backend: the same networks, trained as one batch."""

import pytest
import torch

from aelle.collection.population import PopulationTraining
from aelle.collection.search_space import Cohort, variants
from aelle.collection.training import NativeTraining
from aelle.config import parse_experiment
from aelle.tasks.registry import make_task

# float32 rounding differs between the backends' orders of summation, and training amplifies it: measured
# below 2e-4 in the weights after three epochs of these small networks.
TOLERANCE = {"rtol": 0, "atol": 1e-3}


def cohort_of(architecture, num_layers=1, **networks):
    space = {
        "architecture": architecture,
        "hidden_size": 7,
        "num_layers": num_layers,
        "per_combination": 4,
        "init_gain": {"uniform": [0.5, 2.0]},
        "learning_rate": {"log_uniform": [1e-3, 1e-2]},
        "weight_decay": {"uniform": [0.0, 0.1]},
        **networks,
    }
    content = {"name": "x", "task": {"name": "latch"}, "networks": space, "training": {"gradient_clip": 0.5}}
    return Cohort(tuple(variants(parse_experiment(content))))


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
    population = Population(training.trainees, torch.device("cpu"))
    inputs = torch.randn(4, 64, 5, 8)

    def outputs(seed):
        generator = torch.Generator().manual_seed(seed)
        return population(inputs, slice(None), generator)

    still = population(inputs, slice(None))
    many = torch.stack([outputs(seed) for seed in range(400)])
    rates = torch.tensor([v.dropout for v in cohort.variants])
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
        def __init__(self, trainees, device):
            sizes.append(len(trainees))
            if len(trainees) > 1:
                raise torch.OutOfMemoryError
            super().__init__(trainees, device)

    monkeypatch.setattr(population, "Population", Small)
    found = [[t.val_loss for t in e.trainees] for e in PopulationTraining(cohort, task, 2)]
    assert sizes == [4, 2] + [1] * 12
    for row, other in zip(found, expected, strict=True):
        assert row == pytest.approx(other, abs=1e-5)


def test_backends_are_chosen_by_device_and_task(task):
    from aelle.collection.backend import Backend, chosen_backend
    from aelle.config import ConfigError, Training

    assert chosen_backend(Training(device="cpu"), task) == Backend("native", "cpu")
    assert chosen_backend(Training(backend="population", device="cpu"), task) == Backend("population", "cpu")
    with pytest.raises(ConfigError, match=r"training\.device: 'abacus' cannot be used here"):
        chosen_backend(Training(device="abacus"), task)
    with pytest.raises(ConfigError, match="has its own learning rule"):
        chosen_backend(Training(backend="population"), make_task("target_learning", {}))


def test_a_population_is_collected_like_any_cohort(tmp_path):
    from aelle.collection.collect import collect
    from tests.test_collection import comparable, experiment

    networks = {"architecture": "gru", "dropout": 0.0}
    native, population = (
        experiment(networks=networks, training={"backend": backend}) for backend in ("native", "population")
    )
    collect(native, tmp_path / "native", progress=False)
    collect(population, tmp_path / "population", progress=False)
    one, other = comparable(tmp_path / "native"), comparable(tmp_path / "population")
    assert list(one.network_id) == list(other.network_id)
    assert one.val_loss.to_numpy() == pytest.approx(other.val_loss.to_numpy(), abs=1e-3)
