"""Every registered cell: its Jacobian, its determinant, its kernels and its twin in torch.nn."""

import pytest
import torch
from torch import nn

from aelle.recurrent.convert import _in_dtype
from aelle.recurrent.lstm import LSTM
from aelle.recurrent.network import Network
from aelle.recurrent.registry import ARCHITECTURES, cell_class, register

CELLS = sorted(ARCHITECTURES)


def random_cell(name, bias=True, population=(), input_size=3, hidden_size=5, scale=1.2):
    torch.manual_seed(7)
    cell = ARCHITECTURES[name](input_size, hidden_size, bias, population=population, dtype=torch.float64)
    cell.reset_parameters(scale)
    return cell


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_closed_form_jacobian_equals_autodiff_at_random_states(name, bias):
    cell = random_cell(name, bias)
    x = torch.randn(6, 3, dtype=torch.float64)
    state = torch.randn(6, cell.state_size, dtype=torch.float64)
    closed = cell.jacobian(x, state)
    for b in range(6):
        automatic = torch.autograd.functional.jacobian(
            lambda s, b=b: cell.step(x[b : b + 1], s.unsqueeze(0)).squeeze(0), state[b]
        )
        torch.testing.assert_close(closed[b], automatic, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", CELLS)
def test_log_determinant_equals_that_of_the_jacobian(name):
    cell = random_cell(name)
    x = torch.randn(6, 3, dtype=torch.float64)
    state = torch.randn(6, cell.state_size, dtype=torch.float64)
    closed = cell.log_abs_det(x, state)
    if closed is None:
        pytest.skip(f"{name} has no closed-form determinant")
    torch.testing.assert_close(closed, torch.linalg.slogdet(cell.jacobian(x, state))[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_fused_kernels_equal_the_step_loop(name, bias):
    cell = random_cell(name, bias)
    inputs, state = (
        torch.randn(4, 9, 3, dtype=torch.float64),
        torch.randn(4, cell.state_size, dtype=torch.float64),
    )
    states = [state]
    for t in range(9):
        states.append(cell.step(inputs[:, t], states[-1]))
    expected = torch.stack(states, dim=1)
    torch.testing.assert_close(cell.trajectory(inputs, state), expected, rtol=1e-10, atol=1e-12)
    outputs, last = cell.scan(inputs, state)
    torch.testing.assert_close(outputs, cell.output(expected[:, 1:]), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(last, expected[:, -1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", CELLS)
def test_a_population_equals_its_networks_one_by_one(name):
    cells = [random_cell(name, scale=scale) for scale in (0.3, 0.9, 1.5)]
    population = type(cells[0]).stack(cells)
    x = torch.randn(3, 4, 3, dtype=torch.float64)
    state = torch.randn(3, 4, cells[0].state_size, dtype=torch.float64)
    for i, cell in enumerate(cells):
        torch.testing.assert_close(population.step(x, state)[i], cell.step(x[i], state[i]))
        torch.testing.assert_close(population.jacobian(x, state)[i], cell.jacobian(x[i], state[i]))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize(
    "make", [nn.RNN, nn.GRU, nn.LSTM, lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k)]
)
def test_torch_modules_convert_both_ways_with_equal_outputs(make, layers, bias):
    torch.manual_seed(3)
    module = make(4, 6, num_layers=layers, bias=bias, batch_first=True)
    inputs = torch.randn(5, 11, 4)
    expected = module(inputs)[0]
    network = Network.from_torch(module)
    torch.testing.assert_close(network(inputs)[0], expected, rtol=1e-5, atol=1e-6)
    back = network.to_torch()
    torch.testing.assert_close(back(inputs)[0], expected, rtol=0, atol=0)


def test_what_has_no_forward_map_is_refused():
    with pytest.raises(ValueError, match="bidirectional"):
        Network.from_torch(nn.GRU(2, 3, bidirectional=True))
    with pytest.raises(TypeError, match="Linear"):
        Network.from_torch(nn.Linear(2, 3))
    with pytest.raises(ValueError, match="hidden_size must be at least 1, got 0"):
        ARCHITECTURES["gru"](2, 0)


def test_architectures_by_name_path_and_typo():
    assert cell_class("aelle.recurrent.lstm:LSTM") is ARCHITECTURES["lstm"]
    with pytest.raises(ValueError, match="did you mean 'lstm'"):
        cell_class("lstmm")
    with pytest.raises(ValueError, match="cannot be imported"):
        cell_class("no_such_module:Cell")
    with pytest.raises(ValueError, match="already registered"):
        register(type("Other", (ARCHITECTURES["gru"],), {"architecture": "lstm"}))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_written_out_backpropagation_equals_autograd(name, bias):
    cell = random_cell(name, bias)
    inputs = torch.randn(4, 9, 3, dtype=torch.float64, requires_grad=True)
    state = torch.randn(4, cell.state_size, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(4, 9, 5, dtype=torch.float64)
    leaves = [inputs, state, *cell.parameters()]
    gradients = []
    for scan in (cell.scan, cell.scan_with_gradients):
        outputs, last = scan(inputs, state)
        loss = (outputs * weights).sum() + last.square().sum()
        gradients.append((outputs.detach(), *torch.autograd.grad(loss, leaves)))
    for automatic, written in zip(*gradients, strict=True):
        torch.testing.assert_close(written, automatic, rtol=1e-10, atol=1e-12)


def test_a_cell_of_many_networks_keeps_their_number_in_another_type_of_numbers():
    cell = LSTM(3, 4, population=(2,))
    converted = _in_dtype(cell, torch.float64)
    assert converted.population == (2,)
    assert converted.weight_hh.dtype == torch.float64
    x, state = torch.randn(2, 5, 3), torch.randn(2, 5, 8)
    torch.testing.assert_close(converted.step(x.double(), state.double()).float(), cell.step(x, state))
