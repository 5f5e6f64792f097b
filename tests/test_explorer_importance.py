"""Importance of hyperparameters, where the truth is known."""

import numpy as np
import pytest

from aelle.explorer.data import load
from aelle.explorer.errors import ExplorerError
from aelle.explorer.figures.parallel import parallel, parallel_info
from aelle.explorer.importance import importances, varying_hyperparameters
from tests.explorer_folder import write_explorer_folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return load(write_explorer_folder(tmp_path_factory.mktemp("experiment"), networks=120))


def with_outcome(data, outcome):
    networks = data.networks.assign(final_metric=outcome)
    return type(data)(**{**data.__dict__, "networks": networks, "_kept": {}})


def test_what_makes_the_outcome_is_found_and_nothing_else(data):
    gain = np.log(data.networks["init_gain"].to_numpy())
    noise = 0.2 * gain.std() * np.random.default_rng(0).normal(size=len(gain))
    found, known = importances(with_outcome(data, gain + noise))
    assert found[0].column.name == "init_gain"
    # A shuffled column is independent of the outcome it explained: squared error rises by twice its variance.
    assert found[0].value == pytest.approx(2, abs=0.6)
    assert found[0].low > 0.5
    assert known > 0.8
    assert all(each.low < 0.05 for each in found[1:])


def test_where_nothing_is_known_nothing_is_claimed(data):
    outcome = np.random.default_rng(1).normal(size=len(data.networks))
    found, known = importances(with_outcome(data, outcome))
    assert known < 0.1
    assert all(each.low < 0.05 for each in found)


def test_too_few_networks_are_refused(data):
    with pytest.raises(ExplorerError, match="needs 40 networks"):
        importances(with_outcome(data, np.where(np.arange(len(data.networks)) < 20, 0.5, np.nan)))


def test_parallel_lines_hold_every_network_with_all_values(data):
    networks = data.networks.index.to_numpy()
    info = parallel_info(data, networks, 0)
    assert [c.name for c in info.columns][-2:] == ["lambda_max", "final_metric"]
    assert {c.name for c in varying_hyperparameters(data)} < {c.name for c in info.columns}
    known = data.points[data.points["epoch"] == 0].set_index("network")["final_metric"].reindex(info.networks)
    np.testing.assert_allclose(info.values[:, -1], known, rtol=1e-6)
    assert list(parallel(info).layout.meta) == info.networks.tolist()
