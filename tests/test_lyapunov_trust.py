"""What the engine trusts is so: singular steps, underflow, long intervals, overflow; against 600 digits."""

import math

import mpmath
import pytest
import torch
from torch import nn

from aelle.lyapunov.factorise import random_frame
from aelle.recurrent.convert import cells_of
from aelle.recurrent.registry import ARCHITECTURES
from aelle.spectra import DrivenMap, lyapunov_spectrum
from tests.lyapunov_oracles import mp_exponents
from tests.systems import henon

F64 = torch.float64


def scaled(net, scale):
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(scale)
    return net


def relu(size, scale, seed):
    torch.manual_seed(seed)
    return scaled(nn.RNN(3, size, nonlinearity="relu", batch_first=True), scale)


def drive(rows, steps, size=3, seed=1):
    return torch.randn(rows, steps, size, generator=torch.Generator().manual_seed(seed), dtype=F64)


def mp_jacobians(cell, inputs):
    """Jacobians of a cell along the trajectory of inputs (time, input_size), rounded to float64 and no further."""
    with torch.no_grad():
        states = cell.trajectory(inputs.unsqueeze(0), cell.initial_state(1))[0]
        return [mpmath.matrix(J.tolist()) for J in cell.jacobian(inputs, states[:-1])]


def truth_of(net, inputs):
    """Exponents of each sequence (rows, n), from the frame that the engine starts from, without warm-up."""
    cell = cells_of(net, F64)[0]
    frame = random_frame(cell.state_size, cell.state_size, F64, inputs.device, None).mT
    truth = [
        mp_exponents(mp_jacobians(cell, sequence), frame, len(sequence), digits=600) for sequence in inputs
    ]
    return torch.tensor(truth, dtype=F64)


def assert_trusted_is_true(spectrum, truth, tolerance=1e-6):
    trusted = spectrum.trusted
    found, expected = spectrum.exponents[:trusted].double(), truth[:trusted]
    right = (found == expected) | ((found - expected).abs() <= tolerance)
    assert right.all(), (found, expected)


@pytest.mark.slow
def test_dead_relu_units_leave_the_other_exponents_right():
    # Once a unit is dead Σ ln|diag| and the determinant are both -inf: their agreement says nothing of the rest.
    torch.manual_seed(34)
    net = scaled(nn.RNN(3, 16, nonlinearity="relu", batch_first=True), 6.0)
    inputs = torch.randn(1, 500, 3)
    spectrum = lyapunov_spectrum(net, inputs)
    cell = cells_of(net, F64)[0]
    jacobians = mp_jacobians(cell, inputs[0].double())
    frame = random_frame(16, 16, F64, inputs.device, None).mT[:, :9]
    leading = torch.tensor(mp_exponents(jacobians, frame[:, :8], 400, digits=60), dtype=F64)
    # The ninth direction ends at the fifth step of the warm-up and begins anew; it has forgotten where.
    ninth = mp_exponents(jacobians[5:], frame, 400, digits=60)[8]
    torch.testing.assert_close(spectrum.exponents[:8], leading, rtol=0, atol=1e-6)
    assert abs(float(spectrum.exponents[8]) - ninth) < 1e-3
    assert (spectrum.exponents[9:] == -math.inf).all()
    assert spectrum.trusted == 16


@pytest.mark.parametrize("size, scale, seed", [(16, 6.0, 34), (8, 2.0, 16), (8, 2.0, 24), (32, 1.0, 34)])
def test_dead_relu_units_do_not_lengthen_the_interval(size, scale, seed):
    net, inputs = relu(size, scale, seed), drive(2, 250)
    stepwise = lyapunov_spectrum(net, inputs, qr_interval=1)
    assert int(stepwise.exponents.isinf().sum()) > 0
    for interval in ("auto", 4, 16):
        assert_trusted_is_true(lyapunov_spectrum(net, inputs, qr_interval=interval), stepwise.exponents)
    assert lyapunov_spectrum(net, inputs).trusted == size


def test_sequences_of_which_some_are_singular_are_all_right():
    torch.manual_seed(0)
    net = nn.RNN(1, 8, nonlinearity="relu", batch_first=True)
    with torch.no_grad():
        net.weight_ih_l0.fill_(1.0)
        net.bias_ih_l0.fill_(0.5)
    # A strong positive drive keeps every unit alive, a strong negative one ends some.
    inputs = drive(3, 60, 1) + torch.tensor([12.0, -1.0, 12.0]).view(3, 1, 1)
    spectrum = lyapunov_spectrum(net, inputs, warmup=0)
    truth = truth_of(net, inputs)
    assert truth.isinf().any(1).tolist() == [False, True, False]
    assert spectrum.trusted == 8
    for found, expected in zip(spectrum.per_sequence, truth, strict=True):
        found = found.sort(descending=True).values
        assert ((found == expected) | ((found - expected).abs() < 1e-6)).all()


