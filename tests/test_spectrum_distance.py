"""The distance between spectra, against integrals taken by hand."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import nn

from aelle.spectra import DrivenMap, lyapunov_spectrum, spectrum_distance

F64 = torch.float64


def test_of_equal_sizes_it_is_the_root_mean_square_difference():
    a, b = torch.tensor([0.3, -0.1, -2.0]), torch.tensor([0.1, -0.2, -1.0])
    expected = math.sqrt((0.2**2 + 0.1**2 + 1.0**2) / 3)
    assert spectrum_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_of_two_sizes_each_exponent_counts_over_its_share_of_the_index():
    # Two exponents against three: shares of the index end at 1/3, 1/2, 2/3.
    a, b = [1.0, -1.0], [2.0, 0.0, -3.0]
    squares = (1 / 3) * 1 + (1 / 6) * 1 + (1 / 6) * 1 + (1 / 3) * 4
    assert spectrum_distance(a, b) == pytest.approx(math.sqrt(squares), rel=1e-12)


def test_it_is_a_metric():
    generator = torch.Generator().manual_seed(0)
    spectra = [torch.randn(n, generator=generator, dtype=F64) - 1 for n in (1, 4, 7, 7, 12, 64)]
    for a in spectra:
        assert spectrum_distance(a, a) == 0
        assert spectrum_distance(a, a.repeat(3)) == 0
        assert spectrum_distance(a, a + 0.5) == pytest.approx(0.5, rel=1e-12)
        for b in spectra:
            assert spectrum_distance(a, b) == spectrum_distance(b, a)
            # The mean of absolute differences, which scipy has, is never above the root of that of squares.
            assert wasserstein_distance(a, b) <= spectrum_distance(a, b) + 1e-12
            for c in spectra:
                assert spectrum_distance(a, c) <= spectrum_distance(a, b) + spectrum_distance(b, c) + 1e-12


def test_minus_infinity_counts_as_the_lowest_value():
    a, b = np.array([0.0, -np.inf]), np.array([0.0, -1.0])
    assert spectrum_distance(a, a) == 0
    assert spectrum_distance(a, b) == pytest.approx(math.sqrt(0.5) * 19)
    assert spectrum_distance(a, b, lowest=-3) == pytest.approx(math.sqrt(0.5) * 2)


def test_networks_of_two_sizes():
    torch.manual_seed(0)
    inputs = torch.randn(4, 80, 3)
    small, large = (lyapunov_spectrum(nn.GRU(3, n, batch_first=True), inputs) for n in (8, 24))
    u = (torch.arange(2400) + 0.5) / 2400
    gap = small.exponents[(u * 8).long()] - large.exponents[(u * 24).long()]
    assert spectrum_distance(small, large) == pytest.approx(float(gap.square().mean().sqrt()), rel=1e-9)


def test_what_is_not_trusted_is_left_out():
    # Exponents of 0.5, 0 and -40 in single precision with one factorisation in 4 steps: the last is noise.
    rates = torch.tensor([0.5, 0.0, -40.0])
    basis = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))[0]
    matrix = basis @ torch.diag(rates.exp()) @ basis.T
    noisy = lyapunov_spectrum(
        DrivenMap(lambda x, s: matrix @ s, 3), steps=60, dtype=torch.float32, qr_interval=4,
        initial_state=torch.zeros(3),
    )  # fmt: skip
    assert noisy.trusted == 2
    assert spectrum_distance(noisy, rates) < 1e-3
    assert spectrum_distance(noisy, noisy.exponents) < 1e-12


NET, X = nn.LSTM(3, 4, batch_first=True), torch.randn(2, 60, 3)
SPECTRUM = lyapunov_spectrum(NET, X)
BAD = [
    (lambda: spectrum_distance(SPECTRUM, lyapunov_spectrum(NET, X, k=3)), ValueError, "b holds leading exponents"),
    (lambda: spectrum_distance(SPECTRUM, SPECTRUM.in_bits()), ValueError, "one unit, got nats per step and bits per step"),
    (lambda: spectrum_distance(lyapunov_spectrum(NET, X, state="hidden"), SPECTRUM), ValueError, "convention"),
    (lambda: spectrum_distance([math.nan], SPECTRUM), ValueError, "a holds NaN"),
    (lambda: spectrum_distance([math.inf], SPECTRUM), ValueError, "diverged"),
    (lambda: spectrum_distance([], SPECTRUM), ValueError, "one vector"),
    (lambda: spectrum_distance(SPECTRUM, [[1.0]]), ValueError, "one vector"),
    (lambda: spectrum_distance(SPECTRUM, "spectrum"), TypeError, "b must be a LyapunovSpectrum"),
    (lambda: spectrum_distance(SPECTRUM, SPECTRUM, lowest=-math.inf), ValueError, "lowest must be"),
]  # fmt: skip


@pytest.mark.parametrize("call, error, sentence", BAD)
def test_one_clear_sentence(call, error, sentence):
    with pytest.raises(error, match=sentence) as raised:
        call()
    assert "\n" not in str(raised.value)
