"""Spectra computed elsewhere come in as records that every later stage reads; mistakes are one clear line."""

import math
import os
import sys
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aelle.config import ConfigError, load_experiment
from aelle.embedding.dataset import load_dataset
from aelle.interchange.importing import Declaration, import_spectra
from aelle.interchange.tables import SpectraFileError
from aelle.records import ExperimentFolder, read_records
from tests.synthetic import write_synthetic_experiment

NATS = Declaration("nats", "full", size=4, architecture="rnn", epochs=10)


def numbers(networks=24, size=4, seed=0):
    """A spectrum and an outcome for each network, related by the gain."""
    random = np.random.default_rng(seed)
    gain = random.uniform(0.3, 3.0, networks)
    spectra = np.log(gain)[:, None] + np.linspace(0, -2, size) + 0.02 * random.normal(size=(networks, size))
    return -np.sort(-spectra, axis=1), 1 - 0.2 * abs(gain - 1.2) + 0.01 * random.normal(size=networks)


def table(networks=24, size=4, **columns):
    spectra, final = numbers(networks, size)
    frame = pd.DataFrame({f"spectrum_{i + 1}": spectra[:, i] for i in range(size)})
    return frame.assign(**{"final_metric": final, **columns})


def written(frame, path):
    (frame.to_parquet if path.suffix == ".parquet" else frame.to_csv)(path, index=False)
    return path


def test_the_three_formats_give_the_same_records(tmp_path):
    spectra, final = numbers()
    ids = [f"net-{i:02d}" for i in range(len(final))]
    written(table(network_id=ids), tmp_path / "a.csv")
    np.savez(tmp_path / "b.npz", spectrum=spectra, final_metric=final, network_id=np.array(ids))
    written(
        pd.DataFrame({"network_id": ids, "spectrum": list(spectra), "final_metric": final}),
        tmp_path / "c.parquet",
    )
    read = []
    for name in ("a.csv", "b.npz", "c.parquet"):
        import_spectra(tmp_path / name, tmp_path / name[0], NATS, name="one")
        read.append(read_records(tmp_path / name[0]))
    pd.testing.assert_frame_equal(read[0], read[1])
    pd.testing.assert_frame_equal(read[0], read[2])
    first = read[0][read[0]["epoch"] == 0]
    np.testing.assert_allclose(np.stack(first["spectrum"]), spectra.astype(np.float32))
    assert first["network_id"].tolist() == ids
    np.testing.assert_array_equal(read[0].loc[read[0]["epoch"] == 10, "val_metric"], final)


def test_bits_become_nats_and_order_descends(tmp_path):
    rows = pd.DataFrame(
        {
            "spectrum": [[-2.0, 1.0, -math.inf, 0.5]],
            "spectrum_std": [[2.0, 1.0, 4.0, 3.0]],
            "final_metric": 0.5,
        }
    )
    file = written(rows, tmp_path / "bits.parquet")
    declared = Declaration(
        "bits", "hidden", size=4, architecture="lstm", epochs=3, metric="loss", higher_is_better=False
    )
    import_spectra(file, tmp_path / "x", declared)
    row = read_records(tmp_path / "x").iloc[0]
    np.testing.assert_allclose(row["spectrum"], np.log(2) * np.array([1, 0.5, -2, -np.inf]), rtol=1e-6)
    np.testing.assert_allclose(row["spectrum_std"], np.log(2) * np.array([1, 3, 2, 4]), rtol=1e-6)
    assert (row["spectrum_state"], row["metric_name"], row["higher_is_better"]) == ("hidden", "loss", False)


