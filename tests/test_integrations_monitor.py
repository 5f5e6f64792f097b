"""The monitor of training: its numbers, its warning, and what a checkpoint keeps."""

import copy
import json
import logging
import math

import numpy as np
import pytest
import torch
from torch import nn

import aelle
from aelle.integrations.monitor import SpectrumMonitor
from aelle.integrations.reading import FLOOR, read
from aelle.integrations.rule import IntegrationError
from aelle.lyapunov.estimates import kaplan_yorke_dimension
from aelle.tasks.latch import Latch
from tests.stand_ins import ByLeadingExponent, lstm_and_inputs


class Model(nn.Module):
    """A stranger's model: an embedding, a recurrent part, a readout of its last output."""

    def __init__(self):
        super().__init__()
        self.embed, self.lstm, self.head = (
            nn.Embedding(5, 3),
            nn.LSTM(3, 8, batch_first=True),
            nn.Linear(8, 2),
        )

    def forward(self, symbols):
        return self.head(self.lstm(self.embed(symbols))[0][:, -1])


class Kept:
    """A logger that keeps what it gets."""

    def __init__(self):
        self.logged, self.warned = [], []

    def log(self, numbers, readings, step):
        self.logged.append((step, dict(numbers)))

    def warn(self, message, step):
        self.warned.append((step, message))


def chaotic(gain=6.0, units=40):
    torch.manual_seed(0)
    rnn = nn.RNN(3, units, batch_first=True)
    nn.init.normal_(rnn.weight_hh_l0, 0, gain / units**0.5)
    return rnn, torch.randn(3, 60, 3)


# --- the numbers --------------------------------------------------------------------------------------


def test_a_reading_is_what_the_look_and_readout_growth_say():
    lstm, inputs = lstm_and_inputs()
    readout = nn.Linear(8, 2)
    reading = read(lstm, inputs, 3, readout=readout)
    seen = aelle.look(lstm, inputs, readout)
    assert reading.leading == seen.leading.tolist()
    assert reading.mean_exponent == seen.mean_exponent
    assert (reading.epoch, reading.horizon, reading.lags[-1]) == (3, 60, 60)
    growth = aelle.readout_growth(lstm, inputs, readout)
    assert reading.growth_at_horizon == pytest.approx(float(growth[-1]), rel=1e-9)
    assert reading.kaplan_yorke_dimension == 0
    assert reading.leading[0] < 0


def test_the_dimension_of_a_chaotic_network_takes_as_many_exponents_as_it_needs():
    rnn, inputs = chaotic()
    reading = read(rnn, inputs, 0, exponents=2)
    whole = kaplan_yorke_dimension(aelle.look(rnn, inputs, k=40).leading)
    assert whole > 4  # past the two that are begun with, and their double
    assert reading.kaplan_yorke_dimension == pytest.approx(whole, abs=1e-6)
    assert len(reading.leading) > whole


def test_an_expanding_network_has_the_dimension_of_its_state():
    cell = aelle_linear(1.1 * torch.eye(4))
    reading = read(cell, torch.randn(2, 20, 4), 0, exponents=2)
    assert reading.kaplan_yorke_dimension == 4


def aelle_linear(weight):
    rnn = nn.RNN(4, 4, nonlinearity="relu", batch_first=True)
    with torch.no_grad():
        for parameter in rnn.parameters():
            parameter.zero_()
        rnn.weight_hh_l0.copy_(weight)
        rnn.bias_ih_l0.fill_(1.0)
    return rnn


def test_reach_and_growth_of_a_linear_network_are_its_powers():
    """h' = a h + 1: gradients fall by ln a per step, whatever the direction."""
    a, floor = 0.5, -3.0
    reading = read(aelle_linear(a * torch.eye(4)), torch.zeros(2, 20, 4), 0, horizon=13)
    assert reading.growth_at_horizon == pytest.approx(13 * math.log(a), abs=1e-9)
    assert reading.leading[0] == pytest.approx(math.log(a), abs=1e-9)
    assert reading.reach(floor) == math.floor(floor / math.log(a))
    assert reading.reach(-100) == 13


