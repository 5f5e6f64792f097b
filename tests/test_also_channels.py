"""What `[spectrum] also` records besides the spectrum, and growth backward from the readout."""

import math

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from aelle.collection.cohort_job import driving_sequences
from aelle.collection.collect import collect
from aelle.collection.search_space import variants
from aelle.collection.training import build_network
from aelle.config import ConfigError, parse_experiment
from aelle.hyperparameters import NAMES
from aelle.records import LATER_COLUMNS, ExperimentFolder, read_records
from aelle.recurrent.network import Network
from aelle.recurrent.registry import ARCHITECTURES, cell_class
from aelle.spectra import cohort_readout_growth, lyapunov_spectrum, readout_growth
from aelle.spectra.readout import LAGS, growth_lags
from aelle.tasks.registry import make_task

CHANNELS = ("spectrum_hidden", "spectrum_noise", "readout_growth")


def network(architectures, size=5, inputs=3, scale=0.8, outputs=1):
    generator = torch.Generator().manual_seed(7)
    sizes = [inputs] + [size] * len(architectures)
    cells = [cell_class(a)(below, size, True) for a, below in zip(architectures, sizes, strict=False)]
    for cell in cells:
        cell.reset_parameters(scale, generator)
    return Network(cells, nn.Linear(size, outputs))


@pytest.mark.parametrize("length, count", [(1, 2), (9, 10), (28, 18), (100, 23), (2000, LAGS)])
def test_lags_run_from_0_to_the_length_evenly_in_logarithm(length, count):
    lags = growth_lags(length)
    assert (lags[0], lags[-1]) == (0, length)
    assert len(lags) <= LAGS
    assert len(lags) == pytest.approx(count, abs=3)
    assert lags == sorted(set(lags))


def test_at_rest_growth_is_that_of_powers_of_the_transposed_recurrent_matrix():
    cell = cell_class("rnn")(3, 5, False)
    cell.reset_parameters(0.8, torch.Generator().manual_seed(7))
    net = Network([cell], nn.Linear(5, 1))
    found = readout_growth(net, torch.zeros(2, 9, 3))
    adjoint, expected = net.readout.weight[0].double().detach(), []
    for _ in range(10):
        expected.append(adjoint.norm().log().item())
        adjoint = cell.weight_hh.double().detach().T @ adjoint
    np.testing.assert_allclose(found, [expected[lag] for lag in growth_lags(9)], rtol=1e-12)


@pytest.mark.parametrize("architecture", ["rnn", "gru", "lstm", "lem"])
def test_growth_is_the_product_of_transposed_closed_form_jacobians(architecture):
    net = network([architecture])
    inputs = torch.randn(1, 12, 3, generator=torch.Generator().manual_seed(1))
    cell = net.layers[0].double()
    states = cell.trajectory(inputs.double(), cell.initial_state(1))[0].detach()
    adjoint = torch.zeros(cell.state_size, dtype=torch.float64)
    adjoint[:5] = net.readout.weight[0].detach()
    expected = [adjoint.norm().log().item()]
    for t in reversed(range(12)):
        adjoint = cell.jacobian(inputs[:, t].double(), states[t].unsqueeze(0))[0].detach().T @ adjoint
        expected.append(adjoint.norm().log().item())
    found = readout_growth(net, inputs)
    np.testing.assert_allclose(found, [expected[lag] for lag in growth_lags(12)], rtol=1e-9)


def test_a_stack_takes_the_state_of_all_layers_and_several_outputs_share_unit_directions():
    net = network(["gru", "lstm"], outputs=4)
    found = readout_growth(net, torch.randn(3, 6, 3, generator=torch.Generator().manual_seed(1)))
    assert found.isfinite().all()
    singular = torch.linalg.svdvals(net.readout.weight.detach().double()).log()
    assert singular.min() <= found[0] <= singular.max()


@pytest.mark.parametrize("module", [nn.RNN, nn.GRU, nn.LSTM])
def test_a_torch_module_with_its_readout_is_a_network(module):
    torch.manual_seed(0)
    recurrent, readout = module(3, 5, num_layers=2, batch_first=True), nn.Linear(5, 2)
    before = torch.get_rng_state()
    inputs = torch.randn(2, 8, 3, generator=torch.Generator().manual_seed(1))
    found = readout_growth(recurrent, inputs, readout)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(found, readout_growth(Network.from_torch(recurrent, readout), inputs))
    # Without a readout the hidden vector itself is read, in unit directions.
    assert readout_growth(recurrent, inputs)[0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_a_cohort_in_one_batch_is_one_by_one(architecture):
    layers = [architecture] if "rate" in architecture else [architecture] * 2
    networks = [network(layers, scale=scale, outputs=2) for scale in (0.3, 0.8, 1.5)]
    inputs = torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(1))
    state = torch.randn(sum(networks[0].layer_sizes), generator=torch.Generator().manual_seed(2))
    each = [readout_growth(net, inputs, initial_state=state) for net in networks]
    together = cohort_readout_growth(networks, inputs, initial_state=state)
    np.testing.assert_allclose(together, torch.stack(each), rtol=1e-10)


