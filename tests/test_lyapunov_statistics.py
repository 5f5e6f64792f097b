"""Error bars: coverage, autocorrelation, and what is read off a spectrum."""

import math

import pandas as pd
import pytest
import torch
from scipy.special import polygamma, psi

from aelle import plot
from aelle.lyapunov import estimates
from aelle.lyapunov.standard_error import standard_error
from aelle.spectra import DrivenMap, lyapunov_spectrum

F64 = torch.float64


def gaussian_products(n, sequences, steps, seed, g=1.0):
    """s' = x s with the inputs x i.i.d. N(0, g²/n) matrices."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(sequences, steps, n * n, generator=generator, dtype=F64) * g / math.sqrt(n)
    step = lambda x, s: (x.unflatten(-1, (n, n)) @ s.unsqueeze(-1)).squeeze(-1)  # noqa: E731
    return DrivenMap(step, n, jacobian=lambda x, s: x.unflatten(-1, (n, n))), inputs


def theory(n, g=1.0):
    """λ_i = ½[ψ((n-i+1)/2) + ln(2g²/n)] and the variance of one step, ψ'((n-i+1)/2)/4."""
    half = (n - torch.arange(n, dtype=F64)).numpy() / 2
    exponents = 0.5 * (torch.as_tensor(psi(half)) + math.log(2 * g**2 / n))
    return exponents, torch.as_tensor(polygamma(1, half)) / 4


@pytest.mark.slow
@pytest.mark.parametrize("sequences, steps", [(1, 240), (8, 60), (24, 30)])
def test_ninety_five_percent_intervals_cover(sequences, steps):
    # Many runs at once: each run is a set of sequences. Whether the first i directions cover is nearly
    # independent between directions, so the count is over runs × n.
    n, runs = 4, 500
    system, inputs = gaussian_products(n, runs * sequences, steps + 20, seed=7)
    expected, _ = theory(n)
    # The theory is for directions in the order of Gram-Schmidt, so the growth is read before it is sorted.
    growth = lyapunov_spectrum(system, inputs, warmup=20).growth
    covered = 0
    from scipy.special import stdtrit

    blocks = estimates.block_lengths(steps, estimates.block_count(steps, sequences))
    logs = regroup(system, inputs, blocks).view(runs, sequences, len(blocks), n)
    assert growth.logs.shape[0] == runs * sequences
    block_steps = torch.tensor(blocks).expand(sequences, -1)
    for run in logs:
        error, freedom = standard_error(run, block_steps)
        mean = run.sum((0, 1)) / (sequences * steps)
        covered += int(((mean - expected).abs() <= torch.as_tensor(stdtrit(freedom, 0.975)) * error).sum())
    assert 0.93 <= covered / (runs * n) <= 0.97


def regroup(system, inputs, blocks):
    """Growth over given blocks, from the loop itself."""
    from aelle.lyapunov.benettin import measure
    from aelle.lyapunov.driven_map import DrivenMapTangent
    from aelle.lyapunov.factorise import random_frame
    from aelle.lyapunov.growth import Position

    n, rows = system.state_size, len(inputs)
    frame = random_frame(n, n, F64, inputs.device, None).repeat(rows, 1, 1)
    position = Position([torch.zeros(rows, n, dtype=F64)], [frame])
    tangent = DrivenMapTangent(system, inputs.shape[-1], F64)
    with torch.no_grad():
        growths, _ = measure([tangent], inputs, position, warmup=20, blocks=blocks)
    return growths[0].logs


def test_the_standard_error_is_that_of_independent_steps():
    n = 6
    system, inputs = gaussian_products(n, 40, 420, seed=1, g=1.5)
    spectrum = lyapunov_spectrum(system, inputs, warmup=20)
    expected, variance = theory(n, 1.5)
    assert ((spectrum.exponents - expected).abs() < 4 * spectrum.standard_error).all()
    # SE = ½ sqrt(ψ'/T); 40 batches know it to 1/sqrt(80) = 11 %.
    ratio = spectrum.standard_error / (variance / (40 * 400)).sqrt()
    assert ((ratio > 0.6) & (ratio < 1.5)).all()
    ratio = spectrum.temporal_std / variance.sqrt()
    assert ((ratio > 0.8) & (ratio < 1.2)).all()


def test_autocorrelated_growth_gets_a_larger_error():
    # s' = exp(a_t) s with a_t = φ a_{t-1} + ξ: the average has variance σ²/(1-φ)²/T, not σ²/(1-φ²)/T.
    phi, steps = 0.9, 4000
    generator = torch.Generator().manual_seed(0)
    noise = 0.1 * torch.randn(4, steps, generator=generator, dtype=F64)
    a = torch.zeros_like(noise)
    for t in range(1, steps):
        a[:, t] = phi * a[:, t - 1] + noise[:, t]
    system = DrivenMap(
        lambda x, s: x.exp() * torch.tanh(s) / 1.0, 1, jacobian=lambda x, s: x.exp().unsqueeze(-1)
    )
    spectrum = lyapunov_spectrum(system, a.unsqueeze(-1), warmup=0)
    true = 0.1 / (1 - phi) / math.sqrt(4 * steps)
    naive = 0.1 / math.sqrt(1 - phi**2) / math.sqrt(4 * steps)
    assert true / naive > 4
    assert 0.5 * true < float(spectrum.standard_error[0]) < 1.7 * true


