"""Whatever cannot be conditioned is refused in one line, and untouched."""

import pytest
import torch
from torch import nn

import aelle


def sequences(rows=6, steps=20, size=3):
    return torch.randn(rows, steps, size, generator=torch.Generator().manual_seed(1))


def lstm(**options):
    torch.manual_seed(0)
    return nn.LSTM(3, 8, batch_first=True, **options)


def frozen():
    model = lstm()
    model.weight_hh_l0.requires_grad_(False)
    return model


def not_finite():
    model = lstm()
    with torch.no_grad():
        model.weight_hh_l0[2, 3] = torch.nan
    return model


def derived():
    return torch.nn.utils.parametrizations.weight_norm(lstm(), "weight_hh_l0")


class Upper(nn.Module):
    """Its second part cannot be conditioned."""

    def __init__(self):
        super().__init__()
        self.first, self.second = lstm(), nn.GRU(8, 8, batch_first=True)
        self.second.weight_hh_l0.requires_grad_(False)

    def forward(self, x):
        return self.second(self.first(x)[0])[0]


CASES = [
    (lstm, {"horizon": 21}, ValueError, "a horizon of 21 steps is longer than the inputs, of 20"),
    (lstm, {"horizon": 0}, ValueError, "horizon must be at least 1"),
    (lstm, {"horizon": 2.5}, ValueError, "horizon must be a whole number"),
    (lstm, {"target": "small"}, ValueError, "target must be a number"),
    (lstm, {"target": float("nan")}, ValueError, "target must be a number"),
    (lstm, {"method": "scal"}, ValueError, "did you mean 'scale'"),
    (lstm, {"method": 3}, TypeError, "method must be a name"),
    (lstm, {"method": []}, TypeError, "method must be a name"),
    (lstm, {"method": "scale+"}, ValueError, "unknown method ''"),
    (lstm, {"seed": -1}, ValueError, "seed must be at least 0"),
    (lstm, {"readout": nn.Linear(5, 2)}, ValueError, "the readout takes 5 numbers, the last layer gives 8"),
    (lstm, {"readout": "linear"}, TypeError, "readout must be a torch.nn.Linear"),
    (lstm, {"inputs": None}, ValueError, "give inputs"),
    (lstm, {"inputs": sequences(size=4)}, ValueError, "inputs have 4 features a step"),
    (lstm, {"inputs": sequences(steps=1)}, ValueError, "two steps or more"),
    (lstm, {"inputs": [torch.zeros(4, 3), torch.zeros(5, 3)]}, ValueError, "sequences of one length"),
    (lstm, {"inputs": sequences() * torch.nan}, ValueError, "NaN or infinite"),
    (frozen, {}, ValueError, "weight_hh_l0 is frozen"),
    (not_finite, {}, ValueError, "weight_hh of layer 0 holds NaN"),
    (derived, {}, ValueError, "weight_hh_l0 is derived from other parameters"),
    (lambda: nn.Linear(3, 8), {}, TypeError, "Linear"),
    (lambda: nn.Sequential(nn.Linear(3, 8), nn.Tanh()), {}, TypeError, "recurrent|cannot be read"),
    (lambda: "lstm", {}, TypeError, "expected a torch module"),
    (lambda: lstm(bidirectional=True), {"readout": nn.Linear(16, 2)}, ValueError, "leave readout out"),
    (lambda: torch.jit.script(nn.Sequential(nn.Linear(3, 8))), {}, TypeError, "scripted"),
    (Upper, {}, ValueError, "second.weight_hh_l0 is frozen"),
]


@pytest.mark.parametrize("make, given, error, words", CASES, ids=[f"{i}" for i in range(len(CASES))])
def test_bad_input_is_one_line_and_leaves_the_model_alone(make, given, error, words):
    model = make()
    parameters = list(model.parameters()) if isinstance(model, nn.Module) else []
    before = [p.detach().clone() for p in parameters]
    given = {"inputs": sequences(), "method": "scale", **given}
    with pytest.raises(error, match=words) as caught:
        aelle.condition(model, given.pop("inputs"), given.pop("readout", None), **given)
    assert "\n" not in str(caught.value)
    for parameter, value in zip(parameters, before, strict=True):
        torch.testing.assert_close(parameter.detach(), value, rtol=0, atol=0, equal_nan=True)