@pytest.mark.parametrize(
    "inputs, readout, error, words",
    [
        (torch.zeros(2, 5, 4), None, ValueError, "inputs have 4 features a step, but the network takes 3"),
        (torch.zeros(2, 0, 3), None, ValueError, "sequence 0 is empty"),
        (torch.full((2, 5, 3), float("nan")), None, ValueError, "holds NaN"),
        ([torch.zeros(5, 3), torch.zeros(4, 3)], None, ValueError, "one length"),
        (torch.zeros(2, 5, 3), nn.Linear(6, 1), ValueError, "takes 6 numbers, the last layer gives 5"),
        (torch.zeros(2, 5, 3), nn.Tanh(), TypeError, "torch.nn.Linear or None, got Tanh"),
    ],
)
def test_growth_refuses_what_does_not_fit(inputs, readout, error, words):
    with pytest.raises(error, match=words):
        readout_growth(network(["gru"]), inputs, readout)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_vanished_and_exploded_gradients_are_finite_and_bounded(scale):
    net = network(["relu_rnn"])
    with torch.no_grad():
        net.layers[0].weight_hh.mul_(scale)
    found = readout_growth(net, torch.rand(2, 30, 3))
    assert found.isfinite().all()
    assert found.abs().max() == pytest.approx(300 * math.log(10), rel=0.05)


def experiment(also, architectures=("rnn", "lstm")):
    content = {
        "name": "also",
        "task": {"name": "latch", "options": {"delay": 5, "train": 64, "validation": 64}},
        "networks": {"architecture": list(architectures), "hidden_size": 4, "per_combination": 2},
        "training": {"epochs": 1, "batch_size": 64, "workers": 1},
        "spectrum": {"epochs": [0, 1], "sequences": 3, "steps": 20, "warmup": 10, "also": also},
    }
    return parse_experiment(content)


def test_channels_are_recorded_where_asked_and_are_what_they_are_called(tmp_path):
    settings = experiment(["hidden", "noise", "readout"])
    collect(settings, tmp_path / "x", progress=False)
    records = read_records(tmp_path / "x")
    assert records[list(CHANNELS)].notna().all(axis=None)
    assert (records.also_seconds > 0).all()
    assert (records.readout_growth.map(len) == len(growth_lags(6))).all()
    task = make_task(settings.task.name, settings.task.options)
    for variant in variants(settings):
        row = records[(records.network_id == variant.network_id) & (records.epoch == 0)].iloc[0]
        net, driving = build_network(variant, task), driving_sequences(settings, task)
        hidden = lyapunov_spectrum(net, driving, warmup=10, state="hidden").exponents
        noise = lyapunov_spectrum(net, driving_sequences(settings, task, "noise"), warmup=10).exponents
        growth = readout_growth(net, task.encode(task.validation.inputs[:3]))
        for channel, expected in zip(CHANNELS, (hidden, noise, growth), strict=True):
            np.testing.assert_allclose(row[channel], expected, rtol=1e-4, atol=1e-5)
        assert len(row.spectrum_hidden) == 4
        assert not np.allclose(row.spectrum_noise, row.spectrum)


def test_first_and_last_layer_are_parts_of_the_stacks_spectrum(tmp_path):
    settings = experiment(["layers"], ("gru",))
    networks = settings.networks.model_copy(update={"num_layers": 2})
    collect(settings.model_copy(update={"networks": networks}), tmp_path / "x", progress=False)
    for row in read_records(tmp_path / "x").itertuples():
        both = np.concatenate([row.spectrum_first_layer, row.spectrum_last_layer])
        assert np.array_equal(np.sort(both)[::-1], row.spectrum)
        assert len(row.spectrum_first_layer) == row.layer_sizes[0]
        assert not np.array_equal(row.spectrum_first_layer, row.spectrum_last_layer)


def test_target_learning_takes_growth_from_the_running_state(tmp_path):
    content = {
        "name": "generates",
        "task": {"name": "target_learning", "options": {"period": 40, "validation_periods": 1}},
        "networks": {"architecture": ["rate"], "hidden_size": 12, "per_combination": 2},
        "training": {"epochs": 1, "workers": 1},
        "spectrum": {"epochs": [0, 1], "sequences": 1, "steps": 20, "warmup": 10, "also": ["readout"]},
    }
    collect(parse_experiment(content), tmp_path / "x", progress=False)
    records = read_records(tmp_path / "x")
    assert records[records.epoch == 1].readout_growth.map(lambda g: np.isfinite(g).all() and g[0] < 20).all()
    untrained = records[records.epoch == 0].readout_growth.map(max)
    assert (untrained == np.float32(-300 * math.log(10))).all(), "nothing is read before training"


def test_records_of_earlier_versions_are_read_with_nulls_in_their_place(tmp_path):
    folder = ExperimentFolder(tmp_path / "x")
    collect(experiment([], ("rnn",)), folder, progress=False)
    asked_for = [name for name in LATER_COLUMNS if name not in NAMES]
    assert read_records(folder)[asked_for].isna().all(axis=None)
    files = list(folder.records.glob("*.parquet"))
    for file in files:
        table = pq.read_table(file, partitioning=None)
        pq.write_table(table.drop_columns(list(LATER_COLUMNS)), file)
    assert "readout_growth" not in pd.read_parquet(folder.records).columns
    old = read_records(folder)
    assert old[list(LATER_COLUMNS)].isna().all(axis=None)
    assert old.spectrum.notna().all()
    assert read_records(folder, ["readout_growth"]).readout_growth.isna().all()


def test_an_unknown_channel_is_refused():
    with pytest.raises(ConfigError, match=r"spectrum.also.*'hidden', 'noise', 'layers' or 'readout'"):
        experiment(["covariant"])
