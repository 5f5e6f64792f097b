"""The one definition of outcome, against networks whose end is written down by hand."""

import numpy as np
import pandas as pd
import pytest

from aelle.embedding.dataset import load_dataset
from aelle.explorer.data import load
from aelle.explorer.summary import about_network, experiment_facts
from aelle.records import Metric, best_of, outcomes, read_records
from tests.synthetic import EPOCHS, rewrite, write_synthetic_experiment

NAN = float("nan")
ENDS = {  # by network: status and metric of epochs 0, 1, 2; the outcome; its metric by "final" and by "best"
    "a": ([("ok", 0.1), ("ok", 0.9), ("ok", 0.5)], "ok", 0.5, 0.9),
    "b": ([("ok", 0.3), ("ok", 0.2), ("ok", 0.4)], "ok", 0.4, 0.4),
    "c": ([("ok", 0.8), ("diverged", NAN)], "diverged", 0.4, 0.4),
    "d": ([("ok", 0.8), ("ok", 0.7), ("diverged", 0.7)], "diverged", 0.4, 0.4),
    "e": ([("ok", 0.8), ("failed", None)], "failed", NAN, NAN),
    "f": ([("ok", 0.8), ("pruned", 0.99)], "pruned", NAN, NAN),
    "g": ([("ok", 0.8), ("ok", 0.99)], "unfinished", NAN, NAN),
    "h": ([("pruned", 0.8), ("failed", 0.9), ("diverged", 0.9)], "diverged", 0.4, 0.4),
    "i": ([("ok", 0.1), ("pruned", 0.2), ("failed", 0.3)], "failed", NAN, NAN),
}
ACCURACY = Metric("accuracy", True)


def records(ends=ENDS):
    rows = [
        {"network_id": name, "epoch": epoch, "status": status, "val_metric": value}
        for name, (curve, *_) in ends.items()
        for epoch, (status, value) in enumerate(curve)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("target, place", [("final", 2), ("best", 3)])
def test_every_way_to_end(target, place):
    found = outcomes(records().sample(frac=1, random_state=0), ACCURACY, 2, target)
    assert found["outcome"].to_dict() == {name: end[1] for name, end in ENDS.items()}
    np.testing.assert_array_equal(found["target"], [end[place] for end in ENDS.values()])


def test_the_worst_of_an_error_is_the_largest():
    found = outcomes(records(), Metric("error", False), 2)
    assert found.loc["c", "target"] == 0.5
    assert outcomes(records(), Metric("error", False), 2, "best").loc["a", "target"] == 0.1


def test_a_metric_that_is_not_finite_at_the_end_is_a_divergence():
    ends = {
        "a": ([("ok", 0.2), ("ok", NAN)],),
        "b": ([("ok", 0.1), ("ok", np.inf)],),
        "c": ([("ok", 0), ("ok", 0.3)],),
    }
    found = outcomes(records(ends), ACCURACY, 1)
    assert found["outcome"].to_list() == ["diverged", "diverged", "ok"]
    assert found["target"].to_list() == [0.3, 0.3, 0.3]


def test_where_none_finished_the_worst_is_zero():
    assert outcomes(records({"a": ([("diverged", NAN)],)}), ACCURACY, 1)["target"].to_list() == [0.0]


def test_best_of_the_finite():
    assert best_of([None, NAN, 0.2, 0.5, np.inf], True) == 0.5
    assert best_of([0.2, None, 0.5], False) == 0.2
    assert best_of([None, NAN], True) is None


@pytest.fixture(scope="module")
def stopped_early(tmp_path_factory):
    """A folder in which network 7 diverged, 8 was pruned after epoch 3, 9 is still running and 10 failed."""
    folder = write_synthetic_experiment(tmp_path_factory.mktemp("stopped"))

    def stop(frame):
        number = frame["network_id"].map(lambda network_id: int(network_id, 16))
        frame.loc[(number == 8) & (frame["epoch"] == 3), "status"] = "pruned"
        frame.loc[(number == 10) & (frame["epoch"] == 3), "status"] = "failed"
        return frame[~(number.isin([8, 9, 10]) & (frame["epoch"] > 3))]

    rewrite(folder, stop)
    return folder


def test_page_and_data_set_agree(stopped_early):
    page, dataset = load(stopped_early).networks.set_index("network_id"), load_dataset(stopped_early)
    np.testing.assert_array_equal(page.loc[dataset.networks.index, "final_metric"], dataset.targets)
    left = page.drop(index=dataset.networks.index)
    assert left["outcome"].to_dict() == {
        f"{8:012x}": "pruned",
        f"{9:012x}": "unfinished",
        f"{10:012x}": "failed",
    }
    assert left[["final_metric", "best_metric"]].isna().all().all()
    assert dataset.excluded == {"failed": 1, "pruned": 1, "unfinished": 1}
    own = read_records(stopped_early)
    finished = own[own["epoch"] == EPOCHS].set_index("network_id")["val_metric"]
    assert page.loc[f"{7:012x}", "final_metric"] == finished.min()


def test_the_page_says_how_a_network_ended(stopped_early):
    data = load(stopped_early)
    assert experiment_facts(data).endswith("1 diverged · 1 failed · 1 pruned · 1 unfinished")
    words = [about_network(data, data.numbers_of([f"{i:012x}"])[0]).split(", ")[-1] for i in (7, 8, 9, 10)]
    assert words == ["diverged", "pruned", "unfinished", "failed"]
    assert about_network(data, 0).split(", ")[-1].startswith("final accuracy 0.")
