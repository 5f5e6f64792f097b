"""What the explorer reads: the join of records, latents and predictions, in every state of the folder."""

import numpy as np
import pandas as pd
import pytest

from aelle.embedding.channels import resample
from aelle.explorer.columns import MISSING, OTHER, colour_columns, describe, kind_codes, quantity
from aelle.explorer.data import load
from aelle.explorer.errors import ExplorerError
from aelle.explorer.projection import pca
from aelle.explorer.ragged import Ragged
from aelle.explorer.scatter import scatter, usual_axes
from aelle.explorer.source import Source
from aelle.explorer.summary import about_network, experiment_facts
from aelle.records import ExperimentFolder, normalised_index, read_records, write_frame
from tests.explorer_folder import write_explorer_folder, write_latents


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_explorer_folder(tmp_path_factory.mktemp("experiment"))


@pytest.fixture(scope="module")
def data(folder):
    return load(folder)


def test_points_carry_their_networks_columns(data):
    assert len(data.points) == len(pd.read_parquet(data.folder.latents))
    row = data.points[(data.points["network_id"] == "000000000003") & (data.points["epoch"] == 1)].iloc[0]
    records = read_records(data.folder)
    own = records[(records["network_id"] == "000000000003")]
    assert row["init_gain"] == own["init_gain"].iloc[0]
    assert row["final_metric"] == own["val_metric"].iloc[-1]
    assert row["best_metric"] == own["val_metric"].max()
    assert row["lambda_max"] == pytest.approx(own[own["epoch"] == 1]["spectrum"].iloc[0].max())
    assert data.latent_columns == [f"latent_{k}" for k in range(4)]
    assert data.point_epochs == data.spectrum_epochs == [0, 1, 3]


def test_infinite_exponents_do_not_enter_the_mean(data):
    row = data.records[(data.records["network_id"] == "000000000005") & (data.records["epoch"] == 0)].index[0]
    exponents = data.spectra[row]
    assert np.isinf(exponents).sum() == 3
    assert data.records["lambda_mean"][row] == pytest.approx(exponents[np.isfinite(exponents)].mean())


def test_a_diverged_network_keeps_its_outcome_and_last_metric(data):
    network = data.numbers_of(["000000000007"])[0]
    assert data.networks["outcome"][network] == "diverged"
    assert np.isfinite(data.networks["final_metric"][network])
    assert "1 diverged" in experiment_facts(data)
    assert about_network(data, network).endswith("diverged")


def test_predictions_and_report_are_joined_by_network(data):
    assert set(data.predictions["method"]) == {"last value", "hyperparameters", "AeLLE"}
    assert data.report["metric_name"] == "accuracy"
    assert (
        data.networks["network_id"].to_numpy()[data.predictions["network"]] == data.predictions["network_id"]
    ).all()


def test_without_latents_the_points_are_the_spectra(tmp_path):
    data = load(write_explorer_folder(tmp_path, networks=6, latents=False, predictions=False))
    assert not data.has_latents
    assert len(data.points) == (data.spectra.lengths > 0).sum()
    assert data.predictions.empty
    assert data.report == {}
    assert data.point_epochs == data.spectrum_epochs


def test_columns_place_the_points(data):
    points = data.points
    places = scatter(data, usual_axes(data, "init_gain", "architecture", "x"))
    np.testing.assert_allclose(places.coordinates[:, 0], np.log10(points["init_gain"]))
    levels = [text for _, text in places.ruler(1).ticks]
    assert [levels[int(k)] for k in places.coordinates[:, 1]] == points["architecture"].tolist()
    assert "1" in dict(places.ruler(0).ticks).values()
    assert places.ruler(0).title == "initial gain p·√H"
    exponents = scatter(data, usual_axes(data, None, "no such column"))
    assert exponents.ruler(0).zero
    known = points["final_metric"].notna()
    np.testing.assert_allclose(exponents.coordinates[known, 1], points["final_metric"][known])
    assert np.isnan(exponents.coordinates[~known]).all()
    lost = scatter(data, usual_axes(data, "lambda_max", "init_gain", "x"))
    below = int((points["lambda_max"] <= 0).sum())
    assert below
    assert f"{below} at or below 0 not shown" in lost.ruler(0).title


