"""A torch.nn module in which nothing but torch's kernel runs is told by what it is made of; any other is called."""

import pytest
import torch
from torch import nn

import aelle
from aelle.modules import conversion
from aelle.modules.plain import PLAIN, is_plain
from aelle.recurrent.convert import cells_of
from aelle.recurrent.registry import ARCHITECTURES

F64 = torch.float64


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("bias", [True, False])
def test_modules_as_torch_makes_them_are_plain_and_not_called(kind, bias, monkeypatch):
    def refuse(*_):
        raise AssertionError("a plain module needs no call")

    monkeypatch.setattr(conversion, "_call", refuse)
    module = kind(3, 4, bias=bias)
    assert is_plain(module)
    assert is_plain(module.half())
    aelle.lyapunov_spectrum(module.float(), [torch.randn(40, 3)])


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.LSTM(3, 6, num_layers=2, proj_size=4),
        lambda: nn.GRU(3, 4, num_layers=3, bidirectional=True),
        lambda: nn.RNN(3, 4, nonlinearity="relu", batch_first=True),
        lambda: nn.LSTM(3, 4, num_layers=2, dropout=0.5).eval(),
    ],
)
def test_every_setting_of_torch_is_plain(make):
    assert is_plain(make())


class Subclass(nn.LSTM):
    pass


def changed(change, module=None):
    module = nn.LSTM(3, 4) if module is None else module
    change(module)
    return module


NOT_PLAIN = {
    "a subclass": lambda: Subclass(3, 4),
    "a forward of its own": lambda: changed(lambda m: setattr(m, "forward", lambda *a: a)),
    "a method of its own": lambda: changed(lambda m: setattr(m, "permute_hidden", lambda *a: a)),
    "a hook": lambda: changed(lambda m: m.register_forward_hook(lambda *a: None)),
    "a hook before": lambda: changed(lambda m: m.register_forward_pre_hook(lambda *a: None)),
    "dropout in training": lambda: nn.LSTM(3, 4, num_layers=2, dropout=0.5),
    "another size": lambda: changed(lambda m: setattr(m, "hidden_size", 5)),
    "another nonlinearity": lambda: changed(lambda m: setattr(m, "nonlinearity", "relu"), nn.RNN(3, 4)),
    "another kernel": lambda: changed(lambda m: setattr(m, "mode", "RNN_RELU"), nn.RNN(3, 4)),
    "biases left out": lambda: changed(lambda m: setattr(m, "bias", False)),
    "two precisions": lambda: changed(
        lambda m: setattr(m.weight_hh_l0, "data", m.weight_hh_l0.data.double())
    ),
    "a weight in front of its parameter": lambda: changed(
        lambda m: m.__dict__.update(weight_hh_l0=torch.zeros(16, 4))
    ),
    "a weight that the kernel does not read": lambda: changed(
        lambda m: m._parameters.update(weight_hh_l0=nn.Parameter(torch.zeros(16, 4)))
    ),
    "one parameter more": lambda: changed(lambda m: m.register_parameter("w", nn.Parameter(torch.zeros(1)))),
    "a derived weight": lambda: nn.utils.parametrizations.weight_norm(nn.LSTM(3, 4), "weight_hh_l0"),
    "no kernel of torch": lambda: nn.Linear(3, 4),
}


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_any_other_module_is_not_plain(name):
    assert not is_plain(NOT_PLAIN[name]())


def test_a_forward_put_in_the_place_of_torchs_is_not_plain(monkeypatch):
    monkeypatch.setattr(nn.GRU, "forward", lambda self, *a: a)
    assert not is_plain(nn.GRU(3, 4))


def test_global_hooks_are_not_plain():
    handle = nn.modules.module.register_module_forward_hook(lambda *a: None)
    try:
        assert not is_plain(nn.GRU(3, 4))
    finally:
        handle.remove()


def test_the_kernel_that_runs_is_measured_not_the_one_that_is_named():
    torch.manual_seed(0)
    module, inputs = nn.RNN(3, 6), [torch.randn(60, 3)]
    expected = aelle.lyapunov_spectrum(module, inputs).exponents
    module.nonlinearity = "relu"  # torch goes by `mode`, which still says tanh
    torch.testing.assert_close(aelle.lyapunov_spectrum(module, inputs).exponents, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_a_cell_in_another_precision_is_the_same_cell_and_draws_nothing(name):
    cell = ARCHITECTURES[name](3, 6)
    before = torch.get_rng_state()
    (copied,) = cells_of(cell, F64)
    assert torch.equal(torch.get_rng_state(), before)
    assert copied is not cell
    assert copied.options == cell.options
    assert [n for n, _ in copied.named_parameters()] == [n for n, _ in cell.named_parameters()]
    for name_of, parameter in copied.named_parameters():
        assert parameter.dtype == F64
        assert torch.equal(parameter, cell.get_parameter(name_of).double())


def test_a_cell_with_something_of_the_users_keeps_it():
    cell = ARCHITECTURES["rnn"](3, 6)
    cell.gain = 2.0
    assert cells_of(cell, F64)[0].gain == 2.0


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_cells_share_no_memory_with_a_module(dtype):
    module = nn.LSTM(3, 4, dtype=dtype)
    (cell,) = cells_of(module, F64)
    with torch.no_grad():
        module.weight_hh_l0.zero_()
    assert cell.weight_hh.abs().sum() > 0
