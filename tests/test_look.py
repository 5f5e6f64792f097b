"""A look is what it says: exponents of the steps it takes, the mean of all of them, and readout growth."""

import math

import pytest
import torch
from torch import nn

import aelle
from aelle.lyapunov.factorise import random_frame
from aelle.recurrent.network import Network
from aelle.recurrent.registry import ARCHITECTURES

F64 = torch.float64


def sequences(batch=3, steps=40, size=3, seed=1):
    return torch.randn(batch, steps, size, generator=torch.Generator().manual_seed(seed), dtype=F64)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
@pytest.mark.parametrize("steps", [2, 7, 40])
def test_leading_exponents_are_those_of_the_product_of_jacobians(name, steps):
    torch.manual_seed(3)
    cell, inputs = ARCHITECTURES[name](3, 6, dtype=F64), sequences(2, steps)
    seen = aelle.look(cell, inputs, k=4)
    transient = min(15, 2 * steps // 5)
    expected = []
    with torch.no_grad():
        for sequence in inputs:
            state, frame = (
                cell.initial_state(1),
                random_frame(cell.state_size, 4, F64, torch.device("cpu"), None).mT,
            )
            total = torch.zeros(4, dtype=F64)
            for step, x in enumerate(sequence):
                frame, r = torch.linalg.qr(cell.jacobian(x.unsqueeze(0), state)[0] @ frame)
                if step >= transient:
                    total += r.diagonal().abs().log()
                state = cell.step(x.unsqueeze(0), state)
            expected.append(total / (steps - transient))
    mean = torch.stack(expected).mean(0).sort(descending=True).values
    torch.testing.assert_close(seen.leading, mean, rtol=0, atol=1e-7)
    assert seen.steps == steps - transient


@pytest.mark.parametrize("make", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("layers", [1, 2])
def test_over_long_times_a_look_says_what_the_whole_spectrum_says(make, layers):
    torch.manual_seed(0)
    module, inputs = make(3, 10, num_layers=layers, batch_first=True), sequences(4, 3000)
    seen, spectrum = aelle.look(module, inputs), aelle.lyapunov_spectrum(module, inputs, warmup=15)
    near = 5 * float(spectrum.standard_error[:8].max()) + 2e-3
    torch.testing.assert_close(seen.leading, spectrum.exponents[:8], rtol=0, atol=near)
    if math.isfinite(seen.mean_exponent):
        assert abs(seen.mean_exponent - float(spectrum.exponents.mean())) < 1e-6


def test_the_mean_exponent_needs_no_long_time():
    torch.manual_seed(0)
    module, inputs = nn.LSTM(3, 8, batch_first=True), sequences(2, 40)
    spectrum = aelle.lyapunov_spectrum(module, inputs, warmup=15)
    assert abs(aelle.look(module, inputs).mean_exponent - float(spectrum.exponents.mean())) < 1e-9


def test_a_cell_without_a_closed_determinant_has_no_mean_exponent():
    assert math.isnan(aelle.look(nn.GRU(3, 5, batch_first=True), sequences()).mean_exponent)


def test_readout_growth_is_that_of_its_own_function():
    torch.manual_seed(0)
    module, readout, inputs = nn.LSTM(3, 8, batch_first=True), nn.Linear(8, 2), sequences()
    seen = aelle.look(module, inputs, readout)
    torch.testing.assert_close(seen.readout_growth, aelle.readout_growth(module, inputs, readout))
    assert len(seen.lags) == len(seen.readout_growth)
    assert seen.lags[-1] == 40


def test_a_look_changes_nothing():
    torch.manual_seed(0)
    network = Network([ARCHITECTURES["lstm"](3, 8)], nn.Linear(8, 2))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.get_rng_state()
    first, second = aelle.look(network, sequences()), aelle.look(network, sequences())
    torch.testing.assert_close(first.leading, second.leading, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_state_beyond_all_numbers_has_no_exponents_that_look_like_some():
    rnn = nn.RNN(3, 8, nonlinearity="relu", batch_first=True)
    assert bool((aelle.look(rnn, sequences()).leading < math.inf).all())
    rnn.weight_hh_l0.data = 1e30 * torch.eye(8)
    seen = aelle.look(rnn, sequences().abs())
    assert bool((seen.leading == math.inf).all())
    assert seen.mean_exponent == math.inf


@pytest.mark.parametrize("function", [aelle.look, aelle.readout_growth])
def test_a_module_without_a_recurrent_part_is_refused_by_name(function):
    with pytest.raises(TypeError, match="got Linear"):
        function(nn.Linear(3, 3), sequences())


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (torch.randn(3, 40, 4), "inputs have 4 features"),
        (torch.randn(3, 1, 3), "two steps"),
        ([torch.randn(5, 3), torch.randn(6, 3)], "one length"),
    ],
)
def test_bad_inputs_are_one_line(inputs, words):
    with pytest.raises(ValueError, match=words) as error:
        aelle.look(nn.LSTM(3, 8, batch_first=True), inputs)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_readout_growth_by_explicit_jacobians_is_that_of_automatic_differentiation(name, monkeypatch):
    torch.manual_seed(3)
    cell, readout, inputs = ARCHITECTURES[name](3, 6, dtype=F64), nn.Linear(6, 2), sequences(2, 12)
    start = torch.randn(cell.state_size, dtype=F64)
    by_jacobians = aelle.readout_growth(cell, inputs, readout, initial_state=start)
    monkeypatch.setattr("aelle.spectra.readout._by_compiled_loops", lambda *_: None)
    by_autograd = aelle.readout_growth(cell, inputs, readout, initial_state=start)
    torch.testing.assert_close(by_jacobians, by_autograd, rtol=1e-9, atol=1e-9)
