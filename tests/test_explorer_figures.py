"""Figures: the plain data behind each, and that what is drawn is that data."""

import json

import numpy as np
import pandas as pd
import pytest

from aelle.explorer import figures
from aelle.explorer.data import load
from aelle.explorer.figures.latent_map import MANY, SYMBOLS
from aelle.explorer.groups import Group
from aelle.explorer.projection import pca
from aelle.explorer.quantiles import column_quantiles
from aelle.explorer.theme import DARK, LIGHT
from aelle.records import write_frame
from tests.explorer_folder import write_explorer_folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return load(write_explorer_folder(tmp_path_factory.mktemp("experiment")))


@pytest.fixture(scope="module")
def projection(data):
    return pca(data.points[data.latent_columns])


@pytest.fixture
def groups(data):
    numbers = np.arange(len(data.networks))
    return [Group("A", numbers[:20], "#0072B2"), Group("others", numbers[20:], "#5a6675")]


def test_map_of_one_epoch_holds_each_network_once(data, projection):
    info = figures.latent_map_info(data, projection, "final_metric", epoch=1)
    points = data.points[data.points["epoch"] == 1]
    assert sorted(info.networks) == sorted(points["network"])
    row = list(info.networks).index(4)
    expected = projection.coordinates[points.index[points["network"] == 4][0]]
    np.testing.assert_array_equal(info.coordinates[row], expected)
    assert info.values[row] == pytest.approx(data.networks["final_metric"][4])
    assert "epoch 1" in info.hover[row]


def test_axes_hold_still_over_epochs(data, projection):
    ranges = [figures.latent_map_info(data, projection, epoch=epoch).ranges for epoch in (0, 3)]
    np.testing.assert_array_equal(*ranges)


def test_kinds_make_one_trace_each_with_a_legend(data, projection):
    figure = figures.latent_map(figures.latent_map_info(data, projection, "architecture", 0))
    assert [trace.name for trace in figure.data] == ["gru", "lstm", "rnn"]
    assert len({trace.marker.color for trace in figure.data}) == 3
    assert all(trace.showlegend for trace in figure.data)
    networks = np.concatenate([trace.customdata for trace in figure.data])
    assert sorted(networks) == sorted(data.points["network"][data.points["epoch"] == 0])


def test_quantities_share_one_colour_bar(data, projection):
    figure = figures.latent_map(figures.latent_map_info(data, projection, "init_gain", 0), DARK)
    assert len(figure.data) == 1
    assert figure.layout.coloraxis.colorbar.title.text == "initial gain p·√H"


def test_shape_size_filter_and_three_dimensions(data, projection):
    keep = (data.points["init_gain"] < 6).to_numpy()
    info = figures.latent_map_info(
        data, projection, "final_metric", 0, shape="architecture", size="reconstruction_error", keep=keep
    )
    figure = figures.latent_map(info, dimensions=3)
    assert {trace.type for trace in figure.data} == {"scatter3d"}
    assert [trace.marker.symbol for trace in figure.data] == list(SYMBOLS[:3])
    assert (data.networks["init_gain"][info.networks] < 6).all()
    assert 5 <= info.sizes.min() < info.sizes.max() <= 20.001


def test_many_points_are_drawn_by_webgl(data, projection):
    info = figures.latent_map_info(data, projection, epoch=0, hover=False)
    assert figures.latent_map(info).data[0].type == "scatter"
    repeats = MANY // len(info.networks) + 1
    many = type(info)(**{
        **info.__dict__, "coordinates": np.tile(info.coordinates, (repeats, 1)),
        "networks": np.tile(info.networks, repeats), "values": np.tile(info.values, repeats),
    })  # fmt: skip
    assert figures.latent_map(many).data[0].type == "scattergl"


def test_markup_in_names_is_shown_as_text(tmp_path):
    folder = write_explorer_folder(tmp_path, networks=6)
    latents = pd.read_parquet(folder.latents)
    latents["<img src=x onerror=alert(1)>"] = ["<script>alert(2)</script>", "<b>bold</b>"] * (
        len(latents) // 2
    )
    write_frame(folder.latents, latents)
    data = load(folder)
    column = "<img src=x onerror=alert(1)>"
    info = figures.latent_map_info(data, pca(data.points[data.latent_columns]), column, 0)
    text = figures.latent_map(info).to_json()
    for tag in ("<img", "<script", "<b>bold"):
        assert tag not in text
        assert json.dumps(tag)[1:-1] not in text


def test_trails_follow_a_network_and_stop_between_epochs(data, projection):
    whole, part = (figures.trails_info(data, projection, [4], until=until)[0] for until in (None, 2))
    assert whole.epochs.tolist() == [0, 1, 3]
    assert part.epochs.tolist() == [0, 1, 2]
    np.testing.assert_allclose(part.coordinates[-1], whole.coordinates[1:].mean(axis=0))
    figure = figures.latent_map(figures.latent_map_info(data, projection, epoch=0))
    figures.add_trails(figure, figures.trails_info(data, projection, [4, 5]))
    assert [trace.meta for trace in figure.data] == ["points", "trail", "focus"]
    assert len(figure.data[2].x) == 2
    figures.add_trails(figure, [])


def test_spectra_over_epochs_leave_out_minus_infinity_and_say_so(data):
    lines = figures.spectra_over_epochs_info(data, 5)
    assert [line.epoch for line in lines] == [0, 1, 3]
    assert all(line.infinite == 3 and np.isfinite(line.exponents).all() for line in lines)
    figure = figures.spectra_over_epochs(lines)
    assert figure.data[0].name == "epoch 0 (3 at −∞)"
    assert figure.layout.shapes[0].y0 == figure.layout.shapes[0].y1 == 0
    assert "nats per step" in figure.layout.yaxis.title.text
    assert not figures.spectra_over_epochs([]).data


