"""Rate networks and FORCE learning: the closed loop, R-FORCE's eigenvalues, and what learning arrives at."""

import dataclasses
import math

import pytest
import torch

from aelle.collection.cohort_job import Job, driving_sequences, run_cohort
from aelle.collection.search_space import Cohort, variants
from aelle.collection.training import NativeTraining, build_network
from aelle.config import parse_experiment
from aelle.records import ExperimentFolder, read_table
from aelle.recurrent.rate import RateNetwork, RobustRateNetwork, robust_eigenvalues
from aelle.spectra import lyapunov_spectrum
from aelle.tasks.force import recursive_least_squares
from aelle.tasks.registry import make_task
from aelle.tasks.task import TaskError

SMALL = {"target": "two_sines", "period": 120, "validation_periods": 3}


def experiment(epochs, **networks):
    networks = {"architecture": "rate", "hidden_size": 100, "init_gain": 1.3, "learning_rate": 1.0} | networks
    content = {
        "name": "small",
        "task": {"name": "target_learning", "options": SMALL},
        "networks": networks | {"per_combination": 1},
        "training": {"epochs": epochs},
        "spectrum": {"epochs": [0, epochs], "sequences": 2},
    }
    return parse_experiment(content)


def training(epochs=8, **networks):
    cohort = Cohort(tuple(variants(experiment(epochs, **networks))))
    return NativeTraining(cohort, make_task("target_learning", SMALL), epochs)


def test_recursive_least_squares_arrives_at_the_ridge_solution():
    torch.manual_seed(0)
    activity = torch.randn(60, 12, dtype=torch.float64)
    targets = torch.randn(60, dtype=torch.float64)
    alpha = 0.7
    weights, inverse = torch.zeros(12, dtype=torch.float64), torch.eye(12, dtype=torch.float64) / alpha
    for r, f in zip(activity, targets, strict=True):
        recursive_least_squares(weights, inverse, r, (weights @ r - f).item())
    correlation = alpha * torch.eye(12, dtype=torch.float64) + activity.T @ activity
    torch.testing.assert_close(inverse, torch.linalg.inv(correlation), rtol=1e-9, atol=1e-12)
    ridge = torch.linalg.solve(correlation, activity.T @ targets)
    torch.testing.assert_close(weights, ridge, rtol=1e-9, atol=1e-12)


def test_jacobian_with_the_loop_closed_equals_autodiff():
    torch.manual_seed(1)
    cell = RateNetwork(2, 6, dtype=torch.float64, dt=0.3)
    with torch.no_grad():
        cell.weight_output.normal_()
    x, state = torch.randn(4, 2, dtype=torch.float64), torch.randn(4, 6, dtype=torch.float64)
    for b in range(4):
        automatic = torch.autograd.functional.jacobian(
            lambda s, b=b: cell.step(x[b : b + 1], s.unsqueeze(0)).squeeze(0), state[b]
        )
        torch.testing.assert_close(cell.jacobian(x, state)[b], automatic, rtol=1e-10, atol=1e-12)


