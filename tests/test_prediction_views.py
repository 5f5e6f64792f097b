"""Views of the spectrum: which there are, how they are weighed, and what a network that lacks some is read by."""

import numpy as np
import pandas as pd
import pytest

from aelle.config import ConfigError, parse_experiment
from aelle.embedding.dataset import load_dataset
from aelle.prediction.blending import (
    BARE,
    WIDE,
    WITH_READOUT,
    cross_fitted,
    readable,
    stacking_weights,
    views_of,
)
from aelle.prediction.explanation import Explainer
from aelle.prediction.predictor import Predictor
from aelle.prediction.table import Table
from aelle.records import Metric, read_records
from tests.prediction_folder import configure, with_growth
from tests.synthetic import rewrite, write_synthetic_experiment


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    folder = configure(write_synthetic_experiment(tmp_path_factory.mktemp("grown") / "x"))
    rewrite(folder, with_growth)
    return folder


@pytest.fixture(scope="module")
def predictor(grown):
    return Predictor.fit(load_dataset(grown))


def test_auto_views_hold_what_was_recorded(grown, tmp_path):
    plain = write_synthetic_experiment(tmp_path / "plain")

    def views(folder, asked="auto"):
        return views_of(asked, Table.of_dataset(load_dataset(folder), [0, 1, 3]))

    assert views(plain) == [list(BARE), list(WIDE)]
    assert views(grown) == [list(BARE), list(WIDE), list(WITH_READOUT)]
    assert views(grown, [["spectrum", "change"]]) == [["spectrum", "change"]]
    rewrite(plain, lambda frame: frame.assign(spectrum_std=None))
    assert views(plain) == [["spectrum"], ["spectrum", "change"]]


def test_views_can_be_named():
    content = {"name": "x", "task": {"name": "digits"}}
    assert parse_experiment(content).prediction.views == "auto"
    named = parse_experiment({**content, "prediction": {"views": [["spectrum", "change"]]}})
    assert named.prediction.views == [["spectrum", "change"]]
    for wrong in ([], [[]], "all", [["Spectrum!"]]):
        with pytest.raises(ConfigError, match=r"prediction\.views"):
            parse_experiment({**content, "prediction": {"views": wrong}})


def test_weights_are_least_squares_where_views_differ_and_equal_where_they_agree():
    random = np.random.default_rng(0)
    truth = random.normal(size=4000)
    said = np.stack([truth + random.normal(size=4000), truth + 2 * random.normal(size=4000)], axis=1)
    # E[xxᵀ] = 11ᵀ + diag(1, 4), E[xy] = 1, plus the ridge of 0.05 towards one half.
    gram, ridge = np.array([[2.0, 1], [1, 5]]), 0.05
    expected = np.linalg.solve(gram + ridge * np.eye(2), np.ones(2) + ridge / 2)
    assert np.allclose(stacking_weights(said, truth), expected, atol=0.03)
    alike = np.stack([truth, truth, truth], axis=1)
    assert np.allclose(stacking_weights(alike, truth), 1 / 3)
    assert np.allclose(stacking_weights(truth[:, None], truth), 1)


def test_a_view_that_says_the_opposite_counts_for_nothing():
    truth = np.random.default_rng(0).normal(size=200)
    assert 0 <= stacking_weights(np.stack([truth, -truth], axis=1), truth)[1] < 0.02


def test_blended_scores_of_training_networks_know_nothing_of_their_own_outcomes():
    """Twelve models of pure noise: weights fitted to 30 outcomes find a correlation; those of the others find none."""
    random = np.random.default_rng(0)
    fitted, crossed = [], []
    for _ in range(200):
        said, scores = random.normal(size=(30, 12)), random.normal(size=30)
        fitted.append(np.corrcoef(said @ stacking_weights(said, scores), scores)[0, 1])
        crossed.append(np.corrcoef(cross_fitted(said[..., None], scores)[:, 0], scores)[0, 1])
    assert np.mean(fitted) > 0.3  # what the weights know
    assert abs(np.mean(crossed)) < 0.06  # 4 standard errors
    changed = scores.copy()
    changed[3] += 5.0
    first, second = (cross_fitted(said[..., None], s) for s in (changed, scores))
    assert first[3] == second[3]


