"""Collections of economy looks: what is recorded, learnt from, shown, and refused where spectra are asked for."""

import dataclasses

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import aelle
from aelle.cli.entry import cli
from aelle.collection.check import faults
from aelle.collection.collect import collect
from aelle.collection.search_space import variants
from aelle.collection.training import build_network
from aelle.config import ConfigError, dump_experiment, parse_experiment
from aelle.embedding.channels import Measured, resample_channels
from aelle.embedding.dataset import EmbeddingError, load_dataset, spectrum_rows
from aelle.embedding.fit import train
from aelle.explorer import figures
from aelle.explorer.data import load
from aelle.explorer.standalone import page_data
from aelle.explorer.summary import experiment_facts
from aelle.integrations.collection import RecordsPruner
from aelle.integrations.rule import IntegrationError, PruningRule
from aelle.prediction.evaluate import evaluate
from aelle.prediction.predictor import Predictor, PredictorError
from aelle.records import ExperimentFolder, read_records
from aelle.tasks.registry import make_task
from tests.small_collection import comparable, experiment, in_this_process

LATCH = {"name": "latch", "options": {"delay": 5, "train": 512, "validation": 64}}
LOOK = {"look": "economy", "epochs": [0, 1], "sequences": 3}


def looks(**sections):
    networks = {
        "architecture": ["rnn", "gru", "lstm"],
        "hidden_size": [6, 10],
        "per_combination": 5,
        "init_gain": {"uniform": [0.3, 5.0]},
        "learning_rate": {"log_uniform": [0.001, 0.05]},
    }
    content = {
        "name": "looks",
        "task": LATCH,
        "networks": networks,
        "training": {"epochs": 3, "batch_size": 64, "workers": 2},
        "spectrum": LOOK,
        "autoencoder": {"epochs": 10, "forest_trees": 4},
        "prediction": {"ensemble": 2, "folds": 3, "bootstrap": 50},
    }
    return parse_experiment({**content, **sections})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = ExperimentFolder(tmp_path_factory.mktemp("looks") / "x")
    collect(looks(), folder, progress=False)
    train(folder, progress=False)
    report = evaluate(folder, save=True, progress=False)
    assert "economy looks" in str(report)
    assert {"AeLLE", "raw spectrum", "λ₁ and mean λ"} <= {row["method"] for row in report.rows}
    return folder


@pytest.fixture(scope="module")
def of_spectra(tmp_path_factory):
    folder = ExperimentFolder(tmp_path_factory.mktemp("spectra") / "x")
    collect(
        looks(spectrum={"epochs": [0, 1], "steps": 10, "warmup": 5, "sequences": 2}), folder, progress=False
    )
    evaluate(folder, save=True, progress=False)
    return folder


def test_the_records_hold_what_the_look_says(folder):
    records, settings = read_records(folder), looks()
    task = make_task("latch", LATCH["options"])
    inputs = task.encode(task.validation.inputs[:3]).double()
    for variant in variants(settings)[::7]:
        (row,) = records[(records.network_id == variant.network_id) & (records.epoch == 0)].to_dict("records")
        seen = aelle.look(build_network(variant, task), inputs)
        np.testing.assert_array_equal(row["leading_exponents"], seen.leading.float().numpy())
        np.testing.assert_array_equal(row["readout_growth"], seen.readout_growth.float().numpy())
        np.testing.assert_equal(row["mean_exponent"], seen.mean_exponent)
        assert np.isnan(row["mean_exponent"]) == (variant["architecture"] == "gru")
        assert row["spectrum"] is None
        assert row["spectrum_state"] == "full"
        assert 0 < row["spectrum_seconds"] < 10
        assert row["weight_statistics"]
    assert records.loc[records.epoch > 1, "leading_exponents"].isna().all()


def test_sequences_are_cut_to_the_steps_asked_for(tmp_path):
    collect(looks(spectrum=LOOK | {"steps": 3, "warmup": 1}), tmp_path / "x", progress=False)
    records = read_records(tmp_path / "x").dropna(subset=["readout_growth"])
    assert {len(growth) for growth in records.readout_growth} == {len(aelle_lags(4))}


def aelle_lags(length):
    return aelle.look(nn.LSTM(2, 3), torch.randn(length, 1, 2)).lags


@pytest.mark.parametrize(
    ("spectrum", "words"),
    [
        ({"state": "hidden"}, 'does not go with state = "hidden"'),
        ({"inputs": "noise"}, 'does not go with inputs = "noise"'),
        ({"also": ["readout", "layers"]}, r'does not go with also = \["layers"\]'),
        ({"look": "cheap"}, "spectrum.look.*'full' or 'economy'"),
    ],
)
def test_settings_that_a_look_has_not_are_refused(spectrum, words):
    with pytest.raises(ConfigError, match=words) as error:
        looks(spectrum=LOOK | spectrum)
    assert "\n" not in str(error.value)


