"""Channels, masks, the options of the autoencoder, forests, and the papers' preset."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import Linear

from aelle.config import Autoencoder as Settings
from aelle.config import ConfigError, dump_experiment, parse_experiment
from aelle.embedding.autoencoder import Autoencoder, Inputs
from aelle.embedding.channels import resample_channels, summaries
from aelle.embedding.checkpoint import FittedAutoencoder, save
from aelle.embedding.dataset import EmbeddingError, load_dataset
from aelle.embedding.fit import load, train
from aelle.embedding.forest import EpochForests, Forest
from aelle.embedding.layers import MemberDropout, MemberLinear
from aelle.embedding.losses import prediction_weight
from aelle.embedding.members import Split, fit_members, validation_splits
from aelle.embedding.transform import SpectraTransform, Standardisation
from aelle.records import ExperimentFolder, read_records
from tests.synthetic import write_synthetic_experiment


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_synthetic_experiment(tmp_path_factory.mktemp("written") / "x")


@pytest.fixture(scope="module")
def dataset(written):
    return load_dataset(written)


def rows_of(spectra, epochs=None, **columns):
    count = len(spectra)
    return pd.DataFrame(
        {
            "network_id": columns.pop("network_id", [f"{i}" for i in range(count)]),
            "epoch": epochs if epochs is not None else [0] * count,
            "spectrum": [np.asarray(s, float) for s in spectra],
            "spectrum_se": [np.full(len(s), 0.01) for s in spectra],
            "spectrum_std": [np.full(len(s), 0.3) for s in spectra],
            "trusted_count": [len(s) for s in spectra],
            **columns,
        }
    )


# ---- channels


def test_untrusted_and_infinite_exponents_have_no_value():
    rows = rows_of([[1.0, 0.5, -0.5, -1.0], [1.0, 0.5, -np.inf, -np.inf]])
    rows["trusted_count"] = [3, 4]
    values = resample_channels(rows, ["spectrum", "temporal_std", "standard_error"], 4)
    assert np.array_equal(np.isfinite(values[0]), [[True, True, True, False]] * 3)
    assert np.array_equal(np.isfinite(values[1, 0]), [True, True, False, False])
    assert np.isclose(values[0, 1, 0], np.log(0.3))


def test_change_needs_both_spectra():
    rows = rows_of([[1.0, 0.0], [2.0, -np.inf]], epochs=[0, 1], network_id=["a", "a"])
    change = resample_channels(rows, ["change"], 2)[:, 0]
    assert np.array_equal(change[0], [0, 0])
    assert change[1, 0] == 1
    assert np.isnan(change[1, 1])


def test_any_list_column_is_a_channel_and_so_is_its_change():
    rows = rows_of([[1.0, 0.0]] * 2, epochs=[0, 1], network_id=["a", "a"])
    rows["readout_growth"] = [np.array([0.0, 2.0, 4.0]), [1.0, 4.0, 7.0]]
    values = resample_channels(rows, ["readout_growth", "change_of_readout_growth"], 3)
    assert np.allclose(values[:, 0], [[0, 2, 4], [1, 4, 7]])
    assert np.allclose(values[:, 1], [[0, 0, 0], [1, 2, 3]])


@pytest.mark.parametrize(
    ("channel", "words"),
    [
        ("readout_growth", "no record holds a list in a column 'readout_growth'; known: "),
        ("change_of_spectrum_noise", "no record holds a list in a column 'spectrum_noise'"),
        ("spectrm", "did you mean 'spectrum'"),
        ("val_loss", "no record holds a list in a column 'val_loss'"),
    ],
)
def test_absent_channel_is_one_clear_line(written, tmp_path, channel, words):
    shutil.copytree(written.records, tmp_path / "x" / "records")
    folder = ExperimentFolder(tmp_path / "x")
    content = {"name": "synthetic", "task": {"name": "digits"}, "training": {"epochs": 6}}
    experiment = parse_experiment(content | {"autoencoder": {"channels": ["spectrum", channel]}})
    folder.experiment_file.write_text(dump_experiment(experiment))
    with pytest.raises(EmbeddingError, match=words) as caught:
        train(folder, progress=False)
    assert "\n" not in str(caught.value)
    assert sorted(p.name for p in folder.root.iterdir()) == ["experiment.toml", "records"]


def test_a_further_column_is_learnt_from(dataset):
    """A channel that alone knows the outcome makes the prediction good, so it has reached the encoder."""
    known = dataset.targets[dataset.spectra["network"]]
    spectra = dataset.spectra.assign(
        spectrum=[np.zeros(8)] * len(dataset.spectra), told=[np.full(5, value) for value in known]
    )
    splits = validation_splits(np.ones(60, bool), 2, seed=0)[:1]
    correlation = {}
    for channels in (["spectrum"], ["spectrum", "told"]):
        settings = Settings(channels=channels, head="network", epochs=60, length=8)
        members = fit_members(replace(dataset, spectra=spectra), splits, settings, seed=0)
        embedded, _ = members.embed(spectra, dataset.networks.iloc[spectra["network"].to_numpy()])
        held_out = splits[0].validation[spectra["network"]]
        predicted = embedded.prediction[0].numpy()[held_out]
        varied = np.ptp(predicted) > 1e-4
        correlation[channels[-1]] = np.corrcoef(predicted, known[held_out])[0, 1] if varied else 0.0
    assert correlation["told"] > 0.9 > abs(correlation["spectrum"])


def test_summaries_against_their_definitions():
    first, dead = summaries(rows_of([[0.4, 0.1, -0.2, -1.0], [0.5, -np.inf, -np.inf, -np.inf]]))
    # 0.4 + 0.1 - 0.2 = 0.3 is still positive: three dimensions and 0.3 of the fourth.
    expected = [0.4, -0.175, np.std([0.4, 0.1, -0.2, -1.0]), 0.5 / 4, 3.3 / 4, 1.0]
    assert np.allclose(first, expected)
    assert np.allclose(dead, [0.5, 0.5, 0.0, 0.125, 0.25, 0.25])
    none = summaries(rows_of([[-np.inf]]))[0]
    assert np.isnan(none[:5]).all()
    assert none[5] == 0


# ---- standardisation


def test_every_epoch_is_standardised_for_itself():
    random = np.random.default_rng(0)
    epochs = np.repeat([0.0, 1.0, 3.0], 40)
    values = random.normal(size=(120, 5)) * np.array([1, 10, 100.0])[np.repeat([0, 1, 2], 40), None]
    standardisation = Standardisation.fit(values, epochs)
    for epoch in (0, 1, 3):
        mean, scale = (part[0] for part in standardisation.at(np.array([epoch])))
        assert np.allclose(mean, values[epochs == epoch].mean(axis=0))
        assert np.allclose(scale, values[epochs == epoch].std(axis=0))
    between = standardisation.at(np.array([2.0]))[1][0]
    share = (np.log(3) - np.log(2)) / (np.log(4) - np.log(2))
    assert np.allclose(between, (1 - share) * standardisation.scale[1] + share * standardisation.scale[2])
    beyond = standardisation.at(np.array([50.0]))[1][0]
    assert np.array_equal(beyond, standardisation.scale[2])


def test_outliers_are_drawn_in_and_come_back():
    values = np.concatenate([np.random.default_rng(0).normal(size=(200, 1)), [[1e4]]])
    standardisation = Standardisation.fit(values[:200], np.zeros(200))
    standardised = standardisation.apply(values, np.zeros(201))
    assert standardised[-1] < 40
    assert np.allclose(
        standardised[:200], (values[:200] - values[:200].mean()) / values[:200].std(), atol=0.3
    )
    assert np.allclose(standardisation.invert(standardised, np.zeros(201)), values)


def test_dead_units_do_not_blow_up_the_reconstruction(dataset):
    """One network whose lower half dies after epoch 0: its reconstruction error is that of the others."""
    spectra = dataset.spectra.copy()
    for i in spectra.index[(spectra["network"] == 2) & (spectra["epoch"] > 0)]:
        values = spectra.at[i, "spectrum"].copy()
        values[len(values) // 2 :] = -np.inf
        spectra.at[i, "spectrum"] = values
    transform = SpectraTransform.fit(spectra, ["spectrum", "change"], 32, 6)
    applied, mask = transform.apply(spectra), np.isfinite(transform.measure(spectra).channels)
    assert np.abs(applied).max() < 8
    dying = ((spectra["network"] == 2) & (spectra["epoch"] > 0)).to_numpy()
    assert np.all(mask[dying][:, :, 20:] == 0)
    assert np.all(mask[dying][:, :, :12] == 1)


# ---- members and options

SMALL = Settings(channels=["spectrum", "change"], length=8, hidden_sizes=[8, 6], latent_size=4, dropout=0)


def inputs(members=2, rows=5, length=8):
    generator = torch.Generator().manual_seed(1)
    spectra, summary, epoch, context = (
        torch.randn(members, rows, *sizes, generator=generator) for sizes in ((2, length), (2,), (1,), (3,))
    )
    return Inputs(spectra, torch.ones_like(spectra), summary, epoch, context)


def model(**changes):
    return Autoencoder(2, SMALL.model_copy(update=changes), context_size=3, summary_size=2)


def test_members_never_mix():
    net, given = model().eval(), inputs()
    before = net(given).prediction
    assert before.shape == (2, 5)
    changed = given.spectra.clone()
    changed[1] += 1
    after = net(replace(given, spectra=changed)).prediction
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])


def test_a_member_of_two_is_as_good_as_alone():
    """Batched members compute what one member with the same weights computes."""
    pair = model().eval()
    alone = Autoencoder(1, SMALL, context_size=3, summary_size=2).eval()
    alone.load_state_dict({key: value[1:] for key, value in pair.state_dict().items()})
    given = inputs()
    second = Inputs(*(getattr(given, part)[1:] for part in Inputs.__dataclass_fields__))
    assert torch.allclose(pair(given).reconstruction[1:], alone(second).reconstruction, atol=1e-6)


def with_settings(written, root, **settings):
    shutil.copytree(written.records, root / "records")
    content = {"name": "synthetic", "task": {"name": "digits"}, "training": {"epochs": 6}}
    folder = ExperimentFolder(root)
    folder.experiment_file.write_text(dump_experiment(parse_experiment(content | {"autoencoder": settings})))
    return folder


@pytest.mark.parametrize(
    "settings",
    [
        {"activation": "tanh", "hidden_sizes": [8], "latent_size": 3},
        {"channels": ["spectrum"], "epoch_conditioned": False, "summaries": False},
        {"decoder_dropout": True, "prediction_weights": [1.0, 2.0], "select_by": "prediction"},
    ],
)
def test_every_option_is_kept_by_the_checkpoint(written, tmp_path, settings):
    folder = with_settings(written, tmp_path / "x", epochs=6, **settings)
    train(folder, progress=False)
    latents = pd.read_parquet(folder.latents)
    pd.testing.assert_frame_equal(load(folder).embed(read_records(folder)), latents.drop(columns="split"))


def test_the_explorer_decodes_any_decoder(written, tmp_path):
    from aelle.explorer.decoder import load_decoder

    folder = with_settings(written, tmp_path / "x", epochs=6, activation="tanh", epoch_conditioned=False)
    train(folder, progress=False)
    points = np.random.default_rng(0).normal(size=(5, 8))
    expected = load(folder).decode(points, 2)
    assert np.allclose(load_decoder(folder).spectra(points, 2), -np.sort(-expected, axis=1), atol=1e-4)


def test_decoding_needs_the_spectrum(written, tmp_path):
    folder = with_settings(written, tmp_path / "x", epochs=6, channels=["change"])
    train(folder, progress=False)
    with pytest.raises(EmbeddingError, match="does not see the bare spectrum"):
        load(folder).decode(np.zeros((1, 8)), 0)


def test_settings_of_earlier_versions_are_passed_over_where_they_ask_for_what_there_is():
    content = {"name": "x", "task": {"name": "digits"}}
    old = {"encoder": "mlp", "prediction_loss": "squared", "kl_weight": 0.0, "length": 16}
    assert parse_experiment(content | {"autoencoder": old}).autoencoder == Settings(length=16)
    for name, value in (("encoder", "set"), ("prediction_loss", "gaussian"), ("kl_weight", 0.01)):
        with pytest.raises(ConfigError, match=f"{name} = {value!r} is no longer there.*leave {name} out"):
            parse_experiment(content | {"autoencoder": {name: value}})


# ---- forests


def test_forests_are_those_of_their_epochs():
    random = np.random.default_rng(0)
    epochs = np.repeat([0, 1, 3], 60)
    x = random.normal(size=(180, 4))
    scores = np.where(epochs == 0, x[:, 0], np.where(epochs == 1, x[:, 1], x[:, 2]))
    forests = EpochForests.fit(x, epochs, scores, trees=40, seed=0)
    new = random.normal(size=(60, 4))
    for epoch, column in ((0, 0), (1, 1), (3, 2), (2, 2), (90, 2)):
        for predicted in forests.predict(new, np.full(60, epoch)):
            assert np.corrcoef(predicted, new[:, column])[0, 1] > 0.7


def test_arrays_predict_what_scikit_learn_does():
    from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor

    random = np.random.default_rng(0)
    x, new = random.normal(size=(90, 6)).astype(np.float32), random.normal(size=(40, 6)).astype(np.float32)
    y = x[:, 0] * x[:, 1]
    extra = ExtraTreesRegressor(30, min_samples_leaf=2, max_features=0.5, random_state=4).fit(x, y)
    assert np.allclose(Forest.extra_trees(x, y, 30, 4).predict(new), extra.predict(new), atol=1e-12)
    boosting = GradientBoostingRegressor(
        n_estimators=60, max_depth=3, learning_rate=0.1, subsample=0.7, max_features=0.33, random_state=4
    ).fit(x, y)
    assert np.allclose(Forest.boosting(x, y, 4).predict(new), boosting.predict(new), atol=1e-12)
    for constant in (Forest.extra_trees(x, np.ones(90), 3, 0), Forest.boosting(x, np.ones(90), 0)):
        assert np.allclose(constant.predict(new), 1, rtol=1e-12)  # trees that are nothing but a leaf


def test_a_checkpoint_keeps_the_forests(dataset, written, tmp_path):
    settings = Settings(epochs=4, length=8, forest_trees=7)
    ids = dataset.networks.index.to_numpy()
    split = Split(np.arange(60) < 50, np.arange(60) >= 50)
    fitted = FittedAutoencoder(
        members=fit_members(dataset, [split], settings, seed=0),
        settings=settings,
        about={
            "experiment": "synthetic", "task": "digits", "spectrum_state": "full", "spectrum_inputs": "validation",
                "look": "full",
        },
        split={"training": ids[:50].tolist(), "validation": ids[50:].tolist()},
    )  # fmt: skip
    folder = ExperimentFolder(tmp_path)
    shutil.copy(written.experiment_file, tmp_path)
    save(folder, fitted)
    records = read_records(written)
    before = fitted.embed(records)
    pd.testing.assert_frame_equal(load(folder).embed(records), before)
    network = replace(fitted, members=replace(fitted.members, forests=None)).embed(records)
    assert not np.allclose(network["predicted"], before["predicted"])


def test_in_a_mixture_the_network_counts_a_third(dataset):
    """The forest is the mean of two kinds of trees; every part can be had apart."""
    splits = validation_splits(np.ones(60, bool), 2, seed=0)
    network = dataset.spectra["network"].to_numpy()
    scores = {}
    for head in ("network", "forest", "mixture"):
        settings = Settings(epochs=8, hidden_sizes=[16], length=16, forest_trees=10, head=head)
        members = fit_members(dataset, splits, settings, seed=1)
        scores[head], _ = members.embed(dataset.spectra, dataset.networks.iloc[network])
        parts = members.predict_by_parts(dataset.spectra, dataset.networks.iloc[network])
        whole = torch.stack([scores[head].prediction, scores[head].prediction_in_context])
        assert torch.allclose(torch.stack(list(parts.values())).mean(dim=0), whole, atol=1e-6)
        assert len(parts) == {"network": 1, "forest": 2, "mixture": 3}[head]
    for name in ("prediction", "prediction_in_context"):
        mean = (getattr(scores["network"], name) + 2 * getattr(scores["forest"], name)) / 3
        assert torch.allclose(getattr(scores["mixture"], name), mean, atol=1e-6)
    assert torch.equal(scores["network"].latent, scores["mixture"].latent)


def test_no_network_is_predicted_by_a_forest_that_knows_its_outcome(dataset):
    """Outcomes of networks that a member was not trained on change nothing of what its forests say."""
    training, validation = np.arange(60) < 40, (np.arange(60) >= 40) & (np.arange(60) < 50)
    settings = Settings(epochs=2, length=8, head="forest", forest_trees=10)
    network = dataset.spectra["network"].to_numpy()

    def predicted(lowered):
        networks = dataset.networks.copy()
        networks.loc[networks.index[lowered], "target"] = -100.0
        members = fit_members(
            replace(dataset, networks=networks), [Split(training, validation)], settings, seed=0
        )
        return members.embed(dataset.spectra, dataset.networks.iloc[network])[0].prediction[0]

    nobody = np.zeros(60, bool)
    plain, outside, inside = (predicted(who) for who in (nobody, ~(training | validation), validation))
    assert torch.equal(plain, outside)
    assert torch.equal(plain, inside)
    assert not torch.equal(plain, predicted(training & (np.arange(60) < 10)))


# ---- the papers' autoencoder


def test_paper_preset_has_the_published_structure():
    """Sizes n/8, n/16, 32 with tanh; dropout to the decoder's very output; a linear read-out of the latent."""
    settings = Settings(preset="paper", length=1024)
    net = Autoencoder(1, settings, context_size=3)

    def parts(sequence):
        shapes = {MemberLinear: lambda m: tuple(m.weight.shape[1:]), MemberDropout: lambda m: m.probability}
        return [shapes.get(type(m), lambda m: type(m).__name__)(m) for m in sequence]

    assert parts(net.encoder) == [(1024, 128), "Tanh", 0.1, (128, 64), "Tanh", 0.1, (64, 32)]
    assert parts(net.decoder) == [(32, 64), "Tanh", 0.1, (64, 128), "Tanh", 0.1, (128, 1024), 0.1]
    assert parts(net.head) == [(32, 1)]
    ours = sum(p.numel() for p in net.parameters()) - sum(p.numel() for p in net.head_in_context.parameters())
    plain = [(1024, 128), (128, 64), (64, 32), (32, 64), (64, 128), (128, 1024), (32, 1)]
    assert ours == sum(p.numel() for sizes in plain for p in Linear(*sizes).parameters())


