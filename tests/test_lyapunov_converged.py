"""`converged` where it is false and where it is true, what it says then, and rows that are not independent."""

import math

import pytest
import torch
from torch import nn

from aelle.spectra import DrivenMap, lyapunov_spectrum

F64 = torch.float64
SCALAR = DrivenMap(lambda x, s: x.exp() * s, 1, jacobian=lambda x, s: x.exp().unsqueeze(-1))


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def scaled(make, scale, seed=0, size=16):
    torch.manual_seed(seed)
    net = make(3, size, batch_first=True)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(scale)
    return net


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 10])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_a_gain_that_changes_on_the_way_has_not_converged(rows, noise):
    gains = torch.cat([torch.full((600,), 0.5), torch.full((500,), 2.0)]).double().log()
    inputs = gains.expand(rows, -1).unsqueeze(-1) + noise * drawn(rows, 1100, 1)
    spectrum = lyapunov_spectrum(SCALAR, inputs, warmup=100)
    assert not spectrum.converged
    assert any("drifts by +" in doubt for doubt in spectrum.doubts)


@pytest.mark.parametrize("rows", [1, 3, 30])
def test_a_slow_drift_has_not_converged(rows):
    drift = torch.linspace(-0.05, 0.05, 640, dtype=F64).expand(rows, -1).unsqueeze(-1)
    spectrum = lyapunov_spectrum(SCALAR, drift + 0.02 * drawn(rows, 640, 1), warmup=40)
    assert any("drifts by" in doubt for doubt in spectrum.doubts)


@pytest.mark.parametrize("rows", [1, 10])
def test_two_measured_steps_have_not_converged(rows):
    spectrum = lyapunov_spectrum(SCALAR, drawn(rows, 42, 1), warmup=40)
    assert not spectrum.converged
    assert spectrum.doubts == ["2 steps were measured, fewer than 20"]


@pytest.mark.parametrize("steps, rows", [(1_000, 1), (1_000, 8), (10_000, 4), (10_000, 8)])
def test_intermittency_has_not_converged(steps, rows):
    # Pomeau-Manneville, z = 1.8: laminar phases have infinite variance, so that no error bar of the mean is finite.
    z = 1.8
    system = DrivenMap(
        lambda x, s: torch.remainder(s + s.abs() ** z, 1.0), 1,
        jacobian=lambda x, s: (1 + z * s.abs() ** (z - 1)).unsqueeze(-1),
    )  # fmt: skip
    start = torch.rand(rows, 1, generator=torch.Generator().manual_seed(5), dtype=F64)
    spectrum = lyapunov_spectrum(system, steps=steps, initial_state=start)
    assert not spectrum.converged


def bistable_network():
    """Two units that hold the sign they start with, at unlike slopes: tanh(2 h ± 0.1)."""
    return DrivenMap(lambda x, s: torch.tanh(1.6 * s + 0.1 + 0.05 * x), 2)


def test_two_attractors_are_named():
    start = torch.ones(30, 2, dtype=F64)
    start[18:] = -1
    spectrum = lyapunov_spectrum(bistable_network(), drawn(30, 400, 2), initial_state=start)
    low, high = spectrum.confidence_interval()
    assert not ((spectrum.per_sequence[:, 0] > low[0]) & (spectrum.per_sequence[:, 0] < high[0])).any()
    assert not spectrum.converged
    assert "groups of 18 and 12" in spectrum.doubts[0]
    first, second = spectrum.attractors
    assert (first.rows, second.rows) == (list(range(18)), list(range(18, 30)))
    for group in (first, second):
        assert group.spectrum.converged
        alone = lyapunov_spectrum(
            bistable_network(), drawn(30, 400, 2)[group.rows], initial_state=start[group.rows]
        )
        torch.testing.assert_close(group.spectrum.exponents, alone.exponents, rtol=0, atol=1e-12)
    assert abs(float(first.spectrum.exponents[0] - second.spectrum.exponents[0])) > 0.05


def test_attractors_of_a_stack_and_of_fixed_points():
    start = torch.tensor([[1.0], [-1.0], [0.9]], dtype=F64)
    still = DrivenMap(lambda x, s: torch.tanh(1.6 * s + 0.1), 1)
    spectrum = lyapunov_spectrum(still, steps=200, initial_state=start)
    assert [group.rows for group in spectrum.attractors] == [[0, 2], [1]]
    net = scaled(lambda i, h, batch_first: nn.RNN(i, h, num_layers=2, batch_first=batch_first), 1.0, size=4)
    one = lyapunov_spectrum(net, torch.randn(6, 100, 3))
    assert [group.rows for group in one.attractors] == [[0, 1, 2, 3, 4, 5]]
    assert one.attractors[0].spectrum is one