def test_curves_of_several_sizes_are_kept(tmp_path):
    rows = [
        {"network_id": f"{size}-{seed}", "epoch": epoch, "hidden_size": size, "architecture": "mine", "val_metric": 0.1 * epoch,
         "train_loss": 1.0 - 0.1 * epoch, **{f"spectrum_{i + 1}": -float(i) for i in range(size * (epoch != 1))}}
        for size in (3, 5) for seed in range(2) for epoch in (0, 1, 2)
    ]  # fmt: skip
    file = written(pd.DataFrame(rows), tmp_path / "curves.csv")
    imported = import_spectra(file, tmp_path / "x", Declaration("nats", "full"))
    records = read_records(tmp_path / "x")
    assert (imported.networks, imported.spectra, imported.epochs) == (4, 8, [0, 2])
    assert [None if s is None else len(s) for s in records["spectrum"]] == [3, None, 3] * 2 + [5, None, 5] * 2
    assert records["trusted_count"].dropna().tolist() == [3] * 4 + [5] * 4
    assert records["spectrum_state"].isna().tolist() == [False, True, False] * 4
    np.testing.assert_allclose(records["train_loss"], [1.0, 0.9, 0.8] * 4)
    experiment = load_experiment(tmp_path / "x" / "experiment.toml")
    assert (experiment.training.epochs, experiment.spectrum.epochs) == (2, [0, 2])
    assert experiment.networks.hidden_size == [3, 5]


def test_our_own_records_survive_the_round_trip(tmp_path):
    """Records of a collection, written out as a plain table and imported, give the same data set."""
    folder = write_synthetic_experiment(tmp_path / "collected", networks=24)
    original = load_dataset(folder)
    plain = read_records(folder)[
        [
            "network_id",
            "epoch",
            "architecture",
            "hidden_size",
            "init_gain",
            "val_metric",
            "status",
            "spectrum",
        ]
    ]
    file = written(plain, tmp_path / "plain.parquet")
    import_spectra(file, tmp_path / "x", Declaration("nats", "full"))
    taken = load_dataset(ExperimentFolder(tmp_path / "x"))
    np.testing.assert_array_equal(taken.targets, original.targets)
    np.testing.assert_array_equal(taken.diverged, original.diverged)
    for ours, theirs in zip(taken.spectra["spectrum"], original.spectra["spectrum"], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_every_later_stage_takes_what_was_imported(tmp_path, capsys, monkeypatch):
    from aelle import plot
    from aelle.cli import main

    monkeypatch.chdir(tmp_path)
    written(table(40, 8), tmp_path / "mine.csv")
    options = ["--unit", "nats", "--state", "full", "--size", "8", "--architecture", "rnn", "--epochs", "20"]

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["aelle", *arguments])
        with pytest.raises(SystemExit) as exit:
            main()
        assert exit.value.code == 0, capsys.readouterr().err

    run("import", "mine.csv", *options)
    run("status", "artifacts/mine")
    assert "100% done" in capsys.readouterr().out
    run("train", "artifacts/mine", "--quiet")
    run("evaluate", "artifacts/mine", "--quiet")
    run("explore", "artifacts/mine", "--html", "page.html")
    run("export", "artifacts/mine", "points.parquet", "--to", "parquet")
    run("export", "artifacts/mine", "projector", "--to", "projector")
    assert len(pd.read_parquet("points.parquet")) == 40
    assert len((tmp_path / "projector" / "vectors.tsv").read_text().splitlines()) == 40
    assert len(plot.latent_map("artifacts/mine").data[0].x) == 40


def test_nothing_is_overwritten_and_a_name_must_be_one(tmp_path):
    file = written(table(), tmp_path / "a.csv")
    with pytest.raises(ConfigError, match="name"):
        import_spectra(file, tmp_path / "x", NATS, name="../up")
    assert not (tmp_path / "x").exists()
    import_spectra(file, tmp_path / "x", NATS)
    with pytest.raises(SpectraFileError, match="holds an experiment already"):
        import_spectra(file, tmp_path / "x", NATS)


