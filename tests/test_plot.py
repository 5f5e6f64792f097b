"""Figures in one call: what is drawn is what the experiment holds, and mistakes are one clear line."""

import os
import shutil
import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from aelle import plot
from aelle.explorer.errors import ExplorerError
from aelle.explorer.figures import exponents, exponents_over_epochs
from aelle.explorer.figures.decoded_path import decoded_path, decoded_path_info
from aelle.explorer.figures.spectra import SpectrumLine
from tests.explorer_folder import write_explorer_folder

ID = "000000000003"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_explorer_folder(tmp_path_factory.mktemp("experiment"))


@pytest.mark.parametrize("form", ["folder", "path", "text", "data"])
def test_an_experiment_in_any_form(folder, form):
    given = {"folder": folder, "path": folder.root, "text": str(folder.root), "data": plot.load(folder)}[form]
    assert len(plot.latent_map(given, epoch=0).data[0].x) == 60


def test_every_figure_of_an_experiment(folder):
    data = plot.load(folder)
    groups = {"first": [ID], "second": ["000000000004", "000000000005"]}
    for theme in ("light", "dark"):
        drawn = [
            plot.latent_map(data, "architecture", 1, shape="architecture", dimensions=3, theme=theme),
            plot.trajectory(data, [ID], theme=theme),
            plot.spectra_over_epochs(data, ID, theme=theme),
            plot.spectra_over_epochs(data, "000000000005", "heatmap", theme=theme),
            plot.spectra_over_epochs(data, "000000000005", "ridge", theme=theme),
            plot.spectrum_bands(data, groups, 0, log_index=True, theme=theme),
            plot.learning_curves(data, ID, theme=theme),
            plot.learning_curves(data, groups, theme=theme),
            plot.ladder(data, 1, theme=theme),
            plot.predicted_against_actual(data, "AeLLE", 1, theme=theme),
            plot.calibration(data, "AeLLE", 1, theme=theme),
            plot.exponent_against_metric(data, 0, theme=theme),
        ]
        assert all(len(figure.data) for figure in drawn)
        assert all(figure.layout.paper_bgcolor == drawn[0].layout.paper_bgcolor for figure in drawn)


def test_exponent_against_metric_is_the_records(folder):
    info = exponents.exponent_against_metric_info(plot.load(folder), 1)
    data = plot.load(folder)
    row = data.records[(data.records["network"] == 4) & (data.records["epoch"] == 1)].iloc[0]
    place = list(info.networks).index(4)
    assert info.lambda_max[place] == row["lambda_max"]
    assert info.metric[place] == data.networks["final_metric"][4]


def test_a_measured_spectrum_with_theory_and_convergence():
    import torch

    from aelle import lyapunov_spectrum, mean_field

    torch.manual_seed(0)
    result = lyapunov_spectrum(torch.nn.RNN(2, 12, batch_first=True), torch.randn(4, 80, 2), warmup=20)
    figure = plot.spectrum(result, theory=mean_field(1.5))
    np.testing.assert_allclose(figure.data[-1].y, result.exponents)
    assert len(figure.layout.shapes) == 3  # λ = 0, and two lines of theory
    running = plot.convergence(result, most=4)
    assert len(running.data) == 4
    assert running.data[0].y[-1] == pytest.approx(float(result.exponents[0]))
    assert plot.spectrum(result, theory=(0.1, -1.0)).layout.shapes[1].y0 == 0.1


def test_convergence_info_ends_in_the_exponents():
    averages = np.array([[0.5, 0.1, -1.0], [0.4, 0.0, -1.2]])
    info = exponents.convergence_info(averages, [30, 20], most=2)
    np.testing.assert_array_equal(info.steps, [30, 50])
    assert info.index.tolist() == [1, 3]
    np.testing.assert_array_equal(info.averages, averages[:, [0, 2]])


def _lines():
    return [
        SpectrumLine(0, np.array([1.0, -1.0, -3.0], np.float32), 0),
        SpectrumLine(2, np.array([0.5, -4.0], np.float32), 1),
    ]


def test_heatmap_info_lays_spectra_beneath_each_other():
    info = exponents_over_epochs.spectra_heatmap_info(_lines())
    np.testing.assert_array_equal(info.exponents, [[1, -1, -3], [0.5, -4, np.nan]])
    assert (info.epochs, info.bound) == ([0, 2], 4.0)
    assert exponents_over_epochs.spectra_heatmap_info([]).exponents.size == 0


def test_ridge_info_is_a_density_around_the_exponents():
    info = exponents_over_epochs.spectra_ridge_info(_lines())
    step = info.grid[1] - info.grid[0]
    np.testing.assert_allclose(info.density.sum(axis=1) * step, 1, rtol=0.02)
    for density, values in zip(info.density, info.exponents, strict=True):
        assert (density[info.grid > values.max()] == 0).all()
    assert len(exponents_over_epochs.spectra_ridge(exponents_over_epochs.spectra_ridge_info([])).data) == 0


