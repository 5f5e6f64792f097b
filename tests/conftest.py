"""How the tests share a machine: one core a test process, and slow tests first.

Small networks lose by more than one thread, and what a test starts (a command, a notebook) inherits that; a test
about several processes asks for them itself.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["LOKY_MAX_CPU_COUNT"] = "1"

import pytest
import torch

torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    """Begin with slow tests: begun last, one keeps a core busy while the others have nothing left to do.

    With --dist worksteal one process has them all at first, and the others take from it when they have done theirs.
    """
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture
def aelle(capsys, monkeypatch):
    """The command line: arguments in; exit code, output and errors out."""
    return lambda *arguments: _run(capsys, monkeypatch, *arguments)


def _run(capsys, monkeypatch, *arguments):
    """Call the command line in this process: exit code, output, errors."""
    monkeypatch.setattr("sys.argv", ["aelle", *map(str, arguments)])
    from aelle import cli

    with pytest.raises(SystemExit) as ended:
        cli.main()
    captured = capsys.readouterr()
    return ended.value.code or 0, captured.out, captured.err
