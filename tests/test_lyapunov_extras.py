"""Covariant vectors, closed loop, mean field, differentiable exponents."""

import math

import mpmath
import pytest
import torch
from torch import nn

from aelle.recurrent.elman import TanhRNN
from aelle.recurrent.network import Network
from aelle.spectra import (
    ChaoticGradientWarning,
    DrivenMap,
    conditional_vs_generative,
    covariant_lyapunov_vectors,
    leading_exponents,
    lyapunov_spectrum,
    mean_field,
)

F64 = torch.float64


def henon():
    return DrivenMap(lambda x, s: torch.stack([1 - 1.4 * s[0] ** 2 + s[1], 0.3 * s[0]]), 2)


def degrees_apart(a, b):
    """Angle between two directions, through the sine: exact for small angles."""
    cross = (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]).abs()
    return torch.rad2deg(torch.asin((cross / (a.norm(dim=-1) * b.norm(dim=-1))).clamp(max=1)))


def test_covariant_vectors_of_the_henon_map_are_covariant():
    start = torch.tensor([[0.1, 0.1], [0.2, 0.05]], dtype=F64)
    found = covariant_lyapunov_vectors(henon(), steps=500, initial_state=start)
    assert found.vectors.shape == (2, 501, 2, 2)
    assert found.states.shape == (2, 501, 2)
    x = found.states[:, :-1, 0]
    jacobian = torch.stack(
        [torch.stack([-2.8 * x, torch.ones_like(x)], -1), torch.stack([0.3 + 0 * x, 0 * x], -1)], -2
    )
    pushed = jacobian @ found.vectors[:, :-1]
    for j in range(2):
        assert float(degrees_apart(pushed[..., j], found.vectors[:, 1:, :, j]).max()) < 1e-6
    torch.testing.assert_close(pushed.norm(dim=-2).log(), found.local_exponents, rtol=0, atol=1e-9)
    # The trajectory and its vectors belong together: the map takes each state to the next.
    after = torch.stack([1 - 1.4 * x**2 + found.states[:, :-1, 1], 0.3 * x], -1)
    torch.testing.assert_close(after, found.states[:, 1:])
    exponents = lyapunov_spectrum(henon(), steps=500, initial_state=start).exponents
    torch.testing.assert_close(found.exponents, exponents, rtol=0, atol=0.02)
    assert found.angles().shape == (2, 501, 2, 2)
    torch.testing.assert_close(found.splitting_angle(1), found.angles()[..., 0, 1], rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="between 1 and 1"):
        found.splitting_angle(2)


def test_covariant_vectors_of_a_linear_map_are_its_eigenvectors():
    W = torch.tensor([[1.3, 0.8], [0.0, 0.4]], dtype=F64)
    found = covariant_lyapunov_vectors(DrivenMap(lambda x, s: W @ s, 2), steps=5)
    eigenvectors = torch.tensor([[1.0, 0.8], [0.0, -0.9]], dtype=F64)
    for j in range(2):
        assert float(degrees_apart(found.vectors[0, :, :, j], eigenvectors[:, j].expand(6, 2)).max()) < 1e-6
    torch.testing.assert_close(found.participation.sum(0), torch.ones(2, dtype=F64))
    torch.testing.assert_close(found.participation_ratio[0], torch.tensor(1.0, dtype=F64))


@pytest.mark.parametrize("layers", [1, 2])
def test_covariant_vectors_of_a_network(layers):
    torch.manual_seed(0)
    net = nn.GRU(3, 4, num_layers=layers, batch_first=True).double()
    inputs = torch.randn(2, 260, 3, dtype=F64)
    found = covariant_lyapunov_vectors(net, inputs, k=3)
    assert found.vectors.shape == (2, 61, 4 * layers, 3)
    torch.testing.assert_close(found.vectors.norm(dim=-2), torch.ones(2, 61, 3, dtype=F64))
    spectrum = lyapunov_spectrum(net, inputs, warmup=100, steps=60)
    torch.testing.assert_close(found.exponents, spectrum.exponents[:3], rtol=0, atol=0.1)