def test_paper_preset_has_the_published_schedule():
    settings = Settings(preset="paper")
    weights = [prediction_weight(epoch, settings) for epoch in range(settings.epochs)]
    assert [weights.count(w) for w in (5.0, 10.0, 20.0)] == [2000, 1000, 1000]
    assert weights == sorted(weights)
    assert settings.reconstruction_loss == "absolute"
    assert (settings.batch_size, settings.weight_decay) == (128, 0.0)


def test_a_preset_gives_way_to_what_is_written():
    settings = Settings(preset="paper", epochs=8, latent_size=5)
    assert (settings.epochs, settings.latent_size, settings.activation) == (8, 5, "tanh")
    content = {"name": "x", "task": {"name": "digits"}, "autoencoder": {"preset": "paper", "length": 64}}
    experiment = parse_experiment(content)
    assert experiment.autoencoder.hidden_sizes == [8, 4]
    import tomllib

    again = parse_experiment(tomllib.loads(dump_experiment(experiment)))
    assert again.autoencoder == experiment.autoencoder
    with pytest.raises(ConfigError, match="preset"):
        parse_experiment(content | {"autoencoder": {"preset": "papers"}})


def test_paper_preset_trains(written, tmp_path):
    folder = with_settings(
        written, tmp_path / "x", preset="paper", length=32, epochs=200, learning_rate=0.003
    )
    summary = train(folder, progress=False)
    assert summary.epochs == 200
    assert summary.prediction < 0.6  # 1 is the error of knowing nothing
    assert "absolute error" in str(summary)
