"""`aelle.diagnose`: each claim is there where it is planted, and not where it is false."""

import math

import pytest
import torch
from torch import nn

import aelle

F64 = torch.float64
KINDS = ["vanishing", "exploding", "chaotic", "saturated", "dead", "narrow"]


def noise(rows=16, steps=40, size=3, seed=1):
    return torch.randn(rows, steps, size, generator=torch.Generator().manual_seed(seed))


def rnn(gain=1.0, relu=False, size=32, bias=0.0, orthogonal=False):
    torch.manual_seed(0)
    model = nn.RNN(3, size, nonlinearity="relu" if relu else "tanh", batch_first=True)
    with torch.no_grad():
        if orthogonal:
            nn.init.orthogonal_(model.weight_hh_l0)
        model.weight_hh_l0.mul_(gain)
        model.weight_ih_l0.mul_(0.1)
        model.bias_ih_l0.fill_(bias)
    return model


def relu_identity():
    model = rnn(relu=True)
    with torch.no_grad():
        nn.init.eye_(model.weight_hh_l0)
        model.bias_ih_l0.fill_(3.0)
        model.bias_hh_l0.zero_()
    return model


def saturated():
    model = rnn()
    with torch.no_grad():
        model.bias_ih_l0.fill_(8.0)
    return model


def dead():
    model = relu_identity()
    with torch.no_grad():
        model.bias_ih_l0[:8] = -100.0
    return model


def narrow():
    model = relu_identity()
    with torch.no_grad():
        model.weight_hh_l0.copy_(torch.diag(torch.tensor([1.0] * 2 + [0.2] * 30)))
    return model


def kinds(model, *args, **more):
    return {found.kind for found in aelle.diagnose(model, noise(), *args, **more).findings}


PLANTED = {
    "vanishing": (lambda: rnn(0.5, orthogonal=True), {"vanishing"}),
    "exploding": (lambda: rnn(8.0), {"exploding", "chaotic"}),
    "saturated": (saturated, {"saturated", "vanishing"}),
    "dead": (dead, {"dead"}),
    "healthy": (relu_identity, set()),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_found_and_nothing_else(name):
    make, expected = PLANTED[name]
    found = kinds(make())
    if name == "exploding":
        found.discard("saturated")
    assert found == expected


def test_a_memory_of_too_few_directions_is_found_and_one_of_enough_is_not():
    reads = nn.Linear(32, 4)
    with torch.no_grad():
        nn.init.ones_(reads.weight)
    assert kinds(narrow(), reads) == {"narrow"}
    assert kinds(relu_identity(), reads) == set()


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_conditioned_networks_under_white_noise_are_healthy(kind):
    torch.manual_seed(1)
    model = kind(3, 24, batch_first=True)
    assert "vanishing" in kinds(model)
    aelle.condition(model, noise(32))
    assert not {"vanishing", "exploding", "chaotic", "saturated", "dead"} & kinds(model)


def test_a_linear_map_has_its_own_numbers():
    """J = a Q: λ₁ = ln a, a gradient changes by T ln a, condition number 1."""
    model = relu_identity()
    with torch.no_grad():
        model.weight_hh_l0.mul_(0.8)
    (part,) = aelle.diagnose(model, noise()).parts
    assert part.reach.exponent == pytest.approx(math.log(0.8), abs=1e-6)
    assert part.reach.memory_horizon == pytest.approx(-1 / math.log(0.8), rel=1e-5)
    assert part.reach.change == pytest.approx(40 * math.log(0.8), rel=1e-6)
    assert part.log10_condition == pytest.approx(0, abs=1e-5)
    assert part.surviving == 0  # e^{40 ln 0.8} is a ten-thousandth


def test_it_says_which_layer_and_every_claim_has_number_and_remedy():
    torch.manual_seed(0)
    model = nn.RNN(3, 32, num_layers=2, batch_first=True)
    with torch.no_grad():
        model.weight_hh_l1.mul_(8)
    found = aelle.diagnose(model, noise())
    (chaotic,) = [finding for finding in found.findings if finding.kind == "chaotic"]
    assert chaotic.layer == 1
    for finding in found.findings:
        assert finding.kind in KINDS
        assert any(sign.isdigit() for sign in finding.text)
        assert finding.remedy
    assert "\n" not in str(found)
    assert not found.healthy


def test_it_shows_itself_and_touches_nothing():
    model = nn.LSTM(3, 8, batch_first=True)
    before, state = [p.detach().clone() for p in model.parameters()], torch.get_rng_state()
    found = aelle.diagnose(model, noise(), horizon=20)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert torch.equal(state, torch.get_rng_state())
    assert found.plot().data[0].x[-1] == 20
    with pytest.raises(ValueError, match="a horizon of 50 steps is longer than the inputs"):
        aelle.diagnose(model, noise(), horizon=50)


def test_derived_weights_are_diagnosed_though_they_cannot_be_conditioned():
    model = torch.nn.utils.parametrizations.weight_norm(nn.LSTM(3, 8, batch_first=True), "weight_hh_l0")
    assert "vanishing" in kinds(model)
