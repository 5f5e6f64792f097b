"""Stopping bad runs: the rule, one's own loop, Optuna, and collections. Ray Tune is in test_integrations_ray.py."""

import json

import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from torch import nn

from aelle.collection.collect import collect
from aelle.config import dump_experiment, parse_experiment
from aelle.embedding.dataset import load_dataset
from aelle.integrations.collection import RecordsPruner
from aelle.integrations.optuna import REASON, SpectrumPruner, report
from aelle.integrations.rule import IntegrationError, PruningRule
from aelle.integrations.watch import SpectrumWatch
from aelle.prediction.predictor import Predictor, PredictorError
from aelle.records import ExperimentFolder, read_records
from aelle.spectra import lyapunov_spectrum, readout_growth
from tests.faulty import has_recorded
from tests.small_collection import comparable, experiment
from tests.stand_ins import ByLeadingExponent, lstm_and_inputs
from tests.synthetic import SMALL_AUTOENCODER, write_synthetic_experiment


def prediction(predicted, epoch=1, width=0.1):
    return {
        "epoch": epoch, "predicted": predicted, "lower": predicted - width, "upper": predicted + width,
        "percentile": 50.0, "why": "",
    }  # fmt: skip


# --- the rule ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("predicted, stops", [(0.3, True), (0.39, True), (0.41, False), (0.9, False)])
def test_only_an_interval_wholly_below_the_quantile_stops(predicted, stops):
    verdict = PruningRule(quantile=0.5).judge(prediction(predicted), ByLeadingExponent())
    assert verdict.stop is stops
    assert f"[{predicted - 0.1:.4g}, {predicted + 0.1:.4g}]" in verdict.reason


def test_by_the_prediction_itself_more_is_stopped():
    rule = PruningRule(quantile=0.5, by="predicted")
    verdict = rule.judge(prediction(0.45), ByLeadingExponent())
    assert verdict.stop
    assert "[0.35, 0.55] is below 0.5, the 0.5 quantile" in verdict.reason
    assert not rule.judge(prediction(0.51), ByLeadingExponent()).stop


def test_where_nothing_can_be_predicted_nothing_is_stopped():
    unknown = prediction(float("nan")) | {"why": "no spectrum at epoch 0"}
    verdict = PruningRule(quantile=1.0).judge(unknown, ByLeadingExponent())
    assert not verdict.stop
    assert verdict.predicted is None
    assert "nothing can be predicted (no spectrum at epoch 0)" in verdict.reason


@pytest.mark.parametrize("predicted, stops", [(0.7, True), (0.61, True), (0.59, False), (0.1, False)])
def test_where_lower_is_better_the_lower_end_counts(predicted, stops):
    predictor = ByLeadingExponent(higher_is_better=False)
    verdict = PruningRule(quantile=0.5).judge(prediction(predicted), predictor)
    assert verdict.stop is stops
    assert not stops or "stays above 0.5, the 0.5 quantile" in verdict.reason


def test_the_best_so_far_is_a_bar_only_where_asked_for():
    rule = PruningRule(quantile=None, beat_best=True)
    predictor = ByLeadingExponent()
    assert rule.judge(prediction(0.5), predictor, best=0.7).stop
    assert "below 0.7, the best so far" in rule.judge(prediction(0.5), predictor, best=0.7).reason
    assert not rule.judge(prediction(0.5), predictor, best=0.55).stop
    assert not rule.judge(prediction(0.5), predictor, best=None).stop
    assert not PruningRule(quantile=0.1).judge(prediction(0.5), predictor, best=0.99).stop


def test_nothing_stops_before_the_first_epoch():
    rule = PruningRule(quantile=0.9, first_epoch=1)
    assert not rule.judge(prediction(0.1, epoch=0), ByLeadingExponent()).stop
    assert rule.judge(prediction(0.1, epoch=1), ByLeadingExponent()).stop


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"quantile": 1.5}, "quantile must lie between 0 and 1"),
        ({"quantile": None}, "would never stop anything"),
        ({"first_epoch": -1}, "first_epoch must not be negative"),
        ({"by": "guess"}, 'by must be "interval" or "predicted"'),
    ],
)
def test_a_rule_that_cannot_be_is_refused(settings, message):
    with pytest.raises(IntegrationError, match=message):
        PruningRule(**settings)


