"""Workers on machines that are not ours: unguarded scripts, folders of any name, and nothing that outlives its command."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from aelle.collection.collect import collect
from aelle.collection.status import status
from aelle.config import dump_experiment
from aelle.records import ExperimentFolder
from tests.faulty import has_recorded
from tests.small_collection import experiment, in_this_process

ROOT = Path(__file__).parent.parent
UNGUARDED = """
import sys
print("run", flush=True)
from aelle.collection.collect import collect
from tests.small_collection import experiment
collect(experiment(networks={"architecture": "rnn"}), sys.argv[1], progress=False)
"""


def python(*arguments, **options):
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | options.pop("environment", {})
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, **options)


def test_a_script_without_a_main_guard_is_told_to_have_one(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    done = python(script, tmp_path / "x")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("below `if __name__ == '__main__':`")
    assert "memory" not in done.stderr
    assert done.stdout.count("run") <= 3  # itself, and each worker once


def test_a_script_from_standard_input_is_told_to_be_a_file(tmp_path):
    done = python("-", tmp_path / "x", input=UNGUARDED)
    assert done.returncode == 1
    assert "cannot import <stdin>; save the script as a file" in done.stderr.splitlines()[-1]
    assert done.stdout.count("run") == 1


def written(tmp_path, **sections):
    file = tmp_path / "x.toml"
    file.write_text(dump_experiment(experiment(networks={"architecture": "rnn"}, **sections)))
    return file


def test_a_long_temporary_folder(tmp_path):
    long = tmp_path / ("t" * 70) / ("u" * 70)
    long.mkdir(parents=True)
    done = python(
        "-m", "aelle", "collect", written(tmp_path), "--output", tmp_path / "x", "--quiet",
        environment={"TMPDIR": str(long)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert status(ExperimentFolder(tmp_path / "x")).finished == 3


def test_shared_memory_that_cannot_be_written(tmp_path, monkeypatch):
    from multiprocessing import synchronize

    from aelle.collection.engines import LocalProcesses, WorkerDied

    def refused(*arguments):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(synchronize._multiprocessing, "SemLock", refused)
    with pytest.raises(
        WorkerDied, match="Read-only file system; they share semaphores, which need a /dev/shm"
    ):
        list(LocalProcesses(1).run(collect, None, [type("", (), {"cohort_id": "a"})], print))


def test_a_path_that_is_no_utf8_is_a_path_like_any_other(tmp_path):
    folder = ExperimentFolder(tmp_path / os.fsdecode(b"caf\xe9"))
    done = python("-m", "aelle", "collect", written(tmp_path), "--output", folder.root, "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert status(folder).finished == 3
    assert "nothing left to do" in str(
        collect(experiment(networks={"architecture": "rnn"}), folder, progress=False, engine=in_this_process)
    )


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "latin-1", "ascii"])
def test_a_terminal_that_cannot_show_a_letter_ends_no_command(tmp_path, encoding):
    settings = experiment(networks={"architecture": "rnn", "per_combination": 1}, training={"epochs": 1})
    folder = ExperimentFolder(tmp_path / "Größe →")
    collect(settings, folder, progress=False, engine=in_this_process)
    for command in (["status", folder.root], ["check", folder.root]):
        done = python("-m", "aelle", *command, environment={"PYTHONIOENCODING": encoding})
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_no_process_outlives_its_command_however_that_dies(tmp_path, number):
    file = written(tmp_path, training={"epochs": 200})
    command = [
        sys.executable,
        "-m",
        "aelle",
        "collect",
        str(file),
        "--output",
        str(tmp_path / "x"),
        "--quiet",
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not has_recorded(tmp_path / "x", 1) and time.monotonic() < until:
        time.sleep(0.05)
    left = psutil.Process(process.pid).children(recursive=True)
    assert len(left) >= 2
    process.send_signal(number)
    process.wait(timeout=30)
    assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number)
    assert not psutil.wait_procs(left, timeout=20)[1], "they went on"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_no_worker_of_an_evaluation_outlives_its_killed_command(tmp_path):
    code = """
import sys, time
from joblib import delayed
from aelle.prediction.cross_validation import _run
print("begun", flush=True)
_run([delayed(time.sleep)(600) for _ in range(2)], 2, False)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 60
    while len(left := psutil.Process(process.pid).children(recursive=True)) < 3 and time.monotonic() < until:
        time.sleep(0.1)
    time.sleep(8)  # until the workers have imported what they run
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    assert len(left) >= 3
    assert not psutil.wait_procs(left, timeout=20)[1], "they went on"


def test_a_killed_worker_of_an_evaluation_is_one_line():
    from joblib import delayed

    from aelle.prediction.cross_validation import _run
    from aelle.prediction.errors import PredictionError

    with pytest.raises(PredictionError, match="a worker process was killed from outside") as caught:
        _run([delayed(os._exit)(1) for _ in range(2)], 2, False)
    assert "\n" not in str(caught.value)
