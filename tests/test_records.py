"""Records: the schema, atomic writes, and files that are torn, foreign or not to be written."""

import errno
import json
import os
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from aelle import records
from aelle.records import (
    SCHEMA,
    CohortRecords,
    ExperimentFolder,
    RecordsError,
    adopt_epoch_files,
    read_failures,
    read_records,
    reading,
    record_files,
    remove_partial_files,
    weight_statistics_frame,
    without_nan,
    write_bytes,
    write_epoch,
    write_incidents,
    write_json,
    write_table,
)
from tests.synthetic import EPOCHS, write_synthetic_experiment


@pytest.fixture
def folder(tmp_path):
    return write_synthetic_experiment(tmp_path / "x", networks=40)


def test_pandas_alone_reads_what_was_written(folder):
    frame = pd.read_parquet(folder.records)
    assert list(frame.columns) == SCHEMA.names
    assert len(frame) == 39 * (EPOCHS + 1) + 3  # network 7 diverges at epoch 2
    first = frame[(frame.epoch == 0) & (frame.architecture == "lstm")].iloc[0]
    assert len(first.spectrum) == 2 * first.hidden_size
    assert first.spectrum.dtype == np.float32


def test_running_and_finished_cohorts_read_as_one_table_without_duplicates(folder):
    # Earlier versions left both where they were killed between merging a cohort's files and removing them.
    rows = read_records(folder)
    as_an_earlier_version(folder, "cohort0000", [1])
    assert len(read_records(folder)) == len(rows)
    assert list(read_records(folder, ["status"]).columns) == ["network_id", "epoch", "status"]


def test_a_filter_leaves_what_filtering_the_frame_would(folder):
    rows = read_records(folder)
    found = read_records(folder, ["status", "spectrum"], {"architecture": "lstm", "epoch": [0, 1]})
    wanted = rows[(rows.architecture == "lstm") & rows.epoch.isin([0, 1])].reset_index(drop=True)
    assert 0 < len(wanted) < len(rows)
    pd.testing.assert_frame_equal(found, wanted[["network_id", "epoch", "status", "spectrum"]])
    assert len(read_records(folder, where={"architecture": "none such"})) == 0
    pd.DataFrame({"network_id": ["a"], "epoch": [0]}).to_parquet(folder.records / "foreign.parquet")
    with pytest.raises(
        RecordsError, match=r'foreign\.parquet: cannot be filtered: Field "task" does not exist'
    ):
        read_records(folder, ["epoch"], where={"task": "latch"})
    for wrong in ({"size": 16}, {"epoch": "first"}, {"spectrum": 3}):
        with pytest.raises(RecordsError, match="cannot be filtered by '"):
            read_records(folder, where=wrong)


def plain(frame):
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def as_an_earlier_version(folder, cohort, parts):
    """Lay a cohort out as one file an epoch, each in the cohort's own folder."""
    table = pq.read_table(folder.cohort_file(cohort), partitioning=None)
    for epoch in parts:
        write_table(
            folder.records / cohort / f"epoch-{epoch:04d}.parquet", table.filter(pc.field("epoch") == epoch)
        )


def test_what_an_earlier_version_left_half_merged_is_taken_over_and_every_row_is_there_once(folder):
    rows = read_records(folder)
    as_an_earlier_version(folder, "cohort0000", range(EPOCHS + 1))
    folder.cohort_file("cohort0000").unlink()
    as_an_earlier_version(folder, "cohort0001", [1, 2])  # killed between merging and removing the parts
    pd.testing.assert_frame_equal(read_records(folder), rows)
    adopt_epoch_files(folder)
    assert sorted(p.name for p in folder.records.iterdir()) == ["cohort0000.parquet", "cohort0001.parquet"]
    assert len(pd.read_parquet(folder.records)) == len(rows)
    pd.testing.assert_frame_equal(read_records(folder), rows)


def test_reading_while_an_earlier_layout_is_taken_over_misses_nothing(folder, monkeypatch):
    rows = read_records(folder)
    as_an_earlier_version(folder, "cohort0001", range(EPOCHS + 1))
    folder.cohort_file("cohort0001").unlink()
    read, taken = reading.read_table, []

    def read_after_taking_over(path, columns=None, where=None):
        if path.name == "epoch-0002.parquet" and not taken:
            taken.append(path)
            adopt_epoch_files(folder)
        return read(path, columns, where)

    monkeypatch.setattr(reading, "read_table", read_after_taking_over)
    pd.testing.assert_frame_equal(
        read_records(folder)[["network_id", "epoch"]], rows[["network_id", "epoch"]]
    )
    assert taken
    assert not taken[0].exists()


