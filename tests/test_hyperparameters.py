"""The one list of hyperparameters: what an entry allows, and that a new entry reaches every stage by itself."""

import subprocess
import sys

import pytest

from aelle.hyperparameters import HYPERPARAMETERS, Hyperparameter

BY_NAME = {h.name: h for h in HYPERPARAMETERS}


@pytest.mark.parametrize(
    "name, right, wrong",
    [
        ("hidden_size", [1, 64], [0, -1, 2.0, True, "8", None]),
        ("dropout", [0, 0.0, 0.99], [1.0, -0.1, float("nan"), "0", False]),
        ("learning_rate", [1, 1e-9], [0.0, -1.0, float("nan")]),
        ("bias", [True, False], [0, "true"]),
        ("architecture", ["lstm"], [1, None]),
    ],
)
def test_what_is_allowed(name, right, wrong):
    assert all(BY_NAME[name].allows(value) for value in right)
    assert not any(BY_NAME[name].allows(value) for value in wrong)


def test_bounds_in_words():
    assert BY_NAME["dropout"].allowed == "a number of at least 0 below 1"
    assert BY_NAME["hidden_size"].allowed == "a whole number of at least 1 and at most 8,192"
    assert Hyperparameter("x", "x", bool).allowed == "true or false"


ONE_MORE = """
import sys
from pathlib import Path

from aelle import hyperparameters

# What stands in the list when everything else is imported, as if it had been written there.
entry = hyperparameters.Hyperparameter(
    "zoneout", "zoneout of the state", float, 0.0, at_least=0, below=1, later=True
)
source = Path(hyperparameters.__file__).read_text()
grown = source.replace("NAMES =", "HYPERPARAMETERS += (ENTRY,)\\nNAMES =", 1)
assert grown != source
hyperparameters.ENTRY = entry
exec(grown, vars(hyperparameters))

import pyarrow.parquet as pq

from aelle.collection.cohort_job import Job, driving_sequences, run_cohort
from aelle.collection.search_space import cohorts, variants
from aelle.config import dump_experiment, parse_experiment
from aelle.embedding.dataset import load_dataset
from aelle.explorer.columns import column_label
from aelle.explorer.data import load
from aelle.integrations import watch
from aelle.records import ExperimentFolder, read_records, write_bytes
from aelle.tasks.registry import make_task

folder = ExperimentFolder(Path(sys.argv[1]))
content = {
    "name": "x", "task": {"name": "latch", "options": {"delay": 4, "train": 32}},
    "networks": {"architecture": "rnn", "hidden_size": 4, "per_combination": 3},
    "training": {"epochs": 1}, "spectrum": {"epochs": [0], "sequences": 1, "steps": 5, "warmup": 5},
}
print(*(v.network_id for v in variants(parse_experiment(content))))
content["networks"]["zoneout"] = {"uniform": [0.1, 0.9]}
experiment = parse_experiment(content)
drawn = {v.network_id: v["zoneout"] for v in variants(experiment)}
assert len(set(drawn.values())) == 3 and all(0.1 <= value <= 0.9 for value in drawn.values())
for wrong in (1.0, -0.1, {"uniform": [1.0, 2.0]}):
    try:
        variants(parse_experiment({**content, "networks": {**content["networks"], "zoneout": wrong}}))
    except ValueError as error:
        assert "networks.zoneout" in str(error), error
    else:
        raise AssertionError(f"{wrong} was not refused")
write_bytes(folder.experiment_file, dump_experiment(experiment).encode())
task = make_task("latch", experiment.task.options)
(cohort,) = cohorts(variants(experiment), 3)
run_cohort(Job(experiment, folder, task, driving_sequences(experiment, task)), cohort)
records = read_records(folder)
assert dict(zip(records.network_id, records.zoneout)) == drawn
assert dict(load_dataset(folder).networks["zoneout"]) == drawn
page = load(folder)
assert sorted(page.networks["zoneout"]) == sorted(drawn.values())
assert column_label("zoneout") == "zoneout of the state"
assert watch._checked({"zoneout": 0.5}) == {"zoneout": 0.5}
# A file that was written before reads as null there.
(file, *_) = folder.records.rglob("*.parquet")
pq.write_table(pq.read_table(file, partitioning=None).drop_columns(["zoneout"]), file)
assert read_records(folder).zoneout.isna().any()
"""


def test_a_new_hyperparameter_touches_one_place(tmp_path):
    found = subprocess.run([sys.executable, "-c", ONE_MORE, str(tmp_path)], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    # At its default it leaves the ids, hence the records, of all networks as they were.
    from aelle.collection.search_space import variants
    from aelle.config import parse_experiment

    networks = {"architecture": "rnn", "hidden_size": 4, "per_combination": 3}
    task = {"name": "latch", "options": {"delay": 4, "train": 32}}
    before = variants(parse_experiment({"name": "x", "task": task, "networks": networks}))
    assert found.stdout.split() == [v.network_id for v in before]