def test_of_a_larger_model_the_recurrent_part_is_read_as_the_model_drives_it():
    torch.manual_seed(0)
    model, symbols = Model(), torch.randint(5, (3, 30))
    reading = read(model, symbols, 0, readout="head")
    with torch.no_grad():
        direct = read(model.lstm, model.embed(symbols), 0, readout=model.head)
    np.testing.assert_allclose(reading.leading, direct.leading, rtol=1e-9)
    np.testing.assert_allclose(reading.readout_growth, direct.readout_growth, rtol=1e-9)
    assert read(model, symbols, 0, readout="head", part="lstm").leading == reading.leading


def test_a_readout_of_zeros_has_no_gradient_to_fade():
    lstm, inputs = lstm_and_inputs(gain=0.05)
    readout = nn.Linear(8, 2)
    assert read(lstm, inputs, 0, readout=readout).reach() < 60
    nn.init.zeros_(readout.weight)
    assert read(lstm, inputs, 0, readout=readout).reach() == 60


# --- the monitor --------------------------------------------------------------------------------------


def test_looks_come_every_so_many_epochs_and_change_nothing():
    lstm, inputs = lstm_and_inputs()
    before = {name: value.clone() for name, value in lstm.state_dict().items()}
    drawn = torch.get_rng_state()
    kept = Kept()
    monitor = SpectrumMonitor(lstm, inputs, every=2, to=kept)
    assert [monitor(epoch) is not None for epoch in range(5)] == [True, False, True, False, True]
    assert [step for step, _ in kept.logged] == [0, 2, 4]
    assert set(kept.logged[0][1]) == {
        "aelle/lambda_1", "aelle/mean_exponent", "aelle/kaplan_yorke_dimension",
        "aelle/readout_growth_at_horizon", "aelle/gradient_reach", "aelle/look_seconds", "aelle/epoch",
    }  # fmt: skip
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(before[name], value) for name, value in lstm.state_dict().items())


def test_what_is_not_finite_is_not_logged():
    torch.manual_seed(0)
    kept = Kept()
    SpectrumMonitor(nn.GRU(3, 4, batch_first=True), torch.randn(3, 20, 3), to=kept)(0)
    assert all(math.isfinite(value) for value in kept.logged[0][1].values())


def test_a_warning_comes_once_and_again_after_recovery(caplog):
    lstm, inputs = lstm_and_inputs()
    with torch.no_grad():
        lstm.bias_ih_l0[8:16] = 4.0  # forget gates open: gradients reach back
    kept = Kept()
    monitor = SpectrumMonitor(lstm, inputs, to=kept)
    biases = [4.0, 4.0, -4.0, -4.0, 4.0, -4.0]
    for epoch, bias in enumerate(biases):
        with torch.no_grad():
            lstm.bias_ih_l0[8:16] = bias
        monitor(epoch)
    assert [step for step, _ in kept.warned] == [2, 5]
    assert "epoch 2: gradients no longer reach back 60 steps" in kept.warned[0][1]
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2


def test_the_first_look_warns_of_a_network_that_begins_so(caplog):
    lstm, inputs = lstm_and_inputs(gain=0.05)
    SpectrumMonitor(lstm, inputs)(0)
    assert "epoch 0: gradients do not reach back 60 steps" in caplog.text


def _train(learning_rate, epochs):
    """An orthogonal RNN on the latch task: the monitor's loggers, validation losses, final accuracy."""
    torch.manual_seed(0)
    task = Latch(delay=40, train=512, validation=128)
    rnn, readout = nn.RNN(8, 24, batch_first=True), nn.Linear(24, 8)
    nn.init.orthogonal_(rnn.weight_hh_l0)
    optimiser = torch.optim.Adam([*rnn.parameters(), *readout.parameters()], lr=learning_rate)
    kept, losses, accuracy = Kept(), [], 0.0
    monitor = SpectrumMonitor(rnn, task.encode(task.validation.inputs[:4]), readout, to=kept)
    for epoch in range(epochs + 1):
        for batch in torch.randperm(512).split(32) if epoch else ():
            optimiser.zero_grad()
            task.loss(
                readout(rnn(task.encode(task.train.inputs[batch]))[0]), task.train.targets[batch]
            ).backward()
            optimiser.step()
        monitor(epoch)
        with torch.no_grad():
            outputs = readout(rnn(task.encode(task.validation.inputs))[0])
        losses.append(float(task.loss(outputs, task.validation.targets)))
        accuracy = task.metric(outputs, task.validation.targets)
    return kept, losses, accuracy