def test_damaged_files_are_said_in_words(tmp_path):
    folder = write_explorer_folder(tmp_path, networks=6)
    folder.latents.write_bytes(b"not parquet")
    folder.report.write_text("{")
    write_frame(folder.predictions, pd.DataFrame({"method": ["x"]}))
    data = load(folder)
    assert any("latents.parquet" in note and "aelle train" in note for note in data.unreadable)
    assert any("predictions.parquet lacks" in note for note in data.unreadable)
    assert any("report.json" in note for note in data.unreadable)


def test_latents_of_other_networks_are_passed_over_and_counted(tmp_path):
    folder = write_explorer_folder(tmp_path, networks=6)
    latents = pd.read_parquet(folder.latents)
    latents.loc[0, "network_id"] = "a stranger"
    write_frame(folder.latents, latents)
    data = load(folder)
    assert len(data.points) == len(latents) - 1
    assert any("belong to no record" in note for note in data.unreadable)


def test_latents_that_are_not_finite_are_no_points(tmp_path):
    folder = write_explorer_folder(tmp_path, networks=6)
    latents = pd.read_parquet(folder.latents)
    latents.loc[0, "latent_0"] = np.nan
    write_frame(folder.latents, latents)
    assert len(load(folder).points) == len(latents) - 1


@pytest.mark.parametrize("content", [None, "empty", "foreign"])
def test_folders_that_hold_no_experiment(tmp_path, content):
    root = tmp_path / "x"
    if content:
        root.mkdir()
    if content == "foreign":
        (root / "notes.txt").write_text("hello")
    with pytest.raises(ExplorerError, match=r"aelle collect|experiment\.toml"):
        load(ExperimentFolder(root))


def test_networks_keep_their_numbers_when_others_arrive(tmp_path):
    folder = write_explorer_folder(tmp_path, networks=40)
    late = sorted(folder.records.glob("*.parquet"))[0]
    kept = late.read_bytes()
    late.unlink()
    source = Source(folder)
    before = source.data.networks["network_id"].tolist()
    assert len(before) == 20
    assert not source.refresh()
    late.write_bytes(kept)
    assert source.refresh()
    assert source.version == 2
    after = source.data.networks["network_id"].tolist()
    assert after[:20] == before
    assert len(after) == 40
    assert (
        source.data.networks["network_id"][source.data.records["network"]].to_numpy()
        == source.data.records["network_id"]
    ).all()


def test_source_without_records_says_so(tmp_path):
    source = Source(ExperimentFolder(tmp_path))
    assert source.data is None
    assert "experiment.toml" in source.problem


def test_source_notices_latents(tmp_path):
    folder = write_explorer_folder(tmp_path, networks=6, latents=False, predictions=False)
    source = Source(folder)
    with pytest.raises(ExplorerError, match="aelle train"):
        source.projection()
    write_latents(folder)
    assert source.refresh()
    assert source.projection().coordinates.shape == (len(source.data.points), 3)


def test_ragged_rows():
    rows = Ragged.from_lists([[1.0, -np.inf, 3.0], None, [2.0], float("nan"), [-np.inf]])
    assert rows.lengths.tolist() == [3, 0, 1, 0, 1]
    np.testing.assert_array_equal(rows.reduce_finite(np.maximum, -np.inf), [3, np.nan, 2, np.nan, np.nan])
    np.testing.assert_array_equal(rows.reduce_finite(np.add, 0), [4, np.nan, 2, np.nan, np.nan])
    matrix = rows.resampled(np.array([0, 1, 2]), 9)
    # Three exponents stand at 1/6, 3/6 and 5/6, nine values at 1/18, 3/18, ...; a gap, not a guess.
    np.testing.assert_array_equal(matrix[0], [1, 1, *[np.nan] * 5, 3, 3])
    assert np.isnan(matrix[1]).all()
    assert (matrix[2] == 2).all()
    assert len(Ragged.from_lists([])) == 0


def test_resampling_draws_nothing_past_the_last_finite_exponent():
    matrix = Ragged.from_lists([[0.0, -1.0, -np.inf]]).resampled(np.array([0]), 9)
    np.testing.assert_allclose(matrix[0], [0, 0, -1 / 3, -2 / 3, -1, *[np.nan] * 4])


