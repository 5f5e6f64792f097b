"""Modules of every kind as they come, against a plain QR loop on automatic Jacobians."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from aelle import lyapunov_spectrum
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