def test_singular_jacobians_have_no_covariant_vectors():
    with pytest.raises(ValueError, match="singular"):
        covariant_lyapunov_vectors(DrivenMap(lambda x, s: s * torch.tensor([1.0, 0.0]).double(), 2), steps=5)


def test_a_linear_readout_closes_the_loop():
    # Linear dynamics h' = tanh(W h + U x) near 0 with x = V h: the closed loop has the eigenvalues of W + U V.
    torch.manual_seed(0)
    cell = TanhRNN(2, 3, bias=False, dtype=F64)
    cell.reset_parameters(0.4)
    readout = nn.Linear(3, 2, bias=False).double()
    net = Network([cell], readout)
    with torch.no_grad():
        loop = cell.weight_hh + cell.weight_ih @ readout.weight
        both = conditional_vs_generative(net, torch.zeros(1, 800, 2, dtype=F64), steps=600)
        expected = torch.linalg.slogdet(loop)[1]
        driven = torch.linalg.slogdet(cell.weight_hh)[1]
    assert abs(float(both.generative.exponents.sum() - expected)) < 1e-6
    assert abs(float(both.conditional.exponents.sum() - driven)) < 1e-6
    assert both.difference.shape == (3,)
    assert abs(float(driven - expected)) > 1e-2


def test_a_torch_module_with_its_readout_closes_the_loop():
    torch.manual_seed(0)
    both = conditional_vs_generative(
        nn.LSTM(2, 5, num_layers=2, batch_first=True), torch.randn(3, 120, 2), readout=nn.Linear(5, 2)
    )
    assert len(both.conditional) == len(both.generative) == 20
    assert both.generative.sequences == 3


@pytest.mark.parametrize(
    "g, largest, mean", [(1.5, 0.065217, -0.714346), (2.0, 0.154724, -1.149023), (3.0, 0.310249, -2.272805)]
)
def test_mean_field_values(g, largest, mean):
    theory = mean_field(g)
    assert theory.largest == pytest.approx(largest, abs=2e-6)
    assert theory.mean == pytest.approx(mean, abs=2e-6)


@pytest.mark.parametrize(
    "g, sigma", [(0.9, 0.01), (1.01, 0.0), (20.0, 0.0), (200.0, 0.0), (1000.0, 3.0), (1e6, 0.0)]
)
def test_mean_field_equals_thirty_digits(g, sigma):
    mpmath.mp.dps = 30
    theory = mean_field(g, sigma)
    width = mpmath.sqrt(theory.variance)

    def average(function):
        ends = [0, *(min(a / width, 14) for a in (0.5, 1, 2, 4, 8, 20, 60)), 14]
        integrand = lambda z: function(width * z) * mpmath.exp(-(z**2) / 2)  # noqa: E731
        return mpmath.sqrt(2 / mpmath.pi) * mpmath.quad(integrand, sorted(set(ends)))

    q = g**2 * average(lambda a: mpmath.tanh(a) ** 2) + sigma**2
    assert float(q) == pytest.approx(theory.variance, rel=1e-8)
    largest = mpmath.log(g) + mpmath.log(average(lambda a: mpmath.sech(a) ** 4)) / 2
    assert float(largest) == pytest.approx(theory.largest, abs=1e-9)
    mean = mpmath.log(g) - 0.5 + average(lambda a: 2 * mpmath.log(mpmath.sech(a)))
    assert float(mean) == pytest.approx(theory.mean, abs=1e-9 + 1e-9 * g)


def test_mean_field_at_large_gain_follows_its_asymptote():
    # √q → g, so ⟨sech⁴⟩ → (4/3)/√(2π)/g and λ_1 → ½ ln(g · 4/(3√(2π))).
    for g in (200.0, 1000.0):
        assert mean_field(g).largest == pytest.approx(
            0.5 * math.log(g * 4 / 3 / math.sqrt(2 * math.pi)), abs=2e-3
        )


