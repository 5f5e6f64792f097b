"""One task left out: what carries over is found, what does not is not, and mixed conventions are refused."""

import json

import numpy as np
import pandas as pd
import pytest

from aelle.embedding.dataset import load_dataset
from aelle.prediction.errors import PredictionError
from aelle.prediction.transfer import combine, evaluate_transfer
from tests.prediction_folder import configure
from tests.synthetic import rewrite, write_synthetic_experiment


def task_folder(root, name, seed, change=lambda frame: frame, extra="epochs = [0, 1]\n"):
    folder = configure(write_synthetic_experiment(root / name, seed=seed), extra)
    text = folder.experiment_file.read_text().replace('name = "digits"', f'name = "{name}"')
    folder.experiment_file.write_text(text)
    rewrite(folder, lambda frame: change(frame.assign(task=name)))
    return folder


@pytest.fixture
def tasks(tmp_path):
    """The same law of outcomes in different units: an accuracy, and an error that is lower where it is better."""

    def as_error(frame):
        return frame.assign(val_metric=7 - 5 * frame["val_metric"], metric_name="mse", higher_is_better=False)

    return [task_folder(tmp_path, "digits", 0), task_folder(tmp_path, "latch", 1, as_error)]


def test_outcomes_and_curves_become_ranks_of_their_own_task(tasks):
    datasets = [load_dataset(folder) for folder in tasks]
    combined, task = combine(datasets)
    assert np.bincount(task).tolist() == [60, 60]
    for number, dataset in enumerate(datasets):
        own = pd.Series(combined.targets[task == number])
        oriented = pd.Series(dataset.metric.oriented(dataset.targets))
        assert own.corr(oriented, method="spearman") == pytest.approx(1)
        assert abs(own.mean()) < 1e-9
    assert combined.records["val_metric"].between(0, 1).sum() > 0
    assert not combined.networks.index.has_duplicates
    ids = combined.networks.index.to_numpy()[combined.spectra["network"]]
    assert (ids == combined.spectra["network_id"]).all()


@pytest.mark.slow
def test_a_law_that_holds_in_both_tasks_transfers(tasks):
    transfer = evaluate_transfer(tasks, progress=False)
    rows = {(r["task"], r["epoch"], r["method"]): r["spearman"] for r in transfer.rows}
    for task in ("digits", "latch"):
        assert rows[task, 0, "hyperparameters only"] > 0.6
        assert rows[task, 0, "AeLLE + architecture/size"] > 0.5
        assert rows[task, 1, "last value"] > 0.5
    assert "digits (60), latch (60)" in str(transfer)
    json.dumps(transfer.to_json(), allow_nan=False)


def test_nothing_is_learnt_from_the_left_out_task(tasks, tmp_path):
    """Turn the outcomes of one task round: what is learnt from the other orders it the wrong way."""

    def turned(frame):
        last = (frame["epoch"] == 6).to_numpy()
        frame.loc[last, "val_metric"] = 1 - frame.loc[last, "val_metric"]
        return frame

    folders = [tasks[0], task_folder(tmp_path, "adding", 1, turned)]
    rows = evaluate_transfer(folders, progress=False).rows
    found = [r["spearman"] for r in rows if r["task"] == "adding" and r["method"] == "hyperparameters only"]
    assert max(found) < -0.6


def test_refusals(tasks, tmp_path, aelle):
    for folders, message in (
        (tasks[:1], "at least two tasks, got digits"),
        ([tasks[0], tasks[1], tasks[0]], "several folders are of the task digits"),
        (
            [tasks[0], task_folder(tmp_path, "adding", 2, lambda f: f.assign(spectrum_state="hidden"))],
            "several state conventions .full, hidden.",
        ),
        (
            [tasks[0], task_folder(tmp_path, "copy_memory", 2, extra="epochs = [3]\n")],
            "no epoch at which all",
        ),
    ):
        with pytest.raises(PredictionError, match=message):
            evaluate_transfer(folders, progress=False)
    code, _, errors = aelle("evaluate", tasks[0].root, tasks[0].root, "--quiet")
    assert code == 2
    assert "at least two tasks" in errors


@pytest.mark.slow
def test_the_command_line_takes_several_folders(tasks, aelle):
    code, text, _ = aelle("evaluate", *(folder.root for folder in tasks), "--quiet", "--json")
    assert code == 0
    assert json.loads(text)["tasks"] == {"digits": 60, "latch": 60}