@pytest.mark.parametrize(
    "make, scale", [(nn.LSTM, 6.0), (nn.RNN, 4.0), (nn.LSTM, 1.0), (nn.GRU, 1.0), (nn.RNN, 1.0)]
)
def test_plain_runs_have_converged(make, scale):
    said = [
        lyapunov_spectrum(scaled(make, scale), drawn(10, 100, 3, seed=seed)).converged for seed in range(10)
    ]
    assert sum(said) >= 8


@pytest.mark.parametrize("rows, steps", [(1, 1000), (3, 400), (10, 60), (40, 60)])
def test_independent_growth_has_converged(rows, steps):
    said = [
        lyapunov_spectrum(SCALAR, drawn(rows, steps + 40, 1, seed=s), warmup=40).converged for s in range(20)
    ]
    assert sum(said) >= 19


def test_a_fixed_point_and_a_rotation_have_converged():
    turning = torch.tensor([[0.6, -0.7], [0.7, 0.6]], dtype=F64)
    rotation = DrivenMap(lambda x, s: turning @ s, 2, jacobian=lambda x, s: turning)
    spectrum = lyapunov_spectrum(rotation, steps=300)
    assert spectrum.doubts == []
    assert float(spectrum.exponents[0]) == pytest.approx(0.5 * math.log(0.85), abs=1e-12)


def test_long_memory_says_so():
    shocks, factor = drawn(1, 1040), math.exp(-1 / 30)
    growth = shocks.clone()
    for t in range(1, 1040):
        growth[:, t] = factor * growth[:, t - 1] + math.sqrt(1 - factor**2) * shocks[:, t]
    spectrum = lyapunov_spectrum(SCALAR, growth.unsqueeze(-1), warmup=40)
    assert "short against its memory" in spectrum.doubts[0]
    assert "not converged: the run is short" in repr(spectrum)
    # One row of 1,000 steps and a memory of 30: the variance of the mean is (1 + φ)/(1 - φ)/T.
    true = math.sqrt((1 + factor) / (1 - factor) / 1000)
    assert 0.5 * true < float(spectrum.standard_error[0]) < 2 * true


# Rows that are not independent


def test_rows_that_end_on_one_trajectory_count_once():
    net, x = scaled(nn.RNN, 1.5), drawn(1, 300, 3)
    alone = lyapunov_spectrum(net, x, warmup=100)
    start = drawn(30, 16, seed=3)
    together = lyapunov_spectrum(net, x.expand(30, -1, -1), warmup=100, initial_state=start)
    ratio = together.standard_error / alone.standard_error
    assert ((ratio > 0.4) & (ratio < 2.5)).all()


@pytest.mark.parametrize("rounding", [0.0, 1e-13])
def test_identical_rows_count_once(rounding):
    net, x = scaled(nn.LSTM, 1.0), drawn(1, 200, 3)
    alone = lyapunov_spectrum(net, x)
    copies = x.expand(20, -1, -1) + rounding * drawn(20, 200, 3)
    together = lyapunov_spectrum(net, copies)
    assert (together.standard_error > 0.4 * alone.standard_error).all()


def test_three_copies_of_ten_sequences_are_ten():
    x = drawn(10, 140, 1)
    once = lyapunov_spectrum(SCALAR, x, warmup=40)
    thrice = lyapunov_spectrum(SCALAR, x.repeat(3, 1, 1), warmup=40)
    torch.testing.assert_close(thrice.standard_error, once.standard_error, rtol=1e-9, atol=0)


def test_rows_that_synchronise_on_the_way_are_not_thirty():
    # λ = -0.05: what is left of the starts fades through the measurement.
    step = lambda x, s: 0.95 * torch.sin(s) + 0.6 * x  # noqa: E731
    system, x = DrivenMap(step, 1), drawn(1, 260, 1)
    alone = lyapunov_spectrum(system, x, warmup=60)
    start = 3 * drawn(30, 1, seed=4)
    together = lyapunov_spectrum(system, x.expand(30, -1, -1), warmup=60, initial_state=start)
    assert float(together.standard_error[0]) > 0.3 * float(alone.standard_error[0])


def test_a_common_drive_is_one_drive():
    # Rows differ, but two thirds of the variance of their growth is common to all.
    common, own = drawn(1, 840, 1), drawn(40, 840, 1, seed=1)
    spectrum = lyapunov_spectrum(SCALAR, math.sqrt(2) * common + own, warmup=40)
    true = math.sqrt((2 + 1 / 40) / 800)
    assert 0.5 * true < float(spectrum.standard_error[0]) < 2 * true
