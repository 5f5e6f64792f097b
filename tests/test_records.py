"""Records: the schema, atomic writes, and files that are torn, foreign or not to be written."""

import errno
import os

import numpy as np
import pandas as pd
import pytest

from aelle import records
from aelle.records import (
    SCHEMA,
    ExperimentFolder,
    RecordsError,
    append_failure,
    finish_cohort,
    read_failures,
    read_records,
    reading,
    remove_partial_files,
    weight_statistics_frame,
    write_bytes,
    write_epoch,
    write_json,
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
    # A kill between writing the merged file and removing the parts leaves both.
    rows = read_records(folder)
    part = rows[(rows.cohort == "cohort0000") & (rows.epoch == 1)]
    plain = part.astype(object).where(part.notna(), None).to_dict("records")
    write_epoch(folder, "cohort0000", 1, plain)
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


def test_a_finished_cohort_is_one_file_and_finishing_again_changes_nothing(folder):
    assert sorted(p.name for p in folder.records.iterdir()) == ["cohort0000.parquet", "cohort0001.parquet"]
    before = folder.finished_file("cohort0000").read_bytes()
    finish_cohort(folder, "cohort0000")
    assert folder.finished_file("cohort0000").read_bytes() == before


def test_reading_beside_a_collection_that_merges_a_cohort_misses_nothing(folder, monkeypatch):
    rows = read_records(folder)
    frame = rows[rows.cohort == "cohort0001"]
    for epoch in range(EPOCHS + 1):
        part = frame[frame.epoch == epoch]
        write_epoch(
            folder, "cohort0001", epoch, part.astype(object).where(part.notna(), None).to_dict("records")
        )
    folder.finished_file("cohort0001").unlink()
    read, merged = reading.read_table, []

    def read_after_merging(path, columns=None, where=None):
        if path.name == "epoch-0002.parquet" and not merged:
            merged.append(path)
            finish_cohort(folder, "cohort0001")
        return read(path, columns, where)

    monkeypatch.setattr(reading, "read_table", read_after_merging)
    pd.testing.assert_frame_equal(
        read_records(folder)[["network_id", "epoch"]], rows[["network_id", "epoch"]]
    )
    assert merged
    assert not merged[0].exists()


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
    torn = folder.records / "cohort0000" / ".epoch-0001.parquet.abc.partial"
    torn.parent.mkdir()
    torn.write_bytes(b"PAR1 torn")
    assert len(pd.read_parquet(folder.records)) == len(read_records(folder))
    remove_partial_files(folder)
    assert not torn.exists()


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
    good = folder.finished_file("cohort0001").read_bytes()
    folder.finished_file("cohort0001").write_bytes(good[: len(good) // 2])
    with pytest.raises(RecordsError, match=r"cohort0001\.parquet: not a readable Parquet file"):
        read_records(folder)
    pd.DataFrame({"a": [1]}).to_parquet(folder.finished_file("cohort0001"))
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


def test_failures_survive_a_torn_last_line(tmp_path):
    folder = ExperimentFolder(tmp_path)
    append_failure(folder, {"network_id": "a", "cause": "ValueError: x"})
    with folder.failures.open("a") as stream:
        stream.write('{"network_id": "b", "cau')
    assert [failure["network_id"] for failure in read_failures(folder)] == ["a"]
    append_failure(folder, {"network_id": "c", "cause": "ValueError: y"})
    append_failure(folder, {"network_id": "d", "cause": "ValueError: y"})
    assert [failure["network_id"] for failure in read_failures(folder)] == ["a", "c", "d"]
    (tmp_path / "x" / "failures.jsonl").mkdir(parents=True)
    with pytest.raises(RecordsError, match=r"failures\.jsonl: cannot be written: "):
        append_failure(ExperimentFolder(tmp_path / "x"), {"network_id": "a"})


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
