"""Collection: what is recorded, that it is the same whatever happens meanwhile, and what is refused."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch

from aelle.collection.cohort_job import driving_sequences
from aelle.collection.collect import CollectionStopped, collect
from aelle.collection.search_space import variants
from aelle.collection.status import status
from aelle.collection.training import NativeTraining, build_network
from aelle.config import ConfigError, dump_experiment
from aelle.records import ExperimentFolder, RecordsError, read_failures, read_records, write_bytes
from aelle.spectra import lyapunov_spectrum
from aelle.tasks.registry import make_task
from tests import faulty
from tests.small_collection import comparable, experiment

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """The folder of an undisturbed run."""
    folder = ExperimentFolder(tmp_path_factory.mktemp("quiet") / "x")
    collect(experiment(), folder, progress=False)
    return folder


def test_every_network_is_recorded_at_every_epoch_with_spectra_where_asked(quiet):
    records = read_records(quiet)
    assert len(records) == 9 * 5
    assert (records.groupby("network_id").epoch.apply(list).map(tuple) == (0, 1, 2, 3, 4)).all()
    assert (records.status == "ok").all()
    taken = records[records.spectrum.notna()]
    assert sorted(taken.epoch.unique()) == [0, 2]
    assert len(taken) == 9 * 2
    for row in taken.itertuples():
        assert len(row.spectrum) == sum(row.layer_sizes) == 6 * (2 if row.architecture == "lstm" else 1)
        assert (np.diff(row.spectrum) <= 0).all()
        assert row.certificate < 1e-6
    assert records[records.epoch == 0].train_loss.isna().all()
    assert not quiet.checkpoints.exists() or not list(quiet.checkpoints.iterdir())


def test_the_recorded_spectrum_is_that_of_the_network_with_the_recorded_id(quiet):
    records = read_records(quiet)
    settings = experiment()
    task = make_task(settings.task.name, settings.task.options)
    variant = variants(settings)[-1]
    network = build_network(variant, task).eval()
    expected = lyapunov_spectrum(network, driving_sequences(settings, task), warmup=10)
    row = records[(records.network_id == variant.network_id) & (records.epoch == 0)].iloc[0]
    np.testing.assert_allclose(
        row.spectrum, expected.exponents.numpy().astype(np.float32), rtol=1e-5, atol=1e-6
    )


def test_records_do_not_depend_on_cohorts_or_workers(quiet, tmp_path):
    settings = experiment(training={"workers": 1, "cohort_size": 3})
    collect(settings, tmp_path / "x", progress=False)
    pd.testing.assert_frame_equal(comparable(tmp_path / "x"), comparable(quiet), check_exact=True)


def command(folder, file):
    file.write_text(dump_experiment(experiment()))
    return [sys.executable, "-m", "aelle", "collect", str(file), "--output", str(folder), "--quiet"]


def wait_for_epoch(process, folder, deadline=60):
    """Wait until some cohort has recorded an epoch but the run has not ended."""
    until = time.monotonic() + deadline
    while time.monotonic() < until and process.poll() is None:
        if faulty.has_recorded(folder, 1):
            return
        time.sleep(0.005)
    pytest.fail(f"the run gave no epoch to interrupt at: exit {process.poll()}")


@pytest.mark.slow
@pytest.mark.parametrize(
    "killed_by, code", [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_run_killed_in_the_middle_resumes_to_the_same_records(quiet, tmp_path, killed_by, code):
    folder, arguments = tmp_path / "x", command(tmp_path / "x", tmp_path / "x.toml")
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    wait_for_epoch(process, folder)
    process.send_signal(killed_by)
    _, message = process.communicate(timeout=30)
    assert process.returncode == code
    if killed_by != signal.SIGKILL:
        assert message.splitlines()[-1] == "aelle: interrupted; the same command resumes"
    assert len(list(folder.glob("records/*.parquet"))) < 6, "the run had already ended"
    collect(experiment(), folder, progress=False)
    pd.testing.assert_frame_equal(comparable(folder), comparable(quiet), check_exact=True)
    assert not list(folder.rglob("*.partial"))


def test_workers_that_outlive_their_driver_block_no_resume(quiet, tmp_path):
    folder, arguments = tmp_path / "x", command(tmp_path / "x", tmp_path / "x.toml")
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    wait_for_epoch(process, folder)
    left = psutil.Process(process.pid).children(recursive=True)
    assert len(left) >= 2
    for child in left:
        child.suspend()  # so that they cannot notice that their driver is gone
    process.kill()
    process.wait()
    try:
        subprocess.run(arguments, check=True, timeout=60)
        records = {path: path.read_bytes() for path in (folder / "records").rglob("*")}
    finally:
        for child in left:
            child.resume()
    assert not psutil.wait_procs(left, timeout=20)[1], "they never ended"
    assert {path: path.read_bytes() for path in (folder / "records").rglob("*")} == records
    pd.testing.assert_frame_equal(comparable(folder), comparable(quiet), check_exact=True)


@pytest.mark.slow
def test_a_killed_worker_costs_nothing(quiet, tmp_path):
    # A run of its own, since the processes of this one do not see a changed environment.
    script = tmp_path / "script.py"
    script.write_text(KILLING_SCRIPT.format(folder=str(tmp_path / "x")))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "AELLE_TEST_MARKER": str(tmp_path / "marker")}
    command = [sys.executable, str(script)]
    done = subprocess.run(command, check=True, timeout=90, env=environment, capture_output=True, text=True)
    assert (tmp_path / "marker").exists()
    # What the bar was told: the last reports may come too late, but nothing counts twice.
    assert 0 < int(done.stdout) <= 9 * 5
    pd.testing.assert_frame_equal(comparable(tmp_path / "x"), comparable(quiet), check_exact=True)


KILLING_SCRIPT = """
import time
from aelle.collection.collect import collect
from aelle.collection.engines import LocalProcesses
from tests.faulty import kill_worker_once
from tests.small_collection import experiment