# --- one's own loop ----------------------------------------------------------------------------------


def test_a_watch_predicts_from_the_spectrum_of_the_weights_as_they_are():
    lstm, inputs = lstm_and_inputs()
    before = {name: p.clone() for name, p in lstm.named_parameters()}
    watch = SpectrumWatch(lstm, inputs, ByLeadingExponent())
    for epoch in (0, 1):
        verdict = watch(epoch, val_metric=0.2)
        leading = float(lyapunov_spectrum(lstm, inputs).exponents[0])
        assert verdict.predicted == pytest.approx(0.8 + leading, abs=1e-6)  # records hold float32
        assert verdict.upper - verdict.lower == pytest.approx(0.2)
        if epoch == 0:
            for name, parameter in lstm.named_parameters():
                torch.testing.assert_close(parameter, before[name], rtol=0, atol=0)
                parameter.data.mul_(3)
    assert list(watch.rows["epoch"]) == [0, 1]
    assert [len(s) for s in watch.rows["spectrum"]] == [16, 16]
    assert watch.rows["layer_sizes"].tolist() == [[16], [16]]
    assert watch.rows["architecture"].tolist() == ["lstm", "lstm"]
    assert watch.spectra[0].exponents[0] != watch.spectra[1].exponents[0]


def test_a_contracting_network_is_stopped_and_a_lively_one_goes_on():
    dull, inputs = lstm_and_inputs(gain=0.05)
    verdict = SpectrumWatch(dull, inputs, ByLeadingExponent(), rule=PruningRule(0.5))(0)
    assert verdict.stop
    assert verdict.reason.startswith("stopped at epoch 0: final accuracy predicted at")
    assert "90% interval [" in verdict.reason
    lively, inputs = lstm_and_inputs(gain=12)
    assert not SpectrumWatch(lively, inputs, ByLeadingExponent(), rule=PruningRule(0.5))(0).stop


def test_the_hidden_state_convention_is_the_predictors():
    lstm, inputs = lstm_and_inputs()
    watch = SpectrumWatch(lstm, inputs, ByLeadingExponent(spectrum_state="hidden"))
    watch(0)
    assert len(watch.rows["spectrum"][0]) == 8
    expected = lyapunov_spectrum(lstm, inputs, state="hidden").exponents
    torch.testing.assert_close(watch.spectra[0].exponents, expected)


def test_readout_growth_is_taken_where_readout_and_sequences_are_given():
    lstm, inputs, readout = nn.LSTM(3, 5, batch_first=True), torch.randn(2, 40, 3), nn.Linear(5, 2)
    sequences = torch.randn(3, 12, 3)
    watch = SpectrumWatch(lstm, inputs, ByLeadingExponent(), readout=readout, sequences=sequences)
    watch(0)
    expected = readout_growth(lstm, sequences, readout).numpy()
    np.testing.assert_allclose(watch.rows["readout_growth"][0], expected, rtol=1e-6)
    plain = SpectrumWatch(lstm, inputs, ByLeadingExponent())
    plain(0)
    assert "readout_growth" not in plain.rows
    with pytest.raises(IntegrationError, match="pass readout="):
        SpectrumWatch(lstm, inputs, ByLeadingExponent(), sequences=sequences)
    with pytest.raises(IntegrationError, match="pass sequences"):
        SpectrumWatch(lstm, inputs, ByLeadingExponent(), readout=readout)
    with pytest.raises(ValueError, match="takes 6 numbers"):
        SpectrumWatch(lstm, inputs, ByLeadingExponent(), readout=nn.Linear(6, 2), sequences=sequences)


def test_other_epochs_cost_no_spectrum_and_stop_nothing():
    lstm, inputs = lstm_and_inputs(gain=0.05)
    watch = SpectrumWatch(lstm, inputs, ByLeadingExponent(), rule=PruningRule(0.9, first_epoch=1))
    assert not watch(0).stop
    verdict = watch(2)
    assert not verdict.stop
    assert verdict.predicted is None
    assert "knows the epochs 0, 1, 3 alone" in verdict.reason
    assert list(watch.spectra) == [0]
    assert watch(3).stop