def test_channels_that_looks_have_not_are_refused():
    with pytest.raises(ConfigError, match=r'channel "temporal_std" is of full spectra'):
        looks(autoencoder={"channels": ["spectrum", "temporal_std"]})
    with pytest.raises(ConfigError, match=r'channel "standard_error" is of full spectra'):
        looks(prediction={"views": [["spectrum"], ["standard_error"]]})


def test_the_defaults_are_those_of_full_spectra_until_looks_are_asked_for():
    content = {"name": "x", "task": {"name": "latch"}}
    assert parse_experiment(content).spectrum.look == "full"
    assert "temporal_std" in parse_experiment(content).autoencoder.channels
    asked = parse_experiment({**content, "spectrum": {"look": "economy"}})
    assert asked.autoencoder.channels == ["spectrum", "change", "readout_growth"]
    assert parse_experiment(asked.model_dump(exclude_none=True)) == asked


def test_a_resumed_collection_of_looks_equals_an_uninterrupted_one(tmp_path):
    settings = experiment(spectrum={"look": "economy", "epochs": "all"})

    class StoppedError(RuntimeError):
        pass

    def stop(rows):
        if rows[0]["epoch"] == 2:
            raise StoppedError
        return []

    with pytest.raises(StoppedError):
        collect(settings, tmp_path / "a", progress=False, on_epoch=stop, engine=in_this_process)
    collect(settings, tmp_path / "a", progress=False, engine=in_this_process)
    collect(settings, tmp_path / "b", progress=False)
    pd.testing.assert_frame_equal(comparable(tmp_path / "a"), comparable(tmp_path / "b"))
    assert not list(faults(ExperimentFolder(tmp_path / "a")))


def test_a_folder_of_spectra_takes_no_looks(of_spectra):
    with pytest.raises(ConfigError, match=r"spectrum\.look"):
        collect(looks(), of_spectra, progress=False)


def test_rate_networks_of_target_learning_are_looked_at(tmp_path):
    settings = looks(
        task={"name": "target_learning", "options": {"target": "two_sines", "period": 30}},
        networks={"architecture": ["rate", "robust_rate"], "hidden_size": 8, "per_combination": 2},
        training={"epochs": 1, "workers": 1},
    )
    collect(settings, tmp_path / "x", progress=False)
    records = read_records(tmp_path / "x")
    assert records.status.eq("ok").all()
    assert records.leading_exponents.notna().all()
    assert all(np.isfinite(g).all() for g in records.loc[records.epoch == 1, "readout_growth"])


def test_exponents_of_a_look_are_the_channel_spectrum_and_its_mean_a_summary(folder):
    rows = spectrum_rows(read_records(folder))
    measured = Measured.of(rows, ["spectrum", "mean_exponent", "change_of_readout_growth"], 8)
    first = [exponents[0] for exponents in rows.leading_exponents]
    np.testing.assert_allclose(measured.summaries[:, 0], first, rtol=1e-6)
    np.testing.assert_allclose(measured.summaries[:, 1], rows.mean_exponent)
    assert np.isnan(measured.summaries[:, 2:]).all(), "what a look does not know is not made up"
    np.testing.assert_allclose(measured.channels[:, 1], rows.mean_exponent.to_numpy()[:, None].repeat(8, 1))
    eight = rows[[len(e) == 8 for e in rows.leading_exponents]]
    np.testing.assert_allclose(
        resample_channels(eight, ["spectrum"], 8)[:, 0], np.stack(eight.leading_exponents)
    )


def test_predictors_of_looks_and_of_spectra_refuse_each_other(folder, of_spectra):
    looked, measured = (Predictor.load(f.root / "predictor") for f in (folder, of_spectra))
    assert (looked.look, measured.look) == ("economy", "full")
    assert looked.predict(read_records(folder), 1).predicted.notna().all()
    for predictor, other, words in (
        (looked, of_spectra, "fitted on economy looks, the records hold full spectra"),
        (measured, folder, "fitted on full spectra, the records hold economy looks"),
    ):
        with pytest.raises(PredictorError, match=words) as error:
            predictor.predict(read_records(other), 1)
        assert "\n" not in str(error.value)


def test_looks_and_spectra_in_one_folder_are_refused(folder, of_spectra, tmp_path):
    mixed = ExperimentFolder(tmp_path / "mixed")
    mixed.records.mkdir(parents=True)
    mixed.experiment_file.write_bytes(folder.experiment_file.read_bytes())
    for place, source in enumerate((folder, of_spectra)):  # other networks, of the same experiment
        file = sorted(source.records.glob("*.parquet"))[place]
        pq.write_table(pq.read_table(file, partitioning=None), mixed.records / file.name)
    with pytest.raises(EmbeddingError, match=r"mix full spectra and economy looks"):
        load_dataset(mixed)


