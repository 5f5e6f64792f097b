"""`--json` on every command that prints results: one line of JSON on standard output, and nothing else there."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from aelle.cli import cli
from aelle.config import dump_experiment
from tests.explorer_folder import write_explorer_folder
from tests.small_collection import experiment
from tests.synthetic import write_synthetic_experiment

WITHOUT = {"init", "explore"}  # one writes a file for people, the other serves a page


def test_every_command_that_prints_results_has_it():
    having = {
        name for name, command in cli.commands.items() if any(p.name == "as_json" for p in command.params)
    }
    assert having == set(cli.commands) - WITHOUT


def only_json(aelle, *arguments, expected=0):
    code, output, errors = aelle(*arguments, "--json")
    assert code == expected, errors
    assert output.count("\n") == 1
    return json.loads(output, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_check(aelle, tmp_path):
    folder = write_synthetic_experiment(tmp_path / "x", networks=20)
    torn = folder.cohort_file("cohort0000")
    torn.write_bytes(torn.read_bytes()[:1000])
    faults = only_json(aelle, "check", folder.root, expected=1)["faults"]
    assert faults == aelle("check", folder.root)[1].splitlines()[:-1]
    assert str(torn) in faults[0]
    (tmp_path / "y.toml").write_text(dump_experiment(experiment(networks={"per_combination": 1})))
    summary = only_json(aelle, "collect", tmp_path / "y.toml", "--output", tmp_path / "y", "--quiet")
    assert summary["folder"] == str(tmp_path / "y")
    assert summary["statuses"] == {"ok": summary["networks"]}
    assert only_json(aelle, "check", tmp_path / "y") == {"faults": [], "without_digest": 0}
    assert only_json(aelle, "status", tmp_path / "y")["finished"] == summary["networks"]


def test_export_and_import(aelle, tmp_path):
    folder = write_explorer_folder(tmp_path / "x", networks=6)
    out = tmp_path / "latents.parquet"
    assert only_json(aelle, "export", folder.root, out, "--to", "parquet") == {"files": [str(out)]}
    rows = [
        {"network_id": f"n{i}", "epoch": 0, "spectrum_1": 0.1 * i, "spectrum_2": -1.0, "final_metric": 0.5}
        for i in range(3)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "s.csv", index=False)
    declared = ("--unit", "nats", "--state", "full", "--size", "2", "--architecture", "rnn", "--epochs", "4")
    found = only_json(aelle, "import", tmp_path / "s.csv", "--output", tmp_path / "imported", *declared)
    assert (found["networks"], found["spectra"], found["epochs"]) == (3, 3, [0])


def test_train_and_spectrum(aelle, tmp_path):
    folder = write_synthetic_experiment(tmp_path / "x", networks=24)
    found = only_json(aelle, "train", folder.root, "--quiet")
    assert found["networks"] == 24
    assert np.isfinite(found["reconstruction"])
    torch.save(nn.GRU(2, 3).state_dict(), tmp_path / "gru.pt")
    assert only_json(aelle, "spectrum", tmp_path / "gru.pt", "--steps", "40")["modules"]
    assert isinstance(only_json(aelle, "doctor", tmp_path), list)


def test_an_error_prints_no_json(aelle, tmp_path):
    for arguments in (("check", tmp_path), ("train", tmp_path), ("collect", tmp_path / "none.toml")):
        code, output, errors = aelle(*arguments, "--json")
        assert (code, output) == (2, "")
        assert len(errors.splitlines()) == 1