def test_readable_views_of_each_network():
    metric = Metric("accuracy", True)
    lists = [np.ones(4), np.ones(4)]
    records = pd.DataFrame(
        {
            "network_id": ["first only", "first only", "whole", "whole"],
            "epoch": [0, 1, 0, 1],
            "spectrum": lists * 2,
            "readout_growth": [lists[0], None, *lists],
            "status": "ok",
        }
    )
    views = [["spectrum"], ["spectrum", "readout_growth"]]

    def read(rows, epochs):
        return readable(views, Table.of_records(rows, 1, epochs=(0, 1), final_epoch=2, metric=metric), epochs)

    assert read(records, [0, 1]) == [(0,), (0, 1)]
    assert read(records, [0]) == [(0, 1), (0, 1)]
    assert read(records.drop(columns="readout_growth"), [1])[1] == (0,)


def test_a_network_without_some_channel_is_read_by_the_other_views(predictor, grown):
    rows = read_records(grown)
    whole = predictor.predict(rows, 1, explain=False).set_index("network_id")
    lacking = predictor.predict(rows.drop(columns="readout_growth"), 1, explain=False).set_index("network_id")
    assert (whole["warning"] == "").all()
    words = "read without readout_growth, change_of_readout_growth, which its records lack"
    assert (lacking["warning"] == words).all()
    assert not np.allclose(whole["predicted"], lacking["predicted"], equal_nan=True)
    # Without the view that knows the outcome the intervals are wider, as they must be.
    bare = ["network_id", "epoch", "spectrum", "spectrum_se", "spectrum_std", "readout_growth"]
    width = {}
    for name, columns in (("whole", bare), ("lacking", bare[:-1])):
        frame = predictor.predict(rows[columns], 0, explain=False)
        width[name] = (frame["upper"] - frame["lower"]).mean()
    assert width["lacking"] > 1.2 * width["whole"]


def test_readout_growth_is_named_where_it_moved_the_prediction(predictor, grown):
    """A lively network with the growth of one that fails: only growth can have moved it."""
    rows = read_records(grown)
    median = Explainer(predictor.method).medians
    row = rows[(rows["architecture"] == "gru") & (rows["epoch"] == 0)].iloc[:1].copy()
    n = len(row["spectrum"].iloc[0])
    for name in ("spectrum", "spectrum_se", "spectrum_std"):
        row[name] = [median.at(0, name, n)]
    columns = ["network_id", "epoch", "spectrum", "spectrum_se", "spectrum_std", "readout_growth"]
    row["readout_growth"] = [median.at(0, "readout_growth", 8)]
    assert predictor.predict(row[columns], 0)["why"][0].startswith("nothing in it moves")
    row["readout_growth"] = [median.at(0, "readout_growth", 8) / 4]
    why = predictor.predict(row[columns], 0)["why"][0]
    assert why.startswith("readout growth higher than the median network's: −")
    assert ";" not in why


def test_a_saved_predictor_weighs_its_views_alike(predictor, grown, tmp_path):
    predictor.save(tmp_path / "predictor")
    loaded, rows = Predictor.load(tmp_path / "predictor"), read_records(grown)
    views = [list(BARE), list(WIDE), list(WITH_READOUT)]
    assert loaded.method.reader.views == predictor.method.reader.views == views
    pd.testing.assert_frame_equal(
        loaded.predict(rows, 1, explain=False), predictor.predict(rows, 1, explain=False)
    )
    weights = [p.method.combination(1, (0, 1, 2), ()).weights for p in (loaded, predictor)]
    assert np.array_equal(*weights)
