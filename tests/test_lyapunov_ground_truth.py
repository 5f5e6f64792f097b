"""Spectra whose exact values are known: each is derived in its test."""

import math

import pytest
import torch
from scipy.special import psi

from aelle.recurrent.antisymmetric import AntisymmetricRNN
from aelle.recurrent.cell import Cell
from aelle.recurrent.coupled_oscillator import CoRNN
from aelle.recurrent.elman import TanhRNN
from aelle.recurrent.lstm import LSTM
from aelle.recurrent.network import Network
from aelle.spectra import DrivenMap, lyapunov_spectrum
from tests.systems import henon

F64 = torch.float64


def linear(W):
    return DrivenMap(lambda x, s: W @ s, len(W))


def random_matrix(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, n, generator=generator, dtype=F64) / math.sqrt(n)


def log_moduli(matrix):
    return torch.linalg.eigvals(matrix).abs().log().sort(descending=True).values


def test_a_linear_map_has_the_log_moduli_of_its_eigenvalues():
    # Three real eigenvalues of different modulus: the finite-time error then decays geometrically.
    basis = random_matrix(3)
    W = basis @ torch.diag(torch.tensor([1.5, -0.9, 0.2], dtype=F64)) @ torch.linalg.inv(basis)
    spectrum = lyapunov_spectrum(linear(W), steps=200, warmup=200)
    expected = torch.tensor([1.5, 0.9, 0.2], dtype=F64).log()
    torch.testing.assert_close(spectrum.exponents, expected, rtol=0, atol=1e-7)
    assert spectrum.certificate < 1e-9


def test_an_orthogonal_map_neither_grows_nor_shrinks():
    Q = torch.linalg.qr(random_matrix(6))[0]
    spectrum = lyapunov_spectrum(linear(Q), steps=100)
    torch.testing.assert_close(spectrum.exponents, torch.zeros(6, dtype=F64), rtol=0, atol=1e-13)


def test_a_triangular_map_has_the_log_moduli_of_its_diagonal():
    W = torch.tensor([[0.3, 5.0, -2.0], [0.0, 1.2, 1.0], [0.0, 0.0, -0.7]], dtype=F64)
    expected = torch.tensor([1.2, 0.7, 0.3], dtype=F64).log()
    spectrum = lyapunov_spectrum(linear(W), steps=300, warmup=200)
    torch.testing.assert_close(spectrum.exponents, expected, rtol=0, atol=1e-7)


def test_a_diagonal_map_in_ascending_order_comes_out_descending():
    W = torch.diag(torch.tensor([0.1, 0.5, 0.9, 1.3], dtype=F64))
    expected = torch.tensor([1.3, 0.9, 0.5, 0.1], dtype=F64).log()
    full = lyapunov_spectrum(linear(W), steps=100, warmup=200)
    torch.testing.assert_close(full.exponents, expected, rtol=0, atol=1e-7)
    leading = lyapunov_spectrum(linear(W), steps=100, warmup=200, k=2)
    torch.testing.assert_close(leading.exponents, expected[:2], rtol=0, atol=1e-7)


@pytest.mark.parametrize("interval", ["auto", 1, 2, 5])
def test_period_three_products_are_taken_forward_in_time(interval):
    # The state follows C B A: first A, then B, then C. The transposed product in forward order would be
    # (C^T B^T A^T) with the eigenvalues of A B C, which differ.
    A, B, C = (random_matrix(4, seed) for seed in (1, 2, 5))
    matrices = torch.stack([A, B, C])
    system = DrivenMap(lambda x, s: torch.einsum("p,pij,j->i", x, matrices, s), 4)
    inputs = torch.eye(3, dtype=F64).repeat(500, 1).unsqueeze(0)
    spectrum = lyapunov_spectrum(system, inputs, warmup=600, qr_interval=interval)
    forward, transposed = log_moduli(C @ B @ A) / 3, log_moduli(A @ B @ C) / 3
    assert (forward - transposed).abs().max() > 0.05
    # Complex pairs turn inside their plane: their common value is met only on average.
    torch.testing.assert_close(spectrum.exponents, forward, rtol=0, atol=2e-3)
    assert abs(float(spectrum.exponents.sum() - forward.sum())) < 1e-10


