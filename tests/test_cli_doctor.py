"""`aelle doctor`: what it says is so, and what is wrong is marked."""

import json
import os
import shutil
from importlib.metadata import version

import pytest
import torch

from aelle.cli import doctor
from aelle.kernels import library


@pytest.fixture(autouse=True)
def _no_data_folder(monkeypatch):
    monkeypatch.delenv("AELLE_DATA", raising=False)


def found(aelle, *arguments):
    code, output, _ = aelle("doctor", *arguments, "--json")
    return code, {finding["name"]: finding for finding in json.loads(output)}


def test_it_says_what_there_is(aelle, tmp_path):
    code, lines = found(aelle, tmp_path / "artifacts")
    assert code == 0
    assert all(line["problem"] is None for line in lines.values())
    assert f"torch {version('torch')}" in lines["libraries"]["found"]
    assert f"torch uses {torch.get_num_threads()}" in lines["threads"]["found"]
    assert f"optuna ({version('optuna')})" in lines["extras"]["found"]
    assert (lines["compiled loops"]["found"] == "there") == (library.library() is not None)
    assert ("none that torch can use" in lines["GPU"]["found"]) == (not torch.cuda.is_available())
    assert f"GiB free for {tmp_path / 'artifacts'}" in lines["disk"]["found"]
    code, words, _ = aelle("doctor", tmp_path)
    assert code == 0
    assert all(line.startswith("  ") for line in words.splitlines())


def test_what_is_wrong_is_marked_with_the_remedy(aelle, tmp_path, monkeypatch):
    monkeypatch.setenv("AELLE_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(2**40, 2**40, 2**20))
    monkeypatch.setattr(library, "library", lambda: None)
    monkeypatch.setattr(doctor, "BROWSERS", ("no-such-browser",))
    monkeypatch.setitem(doctor.EXTRAS, "ray", "no-such-package")
    code, lines = found(aelle, tmp_path)
    assert code == 1
    assert {name for name, line in lines.items() if line["problem"]} == {
        "data folder",
        "disk",
        "compiled loops",
    }
    assert "mend or unset AELLE_DATA" in lines["data folder"]["problem"]
    assert lines["not installed"]["found"] == "ray: pip install 'aelle[NAME]'"
    assert "none; the page needs any browser" in lines["Chromium"]["found"]
    words = aelle("doctor", tmp_path)[1].splitlines()
    assert [line.split()[1] for line in words if line.startswith("!")] == ["compiled", "data", "disk"]


def test_a_folder_that_cannot_be_written_is_a_problem(aelle, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    assert "cannot be written" in found(aelle, tmp_path / "artifacts")[1]["disk"]["problem"]


def test_mistakes_are_one_line_and_exit_code_2(aelle, tmp_path):
    (tmp_path / "file").write_text("")
    code, output, errors = aelle("doctor", tmp_path / "file")
    assert (code, output) == (2, "")
    assert errors == f"aelle: {tmp_path / 'file'}: is a file; give the folder that results go to\n"
    assert aelle("doctor", "a", "b")[0] == 2