def test_step_is_eulers_step_of_the_rate_equation():
    torch.manual_seed(2)
    cell = RateNetwork(1, 5, bias=False, dtype=torch.float64)
    with torch.no_grad():
        cell.weight_output.normal_()
    u, x = torch.randn(1, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    r = torch.tanh(x)
    z = cell.weight_output[0] @ r
    slope = -x + cell.weight_hh @ r + cell.weight_feedback[:, 0] * z + cell.weight_ih[:, 0] * u
    stepped = cell.step(u.unsqueeze(0), x.unsqueeze(0))[0]
    torch.testing.assert_close(stepped, x + 0.1 * slope, rtol=1e-12, atol=1e-14)


def test_connections_are_sparse_with_the_variance_of_the_paper():
    cell = RateNetwork(1, 400, dtype=torch.float64)
    cell.reset_parameters(1.5 / 20, torch.Generator().manual_seed(0))
    present = cell.weight_hh != 0
    assert present.double().mean().item() == pytest.approx(0.1, abs=0.005)
    assert cell.weight_hh[present].var().item() == pytest.approx(1.5**2 / (0.1 * 400), rel=0.05)
    # By the circular law the spectral radius tends to g.
    assert torch.linalg.eigvals(cell.weight_hh).abs().max().item() == pytest.approx(1.5, rel=0.1)
    assert cell.weight_output.abs().max() == 0
    with pytest.raises(ValueError, match=r"'density' of architecture 'rate' must be in \(0, 1\]"):
        RateNetwork(1, 4, density=0.0)


@pytest.mark.parametrize("gain", [0.5, 1.0, 1.25, 1.28, 1.3, 1.4, 1.6, 2.0, 3.0])
@pytest.mark.parametrize("size", [7, 40, 200])
def test_r_force_connections_have_the_prescribed_eigenvalues(size, gain):
    upper = robust_eigenvalues(size, gain)
    assert len(upper) == size // 2
    circles = gain * torch.tensor([0.9, 0.7, 0.72, 1.2], dtype=torch.float64)
    assert (upper.abs().unsqueeze(1) - circles).abs().min(dim=1).values.max() < 1e-12
    assert upper.imag.min() >= -1e-12
    cell = RobustRateNetwork(1, size, dtype=torch.float64)
    cell.reset_parameters(gain / math.sqrt(size), torch.Generator().manual_seed(0))
    expected = torch.cat([upper, upper.conj(), torch.zeros(size % 2)])
    found = torch.linalg.eigvals(cell.weight_hh)
    places = torch.view_as_real(found), torch.view_as_real(expected)
    distances = torch.cdist(*places, compute_mode="donot_use_mm_for_euclid_dist")
    assert distances.min(dim=1).values.max() < 1e-8
    assert found.sum().real.item() == pytest.approx(expected.sum().real.item(), abs=1e-8)
    # A normal matrix commutes with its transpose.
    w = cell.weight_hh
    torch.testing.assert_close(w @ w.mT, w.mT @ w, rtol=0, atol=1e-12)


def test_most_r_force_eigenvalues_lie_on_the_circle_next_to_the_stable_radius():
    # g = 1.6: radii 1.44, 1.12, 1.152 and 1.92; 1.152 is nearest to 1.15.
    upper = robust_eigenvalues(200, 1.6).abs()
    counts = [int((upper - 1.6 * radius).abs().lt(1e-9).sum()) for radius in (0.9, 0.7, 0.72, 1.2)]
    assert counts == [10, 10, 79, 1]


def test_exponents_at_rest_are_those_of_the_linearised_network():
    cell = RateNetwork(1, 12, bias=False, dtype=torch.float64, density=1.0)
    cell.reset_parameters(0.5 / math.sqrt(12), torch.Generator().manual_seed(3))
    found = lyapunov_spectrum(cell, torch.zeros(1, 4000, 1, dtype=torch.float64), warmup=100)
    at_rest = 0.9 * torch.eye(12, dtype=torch.float64) + 0.1 * cell.weight_hh
    expected = torch.linalg.eigvals(at_rest).abs().log().sort(descending=True).values
    assert torch.as_tensor(found.exponents).sum().item() == pytest.approx(expected.sum().item(), abs=1e-9)
    torch.testing.assert_close(torch.as_tensor(found.exponents), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("target, harmonics", [("two_sines", [1, 2]), ("four_sines", [1, 2, 3, 4])])
def test_targets_are_sums_of_sines_that_fill_their_range(target, harmonics):
    task = make_task("target_learning", {"target": target, "period": 240, "validation_periods": 2})
    wave = task.train.targets[0, :, 0].double()
    assert (wave.min().item(), wave.max().item()) == pytest.approx((-1.0, 1.0), abs=1e-6)
    assert torch.equal(task.validation.targets[0, :, 0], task.train.targets[0, :, 0].repeat(2))
    power = torch.fft.rfft(wave).abs()
    assert [n for n in range(1, 121) if power[n] > 1e-3] == harmonics
    amplitudes = {"two_sines": [1, 1 / 2], "four_sines": [1, 1 / 2, 1 / 6, 1 / 3]}[target]
    ratios = power[harmonics] / power[1]
    torch.testing.assert_close(ratios, torch.tensor(amplitudes, dtype=torch.float64), rtol=0, atol=1e-5)


def test_random_targets_follow_their_seed_and_wrong_ones_are_refused():
    def wave(seed):
        task = make_task("target_learning", {"target": "random_sines", "target_seed": seed})
        return task.train.targets

    assert torch.equal(wave(1), wave(1))
    assert not torch.equal(wave(1), wave(2))
    with pytest.raises(TaskError, match="target must be one of two_sines, four_sines, random_sines"):
        make_task("target_learning", {"target": "square"})
    with pytest.raises(TaskError, match="period must be at least 8"):
        make_task("target_learning", {"period": 2})


def test_force_learns_to_generate_the_target_on_a_limit_cycle():
    learning = training(epochs=12)
    epochs = [(e.trainees[0].val_metric, e.trainees[0].status) for e in learning]
    metrics = [metric for metric, _ in epochs]
    assert all(status == "ok" for _, status in epochs)
    # Before training the output is zero, and the metric the mean magnitude of the target.
    assert metrics[0] == pytest.approx(learning.task.train.targets.abs().mean().item(), rel=1e-5)
    assert metrics[-1] < 0.1 * metrics[0]
    (trainee,) = learning.trainees
    start = learning.task.learning_rule.running_state(trainee.optimiser)
    driving = torch.zeros(1, 4800, 1, dtype=torch.float64)
    found = lyapunov_spectrum(trainee.network, driving, warmup=600, initial_state=start)
    # An attracting limit cycle: no growth along it, decay across it.
    assert abs(found.exponents[0]) < 1e-3
    assert found.exponents[1] < -1e-3


def test_recorded_spectra_start_from_the_state_the_network_is_running_in(tmp_path):
    settings = experiment(1, hidden_size=30)
    task, cohort = make_task("target_learning", SMALL), Cohort(tuple(variants(settings)))
    folder, driving = ExperimentFolder(tmp_path), driving_sequences(settings, task)
    run_cohort(Job(settings, folder, task, driving), cohort)
    last = read_table(folder.cohort_file(cohort.cohort_id)).to_pylist()[-1]
    learning = NativeTraining(cohort, task, 1)
    for _ in learning:
        pass
    (trainee,) = learning.trainees
    start = task.learning_rule.running_state(trainee.optimiser)
    found, from_zero = (
        lyapunov_spectrum(trainee.network, driving, warmup=settings.spectrum.warmup, initial_state=state)
        for state in (start, None)
    )
    assert last["spectrum"] == pytest.approx(found.exponents.tolist(), abs=1e-6)
    assert last["spectrum"] != pytest.approx(from_zero.exponents.tolist(), abs=1e-4)


def test_a_resumed_network_learns_to_the_same_bits():
    whole = training(epochs=3)
    expected = [(e.trainees[0].train_loss, e.trainees[0].val_metric) for e in whole]
    first = training(epochs=3)
    steps = iter(first)
    for _ in range(2):
        next(steps)
    saved = {name: tensor.clone() for name, tensor in first.state().items()}
    resumed = training(epochs=3)
    resumed.restore(saved, {t.variant.network_id: t.status for t in first.trainees}, epoch=1)
    found = [(e.trainees[0].train_loss, e.trainees[0].val_metric) for e in resumed]
    assert found == expected[2:]


def test_only_networks_whose_output_feeds_back_can_learn_so():
    cohort = Cohort(tuple(t.variant for t in training().trainees))
    rate = cohort.variants[0]
    lstm = dataclasses.replace(rate, hyperparameters={**rate.hyperparameters, "architecture": "lstm"})
    with pytest.raises(TaskError, match=r"FORCE learning needs one layer whose output feeds back.*1 of lstm"):
        build_network(lstm, make_task("target_learning", SMALL))
