"""The tables of README.md and docs/results.md are those of experiments/results, and the goals' verdicts follow from their numbers."""

import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.synthetic import write_synthetic_experiment

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def results_table():
    spec = importlib.util.spec_from_file_location("results_table", ROOT / "experiments" / "results_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_hold_the_tables_that_the_command_makes(results_table):
    for part, name in results_table.PAGES.items():
        text = (ROOT / name).read_text()
        assert results_table.replaced(text, part) == text, "run python experiments/results_table.py --write"


@pytest.mark.parametrize("part", ["results", "summary"])
def test_check_tells_a_number_that_was_changed_by_hand(results_table, part, tmp_path, monkeypatch, capsys):
    for name in results_table.PAGES.values():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    changed = tmp_path / results_table.PAGES[part]
    text = changed.read_text()
    before, table = text.split(f"<!-- {part}: made by")
    number = next(word for word in table.split() if word.startswith("0."))
    changed.write_text(before + f"<!-- {part}: made by" + table.replace(number, "0.999", 1))
    monkeypatch.setattr(results_table, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["results_table.py", "--check"])
    assert results_table.main() == 1
    assert results_table.PAGES[part] in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["results_table.py", "--write"])
    assert results_table.main() == 0
    assert changed.read_text() == text


def test_markers_that_are_missing_are_refused(results_table):
    with pytest.raises(ValueError, match="expected one line"):
        results_table.replaced("# aelle\n", "summary")


@pytest.mark.parametrize("folder", ["", "doubled/"])
def test_verdicts_follow_from_their_numbers(results_table, folder):
    correlation = {
        (row["task"], row["set"], row["epoch"], row["method"]): row["spearman"]
        for row in results_table.read(folder + "goals_spearman.csv")
    }
    rows = results_table.read(folder + "goals_verdicts.csv")
    assert {row["goal"] for row in rows} >= {"b, trees", "b, learning curve", "c"}
    for row in rows:
        key = (row["task"], row["set"], row["epoch"])
        assert correlation[*key, row["method"]] == row["spearman"]
        assert correlation[*key, row["against"]] == row["spearman_against"]
        difference, low, high = (float(row[name]) for name in ("difference", "low", "high"))
        expected = float(row["spearman"]) - float(row["spearman_against"])
        assert math.isclose(difference, expected, abs_tol=2e-4)
        assert low <= difference <= high
        met = {
            "a": float(row["spearman"]) >= 0.9 and difference >= -0.02,
            "b, trees": difference >= -0.01,
            "b, learning curve": low > 0,
            "c": low > 0,
        }
        assert row["met"] == (str(met[row["goal"]]) if row["goal"] in met else "")


@pytest.mark.slow
def test_the_goals_of_a_folder_are_evaluated_by_one_command(tmp_path):
    folder = write_synthetic_experiment(tmp_path / "goals" / "digits-varied", networks=40)
    cohorts = {f"cohort{c:04d}": [f"{i:012x}" for i in range(20 * c, 20 * c + 20)] for c in range(2)}
    (folder.root / "cohorts.json").write_text(json.dumps(cohorts))
    script = ROOT / "experiments" / "goals" / "evaluate.py"
    arguments = [tmp_path / "goals", "--workers", "1", "--results", tmp_path / "results"]
    subprocess.run([sys.executable, script, *arguments], check=True)
    found = pd.read_csv(tmp_path / "results" / "goals_spearman.csv")
    assert set(found["epoch"]) == {0, 1, 3}
    assert found["networks"].between(39, 40).all()  # one diverges at epoch 2
    at_start = found[found["epoch"] == 0].set_index("method")["spearman"]
    assert at_start["AeLLE + architecture/size"] > 0.6, "the synthetic outcome follows the spectrum"
    verdicts = pd.read_csv(tmp_path / "results" / "goals_verdicts.csv")
    assert {"b, trees", "b, learning curve", "c"} <= set(verdicts["goal"])
    assert not verdicts["method"].str.contains("readout").any(), "nothing of it was recorded"