def test_the_sum_of_a_tanh_network_is_its_mean_log_determinant():
    torch.manual_seed(0)
    cell = TanhRNN(3, 12, dtype=F64)
    cell.reset_parameters(0.8)
    inputs = torch.randn(4, 90, 3, dtype=F64)
    spectrum = lyapunov_spectrum(cell, inputs, warmup=30)
    with torch.no_grad():
        states = cell.trajectory(inputs, cell.initial_state(4))
        a = (
            inputs[:, 30:] @ cell.weight_ih.mT
            + states[:, 30:-1] @ cell.weight_hh.mT
            + cell.bias_ih
            + cell.bias_hh
        )
        slopes = 1 / torch.cosh(a) ** 2
        expected = torch.linalg.slogdet(cell.weight_hh)[1] + slopes.log().sum(-1).mean()
    assert abs(float(spectrum.exponents.sum() - expected)) < 1e-9
    assert spectrum.certificate < 1e-9


def test_the_sum_of_an_lstm_over_its_whole_state():
    torch.manual_seed(1)
    H = 10
    cell = LSTM(3, H, dtype=F64)
    cell.reset_parameters(0.7)
    inputs = torch.randn(3, 80, 3, dtype=F64)
    spectrum = lyapunov_spectrum(cell, inputs, warmup=30)
    with torch.no_grad():
        states = cell.trajectory(inputs, cell.initial_state(3))[:, 30:]
        h, new_c = states[:, :-1, :H], states[:, 1:, H:]
        a = inputs[:, 30:] @ cell.weight_ih.mT + h @ cell.weight_hh.mT + cell.bias_ih + cell.bias_hh
        f, o = torch.sigmoid(a[..., H : 2 * H]), torch.sigmoid(a[..., 3 * H :])
        per_unit = new_c.tanh().abs().log() + (o * (1 - o)).log() + f.log()
        expected = torch.linalg.slogdet(cell.weight_hh[3 * H :])[1] + per_unit.sum(-1).mean()
    assert len(spectrum) == 2 * H
    assert abs(float(spectrum.exponents.sum() - expected)) < 1e-9
    assert spectrum.certificate < 1e-9


@pytest.mark.parametrize("make", [torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM])
def test_a_constant_input_ends_at_a_fixed_point_with_the_eigenvalues_of_its_jacobian(make):
    torch.manual_seed(2)
    module = make(2, 4, batch_first=True).double()
    inputs = torch.full((1, 1000, 2), 0.3, dtype=F64)
    spectrum = lyapunov_spectrum(module, inputs, warmup=600)
    cell = Network.from_torch(module).layers[0]
    with torch.no_grad():
        point = cell.trajectory(inputs, cell.initial_state(1))[:, -1]
        expected = log_moduli(cell.jacobian(inputs[:, 0], point)[0])
    torch.testing.assert_close(spectrum.exponents, expected, rtol=0, atol=5e-3)
    assert abs(float(spectrum.exponents.sum() - expected.sum())) < 1e-9


def test_the_henon_map():
    # Literature values of the average over the attractor; the determinant is -b everywhere.
    start = torch.rand(100, 2, generator=torch.Generator().manual_seed(0), dtype=F64) * 0.1
    spectrum = lyapunov_spectrum(henon(), steps=1000, initial_state=start)
    assert abs(float(spectrum.exponents.sum()) - math.log(0.3)) < 1e-10
    error = (spectrum.exponents - torch.tensor([0.41922, -1.62320], dtype=F64)).abs()
    assert (error < 4 * spectrum.standard_error).all()
    assert (spectrum.standard_error < 2e-3).all()


def test_the_cat_map():
    # (x, y) → (2x + y, x + y) mod 1: eigenvalues (3 ± √5)/2.
    matrix = torch.tensor([[2.0, 1.0], [1.0, 1.0]], dtype=F64)
    cat = DrivenMap(lambda x, s: torch.remainder(matrix @ s, 1.0), 2)
    spectrum = lyapunov_spectrum(cat, steps=100, initial_state=torch.tensor([0.123, 0.456], dtype=F64))
    top = math.log((3 + math.sqrt(5)) / 2)
    torch.testing.assert_close(spectrum.exponents, torch.tensor([top, -top], dtype=F64), rtol=0, atol=1e-12)


def test_the_logistic_map_at_four():
    logistic = DrivenMap(lambda x, s: 4 * s * (1 - s), 1)
    start = torch.rand(50, 1, generator=torch.Generator().manual_seed(3), dtype=F64)
    spectrum = lyapunov_spectrum(logistic, steps=2000, initial_state=start)
    assert abs(float(spectrum.exponents[0]) - math.log(2)) < 2e-3