def test_diverged_weights_stop_the_network():
    lstm, inputs = lstm_and_inputs()
    watch = SpectrumWatch(lstm, inputs, ByLeadingExponent())
    watch(0)
    lstm.weight_hh_l0.data[0, 0] = float("nan")
    verdict = watch(1)
    assert verdict.stop
    assert "NaN or infinite" in verdict.reason


def test_a_state_that_grows_without_bound_stops_the_network():
    torch.manual_seed(0)
    rnn = nn.RNN(3, 8, nonlinearity="relu", batch_first=True)
    rnn.weight_hh_l0.data = 1e30 * torch.eye(8)
    verdict = SpectrumWatch(rnn, torch.randn(4, 60, 3).abs(), ByLeadingExponent())(0)
    assert verdict.stop
    assert "grows without bound" in verdict.reason


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"task": "digits"}, "fitted with the task 'latch' and cannot be used with 'digits'"),
        ({"metric_name": "loss"}, "fitted with the metric 'accuracy' and cannot be used with 'loss'"),
        ({"hyperparameters": {"lr": 0.1}}, "unknown hyperparameter 'lr'; known: init_scale"),
    ],
)
def test_a_watch_that_does_not_fit_is_refused(settings, message):
    lstm, inputs = lstm_and_inputs()
    with pytest.raises(ValueError, match=message):
        SpectrumWatch(lstm, inputs, ByLeadingExponent(), **settings)


def test_models_and_inputs_of_the_wrong_kind_are_refused_before_training():
    lstm, inputs = lstm_and_inputs()
    with pytest.raises(TypeError, match="got Linear"):
        SpectrumWatch(nn.Linear(3, 3), inputs, ByLeadingExponent())
    with pytest.raises(ValueError, match="inputs have 2 features a step, but the network takes 3"):
        SpectrumWatch(lstm, inputs[..., :2], ByLeadingExponent())
    with pytest.raises(ValueError, match="bidirectional"):
        SpectrumWatch(nn.LSTM(3, 8, bidirectional=True, batch_first=True), inputs, ByLeadingExponent())
    with pytest.raises(ValueError, match="must have shape"):
        SpectrumWatch(nn.LSTMCell(3, 8), inputs[0], ByLeadingExponent())


def test_epochs_must_rise():
    lstm, inputs = lstm_and_inputs()
    watch = SpectrumWatch(lstm, inputs, ByLeadingExponent())
    watch(0)
    with pytest.raises(IntegrationError, match="epoch 0 comes after epoch 0"):
        watch(0)


# --- Optuna ------------------------------------------------------------------------------------------