def test_pandas_alone_finds_every_row_once_at_every_instant(folder, monkeypatch):
    """Between any two changes of the folder: read as a kill there would leave it."""
    rows = read_records(folder)
    part = rows[rows["cohort"] == "cohort0001"]
    folder.cohort_file("cohort0001").unlink()
    records = CohortRecords(folder, "cohort0001")
    others = len(rows) - len(part)
    seen = []

    def look(*_):
        found = pd.read_parquet(folder.records)
        assert not found.duplicated(["network_id", "epoch"]).any()
        seen.append(len(found) - others)

    replace = Path.replace

    def replace_and_look(self, target):
        look()
        replace(self, target)
        look()

    monkeypatch.setattr(Path, "replace", replace_and_look)
    for epoch in range(EPOCHS + 1):
        records.write_epoch(epoch, plain(part[part["epoch"] == epoch]))
    records.write_epoch(EPOCHS, plain(part[part["epoch"] == EPOCHS]))  # once more, as a resumed run does
    records.drop(part["network_id"].unique()[:3], after=2)
    most = [count for count in seen if count == max(seen)]
    assert seen[: -len(most)] == sorted(seen[: -len(most)])
    assert max(seen) == len(part)
    assert seen[-1] < len(part)


def test_a_long_training_goes_into_several_files(tmp_path):
    folder = ExperimentFolder(tmp_path)
    records = CohortRecords(folder, "c")
    for epoch in (0, 99, 100, 250):
        records.write_epoch(epoch, [{"network_id": "a", "epoch": epoch, "status": "ok"}])
    names = ["c.from-0100.parquet", "c.from-0200.parquet", "c.parquet"]
    assert [file.name for file in record_files(folder.records)] == names
    again = CohortRecords(folder, "c")
    assert again.rows["epoch"].to_pylist() == [0, 99, 100, 250]
    again.drop(["a"], after=99)
    assert pd.read_parquet(folder.records)["epoch"].tolist() == [0, 99]


def test_two_writers_of_one_cohort_never_write_over_each_other(tmp_path):
    folder = ExperimentFolder(tmp_path)
    first, second = CohortRecords(folder, "c"), CohortRecords(folder, "c")
    first.write_epoch(0, [{"network_id": "a", "epoch": 0, "status": "ok"}])
    first.write_epoch(1, [{"network_id": "a", "epoch": 1, "status": "ok"}])
    with pytest.raises(RecordsError, match="was written by another process meanwhile"):
        second.write_epoch(0, [{"network_id": "a", "epoch": 0, "status": "ok"}])
    assert CohortRecords(folder, "c").rows["epoch"].to_pylist() == [0, 1]


def test_weight_statistics_spread_into_columns(folder):
    frame = weight_statistics_frame(read_records(folder))
    assert set(frame.columns) == {"layer0.weight_hh.rms", "readout.weight.rms"}
    assert frame.notna().all().all()


def test_an_interrupted_write_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "a" / "file"
    write_bytes(path, b"old")
    with pytest.raises(KeyboardInterrupt), records.atomic(path) as stream:
        stream.write(b"half of the n")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_a_torn_temporary_file_is_never_read_and_is_removed(folder):
    torn = folder.records / ".cohort0000.parquet.abc.partial"
    torn.write_bytes(b"PAR1 torn")
    assert len(pd.read_parquet(folder.records)) == len(read_records(folder))
    # What another command is writing at this moment, beside the records, is not the collection's to remove.
    others, left = folder.root / ".latents.parquet.abc.partial", folder.root / ".report.json.abc.partial"
    others.touch()
    left.touch()
    os.utime(left, (0, 0))
    remove_partial_files(folder)
    assert [path.exists() for path in (torn, others, left)] == [False, True, False]


