"""minLSTM, LRU, sLSTM, PLRNN and echo state networks: their papers' equations, exact spectra, and collections."""

import numpy as np
import pytest
import torch

from aelle.collection.collect import collect
from aelle.collection.population import PopulationTraining
from aelle.collection.search_space import Cohort, variants
from aelle.collection.training import NativeTraining, build_network
from aelle.config import ConfigError, parse_experiment
from aelle.records import read_records
from aelle.recurrent.echo_state import EchoState
from aelle.recurrent.linear_recurrent_unit import LRU
from aelle.recurrent.min_lstm import MinLSTM
from aelle.recurrent.piecewise_linear import PLRNN
from aelle.recurrent.slstm import SLSTM
from aelle.spectra import DrivenMap, lyapunov_spectrum
from aelle.tasks.registry import make_task
from tests.random_cells import F64, HIDDEN, INPUT, random_cell, random_inputs, sigma

KINDS = [MinLSTM, LRU, SLSTM, PLRNN, EchoState]


# One step each as the papers write it, in numpy.


def minimal_lstm(p, x, h):
    f, i, n = np.split(p["weight_ih"] @ x + p["bias_ih"], 3)
    f, i = sigma(f), sigma(i)
    return f / (f + i) * h + i / (f + i) * n


def linear_recurrent_unit(p, x, state):
    h = state[:HIDDEN] + 1j * state[HIDDEN:]
    B = p["weight_ih"][:HIDDEN] + 1j * p["weight_ih"][HIDDEN:]
    entries = np.exp(-np.exp(p["decay"]) + 1j * np.exp(p["angle"]))
    h = entries * h + np.exp(p["scale"]) * (B @ x)
    return np.concatenate([h.real, h.imag])


def piecewise_linear(p, x, z):
    W = p["weight_hh"] - np.diag(np.diag(p["weight_hh"]))
    return np.diag(p["diagonal"]) @ z + W @ np.maximum(z, 0) + p["weight_ih"] @ x + p["bias_ih"]


def echo_state(p, x, h):
    return 0.6 * h + 0.4 * np.tanh(p["weight_hh"] @ h + p["weight_ih"] @ x + p["bias_ih"])


def scalar_lstm(p, x, state):
    """The plain exponentials of the paper's equations 8 to 13, without a stabiliser, on (h, c, n)."""
    h, r, log_n = np.split(state, 3)
    n = np.exp(log_n)
    c = r * n
    a = p["weight_ih"] @ x + p["bias_ih"] + p["weight_hh"] @ h + p["bias_hh"]
    i, f, z, o = np.split(a, 4)
    i, f, z, o = np.exp(i), sigma(f), np.tanh(z), sigma(o)
    c, n = f * c + i * z, f * n + i
    return np.concatenate([o * c / n, c / n, np.log(n)])


