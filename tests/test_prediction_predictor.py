"""The saved predictor: the same after loading, honest on new and running networks, refusals."""

import hashlib
import json
import os
import shutil
import threading

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from aelle.embedding.dataset import load_dataset
from aelle.hyperparameters import HYPERPARAMETERS
from aelle.prediction.errors import PredictorError
from aelle.prediction.explanation import Explainer
from aelle.prediction.new_networks import predict
from aelle.prediction.occlusion import BANDS, MedianSpectra, band_of, exponents_in_words
from aelle.prediction.predictor import Predictor
from aelle.records import ExperimentFolder, RecordsError, read_records
from tests.prediction_folder import configure
from tests.synthetic import write_synthetic_experiment

EVERYTHING = "spectrum, architecture and size, hyperparameters, validation curve, losses"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A predictor of 60 networks, and its folder."""
    root = tmp_path_factory.mktemp("saved")
    folder = configure(write_synthetic_experiment(root / "x"))
    predictor = Predictor.fit(load_dataset(folder))
    predictor.save(folder.root / "predictor")
    return predictor, folder.root / "predictor"


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """200 networks of the same kind that the predictor has not seen."""
    folder = write_synthetic_experiment(tmp_path_factory.mktemp("others") / "x", networks=200, seed=5)
    return configure(folder)


def test_what_is_loaded_says_what_was_saved(saved, others):
    predictor, folder = saved
    loaded, rows = Predictor.load(folder), read_records(others)
    for name in ("task", "metric_name", "higher_is_better", "epochs", "spectrum_state", "level"):
        assert getattr(loaded, name) == getattr(predictor, name)
    ids = rows["network_id"].unique()[:12]
    rows = rows[rows["network_id"].isin(ids)]
    pd.testing.assert_frame_equal(loaded.predict(rows, 1), predictor.predict(rows, 1))
    pd.testing.assert_frame_equal(loaded.predict(rows, 1), Predictor.load(folder).predict(rows, 1))


def test_a_predictor_saved_before_a_hyperparameter_was_known(saved, others, tmp_path):
    """Its tables lack the columns of that hyperparameter, which no network varied."""
    folder = tmp_path / "predictor"
    shutil.copytree(saved[1], folder)
    description = json.loads((folder / "predictor.json").read_bytes())
    for name in ("networks.parquet", "records.parquet"):
        table = pq.read_table(folder / name)
        later = [h.name for h in HYPERPARAMETERS if h.later and h.name in table.column_names]
        assert later or name != "networks.parquet"
        pq.write_table(table.drop_columns(later), folder / name)
        description["sha256"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "predictor.json").write_text(json.dumps(description), "utf-8")
    rows = read_records(others)
    pd.testing.assert_frame_equal(Predictor.load(folder).predict(rows, 1), saved[0].predict(rows, 1))


def test_none_of_its_files_can_run_code(saved):
    kinds = {path.suffix for path in saved[1].rglob("*") if path.is_file()}
    assert kinds == {".json", ".toml", ".parquet", ".safetensors"}


def test_new_networks_are_predicted_and_covered(saved, others):
    rows = read_records(others)
    frame = saved[0].predict(rows, 1, explain=False).set_index("network_id")
    final = load_dataset(others).networks["target"]
    known = frame.index[frame["predicted"].notna()]
    assert len(known) >= 199
    assert frame.loc[known, "predicted"].corr(final[known], method="spearman") > 0.8
    inside = final[known].between(frame.loc[known, "lower"], frame.loc[known, "upper"])
    assert 0.82 <= inside.mean() <= 0.99  # 60 calibration networks: one standard error is 4 %
    assert (frame["used"] == EVERYTHING).all()


def test_rows_after_the_epoch_change_nothing(saved, others):
    rows = read_records(others)
    rows = rows[rows["network_id"].isin(rows["network_id"].unique()[:5])]
    early = rows[rows["epoch"] <= 1]
    pd.testing.assert_frame_equal(saved[0].predict(rows, 1), saved[0].predict(early, 1))


def test_it_falls_back_to_what_is_known_and_says_so(saved, others):
    rows = read_records(others)
    rows = rows[(rows["network_id"].isin(rows["network_id"].unique()[:9])) & (rows["epoch"] <= 1)]
    spectrum = ["network_id", "epoch", "spectrum", "spectrum_std"]
    size, curve = ["architecture", "hidden_size", "num_layers"], ["val_metric"]
    everything = saved[0].predict(rows, 1)
    for columns, used in (
        (spectrum, "spectrum"),
        (spectrum + size, "spectrum, architecture and size"),
        (spectrum + size + curve, "spectrum, architecture and size, validation curve"),
        (spectrum + curve, "spectrum, validation curve"),
    ):
        frame = saved[0].predict(rows[columns], 1)
        assert (frame["used"] == used).all()
        assert frame["predicted"].notna().all()
        assert (frame["lower"] < frame["upper"]).all()
    alone = saved[0].predict(rows[spectrum], 1)
    assert (alone["upper"] - alone["lower"]).mean() > (everything["upper"] - everything["lower"]).mean()


def test_networks_that_cannot_be_predicted_say_why(saved, others):
    rows = read_records(others)
    a, b, c, d = ids = rows["network_id"].unique()[10:14]
    rows = rows[rows["network_id"].isin(ids)].copy()
    rows = rows[~((rows["network_id"] == a) & (rows["epoch"] > 0))]
    rows = rows[~((rows["network_id"] == b) & (rows["epoch"] == 0))]
    at = (rows["network_id"] == c) & (rows["epoch"] == 1)
    rows.loc[at, "status"] = "diverged"
    frame = saved[0].predict(rows, 1).set_index("network_id")
    assert frame.at[a, "why"] == "has not reached epoch 1"
    assert frame.at[b, "why"] == "no spectrum at epoch 0, from which the predictor counts change"
    assert frame.at[c, "why"] == "diverged"
    assert frame.loc[[a, b, c], ["predicted", "lower", "upper", "percentile"]].isna().all(axis=None)
    assert np.isfinite(frame.at[d, "predicted"])


def test_percentile_and_quantile_agree(saved):
    predictor = saved[0]
    targets = predictor.training.targets
    assert predictor.quantile(0.0) == targets.min()
    assert predictor.quantile(1.0) == targets.max()
    middle = np.array([predictor.quantile(0.5)])
    assert abs(predictor.percentile(middle)[0] - 50) < 3
    assert list(predictor.percentile(np.array([-1.0, 2.0]))) == [0, 100]


# ---- why


def test_bands_cover_every_exponent_once():
    for n in (2, 5, 16, 64, 257):
        places = [band_of(band, n) for band in range(len(BANDS) - 1)]
        assert [i for start, end in places for i in range(start, end)] == list(range(n))
    assert exponents_in_words(0, 48) == "λ₁ to λ₅"
    assert exponents_in_words(0, 10) == "λ₁"


def test_occlusion_puts_the_median_into_one_band(others):
    spectra = load_dataset(others).spectra.iloc[:40]
    medians = MedianSpectra.fit(spectra, 32)
    for band in range(len(BANDS) - 1):
        occluded = medians.occlude(spectra, band)
        for before, after, epoch in zip(
            spectra["spectrum"], occluded["spectrum"], spectra["epoch"], strict=True
        ):
            start, end = band_of(band, len(before))
            assert np.allclose(after[start:end], medians.at(epoch, "spectrum", len(before))[start:end])
            assert np.array_equal(np.delete(after, np.s_[start:end]), np.delete(before, np.s_[start:end]))


def test_the_band_that_was_changed_is_the_one_that_is_named(saved, others):
    """The median network itself is moved by no band; lift one band of it and only that one can be named."""
    predictor, medians = saved[0], Explainer(saved[0].method).medians
    rows = read_records(others)
    row = rows[rows["network_id"] == rows.loc[rows["architecture"] == "gru", "network_id"].iloc[0]]
    row = row[row["epoch"] == 0].copy()
    n = len(row["spectrum"].iloc[0])
    for name in ("spectrum", "spectrum_se", "spectrum_std"):
        row[name] = [medians.at(0, name, n)]
    columns = ["network_id", "epoch", "spectrum", "spectrum_se", "spectrum_std"]
    assert predictor.predict(row[columns], 0)["why"][0].startswith("nothing in it moves the prediction")
    start, end = band_of(4, n)
    lifted = row["spectrum"].iloc[0].copy()
    lifted[start:end] -= 3
    row["spectrum"] = [lifted]
    words = exponents_in_words(4, n)
    assert predictor.predict(row[columns], 0)["why"][0].startswith(
        f"{words} lower than the median network's:"
    )


# ---- running collections


def test_records_that_another_process_merges_meanwhile(others, tmp_path):
    """Epoch files come, and go into one file, while the folder is read again and again."""
    from aelle.records import write_epoch

    folder = ExperimentFolder(tmp_path / "x")
    folder.root.mkdir()
    shutil.copy(others.experiment_file, folder.experiment_file)
    rows = read_records(others)
    cohorts = [f"cohort{k:04d}" for k in range(6)]
    rows = rows[rows["cohort"].isin(cohorts)]
    rows = rows.astype(object).where(rows.notna(), None)
    first = rows[rows["epoch"] == 0].head(1).assign(cohort="first", network_id="first")
    write_epoch(folder, "first", 0, first.to_dict("records"))

    def collect():
        for cohort in cohorts:
            for epoch in range(4):
                part = rows[(rows["cohort"] == cohort) & (rows["epoch"] == epoch)]
                write_epoch(folder, cohort, epoch, part.to_dict("records"))

    writer = threading.Thread(target=collect)
    writer.start()
    counts = []
    while writer.is_alive():
        counts.append(len(read_records(folder)))
    writer.join()
    counts.append(len(read_records(folder)))
    assert counts == sorted(counts)
    assert len(counts) > 3
    assert counts[-1] == (rows["epoch"] < 4).sum() + 1


def test_an_unfinished_folder_is_predicted_and_ordered(saved, others, tmp_path):
    from aelle.records import SCHEMA, write_table

    folder = ExperimentFolder(tmp_path / "x")
    folder.root.mkdir()
    shutil.copy(others.experiment_file, folder.experiment_file)
    rows = read_records(others)
    ids = rows["network_id"].unique()[:10]
    for epoch in range(2):  # as an earlier version left a cohort that was still training
        part = rows[(rows["epoch"] == epoch) & rows["network_id"].isin(ids[: 10 - 3 * epoch])]
        table = pa.Table.from_pandas(part[SCHEMA.names], schema=SCHEMA, preserve_index=False)
        write_table(folder.records / "running" / f"epoch-{epoch:04d}.parquet", table)
    found = predict(folder, saved[1], 1)
    assert len(found.predicted) == 7
    assert found.predicted["predicted"].is_monotonic_decreasing
    assert "3 left out: has not reached epoch 1" in str(found)
    assert f"7 rest on: {EVERYTHING}" in str(found)
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert [row["predicted"] is None for row in content["networks"]] == [False] * 7 + [True] * 3


# ---- refusals


def test_a_predictor_of_an_older_version(saved, tmp_path):
    folder = shutil.copytree(saved[1], tmp_path / "p")
    content = json.loads((folder / "predictor.json").read_text()) | {"format": "aelle predictor 2"}
    (folder / "predictor.json").write_text(json.dumps(content))
    with pytest.raises(PredictorError, match="older version saved has to be saved again") as caught:
        Predictor.load(folder)
    assert "\n" not in str(caught.value)


def test_there_is_no_predictor(tmp_path):
    with pytest.raises(PredictorError, match=r"predictor\.json: no such file; save a predictor with"):
        Predictor.load(tmp_path)


@pytest.mark.parametrize(
    "name, message",
    [
        ("predictor.json", "not valid JSON"),
        ("networks.parquet", "not the file that predictor.json describes"),
        ("spectra.parquet", "not the file that predictor.json describes"),
        ("ensemble-0/model.json", "not the file that predictor.json describes"),
        ("ensemble-0/weights.safetensors", "not the file that predictor.json describes"),
        ("scores.safetensors", "not the file that predictor.json describes"),
        ("experiment.toml", "not the file that predictor.json describes"),
    ],
)
def test_a_file_that_was_changed(saved, tmp_path, name, message):
    folder = shutil.copytree(saved[1], tmp_path / "p")
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(PredictorError, match=message) as caught:
        Predictor.load(folder)
    assert "\n" not in str(caught.value)


def _vouch_again(folder):
    """Let the description vouch for files as they are now, as somebody would who means harm."""
    model = folder / "ensemble-0" / "model.json"
    weights = (model.parent / "weights.safetensors").read_bytes()
    content = json.loads(model.read_text()) | {"weights_sha256": hashlib.sha256(weights).hexdigest()}
    model.write_text(json.dumps(content))
    description = json.loads((folder / "predictor.json").read_text())
    for name in description["sha256"]:
        description["sha256"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "predictor.json").write_text(json.dumps(description))


@pytest.mark.parametrize(
    "part, change",
    [
        ("left", torch.zeros_like),  # a cycle
        ("right", lambda nodes: torch.arange(len(nodes), dtype=nodes.dtype)),  # each node leads to itself
        ("left", lambda nodes: nodes[:-1]),
        ("roots", lambda roots: roots + 10**6),
        ("value", lambda values: values * torch.nan),
        ("threshold", lambda values: values[None]),
        ("feature", lambda nodes: nodes.bool()),
        ("feature", lambda nodes: nodes + 10**6),
    ],
)
def test_a_forest_that_is_none_is_refused_and_not_walked_for_ever(saved, others, tmp_path, part, change):
    folder = shutil.copytree(saved[1], tmp_path / "p")
    file = folder / "ensemble-0" / "weights.safetensors"
    tensors = load_file(file)
    names = [name for name in tensors if name.startswith("forest.") and name.endswith(f".{part}")]
    assert names
    save_file(tensors | {name: change(tensors[name]).contiguous() for name in names}, file)
    _vouch_again(folder)
    with pytest.raises(PredictorError, match="save") as caught:
        Predictor.load(folder).predict(read_records(others), 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("table", ["networks", "records", "spectra"])
@pytest.mark.parametrize("change", ["empty", "half", "twice"])
def test_tables_that_do_not_belong_together_are_refused(saved, tmp_path, table, change):
    folder = shutil.copytree(saved[1], tmp_path / "p")
    rows = pq.read_table(folder / f"{table}.parquet")
    if (table, change) in (("records", "half"), ("records", "twice")):
        rows = rows.set_column(
            rows.column_names.index("network"), "network", pa.array([10**6] * len(rows), pa.int64())
        )
    elif change == "twice":
        rows = pa.concat_tables([rows, rows])
    else:
        rows = rows.slice(0, 0 if change == "empty" else len(rows) // 2)
    pq.write_table(rows, folder / f"{table}.parquet")
    _vouch_again(folder)
    with pytest.raises(PredictorError, match="not a usable predictor") as caught:
        Predictor.load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
@pytest.mark.parametrize("name", ["predictor.json", "spectra.parquet", "ensemble-0/model.json"])
def test_a_pipe_in_the_place_of_a_file_is_refused(saved, tmp_path, name):
    folder = shutil.copytree(saved[1], tmp_path / "p")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(PredictorError, match="cannot be read: It is no plain file"):
        Predictor.load(folder)


def test_the_predictor_that_is_there_stands_until_the_new_one_does(saved, tmp_path, monkeypatch):
    from aelle.prediction import predictor_files

    folder = shutil.copytree(saved[1], tmp_path / "p")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def full(*arguments, **options):
        raise RecordsError("the disk is full")

    monkeypatch.setattr(predictor_files, "write_json", full)
    with pytest.raises(RecordsError, match="the disk is full"):
        saved[0].save(folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["p"]
    monkeypatch.undo()
    (folder / "ensemble-99").mkdir()  # of a predictor with more views
    saved[0].save(folder)
    Predictor.load(folder)
    assert not (folder / "ensemble-99").exists()
    (folder / "notes.txt").write_text("mine")
    saved[0].save(folder)
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_predictor_that_is_older_than_its_records_is_told(saved, others, tmp_path):
    from aelle.records import out_of_step, records_digest

    folder = ExperimentFolder(shutil.copytree(others.root, tmp_path / "x"))
    saved[0].save(folder.root / "predictor", {"records": records_digest(folder)})
    assert out_of_step(folder) == []
    saved[0].save(folder.root / "predictor", {"records": "0" * 64})
    (line,) = out_of_step(folder)
    assert line.startswith("predictor/predictor.json is older than the records: run `aelle evaluate")
    assert line.endswith("--save`")


def test_records_without_a_needed_column(saved):
    with pytest.raises(PredictorError, match="lack the column 'spectrum'"):
        saved[0].predict(pd.DataFrame({"network_id": ["a"], "epoch": [0]}), 0)
    with pytest.raises(RecordsError, match="no such folder"):
        read_records(ExperimentFolder(saved[1] / "nothing"))


# ---- command line


def test_the_command_line(aelle, saved, others):
    code, text, _ = aelle("predict", others.root, "--predictor", saved[1], "--epoch", 1)
    assert code == 0
    assert text.startswith("final validation accuracy predicted from what is known at epoch 1")
    code, text, _ = aelle("predict", others.root, "--predictor", saved[1], "--epoch", 1, "--json")
    assert code == 0
    assert len(json.loads(text)["networks"]) == 200
    for arguments, message in (
        (["--predictor", saved[1], "--epoch", 2], "fitted for the epochs 0, 1, 3, not for epoch 2"),
        (["--predictor", saved[1]], "--epoch is missing"),
        ([], "`aelle evaluate` makes the report, and with --save the predictor"),
        (["--predictor", saved[1] / "x", "--epoch", 1], "save a predictor with `aelle evaluate --save`"),
    ):
        code, _, errors = aelle("predict", others.root, *arguments)
        assert code == 2
        assert message in errors


@pytest.mark.slow
def test_save_writes_the_predictor_that_was_judged(aelle, tmp_path):
    folder = configure(write_synthetic_experiment(tmp_path / "x"), "epochs = [0]\n")
    code, text, errors = aelle("evaluate", folder.root, "--save", "--quiet")
    assert code == 0, errors
    assert f"wrote {folder.root / 'predictor'}" in text
    saved, rows = Predictor.load(folder.root / "predictor"), read_records(folder)
    assert saved.epochs == (0,)
    expected = Predictor.fit(load_dataset(folder)).predict(rows, 0)
    pd.testing.assert_frame_equal(saved.predict(rows, 0), expected)
    code, _, errors = aelle("evaluate", folder.root, folder.root, "--save")
    assert code == 2
    assert "--save takes one folder" in errors
