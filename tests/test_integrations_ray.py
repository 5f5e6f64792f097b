"""The Ray Tune stopper, alone and in a real Tune run."""

import logging

import pytest

from aelle.integrations.rule import IntegrationError
from aelle.integrations.watch import SpectrumWatch
from tests.stand_ins import ByLeadingExponent, lstm_and_inputs

ray = pytest.importorskip("ray", reason="needs the ray extra")
pytest.importorskip("ray.tune", reason="needs Ray Tune")
from aelle.integrations.ray import SpectrumStopper  # noqa: E402


def result(gain, epoch=0, accuracy=0.2):
    lstm, inputs = lstm_and_inputs(gain=gain)
    verdict = SpectrumWatch(lstm, inputs, ByLeadingExponent())(epoch)
    return {"accuracy": accuracy, "spectrum": verdict.as_dict()}


def test_the_stopper_stops_the_dull_network_alone_and_says_why():
    stopper = SpectrumStopper(ByLeadingExponent(), quantile=0.5)
    assert stopper("dull", result(0.05))
    assert not stopper("lively", result(12))
    assert not stopper("silent", {"accuracy": 0.0})
    assert not stopper.stop_all()
    assert list(stopper.stopped) == ["dull"]
    assert "90% interval [" in stopper.stopped["dull"].reason


def test_the_best_reported_metric_is_a_bar():
    stopper = SpectrumStopper(ByLeadingExponent(), metric="accuracy", quantile=None, beat_best=True)
    assert not stopper("a", result(0.05, accuracy=0.2))
    assert not stopper("b", result(12, accuracy=0.99))
    assert stopper("a", result(0.05, accuracy=0.3))
    assert "below 0.99, the best so far" in stopper.stopped["a"].reason


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"mode": "min"}, "'maximize' and cannot be used with 'minimize'"),
        ({"mode": "best"}, 'mode must be "max" or "min"'),
        ({"beat_best": True}, "beat_best needs the name of the reported metric"),
        ({"quantile": 2}, "quantile must lie between 0 and 1"),
    ],
)
def test_a_stopper_that_cannot_be_is_refused(settings, message):
    with pytest.raises(IntegrationError, match=message):
        SpectrumStopper(ByLeadingExponent(), **settings)


def test_a_metric_that_no_trial_reports_is_named():
    stopper = SpectrumStopper(ByLeadingExponent(), metric="acc", beat_best=True)
    with pytest.raises(IntegrationError, match="do not report 'acc'; they report accuracy, spectrum"):
        stopper("a", result(12))


def _trainable(config):
    from ray import tune

    lstm, inputs = lstm_and_inputs(gain=config["gain"])
    watch = SpectrumWatch(lstm, inputs, ByLeadingExponent())
    for epoch in range(4):
        tune.report({"accuracy": 0.1 * epoch, "epoch": epoch, "spectrum": watch(epoch).as_dict()})


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_in_a_tune_run_the_dull_network_ends_at_once(tmp_path):
    from ray import tune

    ray.init(
        address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
    )
    try:
        tuner = tune.Tuner(
            _trainable,
            param_space={"gain": tune.grid_search([0.05, 12])},
            run_config=tune.RunConfig(
                stop=SpectrumStopper(ByLeadingExponent()), storage_path=str(tmp_path), verbose=0
            ),
        )
        results = {found.config["gain"]: found.metrics["epoch"] for found in tuner.fit()}
    finally:
        ray.shutdown()
    assert results == {0.05: 0, 12: 3}