@pytest.mark.parametrize("end", [-1e-3, -0.4])
def test_a_ridge_draws_nothing_above_the_largest_exponent(end):
    line = SpectrumLine(0, np.linspace(end, end - 2, 12).astype(np.float32), 0)
    figure = exponents_over_epochs.spectra_ridge(exponents_over_epochs.spectra_ridge_info([line]))
    ridge = next(trace for trace in figure.data if trace.name == "epoch 0")
    x, y = np.array(ridge.x), np.array(ridge.y)
    assert y.max() > 0.5
    assert x.max() <= end + 1e-6
    assert x[-1] == x[-2]  # it drops to nothing at once
    assert y[-1] == 0


def test_a_map_says_of_which_epochs_it_is(folder):
    assert "epoch 0" in plot.latent_map(folder).layout.annotations[0].text
    assert "epochs 0, 1, 3" in plot.latent_map(folder, epoch="all").layout.annotations[0].text
    assert sum(len(t.x) for t in plot.latent_map(folder).data if t.meta == "points") == 60


def test_spectra_side_by_side():
    import torch

    from aelle import lyapunov_spectrum

    torch.manual_seed(0)
    network, drive = torch.nn.RNN(2, 4, batch_first=True), torch.randn(2, 80, 2)
    one, other = lyapunov_spectrum(network, drive), lyapunov_spectrum(network, 3 * drive)
    figure = plot.spectrum({"before": one, "after": other})
    lines = {trace.name: trace for trace in figure.data if trace.showlegend is not False}
    np.testing.assert_allclose(lines["before"].y, one.exponents)
    np.testing.assert_allclose(lines["after"].y, other.exponents)
    with pytest.raises(ValueError, match="at least one"):
        plot.spectrum({})
    with pytest.raises(ValueError, match="one unit"):
        plot.spectrum({"nats": one, "bits": other.in_bits()})


def test_axes_name_the_unit():
    import torch

    from aelle import lyapunov_spectrum

    torch.manual_seed(0)
    bits = lyapunov_spectrum(torch.nn.RNN(2, 4, batch_first=True), torch.randn(2, 80, 2)).in_bits()
    assert "bits" in plot.spectrum(bits).layout.yaxis.title.text
    assert "bits" in plot.convergence(bits).layout.yaxis.title.text


def _measured():
    import torch

    from aelle import lyapunov_spectrum

    torch.manual_seed(0)
    return lyapunov_spectrum(torch.nn.LSTM(2, 8, batch_first=True), torch.randn(3, 90, 2))


GROUPS = {"first": [ID], "others": ["000000000004", "000000000008"]}


def _reach(slope):
    return SimpleNamespace(
        lags=[0, 1, 2, 4, 8], growth=np.array([0.5 + slope * lag for lag in (0, 1, 2, 4, 8)])
    )


def _conditioned():
    return SimpleNamespace(before=_reach(-0.5), after=_reach(-0.01), changed=True)


def _diagnosed():
    return SimpleNamespace(name="lstm", reach=_reach(-0.5))


FIGURES = {
    "spectrum": lambda data: plot.spectrum(_measured()),
    "mean field": lambda data: plot.spectrum(_measured(), theory=(0.1, -1.0)),
    "convergence": lambda data: plot.convergence(_measured()),
    "conditioning": lambda data: plot.conditioning(_conditioned()),
    "diagnosis": lambda data: plot.diagnosis(SimpleNamespace(parts=[_diagnosed()])),
    "lines": lambda data: plot.spectra_over_epochs(data, ID),
    "heatmap": lambda data: plot.spectra_over_epochs(data, ID, "heatmap"),
    "ridge": lambda data: plot.spectra_over_epochs(data, ID, "ridge"),
    "bands": lambda data: plot.spectrum_bands(data, GROUPS, 0),
    "curve": lambda data: plot.learning_curves(data, ID),
    "curves": lambda data: plot.learning_curves(data, GROUPS),
    "latent map": lambda data: plot.latent_map(data, epoch=0),
    "latent map of kinds": lambda data: plot.latent_map(data, "architecture", 0, shape="architecture"),
    "trajectory": lambda data: plot.trajectory(data, [ID]),
    "ladder": lambda data: plot.ladder(data, 1),
    "predicted": lambda data: plot.predicted_against_actual(data, "AeLLE", 1),
    "calibration": lambda data: plot.calibration(data, "AeLLE", 1),
    "exponent and metric": lambda data: plot.exponent_against_metric(data, 0),
    "decoded path": lambda data: plot.decoded_path(data, [ID], GROUPS["others"], 1),
}


class Straight:
    """A decoder whose spectrum is the latent itself, twice."""

    def spectra(self, latents, epoch):
        return np.concatenate([latents, latents - 10], axis=1)

    def predicted(self, latents, epoch):
        return latents[:, 0] + epoch