def test_one_block_has_no_error_bar_but_no_nan():
    system, inputs = gaussian_products(3, 1, 2, seed=0)
    spectrum = lyapunov_spectrum(system, inputs, warmup=1)
    assert (spectrum.standard_error == math.inf).all()
    low, high = spectrum.confidence_interval()
    assert (low == -math.inf).all()
    assert (high == math.inf).all()
    assert not spectrum.converged


def test_kaplan_yorke_and_entropy():
    exponents = torch.tensor([0.9056, 0.0, -14.5723])
    assert estimates.kaplan_yorke_dimension(exponents) == pytest.approx(2 + 0.9056 / 14.5723)
    assert estimates.kaplan_yorke_dimension(torch.tensor([-0.1, -0.2])) == 0.0
    assert estimates.kaplan_yorke_dimension(torch.tensor([0.2, -0.1])) == 2.0
    assert estimates.kaplan_yorke_dimension(torch.tensor([0.5, -math.inf])) == 1.0
    assert estimates.entropy_rate(torch.tensor([0.5, 0.25, -3.0])) == pytest.approx(0.75)


def test_a_transient_shows_as_not_converged():
    # Growth that drifts through the run: a fixed ramp.
    ramp = torch.linspace(-1, 1, 200, dtype=F64).view(1, 200, 1).repeat(24, 1, 1)
    ramp = ramp + 0.01 * torch.randn(ramp.shape, generator=torch.Generator().manual_seed(0), dtype=F64)
    system = DrivenMap(lambda x, s: x.exp() * s, 1)
    assert not lyapunov_spectrum(system, ramp, warmup=40).converged
    steady = 0.1 * torch.randn(24, 200, 1, generator=torch.Generator().manual_seed(0), dtype=F64)
    assert lyapunov_spectrum(system, steady, warmup=40).converged
    assert not lyapunov_spectrum(system, steady, warmup=10).converged


def test_what_a_spectrum_shows():
    torch.manual_seed(0)
    spectrum = lyapunov_spectrum(torch.nn.LSTM(3, 8, batch_first=True), torch.randn(5, 120, 3))
    assert len(spectrum) == 16
    assert (spectrum.exponents.diff() <= 0).all()
    assert spectrum.per_sequence.shape == (5, 16)
    B, blocks, n = spectrum.finite_time.shape
    assert (B, n) == (5, 16)
    averaged = (spectrum.finite_time * spectrum.block_steps.unsqueeze(-1)).sum((0, 1)) / (5 * spectrum.steps)
    torch.testing.assert_close(averaged, spectrum.exponents)
    torch.testing.assert_close(spectrum.per_sequence.mean(0), spectrum.exponents)
    assert spectrum.convergence.shape == (blocks, n)
    torch.testing.assert_close(spectrum.convergence[-1], spectrum.exponents)
    assert spectrum.steps == 72
    assert spectrum.warmup == 48
    assert spectrum.temporal_std.shape == (16,)
    low, high = spectrum.confidence_interval(0.9)
    assert ((low < spectrum.exponents) & (spectrum.exponents < high)).all()
    assert spectrum.layers == [spectrum]


def test_bits_frame_picture_and_text():
    torch.manual_seed(0)
    spectrum = lyapunov_spectrum(torch.nn.LSTM(3, 4, num_layers=2, batch_first=True), torch.randn(5, 120, 3))
    bits = spectrum.in_bits()
    torch.testing.assert_close(bits.exponents * math.log(2), spectrum.exponents)
    torch.testing.assert_close(bits.standard_error * math.log(2), spectrum.standard_error)
    assert bits.in_bits() is bits
    assert len(bits.layers) == 2
    frame = spectrum.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.index) == list(range(1, 17))
    assert frame["trusted"].all()
    assert "16 exponents in nats per step" in repr(spectrum)
    assert "bits per step" in repr(bits)
    assert "<table" in spectrum._repr_html_()
    figure = spectrum.plot()
    assert list(figure.data[-1].y) == pytest.approx(spectrum.exponents.tolist())


def test_a_spectrum_is_drawn_by_the_one_figure_of_spectra():
    torch.manual_seed(0)
    net = torch.nn.RNN(3, 32, batch_first=True)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(4)
    spectrum = lyapunov_spectrum(net, torch.randn(5, 120, 3), qr_interval=8)
    assert 0 < spectrum.trusted < 32
    figure = spectrum.plot(0.9)
    assert figure.to_plotly_json() == plot.spectrum(spectrum, 0.9).to_plotly_json()
    noise = [shape for shape in figure.layout.shapes if shape.line.dash == "dot"]
    assert [shape.x0 for shape in noise] == [spectrum.trusted + 0.5]