def run_study(pruner, gains, epochs=3, direction="maximize"):
    """Each trial's network gets the next gain; training does nothing, so that outcomes can be followed by hand."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction=direction, pruner=pruner)

    def objective(trial):
        lstm, inputs = lstm_and_inputs(gain=gains[trial.number])
        watch = SpectrumWatch(lstm, inputs, ByLeadingExponent())
        for epoch in range(epochs + 1):
            verdict = watch(epoch)
            report(trial, verdict)
            trial.report(0.1 * epoch, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned()
        return 0.8 + float(watch.spectra[0].exponents[0])

    study.optimize(objective, n_trials=len(gains))
    return study


def test_the_optuna_pruner_prunes_the_dull_network_alone_and_says_why():
    study = run_study(SpectrumPruner(ByLeadingExponent(), quantile=0.5), gains=(0.05, 12))
    dull, lively = study.trials
    assert (dull.state.name, lively.state.name) == ("PRUNED", "COMPLETE")
    assert dull.last_step == 0
    assert "90% interval [" in dull.user_attrs[REASON]
    assert "the 0.5 quantile" in dull.user_attrs[REASON]
    assert REASON not in lively.user_attrs


def test_the_optuna_pruner_knows_the_best_complete_trial():
    leading = [float(lyapunov_spectrum(*lstm_and_inputs(gain=g)).exponents[0]) for g in (1, 9)]
    assert leading[1] - leading[0] > 0.1  # more than half an interval apart, else nothing can be told
    pruner = SpectrumPruner(ByLeadingExponent(), quantile=None, beat_best=True)
    study = run_study(pruner, gains=(1, 9, 1))
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "COMPLETE", "PRUNED"]
    assert f"{study.best_value:.4g}, the best so far" in study.trials[2].user_attrs[REASON]


def test_what_the_spectrum_lets_pass_a_wrapped_pruner_may_prune():
    wrapped = optuna.pruners.ThresholdPruner(lower=0.25, n_warmup_steps=2)
    pruner = SpectrumPruner(ByLeadingExponent(), by="predicted", wrapped_pruner=wrapped)
    dull, lively = run_study(pruner, gains=(0.05, 12)).trials  # both report 0.1 × epoch
    assert (dull.last_step, lively.last_step) == (0, 2)
    assert REASON in dull.user_attrs
    assert REASON not in lively.user_attrs


def test_the_optuna_pruner_leaves_trials_without_a_prediction_alone():
    study = optuna.create_study(direction="maximize", pruner=SpectrumPruner(ByLeadingExponent()))
    trial = study.ask()
    trial.report(0.0, 1)
    assert not trial.should_prune()


def test_the_optuna_pruner_stops_a_diverged_network():
    study = optuna.create_study(direction="maximize", pruner=SpectrumPruner(ByLeadingExponent()))
    lstm, inputs = lstm_and_inputs(gain=12)
    watch = SpectrumWatch(lstm, inputs, ByLeadingExponent())
    lstm.weight_hh_l0.data[0, 0] = float("inf")
    trial = study.ask()
    report(trial, watch(0))
    assert trial.should_prune()
    assert "NaN or infinite" in study.trials[0].user_attrs[REASON]


def test_a_study_of_the_other_direction_is_refused():
    with pytest.raises(IntegrationError, match="'maximize' and cannot be used with 'minimize'"):
        run_study(SpectrumPruner(ByLeadingExponent()), gains=(12,), direction="minimize")


# --- collections -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_collection_prunes_and_keeps_the_reasons(tmp_path):
    settings = experiment(networks={"per_combination": 6})
    free = collect(settings, tmp_path / "free", progress=False)
    pruner = RecordsPruner(ByLeadingExponent(epochs=(0, 2)))
    pruned = collect(settings, tmp_path / "x", progress=False, on_epoch=pruner)
    assert free.statuses == {"ok": free.networks}
    records, unpruned = read_records(tmp_path / "x"), read_records(tmp_path / "free")
    reasons = [json.loads(line) for line in ExperimentFolder(tmp_path / "x").pruned.read_text().splitlines()]
    assert 0 < len(reasons) == pruned.statuses["pruned"] < pruned.networks
    # The same rule by hand, on the records of the collection that nothing was pruned in.
    expected = {}
    for network, rows in unpruned[unpruned["spectrum"].notna()].groupby("network_id"):
        low = [e for e, s in zip(rows["epoch"], rows["spectrum"], strict=True) if 0.8 + s[0] + 0.1 < 0.5]
        if low:
            expected[network] = low[0]
    assert {r["network_id"]: r["epoch"] for r in reasons} == expected
    last = records.groupby("network_id").last()
    assert set(last.index[last["status"] == "pruned"]) == set(expected)
    assert all("90% interval [" in r["reason"] for r in reasons)


class ByChange(ByLeadingExponent):
    """Judges by how much the leading exponent has moved since epoch 0, which a resumed run has to remember."""

    def predict(self, rows, epoch, *, explain=True):
        found = super().predict(rows, epoch)
        first = super().predict(rows.assign(epoch=rows["epoch"].replace(0, -1)), -1)
        moved = 0.5 + 5 * (found["predicted"] - first["predicted"])
        return found.assign(predicted=moved, lower=moved - 0.1, upper=moved + 0.1)


class StopsOnce(RecordsPruner):
    """A pruner in whose hands the first run breaks off at epoch 2, once each cohort has got there."""

    def __init__(self, predictor, marker):
        super().__init__(predictor)
        self.marker = marker

    def __call__(self, rows):
        if rows[0]["epoch"] == 2 and not self.marker.exists():
            raise ZeroDivisionError("broken off")
        return super().__call__(rows)


@pytest.mark.slow
def test_a_resumed_collection_prunes_what_an_uninterrupted_one_does(tmp_path):
    settings = experiment(networks={"per_combination": 6}, training={"workers": 1})
    predictor = ByChange(epochs=(0, 2))
    whole = collect(settings, tmp_path / "whole", progress=False, on_epoch=RecordsPruner(predictor))
    assert 0 < whole.statuses["pruned"] < whole.networks
    broken = StopsOnce(predictor, tmp_path / "resumed")
    with pytest.raises(ZeroDivisionError):
        collect(settings, tmp_path / "x", progress=False, on_epoch=broken)
    assert has_recorded(tmp_path / "x", 1)
    (tmp_path / "resumed").touch()
    collect(settings, tmp_path / "x", progress=False, on_epoch=broken)
    pd.testing.assert_frame_equal(
        comparable(tmp_path / "x"), comparable(tmp_path / "whole"), check_exact=True
    )


def test_a_pruner_on_resume_knows_the_earlier_epochs():
    pruner = RecordsPruner(ByLeadingExponent())
    row = {"network_id": "a", "cohort": "c", "epoch": 0, "status": "ok", "spectrum": [0.5, 0.1]}
    assert pruner([row]) == {}
    seen = []
    pruner.predictor.predict = lambda rows, epoch, **_: (
        seen.append(rows) or ByLeadingExponent().predict(rows, epoch)
    )
    pruner([row | {"epoch": 1, "spectrum": [0.4, 0.1]}])
    assert seen[0]["epoch"].tolist() == [0, 1]
    pruner([row | {"epoch": 0, "cohort": "d", "network_id": "b"}])
    assert seen[1]["network_id"].tolist() == ["b"]


@pytest.mark.parametrize(
    "asked, message",
    [
        ({"task": "digits"}, "the task 'latch' and cannot be used with 'digits'"),
        ({"spectrum_state": "hidden"}, "the state convention of the spectrum 'full'"),
        ({"epochs": [5, 7]}, "knows the epochs 0, 1, 3, but spectra are taken at 5, 7"),
    ],
)
def test_a_predictor_that_does_not_fit_the_experiment_is_refused(asked, message):
    fits = {"task": "latch", "spectrum_state": "full", "epochs": [0, 1]}
    RecordsPruner(ByLeadingExponent()).require_fit(**fits)
    with pytest.raises(IntegrationError, match=message):
        RecordsPruner(ByLeadingExponent()).require_fit(**fits | asked)


# --- with a saved predictor ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A predictor fitted on synthetic records of the task digits: outcomes peak at an initial gain of 3."""
    root = tmp_path_factory.mktemp("saved") / "x"
    folder = write_synthetic_experiment(root, networks=60, autoencoder=SMALL_AUTOENCODER)
    Predictor.fit(load_dataset(folder)).save(folder.root / "predictor")
    return folder.root / "predictor"