def test_every_figure_of_the_api_is_made_a_picture_of():
    called = {name for draw in FIGURES.values() for name in draw.__code__.co_names}
    assert set(plot.__all__) - {"load"} <= called


@pytest.fixture(scope="module")
def renderer():
    """Kaleido with a browser kept open for all pictures."""
    kaleido = pytest.importorskip("kaleido")
    browser = os.environ.get("BROWSER_PATH") or shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("pictures need Chromium or Chrome")
    os.environ["BROWSER_PATH"] = browser
    kaleido.start_sync_server(silence_warnings=True)
    yield lambda figure: kaleido.calc_fig_sync(figure, opts={"format": "png", "width": 400, "height": 300})
    kaleido.stop_sync_server()


def _pixels(picture):
    """Rows of an 8-bit PNG as they are stored, one filter byte a row."""
    width, height, depth, kind = struct.unpack(">IIBB", picture[16:26])
    assert depth == 8
    place, data = 33, b""
    while place < len(picture):
        length, name = struct.unpack(">I4s", picture[place : place + 8])
        data += picture[place + 8 : place + 8 + length] if name == b"IDAT" else b""
        place += 12 + length
    channels = {2: 3, 6: 4}[kind]
    return np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, 1 + channels * width)


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_becomes_a_picture(folder, renderer, name, monkeypatch):
    monkeypatch.setattr(plot, "load_decoder", lambda folder: Straight())
    figure = FIGURES[name](plot.load(folder))
    drawn, empty = _pixels(renderer(figure)), _pixels(renderer(go.Figure(layout=figure.layout)))
    assert len(drawn) == 300
    assert (drawn != empty).any(axis=1).mean() > 0.1


def test_points_of_all_epochs_are_all_drawn(folder):
    """Of points that share an id plotly draws the first alone."""
    for figure in (plot.latent_map(folder, epoch="all"), plot.trajectory(folder, [ID])):
        assert all(trace.ids is None or len(set(trace.ids)) == len(trace.ids) for trace in figure.data)
        assert sum(len(trace.x) for trace in figure.data if trace.meta == "points") == 179


def test_a_decoded_path_ends_at_the_two_groups():
    points = pd.DataFrame({"network": [0, 1, 2, 2], "epoch": [1, 1, 1, 0], "latent_0": [0.0, 2.0, 5.0, 9.0]})
    data = SimpleNamespace(points=points, latent_columns=["latent_0"], metric_name="accuracy")
    info = decoded_path_info(data, Straight(), [0, 1], [2], epoch=1, steps=3)
    np.testing.assert_allclose(info.exponents, [[1, -9], [3, -7], [5, -5]])
    np.testing.assert_allclose(info.predicted, [2, 4, 6])
    assert len(decoded_path(info).data) == 3
    with pytest.raises(ExplorerError, match="none of these networks has a latent at epoch 0"):
        decoded_path_info(data, Straight(), [0, 1], [2], epoch=0)


def test_spectrum_info_leaves_out_minus_infinity():
    info = exponents.spectrum_info([1.0, 0.0, -np.inf], [0.9, -0.1, -np.inf], [1.1, 0.1, -np.inf])
    assert info.index.tolist() == [1, 2]
    assert info.infinite == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f: plot.latent_map(f, "nonsense"), "no column 'nonsense'"),
        (lambda f: plot.spectra_over_epochs(f, "nobody"), "holds no network 'nobody'"),
        (lambda f: plot.spectra_over_epochs(f, ID, "spiral"), "lines, heatmap or ridge, got 'spiral'"),
        (lambda f: plot.exponent_against_metric(f, 0, "nonsense"), "no quantity 'nonsense' to colour by"),
        (lambda f: plot.latent_map(f, epoch=2), "no latents at epoch 2; there are some at 0, 1, 3"),
        (
            lambda f: plot.spectrum_bands(f, {"a": [ID]}, 2),
            "no spectra at epoch 2; there are some at 0, 1, 3",
        ),
        (lambda f: plot.exponent_against_metric(f, 99), "no spectra at epoch 99"),
        (lambda f: plot.calibration(f, "AeLLE", 99), "no predictions of 'AeLLE' at epoch 99"),
        (lambda f: plot.ladder(f, 99), "aelle evaluate"),
        (lambda f: plot.latent_map(f.root / "nowhere"), "no such folder"),
    ],
)
def test_mistakes_are_one_clear_line(folder, call, words):
    with pytest.raises(ExplorerError, match=words):
        call(folder)


def test_no_latents_says_what_to_run(tmp_path):
    folder = write_explorer_folder(tmp_path, networks=6, latents=False, predictions=False)
    with pytest.raises(ExplorerError, match="aelle train"):
        plot.latent_map(folder)