def test_a_watch_takes_the_look_that_its_predictor_learnt_from(folder):
    predictor = Predictor.load(folder.root / "predictor")
    task = make_task("latch", LATCH["options"])
    network = build_network(variants(looks())[0], task)
    watch = aelle.SpectrumWatch(network, task.encode(task.validation.inputs[:3]), predictor)
    verdict = watch(0)
    assert verdict.predicted is not None
    assert 0 <= verdict.predicted <= 1
    (row,) = watch.rows.to_dict("records")
    recorded = read_records(folder)
    recorded = recorded[
        (recorded.network_id == variants(looks())[0].network_id) & (recorded.epoch == 0)
    ].iloc[0]
    np.testing.assert_array_equal(row["leading_exponents"], recorded["leading_exponents"])
    assert row["spectrum"] is None
    torch.testing.assert_close(watch.spectra[0].leading.float(), torch.tensor(recorded["leading_exponents"]))


def test_a_watch_of_looks_needs_to_know_what_reads_the_network(folder):
    predictor = Predictor.load(folder.root / "predictor")
    lstm, inputs = nn.LSTM(8, 6, batch_first=True), torch.randn(3, 6, 8)
    with pytest.raises(IntegrationError, match="pass readout="):
        aelle.SpectrumWatch(lstm, inputs, predictor)
    assert aelle.SpectrumWatch(lstm, inputs, predictor, readout=nn.Linear(6, 8))(0).predicted is not None


def test_collections_are_pruned_by_looks(folder, of_spectra, tmp_path):
    path = tmp_path / "x.toml"
    text = dump_experiment(looks()).replace('look = "economy"\n', "")
    path.write_text(text.replace('channels = ["spectrum", "change", "readout_growth"]\n', ""))
    args = ["collect", str(path), "--quiet", "--prune-quantile", "0.9", "--prune-by", "predicted", "--output"]
    prune = ["--prune", str(folder.root / "predictor")]
    result = CliRunner().invoke(cli, [*args, str(tmp_path / "a"), *prune])
    assert result.exit_code == 0, result.output
    records = read_records(tmp_path / "a")
    assert records.status.eq("pruned").any()
    assert records.leading_exponents.notna().any()
    assert records.spectrum.isna().all(), "the look is the predictor's where the experiment names none"
    again = CliRunner().invoke(cli, [*args, str(tmp_path / "a"), *prune])
    assert again.exit_code == 0, again.output
    path.write_text(text.replace("[spectrum]\n", '[spectrum]\nlook = "full"\n'))
    refused = CliRunner().invoke(cli, [*args, str(tmp_path / "b"), *prune])
    assert isinstance(refused.exception, IntegrationError)
    assert "[spectrum] look 'economy' and cannot be used with 'full'" in str(refused.exception)


def test_a_pruner_sees_growth_in_the_precision_of_records(folder):
    pruner = RecordsPruner(folder.root / "predictor", PruningRule(0.9, by="predicted"))
    rows = read_records(folder)
    rows = rows[rows.cohort == rows.cohort.iloc[0]].to_dict("records")
    first = [row for row in rows if row["epoch"] == 0]
    doubled = [
        row | {name: np.asarray(row[name], float) + 1e-12 for name in ("leading_exponents", "readout_growth")}
        for row in first
    ]
    assert pruner(first) == RecordsPruner(folder.root / "predictor", pruner.rule)(doubled) != {}


def test_the_page_shows_looks_as_what_they_are(folder):
    data = load(folder)
    assert data.look == "economy"
    assert "looks at epochs 0, 1" in experiment_facts(data)
    records = read_records(folder)
    assert set(data.spectra.lengths) == {0, 6, 8}
    np.testing.assert_allclose(data.records["lambda_mean"], records["mean_exponent"])
    for name in ("positive_exponents", "trusted_count", "certificate", "mean_exponent"):
        assert name not in data.points
        assert name not in data.records
    assert page_data(data)["exponents_title"] == "Leading exponents"
    lines = figures.spectra_over_epochs_info(data, 0)
    assert [line.epoch for line in lines] == [0, 1]
    assert all(len(line.exponents) for line in lines)
    group = figures.spectrum_bands_info(data, [_everyone(data)], 0)
    assert np.isfinite(group[0].median).all()
    assert "leading" in figures.spectrum_bands(group).layout.xaxis.title.text
    assert "leading_exponents" in records._repr_html_()


def _everyone(data):
    from aelle.explorer.groups import Group

    return Group("all", np.arange(len(data.networks)), "#000000")


def test_full_spectra_are_shown_as_before(of_spectra):
    data = load(of_spectra)
    assert data.look == "full"
    assert data.exponents_title == "Lyapunov spectrum"
    assert "positive_exponents" in data.records
    assert "mean_exponent" not in data.records
    assert dataclasses.replace(data).spectra.lengths.max() > 8