def test_mean_field_of_the_silent_network():
    theory = mean_field(0.5)
    assert theory.variance == 0.0
    assert theory.largest == pytest.approx(math.log(0.5))
    assert theory.mean == pytest.approx(math.log(0.5) - 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("g, sigma", [(2.0, 0.0), (1.5, 0.7)])
def test_mean_field_agrees_with_a_large_random_network(g, sigma):
    n, sequences, steps = 250, 4, 200
    generator = torch.Generator().manual_seed(3)
    cell = TanhRNN(n, n, bias=False, dtype=F64)
    with torch.no_grad():
        cell.weight_ih.copy_(torch.eye(n))
        cell.weight_hh.copy_(g / math.sqrt(n) * torch.randn(n, n, generator=generator, dtype=F64))
    inputs = sigma * torch.randn(sequences, steps, n, generator=generator, dtype=F64)
    start = torch.randn(sequences, n, generator=generator, dtype=F64)
    spectrum = lyapunov_spectrum(cell, inputs, warmup=100, initial_state=start)
    theory = mean_field(g, sigma)
    assert float(spectrum.exponents[0]) == pytest.approx(theory.largest, abs=0.03)
    assert float(spectrum.exponents.mean()) == pytest.approx(theory.mean, abs=0.04)


@pytest.mark.parametrize("make", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("layers", [1, 2])
def test_gradients_of_leading_exponents_equal_finite_differences(make, layers):
    torch.manual_seed(0)
    net = make(2, 4, num_layers=layers, batch_first=True).double()
    inputs = torch.randn(2, 14, 2, dtype=F64)
    value = lambda: leading_exponents(net, inputs, k=2, warmup=4).sum()  # noqa: E731
    value().backward()
    for name in ("weight_hh_l0", f"weight_ih_l{layers - 1}"):
        parameter = getattr(net, name)
        for index in ((0, 1), (2, 0)):
            with torch.no_grad():
                parameter[index] += 1e-6
                above = float(value())
                parameter[index] -= 2e-6
                below = float(value())
                parameter[index] += 1e-6
            numeric = (above - below) / 2e-6
            assert float(parameter.grad[index]) == pytest.approx(numeric, rel=1e-4, abs=1e-7)


def test_the_frozen_gradient_is_that_of_the_jacobians_alone():
    # λ of h' = tanh(w h + x) at fixed states: mean of ln w + ln sech²(w h + x); its derivative by hand.
    cell = TanhRNN(1, 1, bias=False, dtype=F64)
    with torch.no_grad():
        cell.weight_hh.fill_(0.8)
        cell.weight_ih.fill_(1.0)
    inputs = torch.randn(1, 30, 1, generator=torch.Generator().manual_seed(0), dtype=F64)
    exponent = leading_exponents(cell, inputs, warmup=5, trajectory="frozen")
    exponent.sum().backward()
    with torch.no_grad():
        h = cell.trajectory(inputs, cell.initial_state(1))[0, 5:-1, 0]
        expected = (1 / 0.8 - 2 * torch.tanh(0.8 * h + inputs[0, 5:, 0]) * h).mean()
    assert float(cell.weight_hh.grad) == pytest.approx(float(expected), rel=1e-10)


def test_leading_exponents_equal_the_spectrum():
    torch.manual_seed(0)
    net, inputs = nn.GRU(3, 6, batch_first=True), torch.randn(3, 60, 3)
    spectrum = lyapunov_spectrum(net, inputs, warmup=30)
    found = leading_exponents(net, inputs, k=6, warmup=30, dtype=F64)
    torch.testing.assert_close(found.detach(), spectrum.exponents, rtol=0, atol=1e-8)


def test_gradients_through_chaos_come_with_a_warning():
    torch.manual_seed(0)
    cell = TanhRNN(1, 30, bias=False, dtype=F64)
    with torch.no_grad():
        cell.weight_hh.copy_(3.0 / math.sqrt(30) * torch.randn(30, 30))
    inputs = torch.randn(1, 120, 1, dtype=F64) * 0.1
    with pytest.warns(ChaoticGradientWarning, match="frozen"):
        leading_exponents(cell, inputs)
    leading_exponents(cell, inputs, trajectory="frozen")
