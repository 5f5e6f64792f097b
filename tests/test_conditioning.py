"""`aelle.condition`: what it does to a network, what it leaves alone, and what it says."""

import copy

import pytest
import torch
from torch import nn

import aelle
from aelle.conditioning import METHODS, Method
from aelle.conditioning.method import Moved
from aelle.conditioning.methods import Shape
from aelle.recurrent.network import Network
from aelle.recurrent.registry import ARCHITECTURES

F64 = torch.float64


def sequences(rows=16, steps=40, size=3, seed=1, dtype=torch.float32):
    return torch.randn(rows, steps, size, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def weights(model):
    return [p.detach().clone() for p in model.parameters()]


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    "make", [nn.RNN, nn.GRU, nn.LSTM, lambda *a, **o: nn.RNN(*a, nonlinearity="relu", **o)]
)
@pytest.mark.parametrize("layers", [1, 2])
def test_scaled_networks_have_the_exponent_under_fresh_inputs(make, layers):
    torch.manual_seed(3)
    model = make(3, 24, num_layers=layers, batch_first=True)
    result = aelle.condition(model, sequences(32, 60), method="scale", horizon=50)
    assert result.changed
    assert result.model is model
    fresh = aelle.lyapunov_spectrum(model, sequences(64, 60, seed=9), k=1)
    for layer, error in zip(fresh.layers, result.after.standard_errors, strict=True):
        tolerance = (
            4 * float(error) + 0.02 / 50
        )  # half the sequences fit, half judge, and fresh ones have an error too
        assert abs(float(layer.exponents[0]) + 1 / 50) < tolerance
        assert tolerance < 0.15


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
@pytest.mark.parametrize("method", ["scale", "shape", "floss"])
def test_every_architecture_is_conditioned_or_left_alone(name, method):
    torch.manual_seed(0)
    cell = ARCHITECTURES[name](3, 4)
    before = weights(cell)
    result = aelle.condition(cell, sequences(4, 10), method=method)
    (stage,) = result.parts[0].stages
    assert result.changed is not equal(before, weights(cell))
    assert result.changed is (stage.after < stage.before)
    assert ("unchanged" in str(result)) is not result.changed


def test_what_vanishes_reaches_back_afterwards():
    torch.manual_seed(0)
    network = Network([ARCHITECTURES["lstm"](3, 16)], nn.Linear(16, 2))
    result = aelle.condition(network, sequences())
    grown = aelle.readout_growth(network, sequences(seed=5))
    assert result.before.change < -10
    assert abs(float(grown[-1] - grown[0])) < 0.3 * abs(result.before.change)


def test_in_place_or_on_a_copy():
    torch.manual_seed(0)
    model = nn.GRU(3, 8, batch_first=True)
    before = weights(model)
    result = aelle.condition(model, sequences(), in_place=False)
    assert result.model is not model
    assert equal(before, weights(model))
    assert result.changed
    again = aelle.condition(model, sequences())
    assert again.model is model
    assert equal(weights(model), weights(result.model))


def test_the_same_seed_does_the_same_and_no_random_state_moves():
    torch.manual_seed(0)
    model, inputs = nn.LSTM(3, 8, batch_first=True), sequences(80)
    state = torch.get_rng_state()
    first, second = (aelle.condition(model, inputs, in_place=False, seed=4) for _ in range(2))
    other = aelle.condition(model, inputs, in_place=False, seed=5)
    assert torch.equal(state, torch.get_rng_state())
    assert equal(weights(first.model), weights(second.model))
    assert torch.equal(first.after.growth, second.after.growth)
    assert not equal(weights(first.model), weights(other.model))


class Harm(Method):
    """Doubles every weight."""

    name, source = "harm", "this test"

    def move(self, stack, target):
        with torch.no_grad():
            for cell in stack.cells:
                cell.weight_hh.mul_(2)
        return Moved(1)

    def distance(self, stack, drive, target):
        return float(stack.cells[0].weight_hh.detach().norm())


def test_what_does_not_help_is_taken_back_to_the_bit():
    torch.manual_seed(0)
    model = nn.LSTM(3, 8, batch_first=True)
    before = weights(model)
    result = aelle.condition(model, sequences(), method=Harm())
    assert not result.changed
    assert equal(before, weights(model))
    assert str(result).startswith("unchanged")
    assert result.before is result.after