@pytest.mark.parametrize("n", [1, 2, 5, 64, 100])
def test_page_and_encoder_place_exponents_at_one_normalised_index(n):
    line = lambda x: 1 - 3 * x  # a spectrum that is linear in the normalised index is so at any length  # noqa: E731
    exponents = line((np.arange(n) + 0.5) / n)
    x = (np.arange(48) + 0.5) / 48
    expected = line(np.clip(x, 0.5 / n, 1 - 0.5 / n))
    assert np.allclose(normalised_index(48), x, rtol=0, atol=1e-15)
    on_page = Ragged.from_lists([exponents]).resampled(np.array([0]), 48)[0]
    assert np.allclose(on_page, expected, atol=1e-6)
    assert np.allclose(resample([exponents], 48)[0], expected, atol=1e-12)


def test_pca_finds_the_plane_and_explains_its_variance():
    random = np.random.default_rng(0)
    plane = random.normal(size=(500, 2)) * [3, 1]
    turned, _ = np.linalg.qr(random.normal(size=(6, 6)))
    latents = plane @ turned[:2] + 5
    projection = pca(latents)
    distances = np.linalg.norm(latents[:50, None] - latents[None, :50], axis=2)
    shown = np.linalg.norm(projection.coordinates[:50, None] - projection.coordinates[None, :50], axis=2)
    np.testing.assert_allclose(shown, distances, atol=1e-9)
    assert projection.share.sum() == pytest.approx(1)
    assert projection.share[0] == pytest.approx(0.9, abs=0.02)
    assert "PC 1 (9" in projection.ruler(0).title
    assert (projection.axes[np.arange(2), np.abs(projection.axes[:2]).argmax(axis=1)] > 0).all()


@pytest.mark.parametrize("shape", [(1, 4), (5, 1), (3, 2)])
def test_pca_of_few_points_or_dimensions(shape):
    coordinates = pca(np.arange(np.prod(shape), dtype=float).reshape(shape)).coordinates
    assert coordinates.shape == (shape[0], 3)
    assert np.isfinite(coordinates).all()


@pytest.mark.parametrize("latents", [np.empty((0, 3)), np.array([[np.nan, 1.0]]), np.zeros(3)])
def test_pca_refuses_what_cannot_be_projected(latents):
    with pytest.raises(ExplorerError):
        pca(latents)


def test_columns_are_told_apart(data):
    columns = {column.name: column for column in colour_columns(data.points, "accuracy")}
    assert columns["architecture"].levels == ("gru", "lstm", "rnn")
    assert columns["hidden_size"].levels == ("16", "32")
    assert not columns["epoch"].is_kind
    assert not columns["init_gain"].is_kind
    assert columns["learning_rate"].constant
    assert columns["final_metric"].label == "final validation accuracy"
    assert "spectrum" not in columns
    assert "network_id" not in columns
    assert next(iter(columns)) == "final_metric"


def test_rare_kinds_join_and_missing_ones_are_named():
    values = pd.Series([f"k{i:02d}" for i in range(12) for _ in range(12 - i)] + [None], name="kind")
    column = describe(values.to_frame(), "kind")
    assert column.levels[-2:] == (OTHER, MISSING)
    codes = kind_codes(values, column)
    assert column.levels[codes[0]] == "k00"
    assert column.levels[codes[-2]] == OTHER
    assert column.levels[codes[-1]] == MISSING


def test_a_quantity_over_decades_is_logarithmic_and_outliers_do_not_flatten_it():
    rate = pd.Series(np.logspace(-5, -1, 50), name="rate")
    column = describe(rate.to_frame(), "rate")
    assert column.logarithmic
    assert (column.low, column.high) == pytest.approx((-5, -1))
    np.testing.assert_allclose(quantity(rate, column)[[0, -1]], [-5, -1])
    loss = pd.Series(np.append(np.linspace(-1, 2, 999), 1e6), name="loss")
    assert describe(loss.to_frame(), "loss").high < 3
    empty = pd.Series([np.nan, np.nan], name="empty")
    assert describe(empty.to_frame(), "empty").levels == (MISSING,)
