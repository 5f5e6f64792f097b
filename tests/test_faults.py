"""The tool that injects faults: a small number of each kind here; docs/guarantees.md names the large run."""

import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills by a fork server and signals")


@pytest.mark.slow
def test_a_small_number_of_faults_of_each_kind_is_survived(tmp_path):
    from aelle.testing.faults import inject

    survived, lost = inject(2, 0, tmp_path)
    assert lost == []
    assert set(survived.values()) == {2}


def test_a_fault_that_nobody_sees_is_told(tmp_path, monkeypatch):
    from aelle.testing import faults

    monkeypatch.setattr(faults, "faults", lambda folder: iter(()))
    monkeypatch.setattr(faults, "_kill", lambda *_: "")
    monkeypatch.setattr(faults, "_fill", lambda *_: "")
    monkeypatch.setattr(faults, "_flip_checkpoint", lambda *_: "")
    survived, lost = faults.inject(1, 0, tmp_path)
    assert len(lost) == 2
    assert all("nobody sees it in" in line for line in lost)
    assert survived["kill"] == 1