def test_a_saved_predictor_watches_a_network(saved):
    lstm, inputs = lstm_and_inputs()
    watch = SpectrumWatch(lstm, inputs, saved, task="digits", metric_name="accuracy")
    watch(0, val_metric=0.1, val_loss=2.3)
    lstm.weight_hh_l0.data.mul_(2)
    verdict = watch(1, val_metric=0.5, val_loss=0.9, train_loss=1.0)
    rows = watch.rows.assign(spectrum_inputs="validation")
    expected = Predictor.load(saved).predict(rows, 1).iloc[0]
    assert (verdict.predicted, verdict.lower, verdict.upper) == tuple(
        expected[["predicted", "lower", "upper"]].astype(float)
    )
    assert expected["used"] == "spectrum, architecture and size, validation curve, losses"
    assert verdict.lower <= verdict.predicted <= verdict.upper
    assert verdict.why.startswith(expected["why"])
    assert f"interval [{verdict.lower:.4g}, {verdict.upper:.4g}]" in verdict.reason


def test_a_saved_predictor_that_misses_the_first_spectrum_warns(saved):
    lstm, inputs = lstm_and_inputs()
    watch = SpectrumWatch(lstm, inputs, saved)
    with pytest.warns(UserWarning, match="no spectrum at epoch 0, from which the predictor counts change"):
        assert not watch(1).stop


