"""The time left of a collection: sums of what networks like those to come have cost."""

import os

import pandas as pd
import pytest

from aelle.collection.collect import collect
from aelle.collection.status import status
from aelle.collection.time_left import at_work, in_words, seconds_left
from aelle.config import parse_experiment
from aelle.records import ExperimentFolder
from tests.small_collection import InThisProcess, experiment

EPOCHS = 4
SETTINGS = parse_experiment(
    {
        "name": "x",
        "task": {"name": "latch"},
        "training": {"epochs": EPOCHS},
        "spectrum": {"epochs": [0, 2]},
    }
)
COHORTS = {"rnn-h8-l1-aa": ["a"], "rnn-h8-l1-bb": ["b", "c"], "lstm-h8-l1-cc": ["d"]}


def rows(**last_epochs):
    """Each network trains for 10 s per epoch, an LSTM for 30 s; a spectrum costs 2 s and what is beside it 1 s."""
    cohort = {network: name for name, members in COHORTS.items() for network in members}
    return pd.DataFrame(
        [
            {
                "network_id": network,
                "cohort": cohort[network],
                "epoch": epoch,
                "train_seconds": (30.0 if network == "d" else 10.0) if epoch else 0.0,
                "spectrum_seconds": 2.0 if epoch in (0, 2) else None,
                "also_seconds": 1.0 if epoch in (0, 2) else None,
            }
            for network, last in last_epochs.items()
            for epoch in range(last + 1)
        ]
    ).astype({"spectrum_seconds": float, "also_seconds": float})


def left(working, ended=(), **last_epochs):
    states = pd.DataFrame({"last_epoch": last_epochs})
    states["complete"] = (states["last_epoch"] == EPOCHS) | states.index.isin(ended)
    return seconds_left(rows(**last_epochs), states, COHORTS, set(working), SETTINGS)


def test_what_is_missing_is_priced_by_its_own_shape():
    # a: epochs 3 and 4; b: 4 epochs and the spectrum of epoch 2; c: all; d: epochs 2 to 4 of an LSTM, one spectrum.
    expected = 2 * 10 + (4 * 10 + 3) + (4 * 10 + 2 * 3) + (3 * 30 + 3)
    assert left(["rnn-h8-l1-aa"], a=2, b=0, d=1) == pytest.approx(expected)


def test_cohorts_at_work_share_it_but_none_is_shared():
    names = list(COHORTS)
    alone = left(names[:1], a=2, b=3, c=3, d=3)
    assert alone == pytest.approx(20 + 20 + 30)
    assert left(names[:2], a=2, b=3, c=3, d=3) == pytest.approx(alone / 2)
    assert left(names, a=2, b=3, c=3, d=3) == pytest.approx(30)  # the LSTM's cohort takes as long as that


def test_a_shape_not_seen_yet_is_priced_as_the_mean_of_those_seen():
    assert left(["rnn-h8-l1-aa"], a=4, b=4, c=3) is None  # no cohort that is not finished has been written
    assert left(["rnn-h8-l1-bb"], a=4, b=4, c=3) == pytest.approx(10 + (4 * 10 + 2 * 3))


def test_ended_networks_cost_nothing_more():
    assert left(COHORTS, ended=("c", "d"), a=4, b=4, c=1, d=1) == 0


def test_nothing_is_told_before_an_epoch_was_trained():
    assert left(COHORTS, a=0) is None


def test_a_collection_at_work_tells_and_one_that_has_ended_does_not(tmp_path):
    folder, told = ExperimentFolder(tmp_path / "x"), []
    settings = experiment()

    def look(rows):
        told.append(status(folder))
        return []

    collect(settings, folder, progress=False, engine=InThisProcess(), on_epoch=look)
    assert all(found.running for found in told)
    assert told[0].seconds_left is None
    estimates = [found.seconds_left for found in told if found.seconds_left is not None]
    assert len(estimates) > len(told) / 2
    assert all(seconds > 0 for seconds in estimates)
    assert estimates[-1] < estimates[0]
    assert "time left   less than a minute" in str(told[-1])
    ended = status(folder)
    assert ended.seconds_left is None
    assert "time left" not in str(ended)


def test_what_an_earlier_run_wrote_is_not_at_work(tmp_path):
    folder = ExperimentFolder(tmp_path)
    folder.records.mkdir(parents=True)
    (folder.root / ".collect.lock").write_text("")
    for name, age in (("old.parquet", -100), ("new.parquet", 100), ("long.from-0100.parquet", 100)):
        (folder.records / name).write_text("")
        now = (folder.root / ".collect.lock").stat().st_mtime
        os.utime(folder.records / name, (now + age, now + age))
    assert at_work(folder) == {"new", "long"}
    (folder.root / ".collect.lock").unlink()
    assert at_work(folder) == set()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (3, "less than a minute"),
        (60, "about a minute"),
        (95, "about 2 minutes"),
        (3600, "about 60 minutes"),
        (3 * 3600, "about 3 hours"),
        (4 * 86400, "about 4 days"),
    ],
)
def test_in_words(seconds, words):
    assert in_words(seconds) == words
