"""The numpy decoder against the fitted torch model, and the walk through its latent space."""

import json

import numpy as np
import pytest

from aelle.explorer.data import load
from aelle.explorer.decoder import load_decoder
from aelle.explorer.errors import ExplorerError
from aelle.explorer.figures.frame import ranges_of
from aelle.explorer.projection import pca
from aelle.explorer.walk import climbed, moved, placed, start_of, steps_between, walker
from aelle.records import write_json
from tests.synthetic import write_synthetic_experiment


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from aelle.embedding.fit import train

    folder = write_synthetic_experiment(tmp_path_factory.mktemp("experiment"), networks=40)
    text = folder.experiment_file.read_text().replace("epochs = 300", "epochs = 25")
    folder.experiment_file.write_text(text)
    train(folder, progress=False)
    return folder


@pytest.fixture(scope="module")
def data(folder):
    return load(folder)


@pytest.fixture(scope="module")
def decoder(folder):
    return load_decoder(folder)


def test_numpy_decodes_as_the_fitted_model_does(folder, data, decoder):
    from aelle.embedding.checkpoint import load as load_fitted

    latents = np.random.default_rng(0).normal(size=(9, len(data.latent_columns)))
    expected = load_fitted(folder).decode(latents, 3)
    np.testing.assert_allclose(decoder.spectra(latents, 3), -np.sort(-expected, axis=1), atol=1e-4)


def test_numpy_predicts_what_latents_say(data, decoder):
    points = data.points[data.points["epoch"] == 1]
    predicted = decoder.predicted(points[data.latent_columns].to_numpy(), 1)
    np.testing.assert_allclose(predicted, points["predicted"], atol=1e-5)


def test_uphill_is_the_gradient(data, decoder):
    latent = start_of(data, 3, 1)
    direction = decoder.uphill(latent, 1)
    assert np.linalg.norm(direction) == pytest.approx(1)
    around = np.random.default_rng(0).normal(size=(200, len(latent)))
    around = latent + 1e-3 * around / np.linalg.norm(around, axis=1, keepdims=True)
    best = decoder.score(latent + 1e-3 * direction, 1)[0]
    assert best >= decoder.score(around, 1).max() - 1e-9


def test_climbing_raises_the_prediction(data, decoder):
    latent = start_of(data, None, 0)
    before = decoder.score(latent, 0)[0]
    for _ in range(3):
        latent = climbed(data, decoder, latent, 0, upwards=True)
    assert decoder.score(latent, 0)[0] > before
    assert decoder.score(climbed(data, decoder, latent, 0, upwards=False), 0)[0] < decoder.score(latent, 0)[0]


def test_a_walker_on_a_network_is_nearest_to_it(data, decoder):
    projection = pca(data.points[data.latent_columns])
    here = walker(data, projection, decoder, start_of(data, 5, 1), 1)
    assert here.nearest[0] == (5, 0.0)
    row = np.flatnonzero((data.points["network"] == 5) & (data.points["epoch"] == 1))[0]
    np.testing.assert_allclose(here.place, projection.coordinates[row], atol=1e-9)
    assert (np.diff(here.spectrum) <= 0).all()


def test_steps_are_standard_deviations_of_the_map(data):
    projection = pca(data.points[data.latent_columns])
    start = data.points[data.latent_columns].to_numpy(float).mean(axis=0)
    there = moved(projection, start, start, [0.5, -0.4, 0])
    step = (there - start) @ projection.axes.T
    np.testing.assert_allclose(step, projection.coordinates.std(axis=0) * [0.5, -0.4, 0], atol=1e-9)
    np.testing.assert_allclose(steps_between(projection, start, there), [0.5, -0.4, 0], atol=1e-9)


@pytest.mark.parametrize("upwards", [True, False])
def test_a_climb_ends_where_the_data_end(data, decoder, upwards):
    latents = data.points[data.points["epoch"] == 1][data.latent_columns].to_numpy()
    between = np.linalg.norm(latents[:, None] - latents, axis=2)
    np.fill_diagonal(between, np.inf)
    reach = np.quantile(between.min(axis=1), 0.95)
    latent = start_of(data, 3, 1)
    for _ in range(60):
        latent = climbed(data, decoder, latent, 1, upwards)
        assert np.linalg.norm(latents - latent, axis=1).min() <= reach * (1 + 1e-6)
    here = walker(data, pca(data.points[data.latent_columns]), decoder, latent, 1)
    assert here.seen
    assert here.reach == pytest.approx(reach)
    assert not walker(data, pca(data.points[data.latent_columns]), decoder, latent + 99, 1).seen


def test_nothing_leaves_the_frame_of_the_map(data):
    projection = pca(data.points[data.latent_columns])
    start = start_of(data, 5, 1)
    for there in (moved(projection, start, start, [3, 3, 3]), placed(projection, start, [99, -99])):
        x, y, _ = (there - projection.mean) @ projection.axes.T
        low, high = ranges_of(projection.coordinates)[:2].T
        assert low[0] - 1e-9 <= x <= high[0] + 1e-9
        assert low[1] - 1e-9 <= y <= high[1] + 1e-9


def test_a_dragged_walker_stands_where_it_was_put(data):
    projection = pca(data.points[data.latent_columns])
    start = start_of(data, 5, 1)
    there = placed(projection, start, [0.7, -0.3])
    before, after = ((latent - projection.mean) @ projection.axes.T for latent in (start, there))
    np.testing.assert_allclose(after[:2], [0.7, -0.3], atol=1e-9)
    assert after[2] == pytest.approx(before[2]), "what the map does not show stays as it was"


def test_missing_foreign_and_damaged_autoencoders(folder, tmp_path):
    import shutil

    with pytest.raises(ExplorerError, match="aelle train"):
        load_decoder(type(folder)(tmp_path / "none"))
    copy = type(folder)(tmp_path / "copy")
    shutil.copytree(folder.root, copy.root)
    description = copy.autoencoder / "model.json"
    content = json.loads(description.read_text())
    write_json(description, content | {"format": "another"})
    with pytest.raises(ExplorerError, match="another version"):
        load_decoder(copy)
    del content["transform"]["spectra"]["standardisation"]
    write_json(description, content)
    with pytest.raises(ExplorerError, match="damaged"):
        load_decoder(copy)
    (copy.autoencoder / "weights.safetensors").write_bytes(b"x")
    with pytest.raises(ExplorerError, match="cannot be read"):
        load_decoder(copy)