def test_a_folder_without_a_predictor_is_one_line(tmp_path):
    lstm, inputs = lstm_and_inputs()
    with pytest.raises(PredictorError, match=r"predictor\.json: no such file; save a predictor with"):
        SpectrumWatch(lstm, inputs, tmp_path)
    with pytest.raises(PredictorError, match="no such file"):
        SpectrumPruner(tmp_path)


def digits_toml(folder, **changes):
    networks = {"architecture": ["rnn"], "hidden_size": [6], "per_combination": 4, "init_gain": [0.3, 12.0]}
    content = {"task": {"name": "digits"}, "training": {"epochs": 2, "workers": 2}, "networks": networks}
    content["spectrum"] = {"epochs": [0, 1], "sequences": 4, "steps": 40, "warmup": 30}
    settings = parse_experiment({"name": "pruned", **content} | changes)
    file = folder / "pruned.toml"
    file.write_text(dump_experiment(settings))
    return file


def test_the_command_line_prunes_by_a_saved_predictor(aelle, saved, tmp_path):
    file, root = digits_toml(tmp_path), tmp_path / "x"
    asked = ("--prune", saved, "--prune-quantile", "0.25", "--prune-by", "predicted")
    code, output, errors = aelle("collect", file, "--output", root, "--quiet", *asked)
    assert code == 0, errors
    reasons = [json.loads(line) for line in ExperimentFolder(root).pruned.read_text().splitlines()]
    assert 0 < len(reasons) < 8
    assert f"{len(reasons)} pruned" in output
    last = read_records(root).groupby("network_id").last()
    assert set(last.index[last["status"] == "pruned"]) == {reason["network_id"] for reason in reasons}
    # What the records say afterwards is what the collection was told.
    predictor, records = Predictor.load(saved), read_records(root).assign(status="ok")
    expected = {}
    for epoch in (1, 0):  # a network pruned at epoch 0 has no later one
        found = predictor.predict(records, epoch, explain=False).set_index("network_id")["predicted"]
        expected |= dict.fromkeys(found.index[found < predictor.quantile(0.25)], epoch)
    assert {reason["network_id"]: reason["epoch"] for reason in reasons} == expected


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"task": {"name": "latch"}}, "fitted with the task 'digits' and cannot be used with 'latch'"),
        ({"spectrum": {"state": "hidden"}}, "state convention of the spectrum 'full'"),
        ({"spectrum": {"epochs": [2]}}, "knows the epochs 0, 1, 3, but spectra are taken at 2"),
    ],
)
def test_the_command_line_refuses_a_predictor_that_does_not_fit(
    aelle,
    saved,
    tmp_path,
    changes,
    message,
):
    file = digits_toml(tmp_path, **changes)
    code, _, errors = aelle("collect", file, "--output", tmp_path / "x", "--prune", saved)
    assert (code, len(errors.splitlines())) == (2, 1), errors
    assert message in errors
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_watch_works_in_every_mode_and_takes_metrics_that_are_tensors(mode):
    lstm, inputs = lstm_and_inputs()
    plain, watch = (
        SpectrumWatch(lstm, inputs, ByLeadingExponent()),
        SpectrumWatch(lstm, inputs, ByLeadingExponent()),
    )
    for epoch in (0, 1):
        expected = plain(epoch, val_metric=0.25, val_loss=0.5, best=0.5)
        with mode():
            found = watch(
                epoch, val_metric=torch.tensor(0.25), val_loss=torch.tensor(0.5), best=torch.tensor(0.5)
            )
        assert found == expected
    assert watch.rows["val_metric"].tolist() == [0.25, 0.25]
    assert watch.rows["val_metric"].dtype == float


@pytest.mark.parametrize(
    "foreign", [1.0, "a spectrum", [0.1, -0.2], {}, {"predicted": 1.0}, {"predicted": None}]
)
def test_what_others_leave_by_the_name_of_a_prediction_is_none(foreign):
    from aelle.integrations.rule import Verdict, as_prediction

    assert as_prediction(foreign) is None
    left = Verdict(True, 0, "because").as_dict()
    assert as_prediction(left) == left
