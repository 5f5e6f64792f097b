"""Variants and cohorts: stable ids, the grid, the distributions."""

import dataclasses
import re

import numpy as np
import pytest

from aelle.collection.search_space import cohorts, variants
from aelle.config import parse_experiment


def experiment(seed=0, **networks):
    space = {"per_combination": 4, "init_gain": {"uniform": [0.3, 12.0]}, **networks}
    return parse_experiment({"name": "x", "seed": seed, "task": {"name": "digits"}, "networks": space})


def test_a_grid_times_draws_with_distinct_ids():
    found = variants(experiment(architecture=["rnn", "lstm"], hidden_size=[8, 16], num_layers=[1, 2]))
    assert len(found) == 2 * 2 * 2 * 4
    assert len({variant.network_id for variant in found}) == len(found)


def test_ids_depend_on_content_and_not_on_position():
    few = variants(experiment(architecture=["lstm"]))
    many = variants(experiment(architecture=["gru", "lstm"], per_combination=9))
    assert {v.network_id for v in few} <= {v.network_id for v in many}
    other = dict(few[0].hyperparameters) | {"learning_rate": 0.1}
    assert dataclasses.replace(few[0], hyperparameters=other).network_id != few[0].network_id


def test_ids_are_those_of_the_first_version():
    # Written down when ids were hashes of a class with one field for each hyperparameter: records go by them.
    drawn = {"architecture": ["rnn", "cornn"], "hidden_size": {"choice": [8, 16]}, "per_combination": 1}
    drawn |= {
        "learning_rate": {"log_uniform": [0.001, 0.01]},
        "weight_decay": 0.1,
        "dropout": {"uniform": [0.0, 0.3]},
    }
    fixed = {
        "init_gain": None,
        "init_scale": [0.1, 0.2],
        "architecture": "gru",
        "hidden_size": 8,
        "bias": True,
    }
    found = variants(experiment(3, **drawn, cell_options={"cornn": {"dt": 0.3}}))
    found += variants(experiment(3, **fixed, per_combination=1))
    assert [v.network_id for v in found] == ["5443fd061b43", "f15197263bf9", "c5246e00b50b", "7b458013a0fc"]


def test_another_seed_gives_other_networks():
    ids = [{v.network_id for v in variants(experiment(seed))} for seed in (0, 1)]
    assert not ids[0] & ids[1]


def test_distributions_are_what_they_are_called():
    found = variants(
        experiment(
            per_combination=400,
            architecture="rnn",
            hidden_size=16,
            learning_rate={"log_uniform": [1e-4, 1e-2]},
            dropout={"choice": [0.0, 0.5]},
        )
    )
    gains = np.array([v["init_gain"] for v in found])
    rates = np.log10([v["learning_rate"] for v in found])
    assert gains.min() >= 0.3
    assert gains.max() <= 12
    # Means of 400 draws against the exact means, at four standard errors.
    assert abs(gains.mean() - 6.15) < 4 * (11.7 / 12**0.5) / 20
    assert abs(rates.mean() + 3) < 4 * (2 / 12**0.5) / 20
    assert {v["dropout"] for v in found} == {0.0, 0.5}
    np.testing.assert_allclose([v["init_scale"] for v in found], gains / 4)


def test_cohorts_hold_networks_of_one_shape_once_each():
    whole = experiment(architecture=["rnn", "gru"], hidden_size=[8, 16], per_combination=7)
    found = cohorts(variants(whole), 5)
    for cohort in found:
        assert len({(v["architecture"], v["hidden_size"], v["num_layers"]) for v in cohort.variants}) == 1
        assert len(cohort.variants) <= 5
    ids = [v.network_id for cohort in found for v in cohort.variants]
    assert sorted(ids) == sorted(v.network_id for v in variants(whole))
    assert len({cohort.cohort_id for cohort in found}) == len(found)


@pytest.mark.parametrize(
    "networks, message",
    [
        ({"dropout": {"uniform": [1.0, 2.0]}}, "networks.dropout: drew"),
        ({"hidden_size": {"choice": [0]}}, "networks.hidden_size: drew 0"),
        (
            {"hidden_size": {"choice": [True]}},
            "networks.hidden_size: drew True, must be a whole number of at least 1",
        ),
        (
            {"learning_rate": {"uniform": [-2.0, -1.0]}},
            "networks.learning_rate: drew -.*, must be a number above 0",
        ),
        ({"init_gain": {"uniform": [-2.0, -1.0]}}, "networks.init_gain: drew"),
        (
            {"weight_decay": {"choice": ["much"]}},
            "networks.weight_decay: drew 'much', must be a number of at least 0",
        ),
    ],
)
def test_draws_out_of_range_are_refused(networks, message):
    with pytest.raises(ValueError, match=message):
        variants(experiment(**networks))


@pytest.mark.parametrize(
    "networks, said",
    [
        ({"hidden_size": [6, 6]}, "networks.hidden_size: 6 is listed twice"),
        ({"learning_rate": [0.005, 5e-3]}, "networks.learning_rate: 0.005 is listed twice"),
        ({"learning_rate": [1, 1.0]}, "networks.learning_rate: 1.0 is listed twice"),
        ({"architecture": ["rnn", "gru", "rnn"]}, "networks.architecture: 'rnn' is listed twice"),
        ({"per_combination": 10**6}, "networks: the search space has 6,000,000 networks"),
        (
            {"hidden_size": list(range(1, 1001)), "num_layers": list(range(1, 101)), "per_combination": 11},
            "networks: the search space has 3,300,000 networks, more than 100,000",
        ),
    ],
)
def test_a_value_listed_twice_and_too_many_networks_are_refused_before_any_is_drawn(networks, said):
    found = parse_experiment({"name": "x", "task": {"name": "latch"}, "networks": networks})
    with pytest.raises(ValueError, match=re.escape(said)):
        variants(found)
