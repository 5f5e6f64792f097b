"""What a collection shows while it runs, and that the clock on the wall decides nothing."""

import itertools
import re
import time

import pandas as pd
import pytest

from aelle.collection.cohort_job import CohortResult
from aelle.collection.collect import collect
from aelle.collection.status import status
from aelle.records import ExperimentFolder, RecordsError
from aelle.recurrent.elman import TanhRNN
from tests import faulty
from tests.small_collection import InThisProcess, comparable, experiment


def test_the_bar_tells_networks_a_second_and_the_best_so_far(tmp_path, capsys):
    collect(experiment(), tmp_path / "x", engine=InThisProcess())
    shown = capsys.readouterr().err
    rates = [float(rate) for rate in re.findall(r"networks/s=([0-9.e+-]+)", shown)]
    assert rates
    assert all(rate > 0 for rate in rates)
    assert re.search(r"best=0\.\d+", shown)
    assert re.search(r"100%.*45/45", shown.replace("\n", " "))


def test_the_bar_counts_what_went_wrong(tmp_path, capsys):
    networks = {"architecture": "relu_rnn", "init_gain": [1.0, 400.0], "per_combination": 2}
    collect(experiment(networks=networks), tmp_path / "x", engine=InThisProcess())
    assert re.search(r"best=0\.\d+, diverged=2\]", capsys.readouterr().err)
    networks = {"architecture": ["tests.faulty:RaisingCell", "rnn"], "init_gain": 1.0, "per_combination": 2}
    settings = experiment(networks=networks, training={"stop_after_failures": 9})
    collect(settings, tmp_path / "y", engine=InThisProcess())
    shown = capsys.readouterr().err.replace("\r", "\n").splitlines()[-1]
    assert re.search(r"100%.*20/20 .*, failed=2\] *$", shown)


def test_a_clock_that_runs_backwards_changes_nothing(tmp_path, monkeypatch, capsys):
    quiet, backwards = ExperimentFolder(tmp_path / "quiet"), ExperimentFolder(tmp_path / "backwards")
    collect(experiment(), quiet, progress=False, engine=InThisProcess())
    hours = itertools.count()
    now = time.time()
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: now - 3600 * next(hours))
        patched.setattr(time, "time_ns", lambda: int(1e9 * (now - 3600 * next(hours))))
        patched.setattr("tqdm.std.time", time.time)

        # Stopped in the middle and resumed, with every reading of the clock an hour before the last one.
        def stop_at_epoch_two(rows):
            if rows[0]["epoch"] == 2:
                raise KeyboardInterrupt
            return []

        try:
            collect(experiment(), backwards, engine=InThisProcess(), on_epoch=stop_at_epoch_two)
        except KeyboardInterrupt:
            assert status(backwards).finished == 0
        collect(experiment(), backwards, engine=InThisProcess())
        found = status(backwards)
    assert next(hours) > 10
    assert (found.finished, found.network_epochs) == (9, 45)
    pd.testing.assert_frame_equal(comparable(backwards), comparable(quiet), check_exact=True)
    assert "Traceback" not in capsys.readouterr().err


def test_workers_in_other_folders_write_to_the_folder_that_was_meant(tmp_path, monkeypatch):
    class Elsewhere(InThisProcess):
        def run(self, function, job, cohorts, report):
            monkeypatch.chdir(tmp_path / "elsewhere")
            yield from super().run(function, job, cohorts, report)
            monkeypatch.chdir(tmp_path)

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    collect(experiment(), "relative", progress=False, engine=Elsewhere())
    assert status(ExperimentFolder(tmp_path / "relative")).finished == 9
    assert not list((tmp_path / "elsewhere").iterdir())


def test_records_that_stay_on_a_node_are_missed(tmp_path):
    class NotShared:
        gpus = 0.0

        def run(self, function, job, cohorts, report):
            for cohort in cohorts:
                yield CohortResult(cohort.cohort_id, {v.network_id: "ok" for v in cohort.variants}, None)

    with pytest.raises(RecordsError, match="6 cohorts were finished, but their records are not here"):
        collect(experiment(), tmp_path / "x", progress=False, engine=NotShared())


def test_what_failed_is_run_again_once_and_an_interrupted_retry_is_finished(tmp_path, monkeypatch):
    networks = {"architecture": ["tests.faulty:RaisingCell", "rnn"], "per_combination": 2}
    settings = experiment(networks=networks, training={"stop_after_failures": 9})
    folder = ExperimentFolder(tmp_path / "x")

    def again(**options):
        return collect(settings, folder, progress=False, engine=InThisProcess(), **options).statuses

    assert again() == {"ok": 2, "failed": 2}
    found = status(folder)
    assert (found.failed, found.last_failure) == (2, "ArithmeticError: this cell gives up")
    monkeypatch.setattr(faulty.RaisingCell, "scan_with_gradients", TanhRNN.scan)  # it is mended

    def interrupt(rows):
        if rows[0]["epoch"] == 2:
            raise KeyboardInterrupt
        return []

    with pytest.raises(KeyboardInterrupt):
        again(retry_failed=True, on_epoch=interrupt)
    assert again() == {"ok": 2}  # goes on where the second run was cut short
    found = status(folder)
    assert (found.finished, found.failed, found.last_failure) == (4, 0, None)
    assert again(retry_failed=True) == {}
    collect(settings, tmp_path / "mended", progress=False, engine=InThisProcess())
    pd.testing.assert_frame_equal(comparable(folder), comparable(tmp_path / "mended"), check_exact=True)


def test_the_longest_cohorts_are_begun_first(tmp_path):
    begun = []

    class Noting(InThisProcess):
        def run(self, function, job, cohorts, report):
            begun.extend((c.variants[0]["hidden_size"], len(c.variants)) for c in cohorts)
            yield from super().run(function, job, cohorts, report)

    networks = {"architecture": "rnn", "hidden_size": [2, 5, 3], "per_combination": 3}
    settings = experiment(networks=networks, training={"epochs": 1})
    collect(settings, tmp_path / "x", progress=False, engine=Noting())
    assert begun == [(5, 2), (5, 1), (3, 2), (3, 1), (2, 2), (2, 1)]
