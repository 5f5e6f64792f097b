"""Experiments in TOML: what is accepted, and the one line that says why something is not."""

import pytest

from aelle.config import ConfigError, Uniform, dump_experiment, load_experiment, parse_experiment

MINIMAL = {"name": "x", "task": {"name": "digits"}}


def test_defaults_survive_a_round_trip_through_toml(tmp_path):
    networks = {"init_gain": {"uniform": [0.3, 12]}, "dropout": {"choice": [0.0, 0.1]}, "num_layers": [1, 2]}
    experiment = parse_experiment({**MINIMAL, "networks": networks})
    file = tmp_path / "x.toml"
    file.write_text(dump_experiment(experiment))
    assert load_experiment(file) == experiment
    assert experiment.networks.init_gain == Uniform(uniform=[0.3, 12])


@pytest.mark.parametrize(
    "section, content, message",
    [
        ("networks", {"hiden_size": 3}, "unknown key 'networks.hiden_size'; did you mean 'hidden_size'?"),
        ("networks", {"hidden_size": 0}, "networks.hidden_size: input should be greater than or equal to 1"),
        ("networks", {"hidden_size": [16, 0]}, r"networks.hidden_size\[1\]: .*got 0"),
        ("networks", {"hidden_size": "a"}, "networks.hidden_size: input should be a valid integer"),
        ("networks", {"init_gain": {"uniform": [3, 1]}}, "networks.init_gain: the range .* runs downwards"),
        (
            "networks",
            {"init_gain": {"unifrm": [1, 3]}},
            "'networks.init_gain.unifrm'; did you mean 'uniform'",
        ),
        ("networks", {"init_gain": 1.0, "init_scale": 1.0}, "not both"),
        ("networks", {"learning_rate": {"log_uniform": [0, 1]}}, "networks.learning_rate"),
        ("networks", {"architecture": {"uniform": [0, 1]}}, "networks.architecture"),
        ("training", {"epochs": "12"}, "training.epochs: input should be a valid integer .*got '12'"),
        ("training", 3, "'training' must be a section, got 3"),
        ("trainig", {}, "unknown key 'trainig'; did you mean 'training'?"),
        ("spectrum", {"state": "half"}, "spectrum.state: .*'full' or 'hidden'"),
        ("prediction", {"folds": 1}, "prediction.folds"),
    ],
)
def test_every_mistake_is_one_line_that_names_the_key(section, content, message):
    with pytest.raises(ConfigError, match=message) as caught:
        parse_experiment({**MINIMAL, section: content}, source="x.toml")
    assert str(caught.value).startswith("x.toml: ")
    assert "\n" not in str(caught.value)


def test_a_missing_section_is_named():
    with pytest.raises(ConfigError, match="'task' is missing"):
        parse_experiment({"name": "x"})


def test_overrides_take_toml_values_and_bare_words(tmp_path):
    file = tmp_path / "x.toml"
    file.write_text(dump_experiment(parse_experiment(MINIMAL)))
    overrides = ["training.epochs=3", "networks.architecture=lstm", "networks.init_scale={uniform=[1,2]}"]
    experiment = load_experiment(file, overrides)
    assert experiment.training.epochs == 3
    assert experiment.networks.architecture == "lstm"
    assert experiment.networks.init_scale == Uniform(uniform=[1, 2])
    with pytest.raises(ConfigError, match=r"expected section\.key=value"):
        load_experiment(file, ["training.epochs"])
    with pytest.raises(ConfigError, match="name is a value, not a section"):
        load_experiment(file, ["name.epochs=1"])


def test_files_that_are_missing_or_broken(tmp_path):
    with pytest.raises(ConfigError, match="no such experiment file"):
        load_experiment(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("name = ")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_experiment(broken)
    broken.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_experiment(broken)