def _with(frame, row, column, value):
    frame = frame.astype({column: object})
    frame.loc[row, column] = value
    return frame


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (table().drop(columns=[f"spectrum_{i}" for i in range(1, 5)]), "holds no spectra"),
        (table().iloc[:0], "holds no rows"),
        (table().drop(columns="spectrum_2"), "spectrum_1 to spectrum_4 are not complete"),
        (table(5, 6), "row 1: 6 exponents, but the full state of rnn with 1 × 4 units has 4"),
        (_with(table(), 2, "spectrum_2", None), "row 3: number 2 of spectrum is missing"),
        (_with(table(), 2, "spectrum_2", "abc"), "row 3: spectrum holds something that is not a number"),
        (_with(table(), 1, "spectrum_1", math.inf), "row 2: an exponent is \\+inf"),
        (table(learning_rat=0.1), "unknown column 'learning_rat'; did you mean 'learning_rate'"),
        (table(spectrum_state="full"), "'spectrum_state' is declared"),
        (table(hidden_size=4), "leave out --size"),
        (table(epoch=range(24)), "need a column network_id"),
        (table(network_id="a"), "network 'a' has two rows at epoch 0"),
        (table(network_id=["a"] * 2 + ["b"] * 22, epoch=range(24), final_metric=0.5), "beyond --epochs 10"),
        (table(network_id=["a"] * 24, epoch=range(24), final_metric=0.5, seed=range(24)), "seed of network 'a' differs"),
        (_with(table(network_id="b"), 3, "network_id", None), "row 4: network_id is missing"),
        (table(epoch=0.5), "epoch must be a whole number from 0 up, got"),
        (table(epoch=-1), "epoch must be a whole number from 0 up, got"),
        (table(status="fine"), "status 'fine' is none of ok"),
        (table().drop(columns="final_metric"), "no network has an outcome"),
        (_with(table(), 0, "final_metric", "good"), "final_metric holds something that is not a number"),
        (table(learning_rate="fast"), "row 1: learning_rate holds something that is not a number: 'fast'"),
    ],
)  # fmt: skip
def test_wrong_tables_are_one_clear_line(tmp_path, frame, words):
    file = written(frame, tmp_path / "a.csv")
    with pytest.raises(SpectraFileError, match=words) as error:
        import_spectra(file, tmp_path / "x", NATS)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        (Declaration("nats", "full", size=4, epochs=10), "no column architecture; declare it by --architecture"),
        (Declaration("nats", "full", architecture="rnn", epochs=10), "declare it by --size"),
        (Declaration("nats", "full", size=4, architecture="rnn"), "final_metric needs --epochs"),
        (Declaration("nats", "full", size=4, architecture="lstm", epochs=10), "full state of lstm with 1 × 4 units has 8"),
        (Declaration("nats", "hidden", size=2, architecture="lstm", epochs=10), "hidden state of lstm with 1 × 2 units has 2"),
        (Declaration("nats", "full", size=3, architecture="mine", epochs=10), "has a multiple of 3"),
    ],
)  # fmt: skip
def test_a_wrong_declaration_is_found_out(tmp_path, declared, words):
    file = written(table(), tmp_path / "a.csv")
    with pytest.raises(SpectraFileError, match=words):
        import_spectra(file, tmp_path / "x", declared)


def test_a_unit_is_one_of_two():
    with pytest.raises(ValueError, match="unit must be nats or bits, got 'decibels'"):
        Declaration("decibels", "full")


def test_objects_are_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    np.savez(tmp_path / "a.npz", spectrum=np.array([Bomb()], dtype=object))
    with pytest.raises(SpectraFileError, match="not a readable NPZ file of plain numbers"):
        import_spectra(tmp_path / "a.npz", tmp_path / "x", NATS)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("name", ["a.csv", "a.npz", "a.parquet", "a.xlsx", "missing.csv"])
