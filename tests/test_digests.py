"""Files carry digests: whatever single bit is changed, no reader takes the rest for what was written."""

import errno
import json
import os
import random
import shutil
from types import SimpleNamespace

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from aelle.collection.check import faults, without_digest
from aelle.collection.collect import collect
from aelle.collection.status import status
from aelle.config import ConfigError
from aelle.explorer.export import export
from aelle.records import (
    BLANK,
    DamagedFileError,
    ExperimentFolder,
    RecordsError,
    carries_digest,
    digest_of,
    made_from,
    out_of_step,
    read_json,
    read_records,
    read_table,
    record_files,
    write_bytes,
    write_epoch,
    write_frame,
    write_json,
    write_table,
)
from tests import faulty
from tests.small_collection import comparable, experiment, in_this_process
from tests.synthetic import SMALL_AUTOENCODER, write_synthetic_experiment


@pytest.fixture
def folder(tmp_path):
    return write_synthetic_experiment(tmp_path / "x", networks=20)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """The folder of an undisturbed run."""
    folder = ExperimentFolder(tmp_path_factory.mktemp("quiet") / "x")
    collect(experiment(), folder, progress=False, engine=in_this_process)
    return folder


def flipped(content, place, bit):
    return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


def flips(content, count):
    """Single flips: everywhere in the last 1,000 bytes, where Parquet keeps its words, and `count` besides."""
    draw = random.Random(0)
    places = [
        *range(len(content) - 1000, len(content), 7),
        *(draw.randrange(len(content)) for _ in range(count)),
    ]
    return [flipped(content, place, draw.randrange(8)) for place in places]


def test_no_flipped_bit_of_records_reads_as_other_numbers(folder):
    file = folder.cohort_file("cohort0000")
    good = file.read_bytes()
    assert carries_digest(file)
    for damaged in flips(good, 150):
        file.write_bytes(damaged)
        with pytest.raises(DamagedFileError, match=r"cohort0000\.parquet: damaged .*that cohort alone again"):
            read_table(file)
    file.write_bytes(good)
    read_table(file)


def test_the_digest_itself_may_be_what_is_damaged(folder):
    file = folder.cohort_file("cohort0000")
    good = file.read_bytes()
    start = good.rfind(b"aelle-sha256:")
    for place in range(start, start + len(BLANK)):
        file.write_bytes(flipped(good, place, 0))
        with pytest.raises(DamagedFileError):
            read_table(file)


@pytest.mark.parametrize("name", ["x.json", "x.parquet"])
def test_json_and_tables_say_what_they_were_made_from(tmp_path, name):
    path = tmp_path / name
    if name.endswith("json"):
        write_json(path, {"a": [1, 2.5]}, made_from={"records": "abc"})
        assert read_json(path) == {"a": [1, 2.5], "made_from": {"records": "abc"}}
    else:
        write_frame(path, pd.DataFrame({"a": [1.5]}), made_from={"records": "abc"})
    assert made_from(path) == {"records": "abc"}
    good = path.read_bytes()
    for place in range(len(good)):
        path.write_bytes(flipped(good, place, place % 7))
        with pytest.raises(DamagedFileError):
            made_from(path)


def test_a_written_table_that_is_read_and_written_again_has_one_digest(folder, tmp_path):
    table = pq.read_table(folder.cohort_file("cohort0000"), partitioning=None)
    write_table(tmp_path / "again.parquet", table)
    assert (tmp_path / "again.parquet").read_bytes().count(b"aelle-sha256:") == 1
    read_table(tmp_path / "again.parquet")


def test_a_damaged_cohort_is_found_before_training_and_made_again_alone(quiet, tmp_path):
    folder = ExperimentFolder(tmp_path / "x")
    shutil.copytree(quiet.root, folder.root)
    file = record_files(folder.records)[2]
    others = {f: f.read_bytes() for f in record_files(folder.records) if f != file}
    file.write_bytes(flipped(file.read_bytes(), 2000, 3))
    for read in (read_records, status, lambda f: collect(experiment(), f, progress=False)):
        with pytest.raises(DamagedFileError, match=file.name):
            read(folder)
    file.rename(tmp_path / "aside.parquet")
    collect(experiment(), folder, progress=False, engine=in_this_process)
    assert {f: f.read_bytes() for f in others} == others
    pd.testing.assert_frame_equal(comparable(folder), comparable(quiet), check_exact=True)


