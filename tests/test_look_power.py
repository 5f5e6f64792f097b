"""What looks predict and cost is measured on the networks of the collection, and resumes; searches are charged for it."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from aelle.collection.collect import collect
from aelle.config import parse_experiment
from aelle.embedding.dataset import load_dataset
from aelle.records import ExperimentFolder, read_records

EXPERIMENTS = Path(__file__).parent.parent / "experiments"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    root = tmp_path_factory.mktemp("sweep") / "small-varied"
    content = {
        "name": "small",
        "task": {"name": "latch", "options": {"delay": 5, "train": 256, "validation": 64}},
        "networks": {
            "architecture": ["rnn", "lstm"], "hidden_size": [6, 9], "per_combination": 5,
            "init_gain": {"uniform": [0.3, 5.0]}, "learning_rate": {"log_uniform": [0.001, 0.05]},
        },
        "training": {"epochs": 4, "batch_size": 64, "workers": 2},
        "spectrum": {"epochs": [0, 1, 3], "sequences": 3, "steps": 10, "warmup": 5},
    }  # fmt: skip
    collect(parse_experiment(content), root, progress=False)
    return root


@pytest.fixture
def scripts(monkeypatch):
    for room in ("goals", "benchmarks"):
        monkeypatch.syspath_prepend(str(EXPERIMENTS / room))
    return {name: importlib.import_module(name) for name in ("look_power", "look_verdicts", "stopping_looks")}


def test_looks_are_measured_judged_and_charged(sweep, scripts, tmp_path, monkeypatch):
    power, verdicts, stopping = (scripts[name] for name in ("look_power", "look_verdicts", "stopping_looks"))
    power.main([str(sweep), "--out", str(tmp_path)])
    folder, records = tmp_path / sweep.name, read_records(sweep)
    files = sorted(folder.glob("*.json"))
    assert {file.stem for file in files} == set(records.network_id)
    found = {file.stem: json.loads(file.read_text()) for file in files}
    for row in records[records.readout_growth.notna()].itertuples():
        (own,) = [
            r["growth"]
            for r in found[row.network_id]["rows"]
            if (r["epoch"], r["sequences"], r["steps"]) == (row.epoch, 3, 100)
        ]
        # Trained again, a network is the one of the collection: growth is taken there along the same sequences.
        np.testing.assert_allclose(own, row.readout_growth, rtol=1e-6, atol=1e-6)
    written = files[0].stat().st_mtime_ns
    power.main([str(sweep), "--out", str(tmp_path)])
    assert files[0].stat().st_mtime_ns == written, "what is measured is not measured again"

    for name, value in {"TREES": 10, "RESAMPLED": 30, "FOLDS": 2}.items():
        monkeypatch.setattr(verdicts, name, value)
    table = verdicts.judge(sweep, folder).set_index(["epoch", "look"])
    assert (table.xs(verdicts.REFERENCE, level="look")[["difference", "least", "most"]] == 0).all(axis=None)
    assert (table["least"] <= table["difference"] + 1e-9).mean() > 0.9
    for epoch in (0, 1, 3):
        assert table.loc[(epoch, "look, 1 sequence"), "share"] > 0
        assert set(verdicts.CANDIDATES) < set(table.loc[epoch].index)

    dataset = load_dataset(ExperimentFolder(sweep))
    looks = stopping.with_looks(dataset, folder)
    assert looks.look == "economy"
    assert looks.spectra["leading_exponents"].notna().all()
    assert looks.records["spectrum"].isna().all()
    network = next(name for name, own in found.items() if "look 2 100" in own["prices"])
    prices = found[network]["prices"]
    own = looks.records[looks.records["network_id"] == network]
    share = own["spectrum_seconds"].dropna() / own.loc[own["epoch"] > 0, "train_seconds"].median()
    np.testing.assert_allclose(share, prices["look 2 100"] / prices["epoch"])
