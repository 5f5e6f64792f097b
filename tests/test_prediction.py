"""Early prediction: metrics, ladder, cross-validation, report, refusals."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from aelle.embedding.dataset import EmbeddingError, load_dataset
from aelle.prediction.baselines import power_law
from aelle.prediction.costs import seconds_per_network
from aelle.prediction.evaluate import PredictionError, evaluate
from aelle.prediction.folds import assign_folds, prediction_epochs
from aelle.prediction.inputs import Curves, Hyperparameters, WeightStatistics
from aelle.prediction.ladder import ladder
from aelle.prediction.metrics import difference_interval, scores_of, spearman, spearman_interval
from aelle.prediction.report import headline_of
from aelle.prediction.report_page import render_page
from aelle.prediction.table import Table
from aelle.records import ExperimentFolder, RecordsError
from tests.prediction_folder import SETTINGS, configure
from tests.synthetic import rewrite, write_synthetic_experiment, written


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
    return untouched, evaluate(untouched, progress=False)


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


def tabulated(folder, epochs=(0, 1, 3)):
    return Table.of_dataset(load_dataset(folder), epochs)


def test_nothing_of_later_epochs_is_known(folder):
    """Changing every record after epoch 1 changes nothing in the table up to epoch 1."""
    before = tabulated(folder).up_to(1)

    def change(frame):
        later = frame["epoch"] > 1
        frame.loc[later, ["val_metric", "val_loss", "train_loss"]] *= 0.5
        frame.loc[later & (frame["epoch"] == 3), "status"] = "pruned"
        frame["spectrum"] = [
            s * 3 if late and s is not None else s for late, s in zip(later, frame["spectrum"], strict=True)
        ]
        return frame

    records = change(load_dataset(folder).records.copy())
    after = Table.of_records(records, 1, epochs=(0, 1, 3), final_epoch=6, metric=before.metric)
    for name in ("records", "spectra"):
        pd.testing.assert_frame_equal(getattr(before, name), getattr(after, name))
    pd.testing.assert_frame_equal(before.networks.drop(columns=["target", "diverged"]), after.networks)


def test_recorded_and_new_networks_are_tabulated_alike(folder):
    """The table of some recorded networks at an epoch is the table of their records, as if they were new."""
    whole = tabulated(folder)
    chosen = np.arange(60) % 5 == 0
    recorded = whole.of(chosen).up_to(1)
    rows = load_dataset(folder).records
    rows = rows[rows["network_id"].isin(whole.networks.index[chosen])]
    new = Table.of_records(rows, 1, epochs=(0, 1, 3), final_epoch=6, metric=whole.metric)
    for name in ("records", "spectra"):
        pd.testing.assert_frame_equal(getattr(recorded, name), getattr(new, name))
    assert (recorded.predictable == new.predictable).all()


def test_a_table_cut_down_holds_nothing_of_the_others(folder):
    table = tabulated(folder)
    chosen = np.random.default_rng(0).permutation(60) < 20
    part = table.of(chosen)
    ids = set(table.networks.index[chosen])
    assert (
        set(part.records["network_id"]) == set(part.spectra["network_id"]) == set(part.networks.index) == ids
    )
    for rows in (part.records, part.spectra):
        assert (part.networks.index[rows["network"]] == rows["network_id"]).all()
    assert np.array_equal(part.curve("val_metric"), table.curve("val_metric")[chosen], equal_nan=True)


def test_inputs(folder):
    table = tabulated(folder)
    assert table.predictable.sum() == 59  # the diverged network has no spectrum there
    assert list(table.why_not().values()) == ["diverged"]
    known = table.of(table.predictable)
    assert known.curve("val_metric").shape == (59, 4)
    assert Curves.fit(known).apply(known).shape == (59, 4 + 4 + 3)  # no training loss at epoch 0
    assert np.isfinite(Curves.fit(known).apply(known)).all()
    # One-hot architecture; size, scale and gain vary.
    assert Hyperparameters.fit(known).apply(known).shape == (59, 3 + 3)
    assert WeightStatistics.fit(known).apply(known).shape == (59, 2)
    dataset = load_dataset(folder)
    assert seconds_per_network(dataset, 3)[0] > seconds_per_network(dataset, 1)[0] > 0


@pytest.mark.parametrize("epoch", [0, 3])
def test_methods_ignore_the_outcomes_of_others_and_predict_all(folder, epoch):
    dataset = load_dataset(folder)
    table = Table.of_dataset(dataset, [epoch])
    training = np.arange(60) % 3 > 0
    shuffled = np.where(training, table.targets, np.random.default_rng(0).permutation(table.targets))
    other = replace(table, networks=table.networks.assign(target=shuffled))
    for method in (method for method in ladder(dataset.experiment) if epoch >= method.first_epoch):
        first, second = (
            method.fit(t, training).predict(t.up_to(epoch), np.ones(60, bool)) for t in (table, other)
        )
        assert first["predicted"].notna().sum() == (59 if epoch else 60), method.name
        pd.testing.assert_frame_equal(first, second)


def test_power_law_recovers_its_own_curves():
    """Also those of other networks beside them; a constant curve stays, and no value leaves its range far."""
    epochs = np.arange(5)
    curves = [0.9 - 0.6 * (epochs + 1.0) ** -0.8, 2 + (epochs + 1.0) ** -3, np.full(5, 0.3), epochs / 4]
    found = power_law(np.stack(curves), 20)
    assert np.allclose(found[:3], [0.9 - 0.6 * 21**-0.8, 2 + 21.0**-3, 0.3], atol=1e-4)
    assert 1 <= found[3] <= 2


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
    for row in evaluate(folder, progress=False).rows:
        assert abs(row["spearman"]) < 0.45, row["method"]


@pytest.mark.slow
def test_processes_give_what_one_process_gives(predicted, folder):
    parallel = SETTINGS.replace("workers = 1", "workers = 2") + "epochs = [0]\n"
    configure(folder, base=parallel)
    evaluate(folder, progress=False)
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
    report = evaluate(folder, progress=False)
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
    report = evaluate(configure(folder, 'epochs = [0]\nleave_out = "architecture"\n'), progress=False)
    assert report.folds == 3
    assert "3 folds by architecture" in str(report)
    assert "within folds" in str(report)
    assert "within folds" in folder.report.with_suffix(".html").read_text()
    assert all(row["networks"] == 60 for row in report.rows)


# ---- report


def row(method, value):
    return {"method": method, "spearman": value, "spearman_low": value - 0.05, "spearman_high": value + 0.05}


def comparison(ours, theirs, low, high, alike=(), informative=("AeLLE",), spectra=("AeLLE",)):
    return {
        "epoch": 0,
        "aelle": row("AeLLE", ours),
        "baseline": row("weight statistics", theirs),
        "difference": ours - theirs,
        "difference_low": low,
        "difference_high": high,
        "not_told_apart": list(alike),
        "informative": list(informative),
        "informative_spectra": list(spectra),
    }


def test_headline_names_the_winner_and_nobody_where_it_may_be_chance():
    assert headline_of([comparison(0.9, 0.8, 0.05, 0.15)]) == (
        "At epoch 0 AeLLE wins: AeLLE (Spearman 0.900 [0.850, 0.950]) against weight statistics "
        "(0.800 [0.750, 0.850]), a difference of 0.100 [0.050, 0.150]."
    )
    lost = headline_of([comparison(0.90, 0.95, -0.12, -0.01)])
    assert lost.startswith("At epoch 0 a baseline wins: weight statistics (Spearman 0.950")
    assert lost.endswith("a difference of 0.050 [0.010, 0.120].")
    unclear = headline_of(
        [comparison(0.90, 0.95, -0.12, 0.02, ["weight statistics", "AeLLE", "raw spectrum"])]
    )
    assert unclear.startswith("At epoch 0 there is no clear winner: weight statistics (Spearman 0.950")
    assert "wins" not in unclear
    assert unclear.endswith(
        "a difference of 0.050 [-0.020, 0.120]; not told apart: weight statistics, AeLLE, raw spectrum."
    )
    assert "there is no clear winner" in headline_of([comparison(0.9, 0.9, -0.1, 0.1)])
    assert "no winner" in headline_of([comparison(float("nan"), 0.9, float("nan"), float("nan"))])


def test_headline_says_where_nothing_carries_information():
    nothing = headline_of([comparison(0.1, 0.05, -0.1, 0.2, informative=(), spectra=())])
    assert nothing == (
        "At epoch 0 nothing carries information about the outcome: no method's interval lies above 0."
    )
    blind = headline_of([comparison(0.3, 0.5, -0.3, -0.1, informative=["weight statistics"], spectra=())])
    assert "a baseline wins" in blind
    assert "Nothing learnt from the spectra alone carries information" in blind


def test_identical_spectra_carry_no_information(tmp_path):
    """24 networks with one spectrum: hyperparameters may tell them apart, nothing read off the spectra does."""
    folder = configure(write_synthetic_experiment(tmp_path / "x", networks=24), "epochs = [0]\n")

    def alike(frame):
        same = [None if s is None else np.linspace(0, -3, 16) for s in frame["spectrum"]]
        return frame.assign(
            spectrum=same,
            spectrum_se=same,
            spectrum_std=same,
            trusted_count=16,
            architecture="rnn",
            hidden_size=16,
        )

    rewrite(folder, alike)
    report = evaluate(folder, progress=False)
    assert report.comparisons[0]["informative_spectra"] == []
    assert "othing learnt from the spectra alone carries information" in report.headline or (
        "nothing carries information" in report.headline
    )


def test_the_group_that_cannot_be_told_apart_is_marked(predicted):
    _, report = predicted
    for c in report.comparisons:
        rows = report.rows_at(c["epoch"])
        best = max(rows, key=lambda r: r["spearman"])["method"]
        assert c["not_told_apart"][0] == best
        frame = pd.read_parquet(predicted[0].predictions)
        frame = frame[frame["epoch"] == c["epoch"]].pivot(
            index="network_id", columns="method", values="predicted"
        )
        actual = load_dataset(predicted[0]).networks["target"].reindex(frame.index).to_numpy()
        for r in rows:
            pair = frame[best].to_numpy(), frame[r["method"]].to_numpy()
            low, _ = difference_interval(actual, *pair, 200, 0.95, 0)
            assert (low <= 0 or r["method"] == best) == (r["method"] in c["not_told_apart"]), r["method"]


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
    assert "ranks no network" in render_page(blank)
    assert "–" in str(blank)
    assert json.dumps(blank.to_json(), allow_nan=False)


# ---- bad input


def refused(folder, error, match):
    before = written(folder)
    with pytest.raises(error, match=match) as caught:
        evaluate(folder, progress=False)
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