def interrupted(folder):
    """Break a collection off within its first cohort, after epoch 2."""

    def stop(rows):
        if rows[0]["epoch"] == 3:
            raise KeyboardInterrupt
        return []

    with pytest.raises(KeyboardInterrupt):
        collect(experiment(), folder, progress=False, engine=in_this_process, on_epoch=stop)
    (checkpoint,) = folder.checkpoints.iterdir()
    return checkpoint


def test_no_flipped_bit_of_a_checkpoint_changes_what_a_resumed_run_records(quiet, tmp_path):
    folder = ExperimentFolder(tmp_path / "x")
    checkpoint = interrupted(folder)
    good = checkpoint.read_bytes()
    for place in (10, len(good) // 3, len(good) - 5):
        copy = ExperimentFolder(tmp_path / f"copy-{place}")
        shutil.copytree(folder.root, copy.root)
        copy.checkpoint(checkpoint.stem).write_bytes(flipped(good, place, 6))
        summary = collect(experiment(), copy, progress=False, engine=in_this_process)
        assert any("cannot be resumed from" in note for note in summary.notes)
        pd.testing.assert_frame_equal(comparable(copy), comparable(quiet), check_exact=True)


@pytest.mark.parametrize("keep", [False, True])
def test_a_checkpoint_that_a_kill_left_of_a_finished_cohort_is_removed_unless_they_are_kept(
    quiet, tmp_path, keep
):
    folder = ExperimentFolder(tmp_path / "x")
    shutil.copytree(quiet.root, folder.root)
    settings = experiment(training={"keep_checkpoints": keep})
    collect(settings, folder, progress=False)
    left = folder.checkpoint(record_files(folder.records)[0].stem)
    write_bytes(left, b"of a kill")
    collect(settings, folder, progress=False)
    assert left.exists() == keep


def test_rows_that_are_gone_are_missed_and_made_again(quiet, tmp_path):
    folder = ExperimentFolder(tmp_path / "x")
    shutil.copytree(quiet.root, folder.root)
    file = record_files(folder.records)[0]
    table = read_table(file)
    for kept in (table.filter([e != 2 for e in table["epoch"].to_pylist()]), table.slice(0, 3)):
        # Even where the file is sound in itself: an older one, put back.
        write_table(file, kept)
        found = status(folder)
        assert found.finished < found.networks
        collect(experiment(), folder, progress=False, engine=in_this_process)
        pd.testing.assert_frame_equal(comparable(folder), comparable(quiet), check_exact=True)


def test_a_lost_or_damaged_list_of_cohorts_trains_nothing_again(quiet, tmp_path):
    folder = ExperimentFolder(tmp_path / "x")
    shutil.copytree(quiet.root, folder.root)
    wider = experiment(networks={"per_combination": 4})
    collect(wider, folder, progress=False, extend=True, engine=in_this_process)
    before = {file: file.read_bytes() for file in record_files(folder.records)}
    ledger = folder.root / "cohorts.json"
    known = read_json(ledger)
    good = ledger.read_bytes()
    ledger.write_bytes(flipped(good, 60, 1))
    with pytest.raises(DamagedFileError, match=r"cohorts.json: damaged .*; move it away and rerun"):
        collect(wider, folder, progress=False)
    swapped = json.loads(good)
    del swapped["digest"]  # as an earlier version wrote it
    first, *rest = next(iter(swapped.values()))
    swapped[next(iter(swapped))] = [*rest, first]
    ledger.write_text(json.dumps(swapped))
    with pytest.raises(DamagedFileError, match="has not the networks it was made of"):
        collect(wider, folder, progress=False)
    ledger.unlink()
    assert "nothing left to do" in str(collect(wider, folder, progress=False))
    assert read_json(ledger) == known
    assert {file: file.read_bytes() for file in record_files(folder.records)} == before


def test_records_without_digests_stay_readable_and_that_is_said_once(quiet, tmp_path):
    folder = ExperimentFolder(tmp_path / "x")
    shutil.copytree(quiet.root, folder.root)
    for file in record_files(folder.records):
        pq.write_table(pq.read_table(file, partitioning=None).replace_schema_metadata(None), file)
    pd.testing.assert_frame_equal(read_records(folder), read_records(quiet))
    assert "nothing left to do" in str(collect(experiment(), folder, progress=False))
    (note,) = status(folder).notes
    assert note.startswith("6 files of records carry no digest")


def test_failures_of_a_cohort_that_was_killed_and_resumed_keep_their_causes(tmp_path):
    folder = ExperimentFolder(tmp_path / "x")
    networks = {"architecture": "tests.faulty:RaisingCell", "per_combination": 2}
    settings = experiment(networks=networks, training={"stop_after_failures": 9, "epochs": 4})

    def collected(**options):
        return collect(settings, folder, progress=False, engine=in_this_process, **options)

    def break_off(function, job, cohorts, report):
        for cohort in cohorts:
            yield function(job, cohort, report)
            raise KeyboardInterrupt  # before the driver has heard of anything

    with pytest.raises(KeyboardInterrupt):
        collect(settings, folder, progress=False, engine=SimpleNamespace(run=break_off, gpus=0.0))
    folder.failures.unlink(missing_ok=True)  # as after kill -9
    assert status(folder).last_failure == "ArithmeticError: this cell gives up"
    collected()
    lines = [json.loads(line) for line in folder.failures.read_text().splitlines()]
    assert [line["cause"] for line in lines] == ["ArithmeticError: this cell gives up"] * 2
    assert all("faulty.py:" in line["where"] for line in lines)


def test_a_network_stopped_for_a_reason_is_listed_once_however_often_it_is_killed(tmp_path):
    folder = ExperimentFolder(tmp_path / "x")
    settings = experiment(networks={"architecture": "rnn", "per_combination": 2})
    for _ in range(2):
        collect(settings, folder, progress=False, engine=in_this_process, on_epoch=faulty.prune_for_a_reason)
    assert len(folder.pruned.read_text().splitlines()) == 2
    assert set(read_records(folder).groupby("network_id").tail(1)["cause"]) == {"it was enough"}


def test_another_version_is_said_and_another_torch_refused_unless_asked_for(quiet, tmp_path):
    folder = ExperimentFolder(tmp_path / "x")
    interrupted(folder)
    file = folder.root / "environment.json"
    noted = read_json(file)
    write_json(file, noted | {"numpy": "1.0.0"})
    copy = ExperimentFolder(tmp_path / "copy")
    shutil.copytree(folder.root, copy.root)
    summary = collect(experiment(), copy, progress=False, engine=in_this_process)
    assert any(f"numpy 1.0.0 → {noted['numpy']}" in note for note in summary.notes)
    assert read_json(copy.root / "environment.json")["earlier"][0]["numpy"] == "1.0.0"
    write_json(file, noted | {"torch": "2.0.0"})
    before = file.read_bytes()
    with pytest.raises(ConfigError, match=r"made with torch 2\.0\.0, .*--allow-other-versions"):
        collect(experiment(), folder, progress=False, engine=in_this_process)
    assert file.read_bytes() == before
    collect(experiment(), folder, progress=False, engine=in_this_process, allow_other_versions=True)
    found = read_json(file)
    assert (found["torch"], found["earlier"][0]["torch"]) == (noted["torch"], "2.0.0")
    notes = pq.read_metadata(record_files(folder.records)[0]).metadata
    assert json.loads(notes[b"aelle.versions"])["torch"] == noted["torch"]


def test_what_the_system_refuses_is_passed_on_and_nothing_is_advised_to_be_removed(folder, monkeypatch):
    def refused(*arguments, **options):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(RecordsError, match=r"cohort0000\.parquet: cannot be read: Too many open files$"):
        read_table(folder.cohort_file("cohort0000"))


def test_records_that_cannot_be_listed_are_not_taken_for_none(folder, monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refused)
    for read in (read_records, status):
        with pytest.raises(RecordsError, match="records: cannot be listed: Permission denied"):
            read(folder)


def test_a_digest_is_of_the_content_and_not_of_the_time(tmp_path):
    for name in ("a", "b"):
        write_bytes(tmp_path / name, b"words " + BLANK.encode() + b" more words")
    assert digest_of(tmp_path / "a") == digest_of(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


# ---- derived files


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    from aelle.embedding.fit import train

    folder = write_synthetic_experiment(
        tmp_path_factory.mktemp("trained") / "x", networks=40, autoencoder=SMALL_AUTOENCODER
    )
    write_json(folder.root / "cohorts.json", synthetic_ledger(folder))
    train(folder, progress=False)
    return folder


def synthetic_ledger(folder):
    rows = read_records(folder, ["cohort"]).drop_duplicates("network_id")
    return {cohort: sorted(part["network_id"]) for cohort, part in rows.groupby("cohort")}


@pytest.fixture
def copy(trained, tmp_path):
    shutil.copytree(trained.root, tmp_path / "copy")
    return ExperimentFolder(tmp_path / "copy")


def test_a_stage_that_is_killed_between_its_files_is_told_from_one_that_was_not(copy, trained):
    from aelle.explorer.data import load

    assert out_of_step(copy) == []
    assert load(copy).unreadable == ()
    # As `aelle train` leaves it that is killed between the autoencoder and the latents.
    model = copy.autoencoder / "model.json"
    content = read_json(model)
    write_json(model, content | {"best_epoch": content["best_epoch"] + 1})
    (line,) = out_of_step(copy)
    assert line == f"latents.parquet is older than the autoencoder: run `aelle train {copy.root}`"
    assert load(copy).unreadable == (line,)
    assert line in str(status(copy))


def test_what_is_made_from_records_that_came_later_is_said(copy):
    rows = read_records(copy).head(1).assign(network_id="new", cohort="new")
    write_epoch(copy, "new", 0, rows.astype(object).where(rows.notna(), None).to_dict("records"))
    lines = [f"{name} is older than the records: run `aelle train {copy.root}`" for name in ("autoencoder/model.json", "latents.parquet")]  # fmt: skip
    assert out_of_step(copy) == lines
    said = []
    export(copy, "parquet", copy.root / "out.parquet", say=said.append)
    assert said == lines


def test_what_an_export_leaves_out_because_it_is_damaged_is_said(copy):
    copy.predictions.write_bytes(b"not parquet")
    said = []
    export(copy, "parquet", copy.root / "out.parquet", say=said.append)
    assert len(said) == 1
    assert "predictions.parquet: damaged" in said[0]


@pytest.mark.parametrize(
    "name", ["latents.parquet", "autoencoder/model.json", "autoencoder/weights.safetensors"]
)
def test_no_flipped_bit_of_what_is_derived_is_used(copy, name):
    from aelle.embedding.checkpoint import load
    from aelle.embedding.dataset import EmbeddingError
    from aelle.explorer.data import load as load_page
    from aelle.explorer.decoder import load_decoder
    from aelle.explorer.errors import ExplorerError

    path = copy.root / name
    good = path.read_bytes()
    for damaged in flips(good, 20)[::6]:
        path.write_bytes(damaged)
        if name == "latents.parquet":
            assert any("latents.parquet: damaged" in note for note in load_page(copy).unreadable)
            continue
        with pytest.raises(EmbeddingError, match="run `aelle train` again"):
            load(copy)
        with pytest.raises(ExplorerError, match="run `aelle train"):
            load_decoder(copy)


# ---- aelle check


def test_check_finds_nothing_in_a_folder_that_is_whole(trained, quiet):
    assert list(faults(trained)) == []
    assert list(faults(quiet)) == []
    assert without_digest(trained) == without_digest(quiet) == 0


@pytest.mark.parametrize(
    "name",
    [
        "records/cohort0001.parquet",
        "latents.parquet",
        "autoencoder/model.json",
        "autoencoder/weights.safetensors",
        "cohorts.json",
    ],
)
def test_check_names_the_damaged_file(copy, name):
    path = copy.root / name
    content = path.read_bytes()
    list(faults(copy))  # a file that was found whole is read again
    status_before = path.stat()
    path.write_bytes(flipped(content, len(content) // 2, 2))
    os.utime(path, ns=(status_before.st_atime_ns, status_before.st_mtime_ns))
    lines = list(faults(copy))
    assert any(name.split("/")[-1] in line for line in lines), lines


def test_check_compares_rows_with_the_ledger_and_with_each_other(copy):
    table = read_table(copy.cohort_file("cohort0000"))
    write_table(copy.cohort_file("cohort0000"), table.filter(pc.field("epoch") != 2))
    write_table(
        copy.cohort_file("cohort0001"), pa.concat_tables([read_table(copy.cohort_file("cohort0001"))] * 2)
    )
    write_table(copy.cohort_file("stray"), table.slice(0, 1))
    lines = "\n".join(faults(copy))
    assert "19 networks lack rows before their last epoch" in lines
    assert "rows are there twice" in lines
    assert "stray.parquet: holds networks that cohorts.json does not list there" in lines


def test_check_on_the_command_line(copy, aelle):
    assert aelle("check", copy.root) == (0, "no faults\n", "")
    copy.latents.write_bytes(copy.latents.read_bytes()[:-9])
    code, said, errors = aelle("check", copy.root)
    assert (code, errors) == (1, "")
    assert "latents.parquet: damaged" in said
    assert said.endswith("1 faults\n")
    assert aelle("check", copy.root.parent)[0] == 2
