"""The ablation table by one command."""

import runpy
import sys
from pathlib import Path

import pandas as pd
import pytest

from aelle.embedding.dataset import load_dataset
from tests.synthetic import write_synthetic_experiment

SCRIPT = Path(__file__).parent.parent / "experiments" / "ablation.py"


@pytest.mark.slow
def test_one_command_writes_the_table(tmp_path, monkeypatch, capsys):
    folder = write_synthetic_experiment(tmp_path / "x")
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(folder.root), "--groups", "default", "--seeds", "0"])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    table = pd.read_csv(folder.root / "ablation" / "ablation.csv")
    assert set(table["method"]) == {"network", "mixture", "trees"}
    assert len(table) == 3 * 2 * 3  # methods, with and without context, epochs
    # Gain decides both spectrum and outcome, so every method must see it; far off would be a broken fold.
    assert table["spearman"].min() > 0.8
    text = (folder.root / "ablation" / "ablation.md").read_text()
    assert text in capsys.readouterr().out
    assert "| default | as it is |" in text
    # A second call reads what the first has kept, and says the same.
    kept = {p: p.stat().st_mtime_ns for p in (folder.root / "ablation").iterdir() if p.stem != "ablation"}
    assert {p.suffix for p in kept} == {".csv", ".npz"}
    runpy.run_path(str(SCRIPT), run_name="__main__")
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert (folder.root / "ablation" / "ablation.md").read_text() == text


def test_every_variant_is_a_valid_setting_and_needs_what_it_names(tmp_path):
    script = runpy.run_path(str(SCRIPT))
    names = [(v.group, v.name) for v in script["VARIANTS"]]
    assert len(set(names)) == len(names)
    for variant in script["VARIANTS"]:
        script["Settings"].model_validate(variant.changes)
    dataset = load_dataset(write_synthetic_experiment(tmp_path / "x"))
    kept = script["recorded_variants"](dataset)
    assert kept
    assert not any("readout_growth" in v.name for v in kept)