def test_the_warning_comes_before_the_loss_shows_it_and_not_where_training_goes_well():
    """A learning rate too large shuts the network in its first epoch, while its loss looks better than the other's."""
    good, good_losses, good_accuracy = _train(0.003, 10)
    bad, bad_losses, bad_accuracy = _train(0.1, 10)
    assert good.warned == []
    assert good_accuracy > 0.6
    (first, message), *_ = bad.warned
    assert first == 1
    assert "no longer reach back 41 steps" in message
    assert bad_losses[1] < good_losses[1]
    assert bad_accuracy < 0.35


def test_weights_that_are_not_finite_are_a_warning_and_no_error(caplog):
    lstm, inputs = lstm_and_inputs()
    monitor = SpectrumMonitor(lstm, inputs)
    monitor(0)
    lstm.weight_hh_l0.data[0, 0] = float("nan")
    assert monitor(1) is None
    assert "a parameter is NaN or infinite" in caplog.text
    assert len(monitor.readings) == 1


def test_a_state_that_grows_without_bound_is_a_warning_and_no_error(caplog):
    rnn = nn.RNN(3, 8, nonlinearity="relu", batch_first=True)
    monitor = SpectrumMonitor(rnn, torch.randn(4, 60, 3).abs())
    rnn.weight_hh_l0.data = 1e30 * torch.eye(8)
    assert monitor(0) is None
    assert "grows without bound" in caplog.text


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"every": 0}, IntegrationError, "every must be"),
        ({"floor": 1.0}, IntegrationError, "floor must be below 0"),
        ({"horizon": 61}, IntegrationError, "horizon must lie between 1 and the 60 steps"),
        ({"horizon": 0}, IntegrationError, "horizon must lie between 1 and the 60 steps"),
        ({"readout": "head"}, IntegrationError, "no torch.nn.Linear 'head' to read with; it has none"),
        ({"readout": nn.Linear(3, 2)}, ValueError, "8"),
        ({"model": nn.Linear(3, 3)}, TypeError, "Linear"),
        ({"inputs": torch.randn(3, 60, 4)}, ValueError, "inputs have 4 features"),
        ({"part": "rnn"}, TypeError, "has no part 'rnn'"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(change, kind, message):
    lstm, inputs = lstm_and_inputs()
    settings = {"model": lstm, "inputs": inputs} | change
    with pytest.raises(kind, match=message) as error:
        SpectrumMonitor(**settings)
    assert "\n" not in str(error.value)


def test_one_of_several_recurrent_parts_has_to_be_named():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.GRU(3, 3, batch_first=True), nn.GRU(3, 3, batch_first=True)

        def forward(self, x):
            return self.b(self.a(x)[0])[0]

    with pytest.raises(IntegrationError, match="name one with part=: a, b"):
        SpectrumMonitor(Two(), torch.randn(3, 20, 3))
    assert SpectrumMonitor(Two(), torch.randn(3, 20, 3), part="b")(0) is not None


def test_epochs_rise():
    lstm, inputs = lstm_and_inputs()
    monitor = SpectrumMonitor(lstm, inputs)
    monitor(1)
    with pytest.raises(IntegrationError, match="epoch 1 comes after epoch 1"):
        monitor(1)


# --- checkpoints --------------------------------------------------------------------------------------


def test_a_monitor_goes_on_from_a_checkpoint_as_if_uninterrupted(caplog):
    lstm, inputs = lstm_and_inputs()
    with torch.no_grad():
        lstm.bias_ih_l0[8:16] = 4.0
    monitor = SpectrumMonitor(lstm, inputs)
    monitor(0)
    resumed = SpectrumMonitor(copy.deepcopy(lstm), inputs)
    resumed.load_state_dict(json.loads(json.dumps(monitor.state_dict())))
    assert resumed.readings == monitor.readings
    with torch.no_grad():
        resumed.model.bias_ih_l0[8:16] = -4.0
    resumed(1)
    assert "no longer reach back" in caplog.text
    assert "at epoch 0" in caplog.text


class ByChange(ByLeadingExponent):
    """Predicts from how the exponent moved since epoch 0, as predictors of several epochs do."""

    def predict(self, rows, epoch, *, explain=True):
        found = super().predict(rows, epoch, explain=explain)
        known = [np.asarray(spectrum)[0] for spectrum in rows["spectrum"] if spectrum is not None]
        if 0 not in list(rows["epoch"]):
            return found.assign(predicted=np.nan, lower=np.nan, upper=np.nan, why="no spectrum at epoch 0")
        return found.assign(predicted=0.5 + float(known[-1]) - float(known[0]))


@pytest.mark.parametrize("way", ["json", "torch"])
def test_a_watch_goes_on_from_a_checkpoint_as_if_uninterrupted(tmp_path, way):
    lstm, inputs = lstm_and_inputs()
    readout = nn.Linear(8, 2)
    settings = {"readout": readout, "sequences": inputs[:, :12], "hyperparameters": {"learning_rate": 0.01}}
    watch = aelle.SpectrumWatch(lstm, inputs, ByChange(), **settings)
    watch(0, val_metric=0.1)
    state = watch.state_dict()
    if way == "json":
        state = json.loads(json.dumps(state))
    else:
        torch.save(state, tmp_path / "watch.pt")
        state = torch.load(tmp_path / "watch.pt", weights_only=True)
    lstm.weight_hh_l0.data.mul_(2)
    expected = watch(1, val_metric=0.2)
    alone = aelle.SpectrumWatch(lstm, inputs, ByChange(), **settings)
    with pytest.warns(UserWarning, match="nothing can be predicted"):
        assert alone(1).predicted is None
    resumed = aelle.SpectrumWatch(lstm, inputs, ByChange(), **settings)
    resumed.load_state_dict(state)
    assert resumed(1, val_metric=0.2) == expected
    assert expected.predicted is not None
    for name in watch.rows:
        for a, b in zip(watch.rows[name], resumed.rows[name], strict=True):
            np.testing.assert_array_equal(a, b)
            assert type(a) is type(b)


def test_a_state_of_something_else_is_refused():
    lstm, inputs = lstm_and_inputs()
    watch, monitor = aelle.SpectrumWatch(lstm, inputs, ByLeadingExponent()), SpectrumMonitor(lstm, inputs)
    other = aelle.SpectrumWatch(nn.LSTM(3, 9, batch_first=True), inputs, ByLeadingExponent())
    hidden = aelle.SpectrumWatch(lstm, inputs, ByLeadingExponent(spectrum_state="hidden"))
    hidden(0)
    with pytest.raises(
        IntegrationError, match="not the saved state of a SpectrumWatch: it needs network, rows"
    ):
        watch.load_state_dict(monitor.state_dict())
    with pytest.raises(IntegrationError, match="of hidden_size 9, not 8"):
        watch.load_state_dict(other.state_dict())
    with pytest.raises(IntegrationError, match="of spectrum_state 'hidden', not 'full'"):
        watch.load_state_dict(hidden.state_dict())
    with pytest.raises(IntegrationError, match="not the saved state of a SpectrumMonitor"):
        monitor.load_state_dict({"readings": [{"epoch": 1}]})
    with pytest.raises(IntegrationError, match="not the saved state of a SpectrumMonitor"):
        monitor.load_state_dict([])


def test_the_floor_is_what_float32_adds_up():
    one = torch.tensor(1.0)
    assert float(one + math.exp(FLOOR + 0.1)) > 1
    assert float(one + math.exp(FLOOR - 0.8)) == 1
