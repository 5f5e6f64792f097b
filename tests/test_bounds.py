"""Settings that no machine could use are one line, before anything is built."""

import os

import pytest

from aelle.collection.checks import checked_variants
from aelle.collection.collect import collect
from aelle.config import ConfigError, load_experiment, parse_experiment
from aelle.tasks.registry import make_task

HUGE = 10**30
NONSENSE = [
    {"networks": {"learning_rate": 1e308}},
    {"networks": {"learning_rate": [0.01, 1e308]}},
    {"networks": {"hidden_size": HUGE}},
    {"networks": {"num_layers": 10**9}},
    {"networks": {"init_gain": {"uniform": [-1e308, 1e308]}}},
    {"networks": {"weight_decay": 1e300}},
    {"networks": {"per_combination": HUGE}},
    {"training": {"epochs": HUGE}},
    {"training": {"batch_size": 2**63}},
    {"training": {"workers": 10**9}},
    {"training": {"gradient_clip": 1e308}},
    {"spectrum": {"sequences": 2**63}},
    {"spectrum": {"sequences": 10**5, "steps": 10**5}},
    {"spectrum": {"steps": HUGE}},
    {"spectrum": {"epochs": [HUGE]}},
    {"autoencoder": {"latent_size": HUGE}},
    {"autoencoder": {"forest_trees": HUGE}},
    {"autoencoder": {"hidden_sizes": [HUGE]}},
    {"autoencoder": {"length": 10**9}},
    {"autoencoder": {"learning_rate": 1e308}},
    {"prediction": {"ensemble": HUGE}},
    {"prediction": {"bootstrap": HUGE}},
    {"prediction": {"folds": HUGE}},
    {"seed": 2**70},
]


@pytest.mark.parametrize("content", NONSENSE, ids=str)
def test_nonsense_is_one_line(content):
    with pytest.raises(ConfigError) as caught:
        parse_experiment({"name": "x", "task": {"name": "latch"}} | content)
    assert len(str(caught.value).splitlines()) == 1


def collected(tmp_path, **content):
    return collect(parse_experiment({"name": "x", "task": {"name": "latch"}} | content), tmp_path / "x")


@pytest.mark.parametrize(
    "content, said",
    [
        ({"networks": {"learning_rate": {"choice": ["fast", 0.1]}}}, "networks.learning_rate: drew "),
        ({"networks": {"hidden_size": {"choice": [4, "four"]}}}, "networks.hidden_size: drew "),
        ({"networks": {"architecture": {"choice": ["rnn", 3]}}}, "networks.architecture: drew "),
        ({"training": {"device": "meta", "backend": "population"}}, "'meta' cannot be used here"),
        ({"task": {"name": "latch", "options": {"train": 2**63}}}, "task 'latch'"),
    ],
    ids=str,
)
def test_what_only_the_collection_can_know_is_one_line_too(tmp_path, content, said):
    with pytest.raises(ValueError) as caught:
        collected(tmp_path, **content)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "x").exists()


def test_a_network_that_memory_cannot_hold_is_refused_without_building_it(monkeypatch):
    task = make_task("latch", {})
    found = parse_experiment(
        {"name": "x", "task": {"name": "latch"}, "networks": {"hidden_size": 8192, "num_layers": 256}}
    )
    with pytest.raises(
        ConfigError, match=r"of 256 × 8192 units needs at least 256 GiB to train, and \d+ GiB"
    ):
        checked_variants(found, task)


@pytest.mark.timeout(60)
def test_a_pipe_or_a_device_is_no_file_and_no_folder(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(ConfigError, match=r"pipe\.toml: cannot be read: It is no plain file"):
        load_experiment(tmp_path / "pipe.toml")
    with pytest.raises(ConfigError, match="data_folder: '/dev/zero' is not a folder"):
        collected(tmp_path, task={"name": "sequential_mnist", "data_folder": "/dev/zero"})