def test_a_recurrent_matrix_of_low_rank_is_not_trusted_beyond_its_rank():
    torch.manual_seed(0)
    for make in (nn.RNN, nn.GRU, nn.LSTM):
        net = make(3, 6, batch_first=True)
        left, right = drive(1, len(net.weight_hh_l0), 2)[0], drive(1, 2, 6, seed=2)[0]
        with torch.no_grad():
            net.weight_hh_l0.copy_(left @ right)
        inputs = drive(1, 40)
        assert_trusted_is_true(lyapunov_spectrum(net, inputs, warmup=0), truth_of(net, inputs)[0])
    rnn = lyapunov_spectrum(scaled(nn.RNN(3, 6, batch_first=True), 0.0), drive(1, 40), warmup=5)
    assert (rnn.exponents == -math.inf).all()
    assert rnn.trusted == 6


@pytest.mark.parametrize("kind", ["lstm hidden", "mingru", "map"])
def test_an_underflow_is_not_minus_infinity(kind):
    if kind == "map":
        system = DrivenMap(lambda x, s: math.exp(-57.6) * s.roll(1), 20)
        found = lyapunov_spectrum(system, steps=100, initial_state=torch.ones(20))
        torch.testing.assert_close(found.exponents, torch.full((20,), -57.6, dtype=F64))
        assert found.trusted == 20
        return
    if kind == "mingru":  # ln(1 - z) = -1000 where 1 - z underflows to 0
        cell = ARCHITECTURES["mingru"](2, 3, dtype=F64)
        with torch.no_grad():
            cell.bias_ih[:3] = torch.tensor([1000.0, 0.0, 0.0])
        found = lyapunov_spectrum(cell, drive(1, 50, 2))
        assert found.exponents.isfinite().all()
        assert abs(float(found.exponents[2]) + 1000) < 1
        return
    torch.manual_seed(0)
    net = nn.LSTM(3, 16, batch_first=True)
    with torch.no_grad():
        net.bias_ih_l0.copy_(torch.tensor([-60.0, -60.0, 60.0, 60.0]).repeat_interleave(16))
    inputs = drive(2, 100)
    stepwise = lyapunov_spectrum(net, inputs, state="hidden", k=2, qr_interval=1)
    found = lyapunov_spectrum(net, inputs, state="hidden", k=2)
    assert found.exponents.isfinite().all()
    torch.testing.assert_close(found.exponents, stepwise.exponents, rtol=0, atol=1e-8)
    fixed = lyapunov_spectrum(net, inputs, state="hidden", k=2, qr_interval=16)
    assert fixed.trusted == 0
    # In float32 every step of it underflows, e^-60 times e^-60: that is not known to be singular.
    with torch.no_grad():
        net.bias_ih_l0[48:] = -60.0
    assert lyapunov_spectrum(net, inputs, state="hidden", k=2, dtype=torch.float32).trusted == 0


def test_what_a_fixed_interval_loses_in_the_warm_up_is_stated():
    torch.manual_seed(0)
    net, inputs = nn.LSTM(3, 32, batch_first=True), drive(1, 140)
    stepwise = lyapunov_spectrum(net, inputs, qr_interval=1)
    spectrum = lyapunov_spectrum(net, inputs, qr_interval=16)
    error = (spectrum.exponents - stepwise.exponents).abs()
    assert float(error.max()) > 0.01
    assert (error <= spectrum.rounding_error + stepwise.rounding_error + 1e-9).all()
    assert float(error[: spectrum.trusted].max()) < 1e-3


@pytest.mark.parametrize("interval", ["auto", 1, 4, 8])
def test_the_sum_of_the_henon_map_is_that_of_its_determinant(interval):
    spectrum = lyapunov_spectrum(
        henon(), steps=3000, qr_interval=interval, initial_state=torch.tensor([0.1, 0.1])
    )
    assert abs(float(spectrum.exponents.sum()) - math.log(0.3)) < 1e-15
    # The certificate tells what the logarithms were before they were corrected by the determinant.
    assert spectrum.certificate > 0 or interval == 1