def gaussian_products(n, sequences, steps, g, seed):
    """Driving inputs that *are* the matrices, i.i.d. N(0, g²/n): s' = x s."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(sequences, steps, n * n, generator=generator, dtype=F64) * g / math.sqrt(n)
    system = DrivenMap(
        lambda x, s: (x.unflatten(-1, (n, n)) @ s.unsqueeze(-1)).squeeze(-1),
        n,
        jacobian=lambda x, s: x.unflatten(-1, (n, n)),
    )
    return system, inputs


def test_products_of_gaussian_matrices():
    # λ_i = ½ [ψ((n-i+1)/2) + ln(2g²/n)] (Newman 1986): each new column's length is chi-distributed.
    n, g = 8, 1.3
    system, inputs = gaussian_products(n, 20, 520, g, seed=0)
    spectrum = lyapunov_spectrum(system, inputs, warmup=20)
    i = torch.arange(1, n + 1)
    expected = 0.5 * (torch.as_tensor(psi((n - i + 1).numpy() / 2)) + math.log(2 * g**2 / n))
    assert ((spectrum.exponents - expected).abs() < 4 * spectrum.standard_error).all()
    assert spectrum.certificate < 1e-9


def test_an_antisymmetric_network_near_rest():
    # J = I + ε (W - W^T - γI) at h = 0: eigenvalues 1 - εγ ± iεω, so λ = ½ ln((1-εγ)² + ε²ω²).
    torch.manual_seed(0)
    cell = AntisymmetricRNN(2, 6, bias=False, dtype=F64)
    cell.reset_parameters(2.0)
    eps, gamma = cell.options["eps"], cell.options["gamma"]
    omega = torch.linalg.eigvals((cell.weight_hh - cell.weight_hh.mT).detach()).imag
    expected = 0.5 * torch.log((1 - eps * gamma) ** 2 + (eps * omega) ** 2).sort(descending=True).values
    spectrum = lyapunov_spectrum(cell, torch.zeros(1, 30_000, 2, dtype=F64), warmup=10_000)
    torch.testing.assert_close(spectrum.exponents, expected, rtol=0, atol=2e-4)
    assert abs(float(spectrum.exponents.sum() - expected.sum())) < 1e-8


def test_uncoupled_velocities_of_an_oscillator_network():
    # With 𝒲 = 0, y' - Δt z' does not depend on z: det J = (1 - Δt ε)^H whatever the input.
    torch.manual_seed(0)
    cell = CoRNN(2, 6, dtype=F64)
    with torch.no_grad():
        cell.weight_hh[6:] = 0.0
    spectrum = lyapunov_spectrum(cell, torch.randn(3, 90, 2, dtype=F64))
    expected = math.log(abs(1 - cell.options["dt"] * cell.options["eps"]))
    assert abs(float(spectrum.exponents.sum()) / 6 - expected) < 1e-9
    assert spectrum.certificate < 1e-9
    assert len(lyapunov_spectrum(cell, torch.randn(3, 90, 2, dtype=F64), state="hidden")) == 6


class Henon(Cell):
    """The Hénon map as a user's own cell, with nothing but a step and a Jacobian; the input shifts x."""

    architecture = "henon_of_the_test"

    def step(self, x, state):
        first, second = state.unbind(-1)
        return torch.stack([1 - 1.4 * first**2 + second + x[..., 0], 0.3 * first], dim=-1)

    def jacobian(self, x, state):
        first = state[..., 0]
        one, zero = torch.ones_like(first), torch.zeros_like(first)
        return torch.stack([torch.stack([-2.8 * first, one], -1), torch.stack([0.3 * one, zero], -1)], -2)


def test_the_henon_map_as_a_users_own_cell():
    cell = Henon(1, 2, dtype=F64)
    start = torch.rand(60, 2, generator=torch.Generator().manual_seed(0), dtype=F64) * 0.1
    spectrum = lyapunov_spectrum(cell, torch.zeros(60, 1100, 1, dtype=F64), initial_state=start)
    assert abs(float(spectrum.exponents.sum()) - math.log(0.3)) < 1e-9
    error = (spectrum.exponents - torch.tensor([0.41922, -1.62320], dtype=F64)).abs()
    assert (error < 4 * spectrum.standard_error).all()
