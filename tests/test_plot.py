"""Figures in one call: what is drawn is what the experiment holds, and mistakes are one clear line."""

import numpy as np
import pytest

from aelle import plot
from aelle.explorer.errors import ExplorerError
from aelle.explorer.figures import exponents
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
            plot.spectra_over_epochs(data, "000000000005", heatmap=True, theme=theme),
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


def test_spectrum_info_leaves_out_minus_infinity():
    info = exponents.spectrum_info([1.0, 0.0, -np.inf], [0.9, -0.1, -np.inf], [1.1, 0.1, -np.inf])
    assert info.index.tolist() == [1, 2]
    assert info.infinite == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f: plot.latent_map(f, "nonsense"), "no column 'nonsense'"),
        (lambda f: plot.spectra_over_epochs(f, "nobody"), "holds no network 'nobody'"),
        (lambda f: plot.calibration(f, "AeLLE", 99), "no predictions of 'AeLLE' at epoch 99"),
        (lambda f: plot.ladder(f, 99), "aelle predict"),
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