class Counting(LocalProcesses):
    def run(self, function, job, cohorts, report):
        counts = []
        for result in super().run(function, job, cohorts, counts.append):
            time.sleep(0.5)  # so that all reports arrive
            yield result
        print(sum(counts))

if __name__ == "__main__":
    collect(experiment(), {folder!r}, progress=False, on_epoch=kill_worker_once, engine=Counting(2))
"""


def test_a_corrupt_checkpoint_costs_time_and_nothing_else(quiet, tmp_path):
    folder = ExperimentFolder(tmp_path / "x")
    cohort = sorted(quiet.records.iterdir())[0].stem
    for file in quiet.records.iterdir():
        if file.stem != cohort:
            write_bytes(folder.records / file.name, file.read_bytes())
    write_bytes(folder.experiment_file, quiet.experiment_file.read_bytes())
    write_bytes(folder.checkpoint(cohort), b"\x08\x00\x00\x00\x00\x00\x00\x00{broken}")
    collect(experiment(), folder, progress=False)
    pd.testing.assert_frame_equal(comparable(folder), comparable(quiet), check_exact=True)


def test_training_continues_to_the_same_bits_from_its_state():
    settings = experiment()
    task = make_task(settings.task.name, settings.task.options)
    from aelle.collection.search_space import cohorts

    cohort = cohorts(variants(settings), 2)[-1]
    straight, stopped = NativeTraining(cohort, task, 4), NativeTraining(cohort, task, 4)
    losses = [[t.val_loss for t in epoch.trainees] for epoch in straight]
    for epoch in stopped:
        if epoch.number == 2:
            break
    state = {name: tensor.clone() for name, tensor in stopped.state().items()}
    resumed = NativeTraining(cohort, task, 4)
    resumed.restore(state, {t.variant.network_id: t.status for t in stopped.trainees}, 2)
    assert [[t.val_loss for t in epoch.trainees] for epoch in resumed] == losses[3:]


def test_training_learns_and_leaves_the_callers_random_state_alone():
    settings = experiment(
        networks={
            "architecture": "gru",
            "hidden_size": 16,
            "dropout": 0.0,
            "init_gain": 1.0,
            "learning_rate": 0.02,
        }
    )
    task = make_task("digits", {})
    from aelle.collection.search_space import Cohort

    before = torch.get_rng_state()
    training = NativeTraining(Cohort(tuple(variants(settings)[:1])), task, 4)
    metrics = [epoch.trainees[0].val_metric for epoch in training]
    assert metrics[0] < 0.3
    assert metrics[-1] > 0.6
    assert torch.equal(before, torch.get_rng_state())


def test_divergence_is_an_outcome_and_harms_no_other_network(tmp_path):
    networks = {"architecture": "relu_rnn", "init_gain": [1.0, 400.0], "per_combination": 1, "dropout": 0.0}
    settings = experiment(networks=networks)
    collect(settings, tmp_path / "x", progress=False)
    last = read_records(tmp_path / "x").groupby("network_id").tail(1).set_index("init_gain")
    assert last.status.to_dict() == {1.0: "ok", 400.0: "diverged"}
    assert last.epoch.to_dict() == {1.0: 4, 400.0: 0}
    found = status(ExperimentFolder(tmp_path / "x"))
    assert (found.diverged, found.finished, found.network_epochs) == (1, 2, found.network_epochs_total)


def test_a_cell_that_raises_is_recorded_and_stops_a_hopeless_sweep(tmp_path):
    networks = {"architecture": ["tests.faulty:RaisingCell", "rnn"], "init_gain": 1.0, "per_combination": 2}
    settings = experiment(networks=networks, training={"stop_after_failures": 9})
    summary = collect(settings, tmp_path / "x", progress=False)
    assert summary.statuses == {"ok": 2, "failed": 2}
    failures = read_failures(ExperimentFolder(tmp_path / "x"))
    assert [(f["epoch"], f["cause"]) for f in failures] == [(3, "ArithmeticError: this cell gives up")] * 2
    assert failures[0]["rerun"].startswith("aelle collect ")
    assert "faulty.py:" in failures[0]["where"]
    records = read_records(tmp_path / "x")
    assert (records[records.architecture == "rnn"].groupby("network_id").epoch.max() == 4).all()

    hopeless = experiment(
        networks={**networks, "architecture": networks["architecture"][0], "per_combination": 6}
    )
    with pytest.raises(
        CollectionStopped, match="4 networks in a row failed: ArithmeticError: this cell gives"
    ):
        collect(
            hopeless.model_copy(
                update={
                    "training": hopeless.training.model_copy(update={"stop_after_failures": 4, "workers": 1})
                }
            ),
            tmp_path / "y",
            progress=False,
        )


def test_a_cell_that_exits_fails_alone_and_in_one_line(tmp_path):
    networks = {"architecture": ["tests.faulty:ExitingCell", "rnn"], "init_gain": 1.0, "per_combination": 2}
    settings = experiment(networks=networks, training={"stop_after_failures": 9, "workers": 1})
    assert collect(settings, tmp_path / "x", progress=False).statuses == {"ok": 2, "failed": 2}
    assert status(ExperimentFolder(tmp_path / "x")).last_failure == "SystemExit: I have had enough"
    hopeless = experiment(networks=networks, training={"stop_after_failures": 2, "workers": 1})
    with pytest.raises(
        CollectionStopped, match=r"enough \(tests\.faulty:ExitingCell, epoch 1, at .*faulty\.py:\d+; "
    ):
        collect(hopeless, tmp_path / "y", progress=False)


def test_a_damaged_file_of_records_stops_a_collection_before_it_trains(quiet, tmp_path):
    folder = ExperimentFolder(tmp_path / "x")
    shutil.copytree(quiet.root, folder.root)
    damaged = sorted(folder.records.iterdir())[0]
    damaged.write_bytes(damaged.read_bytes()[:-500])
    with pytest.raises(RecordsError, match=f"{damaged}: damaged .* move it out of records/"):
        collect(experiment(), folder, progress=False)
    damaged.unlink()
    collect(experiment(), folder, progress=False)
    pd.testing.assert_frame_equal(comparable(folder), comparable(quiet), check_exact=True)


def test_a_callback_stops_networks_early(tmp_path):
    collect(experiment(), tmp_path / "x", progress=False, on_epoch=faulty.prune_all_at_epoch_one)
    last = read_records(tmp_path / "x").groupby("network_id").tail(1)
    assert set(last.status) == {"pruned"}
    assert set(last.epoch) == {1}


def test_a_folder_of_another_experiment_is_refused_and_kept(quiet):
    before = {p: p.read_bytes() for p in quiet.root.rglob("*.parquet")}
    with pytest.raises(ConfigError, match=r"another experiment .*training\.epochs = 4.*training\.epochs = 5"):
        collect(experiment(training={"epochs": 5}), quiet, progress=False)
    with pytest.raises(ConfigError, match=r"seed = 0.*seed = 1"):
        collect(experiment(seed=1), quiet, progress=False)
    assert {p: p.read_bytes() for p in quiet.root.rglob("*.parquet")} == before
    # What decides nothing may change, and a finished collection has nothing left to do.
    assert "nothing left to do" in str(collect(experiment(training={"workers": 1}), quiet, progress=False))


def test_a_wider_search_space_extends_a_folder_and_trains_nothing_twice(quiet, tmp_path):
    folder = ExperimentFolder(tmp_path / "x")
    shutil.copytree(quiet.root, folder.root)
    before = {p.name: p.read_bytes() for p in folder.records.iterdir()}
    wider = experiment(networks={"per_combination": 4})
    with pytest.raises(
        ConfigError, match=r"networks\.per_combination = 3.* = 4.*or add networks with --extend"
    ):
        collect(wider, folder, progress=False)
    collect(wider, folder, progress=False, extend=True)
    records = read_records(folder)
    assert records.network_id.nunique() == 12
    assert {name: (folder.records / name).read_bytes() for name in before} == before
    file = folder.experiment_file.read_bytes()
    with pytest.raises(ConfigError, match=r"no longer holds 3 of its networks; --extend only adds"):
        collect(experiment(), folder, progress=False, extend=True)
    with pytest.raises(ConfigError, match=r"training\.epochs.* --extend takes changes of \[networks\] alone"):
        collect(experiment(training={"epochs": 5}), folder, progress=False, extend=True)
    with pytest.raises(ConfigError, match=r"training\.epochs.* with --output, or undo the change$"):
        collect(experiment(training={"epochs": 5}), folder, progress=False)
    assert folder.experiment_file.read_bytes() == file


def test_a_second_collection_in_one_folder_is_refused(tmp_path):
    from filelock import FileLock

    (tmp_path / "x").mkdir()
    with FileLock(tmp_path / "x" / ".collect.lock"), pytest.raises(RecordsError, match="another collection"):
        collect(experiment(), tmp_path / "x", progress=False)


def test_records_without_an_experiment_are_not_overwritten(tmp_path):
    (tmp_path / "x" / "records").mkdir(parents=True)
    (tmp_path / "x" / "records" / "mine.parquet").write_bytes(b"mine")
    with pytest.raises(RecordsError, match=r"holds records but no experiment\.toml"):
        collect(experiment(), tmp_path / "x", progress=False)


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordsError, match="cannot be written"):
        collect(experiment(), tmp_path / "file" / "x", progress=False)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_what_was_recorded_stays(quiet, tmp_path):
    folder, arguments = tmp_path / "x", command(tmp_path / "x", tmp_path / "x.toml")

    def small_files_only():
        # The system refuses every file above this size, as it refuses all writes on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000))

    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, preexec_fn=small_files_only)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "cannot be written: File too large" in done.stderr
    collect(experiment(), folder, progress=False)
    pd.testing.assert_frame_equal(comparable(folder), comparable(quiet), check_exact=True)


def test_status_tells_how_far_a_collection_is(quiet, tmp_path):
    done = status(quiet)
    assert done.as_dict() | {"best_metric": None} == {
        "experiment": "fast", "running": False, "networks": 9, "started": 9, "finished": 9, "diverged": 0,
        "failed": 0, "pruned": 0, "network_epochs": 45, "network_epochs_total": 45, "best_metric": None,
        "metric_name": "accuracy", "last_failure": None, "notes": [], "seconds_left": None,
    }  # fmt: skip
    assert done.best_metric == read_records(quiet).val_metric.max()
    fresh = ExperimentFolder(tmp_path)
    write_bytes(fresh.experiment_file, quiet.experiment_file.read_bytes())
    assert json.loads(json.dumps(status(fresh).as_dict()))["started"] == 0
    assert "0% done" in str(status(fresh))


def test_status_shows_no_terminal_escapes():
    from aelle.collection.status import Status

    found = str(
        Status("x", False, 1, 1, last_failure="\x1b[2Jgone\x07", best_metric=1.0, metric_name="a\x1b]0;t")
    )
    assert "\x1b" not in found
    assert "\x07" not in found
    assert len(found.splitlines()) == 5
