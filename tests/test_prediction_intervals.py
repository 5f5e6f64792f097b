"""Prediction intervals: they cover what they promise, and nothing of the networks they are for is in them."""

import numpy as np
import pandas as pd
import pytest

from aelle.embedding.dataset import load_dataset
from aelle.embedding.transform import TargetTransform
from aelle.prediction.cross_validation import cross_validate
from aelle.prediction.folds import assign_folds, prediction_epochs
from aelle.prediction.intervals import Scale, conformal_interval
from aelle.prediction.ladder import ladder
from aelle.prediction.metrics import coverage_and_width, spearman
from aelle.prediction.regression import CrossFitted
from aelle.prediction.table import Table
from aelle.records import Metric
from tests.prediction_folder import configure
from tests.synthetic import rewrite, write_synthetic_experiment


@pytest.mark.parametrize("symmetric", [True, False])
def test_intervals_cover_what_they_promise(symmetric):
    """Skewed errors of unequal size; only exchangeability is assumed. ±2 % is 4 standard errors here."""
    random = np.random.default_rng(0)
    inside, count = 0, 0
    for _ in range(60):
        truth = random.normal(size=180)
        said = truth + random.exponential(1 + abs(truth)) - 0.5
        lower, upper = conformal_interval(truth[:80], said[:80], said[80:], 0.9, symmetric)
        inside += ((truth[80:] >= lower) & (truth[80:] <= upper)).sum()
        count += 100
    # Of 80 calibration networks the margin covers ⌈81·0.9⌉/81 on average, each side apart a little more.
    assert 0.88 <= inside / count <= 0.92


def test_the_margin_is_the_right_order_statistic():
    """⌈(19 + 1)·0.9⌉ = 18th smallest of 19 errors."""
    errors = np.random.default_rng(0).permutation(np.arange(1.0, 20))
    lower, upper = conformal_interval(errors, np.zeros(19), np.array([5.0]), 0.9)
    assert (lower[0], upper[0]) == (5 - 18, 5 + 18)


def test_too_few_calibration_networks_give_no_interval():
    for count, symmetric, there in (
        (9, True, False),
        (10, True, True),
        (19, False, False),
        (20, False, True),
    ):
        values = np.arange(float(count))
        lower, upper = conformal_interval(values, values + 1, np.zeros(3), 0.9, symmetric)
        assert np.isfinite(lower).all() == np.isfinite(upper).all() == there
    assert np.isnan(coverage_and_width(np.zeros(3), np.full(3, np.nan), np.full(3, np.nan))).all()


@pytest.mark.parametrize("higher", [True, False])
def test_the_scale_goes_on_beyond_the_training_targets(higher):
    targets = np.array([0.2, 0.3, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95])
    metric = Metric("accuracy" if higher else "mse", higher)
    transform = TargetTransform.fit(targets, np.zeros(10, bool), metric)
    scale = Scale(transform)
    assert np.allclose(scale.score(targets), transform.apply(targets))
    beyond = np.array([0.17, 0.97])
    assert np.allclose(scale.value(scale.score(beyond)), beyond)
    lowest, highest = (0.0, 1.0) if higher else (0.0, np.inf)
    far = scale.value(np.array([-50.0, 50.0]))
    assert sorted(far)[0] == lowest
    assert sorted(far)[1] == highest if higher else sorted(far)[1] > 0.95
    low, high = scale.bounds(np.array([-1.0]), np.array([1.0]))
    assert low < high


def test_every_network_calibrates_once_by_a_model_that_left_it_out():
    """With a model that remembers the mean of its targets, what is said of a network never holds its own."""

    class Mean:
        def __init__(self, inputs, scores):
            self.mean, self.seen = scores.mean(), set(inputs[:, 0])

        def predict(self, inputs):
            assert len(inputs) == 1 or self.seen.isdisjoint(inputs[:, 0])
            return np.full(len(inputs), self.mean)

    targets = np.random.default_rng(0).normal(size=23)
    target = TargetTransform.fit(targets, np.zeros(23, bool), Metric("accuracy", True))
    inputs = np.arange(23.0)[:, None]
    fitted = CrossFitted.fit(inputs, target, targets, lambda x, y, seed: Mean(x, y), 0.9, 0)
    left_out = [set(inputs[:, 0]) - r.model.seen for r in fitted.regressions]
    assert sorted(value for part in left_out for value in part) == list(range(23))
    means = {int(v): r.model.mean for r, part in zip(fitted.regressions, left_out, strict=True) for v in part}
    assert np.allclose(fitted.interval.said, [means[i] for i in range(23)])
    predicted, _, _ = fitted.predict(np.array([[99.0]]))
    assert np.allclose(target.apply(predicted), np.mean([r.model.mean for r in fitted.regressions]))