def test_one_that_is_as_it_should_be_stays():
    model = nn.RNN(3, 8, nonlinearity="relu", batch_first=True)
    with torch.no_grad():
        nn.init.eye_(model.weight_hh_l0)
        for name in ("weight_ih_l0", "bias_ih_l0", "bias_hh_l0"):
            model.get_parameter(name).abs_()
    before = weights(model)
    result = aelle.condition(model, sequences().abs(), method="shape")
    assert not result.changed
    assert equal(before, weights(model))


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_both_directions_of_a_bidirectional_module(kind):
    torch.manual_seed(0)
    model = kind(3, 8, num_layers=2, bidirectional=True, batch_first=True)
    result = aelle.condition(model, sequences(32), method="scale")
    assert [part.name for part in result.parts] == [
        "layer 0 forward", "layer 0 backward", "layer 1 forward", "layer 1 backward",
    ]  # fmt: skip
    found = aelle.lyapunov_spectrum(model, sequences(64, seed=8), k=1)
    fresh = [found[way].layers[layer] for layer in (0, 1) for way in ("forward", "backward")]
    for part, spectrum in zip(result.parts, fresh, strict=True):
        assert part.changed
        assert part.after.exponent > part.before.exponent
        assert abs(float(spectrum.exponents[0]) - part.after.exponent) < 5 * part.after.standard_error


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.first = nn.Embedding(20, 5), nn.LSTM(5, 8, batch_first=True)
        self.second, self.head = nn.GRU(8, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, tokens):
        return self.head(self.second(self.first(self.embedding(tokens))[0])[0])


def test_the_recurrent_parts_of_a_larger_model():
    torch.manual_seed(0)
    model = Tagger()
    tokens = torch.randint(20, (32, 40))
    before = copy.deepcopy(model.state_dict())
    result = aelle.condition(model, tokens, method="scale")
    assert [part.name for part in result.parts] == ["first", "second"]
    assert result.changed
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"first.weight_hh_l0", "second.weight_hh_l0"}
    for spectrum in aelle.lyapunov_spectrum(model, torch.randint(20, (32, 40)), k=1).values():
        assert abs(float(spectrum.exponents[0]) + 1 / 40) < 0.1
    only = aelle.condition(model, tokens, part="second", in_place=False)
    assert [part.name for part in only.parts] == ["second"]


class Own(nn.Module):
    """A cell of a user's own, input and state side by side in one matrix."""

    def __init__(self):
        super().__init__()
        self.joint = nn.Linear(3 + 8, 8)

    def forward(self, x, state):
        after = torch.tanh(self.joint(torch.cat([x, state], dim=-1)))
        return after, after


def test_a_module_of_ones_own_has_the_columns_of_its_state_scaled():
    torch.manual_seed(0)
    model = Own()
    before = model.joint.weight.detach().clone()
    result = aelle.condition(
        model, sequences(), nn.Linear(8, 2), method="scale", initial_state=torch.zeros(16, 8)
    )
    assert result.changed
    assert result.after.exponent == pytest.approx(-1 / 40, abs=0.05)
    assert torch.equal(before[:, :3], model.joint.weight[:, :3])
    factors = model.joint.weight[:, 3:] / before[:, 3:]
    assert factors.std().item() < 1e-5
    assert factors.mean().item() > 1.2


def test_half_precision_and_wrapped_modules():
    torch.manual_seed(0)
    inner = nn.LSTM(3, 8, batch_first=True)
    before = weights(inner)
    assert aelle.condition(nn.DataParallel(inner), sequences()).changed
    assert not equal(before, weights(inner))
    assert aelle.condition(nn.GRU(3, 8, batch_first=True).half(), sequences(), method="scale").changed


def test_a_target_is_aimed_at():
    torch.manual_seed(0)
    model = nn.GRU(3, 16, batch_first=True)
    result = aelle.condition(model, sequences(32), method="scale", target=-0.2)
    assert result.after.exponent == pytest.approx(-0.2, abs=0.05)
    assert result.target == -0.2


def test_methods_by_name_in_sequence_and_with_settings():
    assert set(METHODS.classes) >= {"scale", "shape", "floss"}
    assert all(found.source for found in METHODS.classes.values())
    torch.manual_seed(0)
    model = nn.GRU(3, 8, batch_first=True)
    result = aelle.condition(model, sequences(), method=["scale", Shape(steps=2)], in_place=False)
    assert result.method == "scale+shape"
    assert result.parts[0].stages[1].steps <= 3
    assert result.seconds > 0
    assert result.steps >= sum(s.steps for s in result.parts[0].stages)


def test_a_result_shows_itself():
    torch.manual_seed(0)
    result = aelle.condition(nn.GRU(3, 8, batch_first=True), sequences())
    before, after = result.plot().data
    assert (before.name, after.name) == ("before", "after")
    assert before.x[-1] == 40
    assert before.y[0] == 0
    assert after.y[-1] == pytest.approx(result.after.change)
    assert str(result).startswith("scale")
