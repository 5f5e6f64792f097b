"""Modules of every kind as they come, against a plain QR loop on automatic Jacobians."""

import copy
import dataclasses
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from aelle import (
    conditional_vs_generative,
    covariant_lyapunov_vectors,
    leading_exponents,
    lyapunov_spectrum,
    readout_growth,
)
from aelle.lyapunov.derivatives import StepError
from aelle.modules.errors import ModuleError
from aelle.recurrent.elman import TanhRNN
from aelle.recurrent.gru import GRU
from aelle.recurrent.lstm import LSTM
from aelle.recurrent.network import Network
from tests.module_oracles import plain_exponents

WARMUP = 20


def driving(features=3, batch=2, time=60):
    return torch.randn(batch, time, features, generator=torch.Generator().manual_seed(3))


def seeded(make):
    torch.manual_seed(5)
    return make()


class LeakyCell(nn.RNNCell):
    def forward(self, x, h=None):
        h = x.new_zeros(len(x), self.hidden_size) if h is None else h
        return 0.9 * h + 0.1 * super().forward(x, h)


class LayerNormLSTM(nn.LSTMCell):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.norm = nn.LayerNorm(sizes[1])

    def forward(self, x, state=None):
        state = (x.new_zeros(len(x), self.hidden_size),) * 2 if state is None else state
        h, c = super().forward(x, state)
        return h, self.norm(c) + 0.1 * c


def flat_cell(module):
    """The module's own call on one flat state, a tensor or a pair."""
    own = copy.deepcopy(module).double().eval()
    pair = isinstance(module, nn.LSTMCell)

    def step(x, s):
        state = s.unsqueeze(0)
        after = own(x.unsqueeze(0), tuple(state.chunk(2, -1)) if pair else state)
        return (torch.cat(after, -1) if pair else after).squeeze(0)

    return step


def close(spectrum, expected, tolerance=1e-7, above=-25.0):
    known = expected > above
    assert spectrum.exponents[known].sub(expected[known]).abs().max() < tolerance


@pytest.mark.parametrize(
    "make", [lambda: LeakyCell(3, 5), lambda: LayerNormLSTM(3, 4)], ids=["leaky", "layer norm"]
)
def test_an_overridden_forward_is_what_is_measured(make):
    module, inputs = seeded(make), driving()
    size = 8 if isinstance(module, nn.LSTMCell) else 5
    expected = plain_exponents(flat_cell(module), inputs.double(), torch.zeros(2, size).double(), WARMUP)
    close(lyapunov_spectrum(module, inputs, warmup=WARMUP), expected)


@pytest.mark.parametrize("derive", ["weight_norm", "spectral_norm", "prune"])
def test_stale_derived_weights_are_derived_anew(derive):
    def make():
        module = nn.GRU(3, 5, batch_first=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if derive == "prune":
                prune.random_unstructured(module, "weight_hh_l0", amount=0.5)
            else:
                getattr(nn.utils, derive)(module, "weight_hh_l0")
        return module

    source, module, inputs = seeded(make), make(), driving()
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.mul_(2)
    module.load_state_dict(source.state_dict())

    module.eval()
    found = lyapunov_spectrum(module, inputs, warmup=WARMUP)
    with torch.no_grad():
        module(torch.zeros(1, 1, 3))  # the hook derives its weight at each call

    def step(x, s):
        w = module.weight_hh_l0.detach().double()
        a = x @ module.weight_ih_l0.detach().double().T + module.bias_ih_l0.detach().double()
        b = s @ w.T + module.bias_hh_l0.detach().double()
        (ar, az, an), (br, bz, bn) = a.chunk(3), b.chunk(3)
        z = torch.sigmoid(az + bz)
        return (1 - z) * torch.tanh(an + torch.sigmoid(ar + br) * bn) + z * s

    expected = plain_exponents(step, inputs.double(), torch.zeros(2, 5).double(), WARMUP)
    close(found, expected, 1e-5)


class WrongJacobian(LSTM):
    """The step of a leaky LSTM with the closed forms of an LSTM."""

    def step(self, x, state):
        return 0.9 * state + 0.1 * super().step(x, state)


class WrongDeterminant(TanhRNN):
    def log_abs_det(self, x, state):
        return super().log_abs_det(x, state) + 1


class WrongDerivative(TanhRNN):
    def jacobian(self, x, state):
        return 2 * super().jacobian(x, state)


class WrongTerms(GRU):
    def tangent_terms(self, x, state, hidden_only=False):
        terms = super().tangent_terms(x, state, hidden_only)
        return dataclasses.replace(terms, diagonal=0.5 * terms.diagonal)


class Right(GRU):
    """Nothing but another name."""


@pytest.mark.parametrize(
    "kind, message",
    [
        (WrongJacobian, "trajectory gives other states"),
        (WrongDerivative, "WrongDerivative.jacobian: the given Jacobian"),
        (WrongTerms, "WrongTerms.tangent_terms: the given Jacobian"),
        (WrongDeterminant, "WrongDeterminant.log_abs_det is not"),
    ],
)
def test_closed_forms_of_a_users_own_cell_are_held_against_its_step(kind, message):
    cell = seeded(lambda: kind(3, 5))
    for system in (cell, Network([cell])):
        with pytest.raises(StepError, match=message):
            lyapunov_spectrum(system, driving())


def test_a_right_cell_of_ones_own_is_measured_as_ever():
    own, plain = seeded(lambda: Right(3, 5)), seeded(lambda: GRU(3, 5))
    found, expected = lyapunov_spectrum(own, driving()), lyapunov_spectrum(plain, driving())
    assert torch.allclose(found.exponents, expected.exponents, atol=1e-12)


@pytest.mark.parametrize(
    "take",
    [
        lambda module, x: readout_growth(module, x),
        lambda module, x: leading_exponents(module, x),
        lambda module, x: conditional_vs_generative(module, x, readout=nn.Linear(5, 3)),
    ],
    ids=["readout_growth", "leading_exponents", "closed loop"],
)
def test_what_needs_a_closed_form_refuses_what_only_looks_like_one(take):
    with pytest.raises(
        ModuleError, match=r"LeakyCell, step 1 gives a state that differs by .* from that of torch.nn.RNNCell"
    ):
        take(seeded(lambda: LeakyCell(3, 5)), driving())


def test_covariant_vectors_are_those_of_the_module_that_runs():
    module, inputs = seeded(lambda: LeakyCell(3, 5)), driving(time=260)
    growth = covariant_lyapunov_vectors(module, inputs)
    assert growth.vectors.shape == (2, 61, 5, 5)


@pytest.mark.parametrize(
    "mode", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)]
)
@pytest.mark.parametrize(
    "take", [readout_growth, leading_exponents], ids=["readout_growth", "leading_exponents"]
)
def test_every_mode_of_torch_gives_the_same(mode, take):
    module = seeded(lambda: nn.LSTM(3, 5, batch_first=True))
    expected = take(module, driving()).detach()
    with mode():
        assert torch.equal(take(module, driving()).detach(), expected)