def test_damaged_and_foreign_files(tmp_path, name):
    if not name.startswith("missing"):
        (tmp_path / name).write_bytes(b"\xff\xfe\x00 not a table")
    with pytest.raises(SpectraFileError, match=r"not a readable|ends in|no such file"):
        import_spectra(tmp_path / name, tmp_path / "x", NATS)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"spectrum": np.zeros(4)}, "array 'spectrum' has shape \\(4,\\)"),
        ({"spectrum": np.zeros((3, 4)), "epoch": np.zeros(2)}, "different numbers of rows"),
    ],
)
def test_arrays_of_wrong_shape(tmp_path, arrays, words):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(SpectraFileError, match=words):
        import_spectra(tmp_path / "a.npz", tmp_path / "x", NATS)


# ---- what readers change in silence, and what is no file of spectra at all


def imported(tmp_path, file, declared=NATS, name="x"):
    said = import_spectra(file, tmp_path / name, declared)
    return read_records(tmp_path / name), said


def test_an_index_with_a_name_is_a_column(tmp_path):
    frame = table(12).assign(network_id=[f"n{i}" for i in range(12)], epoch=[0, 3] * 6)
    frame.set_index("epoch").to_parquet(tmp_path / "a.parquet")
    records, _ = imported(tmp_path, tmp_path / "a.parquet")
    assert sorted(records.loc[records["spectrum"].notna(), "epoch"].unique()) == [0, 3]
    frame.set_axis([f"row {i}" for i in range(12)]).to_parquet(tmp_path / "b.parquet")
    _, said = imported(tmp_path, tmp_path / "b.parquet", name="y")
    assert said.notes == ["an index without a name is left out"]
    assert "an index without a name is left out" in str(said)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_whole_numbers_stay_exact_beside_an_empty_field(tmp_path, kind):
    seeds = [2**53 + 1 + 2 * i for i in range(23)]
    frame = table(24).assign(seed=pd.array([*seeds, None], dtype="Int64"))
    imported(tmp_path, written(frame, tmp_path / f"a.{kind}"))
    taken = pq.read_table(tmp_path / "x" / "records", columns=["network_id", "seed"])
    assert sorted(set(taken["seed"].to_pylist()) - {None}) == seeds
    frame = table(24).assign(seed=[float(2**53 + 2)] * 24)
    if kind == "parquet":
        with pytest.raises(SpectraFileError, match="seed must be a whole number of 64 bits"):
            imported(tmp_path, written(frame, tmp_path / "b.parquet"), name="y")


def test_names_are_words_whatever_they_look_like(tmp_path):
    ids = ["NA", "null", "0012", "1e5", "None", "nan"] + [f"n{i}" for i in range(18)]
    records, _ = imported(tmp_path, written(table(network_id=ids), tmp_path / "a.csv"))
    assert set(records["network_id"]) == set(ids)
    spectra, final = numbers()
    np.savez(tmp_path / "b.npz", spectrum=spectra, final_metric=final, network_id=np.array(ids, dtype="S"))
    records, _ = imported(tmp_path, tmp_path / "b.npz", name="y")
    assert set(records["network_id"]) == set(ids)


def test_names_of_columns_and_architectures_are_folded_and_that_is_said(tmp_path):
    frame = table(24, 8).assign(Architecture="LSTM").rename(columns={"final_metric": "Final Metric"})
    declared = Declaration("nats", "full", size=4, epochs=10)
    records, said = imported(tmp_path, written(frame, tmp_path / "a.csv"), declared)
    assert set(records["architecture"]) == {"lstm"}
    assert "architecture 'LSTM' is read as 'lstm'" in said.notes
    assert "column 'Final Metric' is read as 'final_metric'" in said.notes
    # So it is refused as `lstm` is, where the numbers do not fit.
    with pytest.raises(SpectraFileError, match="full state of lstm with 1 × 8 units has 16"):
        imported(tmp_path, tmp_path / "a.csv", Declaration("nats", "full", size=8, epochs=10), name="y")


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("final_metric", math.inf, "final_metric is inf; leave it empty"),
        ("learning_rate", -0.1, "learning_rate is -0.1, must be a number above 0"),
        ("dropout", 1.0, "dropout is 1, must be"),
        ("batch_size", 0, "batch_size must be a whole number of at least 1"),
        ("seed", 10**25, "seed must be a whole number of 64 bits, got"),
        ("seed", 0.5, "seed must be a whole number of 64 bits, got"),
        ("bias", "perhaps", "bias must be true or false, got 'perhaps'"),
        ("epoch", 10**12, "epoch must be a whole number from 0 up, got"),
        ("hidden_size", "1_000", "hidden_size holds something that is not a number: '1_000'"),
    ],
)
def test_values_out_of_range_are_refused_as_in_an_experiment(tmp_path, column, value, words):
    declared = Declaration(
        "nats", "full", size=None if column == "hidden_size" else 4, architecture="rnn", epochs=10
    )
    file = written(table(**{column: value}), tmp_path / "a.csv")
    with pytest.raises(SpectraFileError, match=words) as caught:
        imported(tmp_path, file, declared)
    assert "row 1" in str(caught.value)


