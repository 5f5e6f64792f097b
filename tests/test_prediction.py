"""Early prediction: metrics, ladder, cross-validation, report, refusals."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from aelle.embedding.dataset import EmbeddingError, load_dataset
from aelle.prediction import evaluate as evaluation
from aelle.prediction.evaluate import PredictionError, assign_folds, predict, prediction_epochs
from aelle.prediction.known import known_at, seconds_per_network
from aelle.prediction.ladder import BASELINES, _extrapolate
from aelle.prediction.metrics import difference_interval, scores_of, spearman, spearman_interval
from aelle.prediction.report import headline_of
from aelle.records import ExperimentFolder, RecordsError
from tests.synthetic import write_synthetic_experiment
from tests.test_embedding import rewrite, written

SETTINGS = """
[training]
epochs = 6
workers = 1

[prediction]
folds = 3
ensemble = 2
bootstrap = 200
"""
AUTOENCODER = "[autoencoder]\nepochs = 30\nforest_trees = 4\n"


def configure(folder, extra="", base=SETTINGS):
    header = 'name = "synthetic"\nseed = 0\n[task]\nname = "digits"\n'
    folder.experiment_file.write_text(header + base + extra + AUTOENCODER)
    return folder


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    return configure(write_synthetic_experiment(tmp_path_factory.mktemp("predicted") / "x"))


@pytest.fixture
def folder(untouched, tmp_path):
    """A fresh copy of the records alone."""
    shutil.copytree(untouched.records, tmp_path / "x" / "records")
    return configure(ExperimentFolder(tmp_path / "x"))


@pytest.fixture(scope="module")
def predicted(untouched):
    return untouched, predict(untouched, progress=False)


# ---- metrics


def test_spearman_is_scipys_with_ties():
    random = np.random.default_rng(0)
    a, b = random.integers(0, 9, (2, 50))
    assert np.isclose(spearman(a, b), stats.spearmanr(a, b).statistic)
    stacked = spearman(np.stack([a, b]), np.stack([b, b]))
    assert np.allclose(stacked, [stats.spearmanr(a, b).statistic, 1.0])


def test_constant_predictions_have_no_correlation():
    assert np.isnan(spearman(np.arange(5), np.zeros(5)))
    assert np.isnan(spearman_interval(np.arange(5), np.zeros(5), 100, 0.95, 0)).all()


def test_spearman_interval_covers_the_truth():
    """Of 95 % intervals on correlated Gaussians (ρ known in closed form) about 95 % hold the true value."""
    random, r = np.random.default_rng(0), 0.7
    truth = 6 / np.pi * np.arcsin(r / 2)
    hits = 0
    for seed in range(100):
        a, noise = random.normal(size=(2, 120))
        low, high = spearman_interval(a, r * a + np.sqrt(1 - r**2) * noise, 200, 0.95, seed)
        hits += low <= truth <= high
    assert 87 <= hits <= 100


def test_paired_difference_is_tighter_than_the_two_intervals():
    random = np.random.default_rng(0)
    actual = random.normal(size=200)
    first = actual + random.normal(size=200)
    second = first + 0.1 * random.normal(size=200)  # nearly the same prediction
    low, high = difference_interval(actual, first, second, 300, 0.95, 0)
    alone = spearman_interval(actual, first, 300, 0.95, 0)
    assert low < spearman(actual, first) - spearman(actual, second) < high
    assert high - low < 0.3 * (alone[1] - alone[0])


def test_perfect_and_reversed_predictions():
    actual = np.linspace(0, 1, 40)
    perfect, reverse = scores_of(actual, actual, True), scores_of(actual, -actual, True)
    for name in ("spearman", "kendall", "weighted_tau", "r2", "top_recall", "f1_median"):
        assert np.isclose(perfect[name], 1)
    assert perfect["mae"] == 0
    assert reverse["spearman"] == -1
    assert reverse["top_recall"] == reverse["f1_median"] == 0


def test_top_recall_of_a_loss_looks_at_its_lowest_values():
    actual = np.arange(20.0)
    predicted = actual.copy()
    predicted[[18, 19]] = -1  # two bad networks promised to be the best
    assert scores_of(actual, predicted, higher_is_better=False)["top_recall"] == 0
    assert scores_of(-actual, -predicted, higher_is_better=True)["top_recall"] == 0


# ---- what is known


def test_nothing_of_later_epochs_is_known(folder):
    """Changing every record after epoch 1 changes no input at epoch 1."""
    before = known_at(load_dataset(folder), 1)

    def change(frame):
        later = frame["epoch"] > 1
        frame.loc[later, ["val_metric", "val_loss", "train_loss"]] *= 0.5
        frame["spectrum"] = [
            s * 3 if late and s is not None else s for late, s in zip(later, frame["spectrum"], strict=True)
        ]
        frame["weight_statistics"] = [
            {k: 9.0 for k in w} if late else w
            for late, w in zip(later, frame["weight_statistics"], strict=True)
        ]
        return frame

    rewrite(folder, change)
    after = known_at(load_dataset(folder), 1)
    for name, value in before.__dict__.items():
        assert np.array_equal(value, getattr(after, name), equal_nan=name != "epoch"), name


def test_known_inputs(folder):
    dataset = load_dataset(folder)
    known = known_at(dataset, 3)
    assert len(known) == 59  # the diverged network has no spectrum there
    assert np.array_equal(known.last_value, known.metric_curve[:, -1])
    assert np.all(known.best_so_far >= known.last_value)
    assert known.curve.shape == (59, 4 + 4 + 3)  # no training loss at epoch 0
    assert known.hyperparameters.shape == (59, 3 + 3)  # one-hot architecture; size, scale and gain vary
    assert np.isfinite(known.curve).all()
    assert seconds_per_network(dataset, 3)[0] > seconds_per_network(dataset, 1)[0] > 0


@pytest.mark.parametrize("method", BASELINES, ids=lambda m: m.name)
@pytest.mark.parametrize("epoch", [0, 3])
def test_baselines_ignore_held_out_targets_and_predict_all(folder, method, epoch):
    known = known_at(load_dataset(folder), epoch)
    training = np.arange(len(known)) % 3 > 0
    scores = np.random.default_rng(0).normal(size=training.sum())
    predicted = method.predict(known, training, scores, 0)
    assert predicted.shape == (len(known),)
    assert np.isfinite(predicted).all()
    assert np.array_equal(predicted, method.predict(known, training, scores, 0))


def test_power_law_recovers_its_own_curve():
    epochs = np.arange(5)
    curve = 0.9 - 0.6 * (epochs + 1.0) ** -0.8
    assert np.isclose(_extrapolate(curve, 20), 0.9 - 0.6 * 21**-0.8, atol=1e-4)
    assert _extrapolate(np.full(4, 0.3), 20) == 0.3


# ---- cross-validation


def test_every_network_is_predicted_once_by_every_method(predicted):
    folder, report = predicted
    frame = pd.read_parquet(folder.predictions)
    columns = ["method", "epoch", "network_id", "fold", "actual", "predicted", "lower", "upper"]
    assert list(frame.columns) == columns
    assert not frame.duplicated(["method", "epoch", "network_id"]).any()
    counts = frame.groupby(["epoch", "method"]).size().unstack()
    assert set(counts.columns) == {row["method"] for row in report.rows}
    assert (counts.loc[3] == 59).all()
    assert (counts.loc[1].drop("power law") == 60).all()
    learnt_later = counts.columns[counts.loc[0].isna()]
    assert set(learnt_later) == {"best so far", "sum of training losses", "power law"}
    assert (counts.loc[0].dropna() == 60).all()
    assert frame.groupby("network_id")["fold"].nunique().max() == 1


def test_report_rows_agree_with_the_predictions(predicted):
    folder, report = predicted
    frame = pd.read_parquet(folder.predictions)
    content = json.loads(folder.report.read_text())
    assert content["headline"] == report.headline
    assert content["epochs"] == [0, 1, 3]
    assert content["excluded"] == {}
    assert content["without_spectrum"] == {"0": 0, "1": 0, "3": 1}
    for row in content["rows"]:
        part = frame[(frame["epoch"] == row["epoch"]) & (frame["method"] == row["method"])]
        assert np.isclose(row["spearman"], stats.spearmanr(part["actual"], part["predicted"]).statistic)
        assert np.isclose(row["mae"], (part["actual"] - part["predicted"]).abs().mean())
        assert row["spearman_low"] <= row["spearman"] <= row["spearman_high"]


def test_spectra_that_tell_the_outcome_are_read(predicted):
    _, report = predicted
    rows = {row["method"]: row for row in report.rows_at(0)}
    assert rows["AeLLE + architecture/size"]["spearman"] > 0.7
    assert rows["hyperparameters only"]["spearman"] > 0.7
    assert rows["last value"]["spearman"] < 0.5


def test_shuffled_targets_are_predicted_by_nothing(folder):
    """Were anything fitted on the networks it is judged on, it would seem to predict noise."""

    def change(frame):
        random = np.random.default_rng(0)
        value = {i: random.uniform() for i in sorted(frame["network_id"].unique())}
        last = (frame["epoch"] == 6).to_numpy()
        frame.loc[last, "val_metric"] = frame.loc[last, "network_id"].map(value)
        return frame

    rewrite(folder, change)
    configure(folder, "epochs = [0]\n")
    for row in predict(folder, progress=False).rows:
        assert abs(row["spearman"]) < 0.45, row["method"]


@pytest.mark.slow
def test_processes_give_what_one_process_gives(predicted, folder):
    parallel = SETTINGS.replace("workers = 1", "workers = 2") + "epochs = [0]\n"
    configure(folder, base=parallel)
    predict(folder, progress=False)
    alone = pd.read_parquet(predicted[0].predictions)
    pd.testing.assert_frame_equal(pd.read_parquet(folder.predictions), alone[alone["epoch"] == 0])


def test_folds_spread_diverged_networks(folder):
    def change(frame):
        lost = frame["network_id"].map(lambda i: int(i, 16) < 9)
        frame.loc[lost & (frame["epoch"] > 4), "status"] = "diverged"
        return frame

    rewrite(folder, change)
    dataset = load_dataset(folder)
    folds = assign_folds(dataset)
    per_fold = [dataset.diverged[folds == fold].sum() for fold in range(3)]
    assert sorted(per_fold) == [3, 3, 3]


def test_a_loss_is_predicted_as_well_as_an_accuracy(folder):
    configure(folder, "epochs = [0]\n")
    rewrite(
        folder, lambda f: f.assign(val_metric=1 - f["val_metric"], metric_name="mse", higher_is_better=False)
    )
    report = predict(folder, progress=False)
    rows = {row["method"]: row for row in report.rows}
    assert rows["hyperparameters only"]["spearman"] > 0.7
    dataset = load_dataset(folder)
    assert dataset.targets[dataset.diverged] == dataset.targets.max()


@pytest.mark.parametrize("column", ["architecture", "hidden_size"])
def test_whole_groups_are_left_out(folder, column):
    dataset = load_dataset(configure(folder, f'leave_out = "{column}"\n'))
    folds = assign_folds(dataset)
    groups = pd.Series(folds).groupby(dataset.networks[column].to_numpy())
    assert groups.nunique().max() == 1
    assert len(groups) == len(np.unique(folds))


def test_leaving_out_the_only_group_is_refused(folder):
    rewrite(folder, lambda frame: frame.assign(architecture="gru"))
    configure(folder, 'leave_out = "architecture"\n')
    refused(folder, PredictionError, "leaving architecture gru out leaves 0 finished networks")


@pytest.mark.slow
def test_an_architecture_never_seen_is_still_predicted(folder):
    report = predict(configure(folder, 'epochs = [0]\nleave_out = "architecture"\n'), progress=False)
    assert report.folds == 3
    assert "3 folds by architecture" in str(report)
    assert "within folds" in str(report)
    assert "within folds" in folder.report.with_suffix(".html").read_text()
    assert all(row["networks"] == 60 for row in report.rows)


# ---- report


def row(method, value):
    return {"method": method, "spearman": value, "spearman_low": value - 0.05, "spearman_high": value + 0.05}


def comparison(ours, theirs, low, high):
    return {
        "epoch": 0,
        "aelle": row("AeLLE", ours),
        "baseline": row("weight statistics", theirs),
        "difference": ours - theirs,
        "difference_low": low,
        "difference_high": high,
    }


def test_headline_names_the_winner_and_owns_up_to_chance():
    assert headline_of([comparison(0.9, 0.8, 0.05, 0.15)]) == (
        "At epoch 0 AeLLE wins: AeLLE (Spearman 0.900 [0.850, 0.950]) against weight statistics "
        "(0.800 [0.750, 0.850]), a difference of 0.100 [0.050, 0.150]."
    )
    lost = headline_of([comparison(0.90, 0.95, -0.12, 0.02)])
    assert lost.startswith("At epoch 0 a baseline wins: weight statistics (Spearman 0.950")
    assert lost.endswith("a difference of 0.050 [-0.020, 0.120], which may be chance.")
    assert "it is a tie" in headline_of([comparison(0.9, 0.9, -0.1, 0.1)])
    assert "no winner" in headline_of([comparison(float("nan"), 0.9, float("nan"), float("nan"))])


def test_terminal_table_opens_with_the_headline(predicted):
    text = str(predicted[1])
    assert text.startswith(predicted[1].headline)
    assert "1 diverged (counted as the worst)" in text
    assert "9 exponents of -inf floored" in text
    assert "epoch 3, 59 networks" in text


def test_page_is_whole_and_offline(predicted):
    folder, report = predicted
    page = folder.report.with_suffix(".html").read_text()
    assert page.count("<svg") == page.count("<table") == 3
    assert "http" not in page
    assert "<script" not in page
    for method in {row["method"] for row in report.rows}:
        assert method in page


def test_page_shows_an_undefined_correlation(predicted):
    _, report = predicted
    nothing = dict.fromkeys(("spearman", "spearman_low", "spearman_high"), float("nan"))
    blank = type(report)(**{**report.__dict__, "rows": [r | nothing for r in report.rows]})
    assert "ranks no network" in evaluation.render_page(blank)
    assert "–" in str(blank)
    assert json.dumps(blank.to_json(), allow_nan=False)


# ---- bad input


def refused(folder, error, match):
    before = written(folder)
    with pytest.raises(error, match=match) as caught:
        predict(folder, progress=False)
    assert "\n" not in str(caught.value)
    assert written(folder) == before


def test_too_few_networks(tmp_path):
    folder = configure(write_synthetic_experiment(tmp_path / "x", networks=15))
    refused(folder, EmbeddingError, "at least 20 networks")


def test_constant_target(folder):
    rewrite(folder, lambda frame: frame.assign(val_metric=0.1))
    refused(folder, EmbeddingError, "same accuracy")


def test_too_few_finished_networks(folder):
    def change(frame):
        lost = frame["network_id"].map(lambda i: int(i, 16) > 4) & (frame["epoch"] > 3)
        frame.loc[lost, "status"] = "diverged"
        return frame

    rewrite(folder, change)
    refused(folder, PredictionError, "only 5 of 60 networks finished; 3 folds need at least 6")


def test_epoch_without_spectra(folder):
    configure(folder, "epochs = [2]\n")
    refused(folder, PredictionError, "epoch 2 has spectra of 0 networks.*epochs with enough: 0, 1, 3")


def test_epochs_asked_for(folder):
    assert prediction_epochs(load_dataset(configure(folder, "epochs = [3, 0]\n"))) == [0, 3]


def test_corrupt_records(folder):
    next(folder.records.glob("*.parquet")).write_bytes(b"nonsense")
    refused(folder, RecordsError, "not a readable Parquet file")
