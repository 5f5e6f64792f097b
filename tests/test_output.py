"""What commands print: whatever the disk, the pipe, the letters, or the names in files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aelle.cli.output import Lenient
from aelle.collection.collect import collect
from aelle.config import ConfigError, load_experiment, parse_experiment
from aelle.files import read_plain
from aelle.records import ExperimentFolder, RecordsError, read_json
from aelle.words import printable, shown
from tests.small_collection import experiment, in_this_process

ROOT = Path(__file__).parent.parent
full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
pipes = pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = ExperimentFolder(tmp_path_factory.mktemp("out") / "x")
    settings = experiment(
        networks={"architecture": "rnn", "per_combination": 1}, training={"epochs": 1, "workers": 1}
    )
    collect(settings, found, progress=False, engine=in_this_process)
    return found


def aelle(*arguments, **options):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "aelle", *map(str, arguments)]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=120, env=environment, **options)


@full
@pytest.mark.parametrize("command, code", [("status", 2), ("check", 2), ("collect", 0)])
def test_a_full_disk_below_the_standard_output_is_said_and_fails_no_command_that_writes_files(
    folder, command, code
):
    arguments = [folder.root]
    if command == "collect":
        arguments = [folder.experiment_file, "--output", folder.root, "--quiet"]
    with open("/dev/full", "w") as stream:  # noqa: PTH123
        done = aelle(command, *arguments, stdout=stream)
    assert done.returncode == code
    assert done.stderr == "aelle: what it says could not be printed: No space left on device\n"


@pipes
def test_a_reader_that_has_seen_enough_fails_no_command(folder):
    read, write = os.pipe()
    os.close(read)
    done = aelle("status", folder.root, stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_standard_output_fails_no_command(folder):
    code = "import sys; sys.stdout = None; from aelle.cli import main; sys.argv[1:] = ['status', sys.argv[1]]; main()"
    command = [sys.executable, "-c", code, str(folder.root)]
    done = subprocess.run(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert (done.returncode, done.stderr) == (0, "")


@full
def test_after_the_first_failure_nothing_more_is_tried():
    with open("/dev/full", "wb", buffering=0) as stream:  # noqa: PTH123
        lenient = Lenient(stream.fileno())
        assert lenient.write(b"abc") == 3
        stream.close()  # a second try would be an error of another kind
        assert lenient.write(b"abc") == 3
        assert lenient.reason == "No space left on device"


def test_what_a_terminal_would_obey_is_shown_as_a_question_mark(folder, tmp_path):
    assert printable("a\x1b[31mb\x07\u202ec\x9b λ₁ →\n") == "a?[31mb??c? λ₁ →\n"
    done = aelle("status", tmp_path / "\x1b[31mred", stdout=subprocess.PIPE)
    assert done.returncode == 2
    assert "\x1b" not in done.stderr
    assert "?[31mred: no such folder" in done.stderr


def test_no_command_prints_but_by_tell():
    for file in (ROOT / "aelle" / "cli").glob("*.py"):
        if file.name != "output.py":
            assert "click.echo(" not in file.read_text(), file


def test_a_message_repeats_no_more_than_a_line_of_what_was_written():
    assert shown("x" * 10_000) == "'" + "x" * 99 + "… (10,002 characters)"
    with pytest.raises(ConfigError) as caught:
        parse_experiment({"name": "x", "seed": list(range(10_000)), "task": {"name": "latch"}})
    assert len(str(caught.value)) < 300
    with pytest.raises(ValueError, match="unknown architecture 'xxx") as other:
        collect(experiment(networks={"architecture": "x" * 10_000}), tmp := Path("nowhere"), progress=False)
    assert len(str(other.value)) < 600
    assert not tmp.exists()


@pipes
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "loop"])
def test_what_is_no_plain_file_is_refused_without_waiting(tmp_path, kind):
    path = tmp_path / "experiment.toml"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(path)
    with pytest.raises(OSError):
        read_plain(path)
    with pytest.raises(ConfigError, match=r"experiment\.toml: "):
        load_experiment(path)
    with pytest.raises(RecordsError, match=r"experiment\.toml: cannot be read: "):
        read_json(path)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="files of Linux")
def test_a_file_of_the_system_without_a_size_holds_nothing():
    assert read_plain(Path("/proc/self/status"))[0] == b""