def cross_validated(dataset, folds=None):
    table = Table.of_dataset(dataset, prediction_epochs(dataset))
    folds = assign_folds(dataset) if folds is None else folds
    return cross_validate(table, folds, ladder(dataset.experiment))[0]


@pytest.mark.slow
def test_no_interval_depends_on_outcomes_of_the_networks_it_is_for(tmp_path):
    """Changing the outcomes of fold 0 moves no bound of a network in fold 0."""
    folder = configure(write_synthetic_experiment(tmp_path / "x"), "epochs = [0]\n")
    dataset = load_dataset(folder)
    folds = np.arange(60) % 3
    before = cross_validated(dataset, folds)
    final = dataset.networks["target"].to_numpy(copy=True)
    final[folds == 0] = np.random.default_rng(1).uniform(0.2, 0.9, (folds == 0).sum())
    changed = type(dataset)(**{**dataset.__dict__, "networks": dataset.networks.assign(target=final)})
    after = cross_validated(changed, folds)
    own = before["fold"] == 0
    columns = ["predicted", "lower", "upper"]
    pd.testing.assert_frame_equal(before.loc[own, columns], after.loc[own, columns])
    assert not before.loc[~own, columns].equals(after.loc[~own, columns])


@pytest.mark.slow
def test_measured_coverage_of_every_rung(tmp_path):
    """300 synthetic networks: of 90 % intervals 85 to 97 % hold (±1.7 % is one standard error), all rungs
    together 88 to 95: they are calibrated by models of fewer networks, which errs to the safe side."""
    folder = configure(write_synthetic_experiment(tmp_path / "x", networks=300), "epochs = [1]\n")
    dataset = load_dataset(folder)
    setting = dataset.experiment.prediction.model_copy(update={"folds": 5})
    dataset = type(dataset)(
        **{**dataset.__dict__, "experiment": dataset.experiment.model_copy(update={"prediction": setting})}
    )
    frame = cross_validated(dataset)
    assert frame["lower"].notna().all()
    assert (frame["lower"] <= frame["upper"]).all()
    inside = (frame["actual"] >= frame["lower"]) & (frame["actual"] <= frame["upper"])
    coverage = inside.groupby(frame["method"]).mean()
    assert coverage.between(0.85, 0.97).all(), coverage
    assert 0.88 <= coverage.mean() <= 0.95


@pytest.mark.slow
def test_no_rung_predicts_shuffled_outcomes_and_intervals_still_cover(tmp_path):
    """300 networks whose outcomes are noise: every rung within 0.2 of zero, 3.5 standard errors."""

    def change(frame):
        random = np.random.default_rng(0)
        value = {i: random.uniform() for i in sorted(frame["network_id"].unique())}
        last = (frame["epoch"] == 6).to_numpy()
        frame.loc[last, "val_metric"] = frame.loc[last, "network_id"].map(value)
        return frame

    folder = configure(write_synthetic_experiment(tmp_path / "x", networks=300), "epochs = [3]\n")
    rewrite(folder, change)
    frame = cross_validated(load_dataset(folder))
    methods = frame.groupby("method")
    assert methods.ngroups == 14
    for name, part in methods:
        assert abs(spearman(part["actual"].to_numpy(), part["predicted"].to_numpy())) < 0.2, name
        inside = part["actual"].between(part["lower"], part["upper"]).mean()
        assert 0.85 <= inside <= 0.97, name


def test_two_folds_are_enough_to_calibrate_on(tmp_path):
    """Intervals are calibrated inside the training networks of a fold, however many folds there are."""
    folder = configure(write_synthetic_experiment(tmp_path / "x"), "epochs = [0]\n")
    frame = cross_validated(load_dataset(folder), np.arange(60) % 2)
    assert frame["lower"].notna().all()