@pytest.mark.parametrize(
    "kind, options, equations",
    [
        (MinLSTM, {}, minimal_lstm),
        (LRU, {}, linear_recurrent_unit),
        (PLRNN, {}, piecewise_linear),
        (EchoState, {"leak": 0.4}, echo_state),
        (SLSTM, {}, scalar_lstm),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_step_is_the_papers(kind, options, equations):
    cell = random_cell(kind, **options)
    parameters = {name: tensor.detach().numpy() for name, tensor in cell.named_parameters()}
    states = torch.randn(4, cell.state_size, dtype=F64, generator=torch.Generator().manual_seed(1))
    inputs = random_inputs(4, 1)[:, 0]
    expected = [equations(parameters, x.numpy(), s.numpy()) for x, s in zip(inputs, states, strict=True)]
    np.testing.assert_allclose(cell.step(inputs, states).detach().numpy(), expected, rtol=1e-12, atol=1e-13)


# Exact spectra.


def test_a_minimal_lstm_has_the_mean_logarithms_of_what_its_gates_keep():
    cell, inputs = random_cell(MinLSTM, scale=2.0), random_inputs(3, 160)
    spectrum = lyapunov_spectrum(cell, inputs, warmup=100)
    f, i = (
        (inputs[:, 100:] @ cell.weight_ih.mT + cell.bias_ih)
        .detach()[..., : 2 * HIDDEN]
        .sigmoid()
        .chunk(2, -1)
    )
    expected = (f / (f + i)).log().mean((0, 1)).sort(descending=True).values
    torch.testing.assert_close(spectrum.exponents, expected, rtol=0, atol=1e-12)
    assert spectrum.certificate < 1e-12


def test_a_linear_recurrent_unit_has_the_logarithms_of_its_moduli_twice_whatever_drives_it():
    cell = random_cell(LRU, hidden=40, r_min=0.5, r_max=0.99)
    modulus = (-cell.decay.exp()).exp().detach()
    assert float(modulus.min()) >= 0.5
    assert float(modulus.max()) <= 0.99
    torch.testing.assert_close(cell.scale.exp().detach(), (1 - modulus**2).sqrt())
    for scale in (0.1, 100.0):
        spectrum = lyapunov_spectrum(cell, scale * random_inputs(2, 60))
        expected = modulus.log().repeat_interleave(2).sort(descending=True).values
        torch.testing.assert_close(spectrum.exponents, expected, rtol=0, atol=1e-12)
        assert spectrum.trusted == 80


@pytest.mark.parametrize("exponential_forget", [0.0, 1.0])
def test_an_slstm_has_the_exponents_of_its_plain_exponentials(exponential_forget):
    # (h, c, n) with c = r n and n = exp l is the same map in other coordinates; small gates, so that n stays small.
    cell = random_cell(SLSTM, scale=0.6, hidden=3, exponential_forget=exponential_forget)
    with torch.no_grad():
        cell.bias_ih[3:6] -= 1.5

    def plain(x, state):
        h, c, n = state.chunk(3)
        a = cell.weight_ih @ x + cell.bias_ih + cell.weight_hh @ h + cell.bias_hh
        i, f, z, o = a.chunk(4)
        i, f = i.exp(), f.exp() if exponential_forget else f.sigmoid()
        c, n = f * c + i * z.tanh(), f * n + i
        return torch.cat([o.sigmoid() * c / n, c, n])

    inputs = random_inputs(4, 1500)
    start = torch.cat([torch.zeros(6, dtype=F64), torch.ones(3, dtype=F64)])
    expected = lyapunov_spectrum(DrivenMap(plain, 9), inputs, warmup=100, initial_state=start)
    found = lyapunov_spectrum(cell, inputs, warmup=100)
    torch.testing.assert_close(found.exponents[:6], expected.exponents[:6], rtol=0, atol=5e-3)
    assert found.certificate < 1e-9


def test_the_gates_of_an_slstm_do_not_overflow():
    cell = random_cell(SLSTM, scale=1.0)
    with torch.no_grad():
        cell.bias_ih[:HIDDEN] = torch.tensor([1e4, -1e4, 0.0, 800.0, -800.0])
    spectrum = lyapunov_spectrum(cell, random_inputs(2, 80))
    assert spectrum.diverged == 0
    assert not spectrum.exponents.isnan().any()
    outputs, _ = cell.scan(random_inputs(2, 80), cell.initial_state(2))
    assert (outputs.abs() <= 1).all()


def test_a_piecewise_linear_network_without_coupling_has_the_logarithms_of_its_diagonal():
    cell = random_cell(PLRNN)
    with torch.no_grad():
        cell.weight_hh.zero_().fill_diagonal_(7.0)  # its diagonal is left out
        cell.diagonal.copy_(torch.tensor([0.9, -0.5, 0.3, 0.05, -0.01]))
    spectrum = lyapunov_spectrum(cell, random_inputs(2, 200), warmup=100)
    torch.testing.assert_close(spectrum.exponents, cell.diagonal.detach().abs().log(), rtol=0, atol=1e-9)


def test_a_reservoir_at_rest_has_the_eigenvalues_of_its_leak_and_its_matrix():
    cell = random_cell(EchoState, bias=False, hidden=30, scale=0.8 / 30**0.5, leak=0.4)
    eigenvalues = torch.linalg.eigvals(cell.weight_hh.detach())
    assert float(eigenvalues.abs().max()) == pytest.approx(0.8, rel=1e-12)
    assert 0.02 < float((cell.weight_hh != 0).double().mean()) < 0.2
    spectrum = lyapunov_spectrum(cell, torch.zeros(1, 2500, INPUT), warmup=1500)
    expected = (0.6 + 0.4 * eigenvalues).abs().log().sort(descending=True).values
    torch.testing.assert_close(spectrum.exponents, expected, rtol=0, atol=5e-3)


def test_a_reservoir_too_sparse_to_have_a_radius_takes_all_connections():
    cell = random_cell(EchoState, scale=0.7 / HIDDEN**0.5, density=1e-9)
    assert float(torch.linalg.eigvals(cell.weight_hh.detach()).abs().max()) == pytest.approx(0.7)


@pytest.mark.parametrize(
    "kind, options, message",
    [
        (EchoState, {"leak": 0.0}, "option 'leak' of architecture 'echo_state' must be in"),
        (EchoState, {"density": 1.5}, "option 'density' of architecture 'echo_state' must be in"),
        (LRU, {"r_min": 0.9, "r_max": 0.8}, "architecture 'lru' needs 0 <= r_min < r_max <= 1"),
    ],
)
def test_options_out_of_range_are_refused(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(INPUT, HIDDEN, **options)


# Collections.


def experiment(backend="native", **networks):
    content = {
        "name": "tiny",
        "task": {"name": "latch", "options": {"delay": 4, "train": 128, "validation": 32}},
        "networks": {"hidden_size": 6, "per_combination": 2, "init_gain": 0.8, **networks},
        "training": {"epochs": 2, "batch_size": 64, "workers": 1, "backend": backend},
        "spectrum": {"epochs": [0, 2], "sequences": 2, "steps": 20, "warmup": 10},
    }
    return parse_experiment(content)


def test_all_of_them_are_collected(tmp_path):
    names = [kind.architecture for kind in KINDS]
    collect(experiment(architecture=names), tmp_path / "x", progress=False)
    records = read_records(tmp_path / "x")
    assert set(records.architecture) == set(names)
    assert (records.status == "ok").all()
    certificates = records[records.spectrum.notna()].certificate
    assert (certificates < 1e-9).all()


@pytest.mark.parametrize("kind", KINDS)
def test_both_backends_train_them_alike(kind):
    task = make_task("latch", {"delay": 4, "train": 160, "validation": 50})
    cohort = Cohort(
        tuple(variants(experiment(architecture=kind.architecture, bias=True, learning_rate=0.01)))
    )
    native, population = NativeTraining(cohort, task, 2), PopulationTraining(cohort, task, 2)
    for one, other in zip(native, population, strict=True):
        for a, b in zip(one.trainees, other.trainees, strict=True):
            assert a.error is None
            assert b.error is None
            assert b.val_loss == pytest.approx(a.val_loss, abs=1e-3)
    weights = native.state()
    for name, tensor in population.state().items():
        torch.testing.assert_close(tensor, weights[name], rtol=0, atol=1e-3)


@pytest.mark.parametrize("training", [NativeTraining, PopulationTraining])
def test_a_reservoir_stays_as_it_is_drawn_and_its_readout_learns(training):
    task = make_task("latch", {"delay": 4, "train": 160, "validation": 50})
    cohort = Cohort(tuple(variants(experiment(architecture="echo_state", learning_rate=0.05))))
    trained = training(cohort, task, 3)
    losses = [[t.val_loss for t in epoch.trainees] for epoch in trained]
    assert np.mean(losses[-1]) < np.mean(losses[0])
    for trainee in trained.trainees:
        drawn = build_network(trainee.variant, task)
        for name, parameter in trainee.network.named_parameters():
            same = torch.equal(parameter, drawn.get_parameter(name))
            assert same == name.startswith("cells.")
    stopped = training(cohort, task, 3)
    for epoch in stopped:
        if epoch.number == 1:
            break
    resumed = training(cohort, task, 3)
    state = {name: tensor.clone() for name, tensor in stopped.state().items()}
    resumed.restore(state, {v.network_id: "ok" for v in cohort.variants}, 1)
    assert [[t.val_loss for t in e.trainees] for e in resumed] == losses[2:]


def test_wrong_options_are_refused_before_anything_trains(tmp_path):
    options = {"echo_state": {"density": 2.0}}
    with pytest.raises(ConfigError, match="option 'density' of architecture 'echo_state' must be in"):
        collect(experiment(architecture="echo_state", cell_options=options), tmp_path / "x", progress=False)
