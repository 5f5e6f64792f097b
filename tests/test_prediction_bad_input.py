"""Sets that would give a number that means nothing: refused or warned of, in one line."""

import numpy as np
import pytest

from aelle.embedding.dataset import EmbeddingError, load_dataset
from aelle.prediction.checks import require_varied, warnings_of
from aelle.prediction.errors import PredictionError, PredictorError
from aelle.prediction.evaluate import evaluate
from aelle.prediction.predictor import Predictor
from tests.prediction_folder import configure
from tests.synthetic import rewrite, write_synthetic_experiment, written


@pytest.fixture
def folder(tmp_path):
    return configure(write_synthetic_experiment(tmp_path / "x"), "epochs = [0]\n")


def refused(folder, error, match):
    """Both the report and the predictor refuse, in one line, and write nothing."""
    before = written(folder)
    for attempt in (lambda: evaluate(folder, progress=False), lambda: Predictor.fit(load_dataset(folder))):
        with pytest.raises(error, match=match) as caught:
            attempt()
        assert "\n" not in str(caught.value)
    assert written(folder) == before


def test_fewer_than_twenty_networks(tmp_path):
    folder = configure(write_synthetic_experiment(tmp_path / "x", networks=19))
    refused(folder, EmbeddingError, "at least 20 networks .* got 19")


def final_values(frame, values):
    last = (frame["epoch"] == 6).to_numpy()
    frame.loc[last, "val_metric"] = frame.loc[last, "network_id"].map(lambda i: values(int(i, 16)))
    return frame


def test_constant_target(folder):
    rewrite(folder, lambda frame: final_values(frame, lambda i: 0.5))
    refused(folder, EmbeddingError, "same accuracy .0.5.")


def test_one_class_of_outcome(folder):
    rewrite(folder, lambda frame: final_values(frame, lambda i: 0.1 if i > 2 else 0.9))
    refused(
        folder, PredictionError, "57 of 60 networks end with the same accuracy .0.1.*one class of outcome"
    )


def test_all_diverged(folder):
    rewrite(folder, lambda frame: frame.assign(status="diverged"))
    refused(folder, EmbeddingError, "all 60 networks diverged")


def test_mostly_one_outcome_is_warned_of(folder):
    rewrite(folder, lambda frame: final_values(frame, lambda i: 0.1 if i > 9 else 0.5 + i / 100))
    dataset = require_varied(load_dataset(folder))
    assert "correlations rest on the other" in warnings_of(dataset)[0]


@pytest.mark.slow
def test_mostly_diverged_is_warned_of_in_the_report(folder):
    def change(frame):
        lost = frame["network_id"].map(lambda i: int(i, 16) > 25) & (frame["epoch"] > 4)
        frame.loc[lost, "status"] = "diverged"
        return frame

    rewrite(folder, change)
    report = evaluate(folder, progress=False)
    assert "networks diverged and count alike as the worst" in report.warnings[0]
    assert report.warnings[0] in str(report)
    assert report.warnings[0] in folder.report.with_suffix(".html").read_text()
    assert not predictions_without_interval(folder)


def predictions_without_interval(folder):
    import pandas as pd

    frame = pd.read_parquet(folder.predictions)
    return frame.loc[frame["lower"].isna(), "method"].unique().tolist()


def test_state_conventions_mixed_openly(folder):
    def change(frame):
        half = frame["network_id"].map(lambda i: int(i, 16) % 2 == 0) & frame["spectrum"].notna()
        frame.loc[half, "spectrum_state"] = "hidden"
        return frame

    rewrite(folder, change)
    refused(folder, EmbeddingError, "several state conventions of the spectrum .full, hidden.")


def test_state_conventions_mixed_under_one_name(folder):
    def change(frame):
        half = frame["network_id"].map(lambda i: int(i, 16) % 2 == 0) & (frame["architecture"] == "lstm")
        frame["spectrum"] = [
            s[: len(s) // 2] if cut and s is not None else s
            for cut, s in zip(half, frame["spectrum"], strict=True)
        ]
        return frame

    rewrite(folder, change)
    refused(
        folder, PredictionError, "lstm hold 1 and 2 exponents a hidden unit.*full and of the hidden state"
    )


def test_spectra_of_another_declared_unit(folder):
    dataset = load_dataset(folder)
    bits = dataset.records.assign(spectrum_unit=np.where(np.arange(len(dataset.records)) % 2, "bits", None))
    with pytest.raises(PredictionError, match="spectra in bits; convert them to nats per step"):
        require_varied(type(dataset)(**{**dataset.__dict__, "records": bits}))


def test_spectra_of_another_scale_are_warned_of(folder):
    assert warnings_of(load_dataset(folder)) == []

    def change(frame):
        return frame.assign(
            spectrum=[
                s * 60 if cohort == "cohort0001" and s is not None else s
                for s, cohort in zip(frame["spectrum"], frame["cohort"], strict=True)
            ]
        )

    rewrite(folder, change)
    (warning,) = warnings_of(load_dataset(folder))
    assert "cohort0001" in warning
    assert "nats per step?" in warning


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    folder = configure(
        write_synthetic_experiment(tmp_path_factory.mktemp("fitted") / "x"), "epochs = [0, 1]\n"
    )
    return Predictor.fit(load_dataset(folder))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"task": "latch"}, "fitted on task 'digits', the records have 'latch'"),
        ({"metric_name": "mse"}, "fitted on metric 'accuracy', the records have 'mse'"),
        ({"higher_is_better": False}, "direction higher_is_better True, the records have False"),
        ({"spectrum_state": "hidden"}, "state convention 'full', the records have 'hidden'"),
        ({"spectrum_inputs": "noise"}, "driving inputs 'validation', the records have 'noise'"),
        ({"spectrum_unit": "bits"}, "spectra in bits; convert them to nats per step first"),
    ],
)
def test_a_predictor_on_records_of_another_kind(predictor, folder, change, message):
    rows = load_dataset(folder).records.assign(**change)
    with pytest.raises(PredictionError, match=message):
        predictor.predict(rows, 0)


def test_an_epoch_it_was_not_fitted_for(predictor, folder):
    with pytest.raises(PredictorError, match="fitted for the epochs 0, 1, not for epoch 3"):
        predictor.predict(load_dataset(folder).records, 3)


def test_spectra_unlike_any_it_has_seen_are_warned_of(predictor, folder):
    rows = load_dataset(folder).records
    rows["spectrum"] = [None if s is None else s - 40 for s in rows["spectrum"]]
    warned = predictor.predict(rows, 0, explain=False)["warning"]
    assert warned.str.contains("its spectrum lies outside all that were learnt from").all()
    rows["architecture"] = "lem"
    frame = predictor.predict(rows, 0, explain=False)
    assert frame["warning"].str.contains("architecture lem was not among").all()
    assert not frame["used"].str.contains("architecture").any()