@pytest.mark.parametrize(
    "array",
    [
        np.ones((24, 4)) * (1 + 2j),
        np.ones((24, 4), dtype="M8[s]"),
        np.ones((24, 4), dtype=bool),
        np.full((24, 4), "many"),
    ],
    ids=lambda array: str(array.dtype),
)
def test_exponents_that_are_no_real_numbers_are_refused(tmp_path, array):
    np.savez(tmp_path / "a.npz", spectrum=array, final_metric=numbers()[1])
    with pytest.raises(SpectraFileError, match="row 1: spectrum holds something that is not a number"):
        imported(tmp_path, tmp_path / "a.npz")
    if array.dtype.kind == "M":
        frame = table().assign(spectrum_1=pd.Timestamp("2020-01-01"))
        with pytest.raises(SpectraFileError, match="spectrum holds something that is not a number"):
            imported(tmp_path, written(frame, tmp_path / "a.parquet"))


def npy_under_another_name(path):
    np.save(path.with_suffix(".npy"), np.zeros((3, 4)))
    path.with_suffix(".npy").rename(path)


def endless_header(path):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000, 4), }"
    header += b" " * (118 - len(header) - 1) + b"\n"
    with zipfile.ZipFile(path, "w") as parts:
        parts.writestr("spectrum.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)


def zip_bomb(path):
    np.savez_compressed(path, spectrum=np.zeros((200_000, 100)))


def damaged_zlib(path):
    np.savez_compressed(path, spectrum=np.random.default_rng(0).normal(size=(100, 4)))
    content = path.read_bytes()
    path.write_bytes(content[:200] + bytes(50) + content[250:])


def truncated(path):
    np.savez(path, spectrum=np.zeros((100, 4)))
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize("make", [npy_under_another_name, endless_header, zip_bomb, damaged_zlib, truncated])
def test_archives_that_are_none_are_one_line(tmp_path, make):
    make(tmp_path / "a.npz")
    with pytest.raises(SpectraFileError) as caught:
        imported(tmp_path, tmp_path / "a.npz")
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "x").exists()


def test_what_pandas_noted_in_a_file_is_not_relied_on(tmp_path):
    arrow = pa.Table.from_pandas(table(), preserve_index=False)
    pq.write_table(arrow.replace_schema_metadata({b"pandas": b'{"index_columns": 3'}), tmp_path / "a.parquet")
    assert len(imported(tmp_path, tmp_path / "a.parquet")[0]) == 48
    pq.write_table(pa.table([[1], [2]], names=["epoch", "epoch"]), tmp_path / "b.parquet")
    with pytest.raises(SpectraFileError, match="column 'epoch' is there twice"):
        imported(tmp_path, tmp_path / "b.parquet", name="y")


def test_a_pipe_is_no_file_of_spectra(tmp_path):
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(SpectraFileError, match="is not a file"):
        imported(tmp_path, tmp_path / "a.csv")
