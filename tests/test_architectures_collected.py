"""Architectures in experiments: options of cells, cells of one's own by name and by dotted path."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aelle.collection.collect import collect
from aelle.collection.search_space import variants
from aelle.collection.training import build_network
from aelle.collection.weight_statistics import weight_statistics
from aelle.config import ConfigError, dump_experiment, load_experiment, parse_experiment
from aelle.hyperparameters import HYPERPARAMETERS
from aelle.records import read_records
from aelle.recurrent.elman import TanhRNN
from aelle.recurrent.registry import ARCHITECTURES, cell_class, register
from aelle.tasks.latch import Latch

ROOT = Path(__file__).parent.parent


def experiment(**networks):
    return parse_experiment(
        {
            "name": "tiny",
            "task": {"name": "latch", "options": {"delay": 4, "train": 128, "validation": 32}},
            "networks": {"hidden_size": 6, "per_combination": 2, **networks},
            "training": {"epochs": 1, "batch_size": 64, "workers": 1},
            "spectrum": {"epochs": [0, 1], "sequences": 2, "steps": 20, "warmup": 10},
        }
    )


def test_options_reach_the_cells_and_no_others():
    found = variants(experiment(architecture=["cornn", "lem"], cell_options={"cornn": {"dt": 0.3}}))
    for variant in found:
        (cell,) = build_network(variant, Latch(delay=4)).layers
        assert cell.options["dt"] == (0.3 if variant["architecture"] == "cornn" else 1.0)


def test_statistics_are_of_whole_recurrent_matrices():
    (variant, _) = variants(experiment(architecture="cornn"))
    names = {name.rpartition(".")[0] for name in weight_statistics(build_network(variant, Latch(delay=4)))}
    recurrent = {"layer0.weight_hh.gate0", "layer0.weight_hh.gate1"}
    assert names == recurrent | {"layer0.weight_ih", "readout.weight", "readout.bias"}


def test_ids_change_with_options_and_stay_without():
    plain = variants(experiment(architecture=["cornn", "lem"]))
    optional = variants(experiment(architecture=["cornn", "lem"], cell_options={"cornn": {"dt": 0.3}}))
    for before, after in zip(plain, optional, strict=True):
        assert (before.network_id == after.network_id) == (before["architecture"] == "lem")
        assert before.seed == after.seed
    # An id is the hash of everything that was there before cells had options.
    content = dataclasses.asdict(plain[0])
    del content["cell_options"]
    content |= content.pop("hyperparameters")
    for later in (h.name for h in HYPERPARAMETERS if h.later):
        del content[later]
    del content["init_gain"]  # it follows from init_scale and hidden_size
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert plain[0].network_id == hashlib.sha256(canonical.encode()).hexdigest()[:12]


def test_options_survive_a_round_trip_through_toml(tmp_path):
    file = tmp_path / "x.toml"
    written = experiment(architecture="lem", cell_options={"lem": {"dt": 0.5}})
    file.write_text(dump_experiment(written))
    assert load_experiment(file) == written
    changed = load_experiment(file, ["networks.cell_options.lem.dt=0.25"])
    assert changed.networks.cell_options == {"lem": {"dt": 0.25}}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"cornn": {"dtt": 0.3}}, "architecture 'cornn' has no option 'dtt'; did you mean 'dt'?"),
        (
            {"corn": {"dt": 0.3}},
            "networks.cell_options: no network has the architecture 'corn'; there are cornn",
        ),
    ],
)
def test_wrong_options_are_refused_at_the_start_in_one_line(options, message, tmp_path):
    with pytest.raises(ConfigError, match=message) as caught:
        collect(experiment(architecture="cornn", cell_options=options), tmp_path / "x", progress=False)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"networks.cell_options.cornn.dt: .*number"):
        experiment(architecture="cornn", cell_options={"cornn": {"dt": "fast"}})


def test_a_registered_cell_is_known_by_its_name():
    class Named(TanhRNN):
        architecture = "named_here"

    try:
        assert register(Named) is Named
        assert register(Named) is Named, "registering twice is no error"
        assert cell_class("named_here") is Named
        (cell,) = build_network(variants(experiment(architecture="named_here"))[0], Latch(delay=4)).layers
        assert type(cell) is Named
    finally:
        del ARCHITECTURES["named_here"]


OWN_CELL = '''
"""A leaky Elman cell, as somebody else would write it."""

import torch

from aelle.recurrent.cell import Cell, tanh_slope


class Leaky(Cell):
    architecture = "leaky"
    default_options = {"leak": 0.3}

    def _a(self, x, state):
        return self._from_input(x) + self._from_hidden(state)

    def step(self, x, state):
        leak = self.options["leak"]
        return (1 - leak) * state + leak * torch.tanh(self._a(x, state))

    def jacobian(self, x, state):
        leak, gain = self.options["leak"], tanh_slope(self._a(x, state))
        kept = (1 - leak) * torch.eye(self.hidden_size, dtype=state.dtype)
        return kept + leak * gain.unsqueeze(-1) * self.weight_hh.unsqueeze(-3)
'''


def test_a_cell_by_its_dotted_path_from_the_experiment_file_to_its_records(tmp_path):
    path = "somebodys_cells:Leaky"
    (tmp_path / "somebodys_cells.py").write_text(OWN_CELL)
    (tmp_path / "x.toml").write_text(
        dump_experiment(experiment(architecture=path, cell_options={path: {"leak": 0.6}}))
    )
    arguments = ["collect", str(tmp_path / "x.toml"), "--output", str(tmp_path / "x"), "--quiet"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    subprocess.run([sys.executable, "-m", "aelle", *arguments], check=True, timeout=120, env=environment)
    records = read_records(tmp_path / "x")
    assert len(records) == 2 * 2
    assert set(records.architecture) == {path}
    assert (records.status == "ok").all()
    assert (records.certificate < 1e-9).all()
    assert all(len(spectrum) == 6 for spectrum in records.spectrum)