def test_bands_are_mean_and_inner_eighty_percent(data, groups):
    bands = figures.spectrum_bands_info(data, groups, epoch=0)
    assert [band.count for band in bands] == [20, 40]
    rows = np.flatnonzero((data.records["epoch"] == 0) & (data.records["network"] < 20))
    first = [data.spectra[row][0] for row in rows]
    assert bands[0].median[0] == pytest.approx(np.median(first))
    assert bands[0].low[0] == pytest.approx(np.quantile(first, 0.1))
    assert (bands[0].low[:-5] <= bands[0].median[:-5]).all()
    figure = figures.spectrum_bands(bands, LIGHT)
    assert [trace.name for trace in figure.data if trace.showlegend is not False] == ["A (20)", "others (40)"]
    assert figures.spectrum_bands_info(data, [Group("none", np.array([], int), "#000000")], 0)[0].count == 0


def test_learning_curves(data):
    curves = figures.learning_curves_info(data, 3)
    assert curves.epochs.tolist() == list(range(7))
    assert curves.spectrum_epochs.tolist() == [0, 1, 3]
    assert np.isnan(curves.train_loss[0])
    figure = figures.learning_curves(curves)
    assert figure.layout.yaxis.title.text == "validation accuracy"
    assert list(figure.data[1].x) == [0, 1, 3]


def test_curve_bands(data, groups):
    bands = figures.curve_bands_info(data, groups)
    metric = next(band for band in bands if band.name == "A" and band.quantity == "val_metric")
    records = data.records[(data.records["network"] < 20) & (data.records["epoch"] == 6)]
    assert metric.median[-1] == pytest.approx(records["val_metric"].median())
    figure = figures.curve_bands(bands, "accuracy")
    assert [trace.name for trace in figure.data if trace.showlegend is not False] == ["A (20)", "others (40)"]


def test_predicted_against_actual_with_intervals(data):
    info = figures.predicted_info(data, "AeLLE", 1)
    frame = data.predictions[(data.predictions["method"] == "AeLLE") & (data.predictions["epoch"] == 1)]
    assert info.spearman == pytest.approx(frame["actual"].corr(frame["predicted"], method="spearman"))
    inside = (frame["actual"] >= frame["lower"]) & (frame["actual"] <= frame["upper"])
    assert info.coverage == pytest.approx(inside.mean())
    figure = figures.predicted_against_actual(info, groups={"A": ([1, 2, 3], "#0072B2")})
    assert [trace.name for trace in figure.data] == ["networks", "A"]
    assert len(figure.data[1].x) == 3
    assert figure.data[0].error_y.array is not None
    assert "Spearman" in figure.layout.title.text
    assert np.isnan(figures.predicted_info(data, "last value", 1).coverage)
    assert np.isnan(figures.predicted_info(data, "nobody", 1).spearman)
    figures.predicted_against_actual(figures.predicted_info(data, "nobody", 1))


def test_ladder_puts_the_best_on_top(data):
    rows = figures.ladder_info(data.report)
    figure = figures.ladder(rows, 0)
    assert list(figure.data[0].y) == ["last value", "hyperparameters", "AeLLE"]  # upwards
    assert list(figure.data[0].x) == sorted(figure.data[0].x)
    assert figures.ladder_info({}) == []
    figures.ladder([], 0)


def test_calibration_averages_bins_of_equal_count(data):
    info = figures.predicted_info(data, "AeLLE", 1)
    points = figures.calibration_info(info, bins=5)
    assert points.count.sum() == len(info.actual)
    assert points.count.max() - points.count.min() <= 1
    assert (np.diff(points.predicted) >= 0).all()
    assert len(figures.calibration(info, bins=5).data[0].x) == 5


def test_contrast_histograms(data):
    from aelle.explorer.contrast import contrasts

    found = contrasts(data, list(range(10)), list(range(10, 60)), 0)
    figure = figures.contrast_histograms(found, ("A", "others"), most=4)
    assert len(figure.data) == 8
    assert figures.contrast_histograms([]).data == ()


def test_marks_keep_their_places(data, projection):
    from aelle.explorer.figures.marks import MARKS, marks, rings

    for followed, focus, paths in (([], None, "none"), ([1, 2, 3], 4, "trails"), ([], None, "arrows")):
        for dimensions in (2, 3):
            drawn = marks(
                data, projection, LIGHT, 1, dimensions,
                followed=followed, focus=focus, paths=paths, walker={"place": [0.0, 0.0, 0.0], "seen": True},
            )  # fmt: skip
            assert len(drawn) == len(MARKS)
            assert len(drawn[1].x) == 1
            assert len(rings(LIGHT, dimensions, many=False)) == 2


@pytest.mark.parametrize("level", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_quantiles_of_columns_are_those_of_numpy(level):
    random = np.random.default_rng(0)
    matrix = random.normal(size=(37, 6))
    matrix[random.random(matrix.shape) < 0.3] = np.nan
    matrix[:, 5] = np.nan
    found, counts = column_quantiles(matrix, [level])
    assert counts.tolist() == np.isfinite(matrix).sum(axis=0).tolist()
    np.testing.assert_allclose(found[0, :5], np.nanquantile(matrix[:, :5], level, axis=0), atol=1e-12)
    assert np.isnan(found[0, 5])


def test_quantiles_of_no_rows():
    found, counts = column_quantiles(np.empty((0, 3)), [0.5])
    assert np.isnan(found).all()
    assert counts.tolist() == [0, 0, 0]