def test_a_full_disk_is_one_line_and_keeps_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RecordsError, match="cannot be written: No space left on device"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_corrupt_foreign_empty_and_missing_are_told_apart(folder, tmp_path):
    with pytest.raises(RecordsError, match="no such folder"):
        read_records(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordsError, match=r"holds no experiment\.toml"):
        read_records(tmp_path / "empty")
    bare = ExperimentFolder(tmp_path / "bare")
    write_bytes(bare.experiment_file, folder.experiment_file.read_bytes())
    with pytest.raises(RecordsError, match="holds no records yet"):
        read_records(bare)
    good = folder.cohort_file("cohort0001").read_bytes()
    folder.cohort_file("cohort0001").write_bytes(good[: len(good) // 2])
    with pytest.raises(RecordsError, match=r"cohort0001\.parquet: damaged \(not a readable Parquet file"):
        read_records(folder)
    pd.DataFrame({"a": [1]}).to_parquet(folder.cohort_file("cohort0001"))
    with pytest.raises(RecordsError, match="not a file of records; it lacks the columns network_id"):
        read_records(folder)


def test_wrong_columns_and_types_are_refused_on_writing(tmp_path):
    folder = ExperimentFolder(tmp_path)
    with pytest.raises(RecordsError, match="unknown record columns: accuracy"):
        write_epoch(folder, "c", 0, [{"network_id": "a", "accuracy": 1.0}])
    with pytest.raises(RecordsError, match="cohort c, epoch 0"):
        write_epoch(folder, "c", 0, [{"network_id": "a", "epoch": "first"}])
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"a": float("nan")})


def test_causes_stand_with_the_records_and_their_lists_are_made_from_them(tmp_path):
    folder = ExperimentFolder(tmp_path / "with a space")
    write_bytes(folder.experiment_file, b"")
    rows = [
        {
            "network_id": "a",
            "epoch": 0,
            "status": "failed",
            "cause": "ValueError: x",
            "cause_at": "cell.py:3",
        },
        {
            "network_id": "b",
            "epoch": 0,
            "status": "failed",
        },  # an earlier version kept causes in the list alone
        {"network_id": "c", "epoch": 0, "status": "pruned", "cause": "predicted too little"},
        {"network_id": "d", "epoch": 0, "status": "pruned"},
    ]
    write_epoch(folder, "x", 0, rows)
    folder.failures.write_text('{"network_id": "b", "cause": "KeyError: y"}\n{"network_id": "a", "cau')
    for _ in range(2):  # a second time changes nothing
        write_incidents(folder)
        assert [(f["network_id"], f["cause"], f["where"]) for f in read_failures(folder)] == [
            ("a", "ValueError: x", "cell.py:3"),
            ("b", "KeyError: y", None),
        ]
        listed = [json.loads(line) for line in folder.failures.read_text().splitlines()]
        assert listed == read_failures(folder)
        assert shlex.split(listed[0]["rerun"])[2] == str(folder.experiment_file)
        pruned = folder.pruned.read_text().splitlines()
        assert pruned == ['{"network_id": "c", "epoch": 0, "reason": "predicted too little"}']
    write_epoch(folder, "x", 0, [row | {"status": "ok", "cause": None} for row in rows])
    write_incidents(folder)
    assert not folder.failures.exists()
    assert not folder.pruned.exists()


def test_records_show_in_brief_and_are_a_data_frame(tmp_path):
    frame = read_records(write_synthetic_experiment(tmp_path, networks=20, name="brief"))
    page = frame._repr_html_()
    assert "136 records of 20 networks" in page
    assert "16 exponents from " in page
    assert "weight_statistics" not in page
    assert type(frame[["epoch"]]) is type(frame.head()) is type(frame.copy()) is pd.DataFrame
    hostile = records.Records(frame.assign(experiment="<b>", architecture=frame["architecture"] + "<b>"))
    assert "<b>" not in hostile._repr_html_()
    assert "val_metric" in read_records(tmp_path, ["val_metric"])._repr_html_()
    assert "0 records of 0 networks" in records.Records(frame.iloc[:0])._repr_html_()


def test_numbers_that_json_lacks_are_null():
    content = {1: [float("nan"), 0.5, (float("-inf"), 2)], "b": {"c": float("inf"), "d": "nan", "e": None}}
    assert without_nan(content) == {"1": [None, 0.5, [None, 2]], "b": {"c": None, "d": "nan", "e": None}}
