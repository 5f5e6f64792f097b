"""The autoencoder's room: dataset, transforms, members, training, checkpoint."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from aelle.config import Autoencoder as Settings
from aelle.embedding.autoencoder import Autoencoder, Embedded, Inputs
from aelle.embedding.dataset import EmbeddingError, load_dataset
from aelle.embedding.fit import load, train
from aelle.embedding.losses import final_prediction_weight, joint_loss, prediction_weight
from aelle.embedding.members import Split, fit_members, validation_splits
from aelle.embedding.transform import ContextTransform, SpectraTransform, TargetTransform, resample
from aelle.records import ExperimentFolder, Metric, RecordsError, read_records
from tests.synthetic import rewrite, write_synthetic_experiment, written


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = write_synthetic_experiment(tmp_path_factory.mktemp("trained") / "x")
    return folder, train(folder, progress=False)


@pytest.fixture
def folder(trained, tmp_path):
    """A fresh copy of the records alone."""
    shutil.copytree(trained[0].records, tmp_path / "x" / "records")
    shutil.copy(trained[0].experiment_file, tmp_path / "x")
    return ExperimentFolder(tmp_path / "x")


# ---- dataset


def test_dataset_counts_everything(folder):
    dataset = load_dataset(folder)
    assert len(dataset.networks) == 60
    assert dataset.diverged.sum() == 1
    assert dataset.infinite_exponents == 9  # three exponents at each of three epochs
    assert len(dataset.spectra) == 60 * 3 - 1  # the diverged network has none at epoch 3
    assert not dataset.excluded


def test_untrusted_exponents_are_counted(folder):
    def change(frame):
        frame.loc[(frame["network_id"] == f"{5:012x}") & frame["trusted_count"].notna(), "trusted_count"] -= 5
        return frame

    rewrite(folder, change)
    dataset = load_dataset(folder)
    assert dataset.infinite_exponents == 9
    assert dataset.untrusted_exponents == 3 * (5 - 3)


def test_diverged_network_counts_as_the_worst_finished_one(folder):
    dataset = load_dataset(folder)
    finished = dataset.targets[~dataset.diverged]
    assert dataset.targets[dataset.diverged] == finished.min()


def test_target_is_the_final_or_the_best_value(folder):
    records = read_records(folder)
    best = records.groupby("network_id")["val_metric"].max()
    final, dataset = load_dataset(folder, "final"), load_dataset(folder, "best")
    ok = ~dataset.diverged
    assert np.allclose(dataset.targets[ok], best[dataset.networks.index[ok]])
    last = records[records["epoch"] == 6].set_index("network_id")["val_metric"]
    assert np.allclose(final.targets[ok], last[final.networks.index[ok]])


def test_unfinished_failed_and_pruned_networks_are_left_out_and_counted(folder):
    def change(frame):
        number = frame["network_id"].map(lambda i: int(i, 16))
        frame = frame[~((number == 1) & (frame["epoch"] > 4))].copy()
        frame.loc[(number == 2) & (frame["epoch"] == 5), "status"] = "failed"
        frame.loc[(number == 3) & (frame["epoch"] == 5), "status"] = "pruned"
        return frame

    rewrite(folder, change)
    dataset = load_dataset(folder)
    assert dataset.excluded == {"unfinished": 1, "failed": 1, "pruned": 1}
    assert len(dataset.networks) == 57


def test_non_finite_final_metric_is_a_divergence(folder):
    def change(frame):
        frame.loc[(frame["network_id"] == f"{1:012x}") & (frame["epoch"] == 6), "val_metric"] = np.inf
        return frame

    rewrite(folder, change)
    assert load_dataset(folder).diverged.sum() == 2


def test_lower_is_better_turns_worst_round():
    values = np.array([0.5, np.nan, 2.0, 1.0])
    assert Metric("mse", False).worst(values) == 2.0
    assert Metric("accuracy", True).worst(values) == 0.5
    assert np.array_equal(Metric("mse", False).oriented(values[2:]), [-2.0, -1.0])


# ---- transforms


def test_resample_is_exact_on_straight_lines_and_on_equal_length():
    spectrum = np.array([3.0, 1.0, 0.5, -2.0])
    assert np.allclose(resample([spectrum], 4), spectrum)
    for n in (7, 30, 200):
        line = -3 * (np.arange(n) + 0.5) / n
        inner = slice(8, -8)  # beyond the outermost exponents the spectrum is held constant
        assert np.allclose(resample([line], 64)[0][inner], (-3 * (np.arange(64) + 0.5) / 64)[inner])


def test_resample_takes_any_size():
    result = resample([np.array([1.0]), np.array([2.0, 0.0]), np.arange(99.0)], 16)
    assert result.shape == (3, 16)
    assert np.all(result[0] == 1.0)


def test_transform_masks_infinities_and_round_trips(folder):
    dataset = load_dataset(folder)
    transform = SpectraTransform.fit(dataset.spectra, ["spectrum", "change", "temporal_std"], 32, 6)
    applied = transform.apply(dataset.spectra)
    mask = np.isfinite(transform.measure(dataset.spectra).channels)
    assert applied.shape == mask.shape == (179, 3, 32)
    assert np.isfinite(applied).all()
    dead = dataset.spectra["network_id"] == f"{5:012x}"
    assert mask[~dead].all()
    assert (mask[dead] == 0).any()
    assert np.all(applied[mask == 0] == 0)
    again = SpectraTransform.from_json(json.loads(json.dumps(transform.to_json())))
    assert np.array_equal(again.apply(dataset.spectra), applied)
    in_nats = transform.invert(applied, dataset.spectra["epoch"].to_numpy())[:, 0]
    assert np.allclose(in_nats[0], resample([dataset.spectra["spectrum"][0]], 32)[0], atol=1e-5)


def test_change_channel_is_zero_at_the_first_epoch(folder):
    dataset = load_dataset(folder)
    transform = SpectraTransform.fit(dataset.spectra, ["change"], 16, 6)
    nats = transform.invert(transform.apply(dataset.spectra), dataset.spectra["epoch"].to_numpy())
    assert np.allclose(nats[dataset.spectra["epoch"] == 0], 0, atol=1e-6)
    assert np.abs(nats[dataset.spectra["epoch"] == 3]).max() > 0.01


def test_change_does_not_depend_on_the_order_of_rows(folder):
    rows = load_dataset(folder).spectra
    transform = SpectraTransform.fit(rows, ["change"], 16, 6)
    shuffled = rows.sample(frac=1, random_state=1)
    assert np.array_equal(transform.apply(shuffled), transform.apply(rows)[shuffled.index])


def test_missing_channel_is_the_training_mean(folder):
    rows = load_dataset(folder).spectra
    transform = SpectraTransform.fit(rows, ["spectrum", "temporal_std"], 16, 6)
    applied = transform.apply(rows.assign(spectrum_std=None))
    assert np.all(applied[:, 1] == 0)


def test_target_scores_are_ranks_with_shared_ties():
    metric = Metric("accuracy", True)
    transform = TargetTransform.fit(np.array([0.1, 0.9, 0.1, 0.5]), np.zeros(4, bool), metric)
    scores = transform.apply(np.array([0.1, 0.5, 0.9]))
    assert np.all(np.diff(scores) > 0)
    assert np.isclose(scores.mean() * 3 + scores[0], 0)  # standardised over the four networks
    assert np.allclose(transform.invert(scores), [0.1, 0.5, 0.9])
    assert transform.apply(np.array([0.0]))[0] == scores[0]


def test_target_scores_of_a_loss_are_higher_for_lower_values():
    transform = TargetTransform.fit(np.array([3.0, 1.0, 2.0]), np.zeros(3, bool), Metric("mse", False))
    scores = transform.apply(np.array([1.0, 2.0, 3.0]))
    assert np.all(np.diff(scores) < 0)
    assert np.allclose(transform.invert(scores), [1.0, 2.0, 3.0])
    again = TargetTransform.from_json(json.loads(json.dumps(transform.to_json())))
    assert np.array_equal(again.apply(np.array([1.7])), transform.apply(np.array([1.7])))


def test_diverged_targets_take_the_worst_of_the_training_set_alone():
    metric = Metric("accuracy", True)
    targets, diverged = np.array([0.0, 0.4, 0.8]), np.array([True, False, False])
    assert TargetTransform.fit(targets, diverged, metric).values.min() == 0.4


def test_unseen_architecture_is_all_zeros():
    networks = pd.DataFrame({"architecture": ["gru", "lstm"], "hidden_size": [16, 32], "num_layers": [1, 1]})
    transform = ContextTransform.fit(networks)
    unseen = transform.apply(networks.assign(architecture="cornn"))
    assert transform.width == 4
    assert np.all(unseen[:, :2] == 0)


# ---- autoencoder and losses

SMALL = Settings(channels=["spectrum", "change"], length=8, hidden_sizes=[8], latent_size=4, dropout=0)


def model(members=2, **changes):
    return Autoencoder(members, SMALL.model_copy(update=changes), context_size=3, summary_size=2)


def inputs(members=2, rows=5):
    generator = torch.Generator().manual_seed(1)
    spectra, summary, epoch, context = (
        torch.randn(members, rows, *sizes, generator=generator) for sizes in ((2, 8), (2,), (1,), (3,))
    )
    return Inputs(spectra, torch.ones_like(spectra), summary, epoch, context)


def test_shapes():
    embedded = model()(inputs())
    assert embedded.latent.shape == (2, 5, 4)
    assert embedded.reconstruction.shape == (2, 5, 16)
    assert embedded.prediction.shape == embedded.prediction_in_context.shape == (2, 5)


def test_only_the_second_head_sees_the_context():
    net, given = model().eval(), inputs()
    one, other = net(given), net(replace(given, context=given.context + 1))
    assert torch.equal(one.prediction, other.prediction)
    assert torch.equal(one.latent, other.latent)
    assert not torch.equal(one.prediction_in_context, other.prediction_in_context)


def test_dropout_leaves_the_callers_random_state_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    model(dropout=0.5).train()(inputs())
    assert torch.equal(torch.get_rng_state(), before)


def embedded_by_hand():
    return Embedded(
        latent=torch.zeros(1, 2, 1),
        reconstruction=torch.tensor([[[1.0, 1, 1], [2, 2, 2]]]),
        prediction=torch.tensor([[1.0, 5.0]]),
        prediction_in_context=torch.tensor([[3.0, 5.0]]),
    )


def given_by_hand(mask):
    none = torch.zeros(1, 2, 0)
    return Inputs(torch.zeros(1, 2, 1, 3), torch.tensor(mask).reshape(1, 2, 1, 3), none, none, none)


def terms_of(embedded, row_weight, mask=((1.0, 1, 1), (1, 1, 1)), **changes):
    settings = Settings(**changes)
    given = given_by_hand(mask)
    return joint_loss(embedded, given, torch.zeros(1, 2), torch.tensor([row_weight]), 2.0, settings).named()


def test_loss_terms_against_their_definition():
    terms = terms_of(embedded_by_hand(), [1.0, 0.0])
    assert terms == {"reconstruction": 1.0, "prediction": 5.0, "total": 11.0}
    assert terms_of(embedded_by_hand(), [1.0, 1.0])["reconstruction"] == 2.5
    assert terms_of(embedded_by_hand(), [1.0, 1.0], reconstruction_loss="absolute")["reconstruction"] == 1.5
    assert terms_of(embedded_by_hand(), [1.0, 0.0], reconstruction_weight=0.0)["total"] == 10.0


def test_masked_positions_cost_nothing():
    embedded = embedded_by_hand()
    embedded.reconstruction[0, 0, 2] = 100.0
    terms = terms_of(embedded, [1.0, 1.0], mask=((1.0, 1, 0), (0, 0, 0)))
    assert terms["reconstruction"] == 0.5  # 1 in the first row; the second, masked altogether, has none


def test_prediction_weight_rises_to_its_end():
    settings = Settings(prediction_weight_growth=1.1)
    weights = [prediction_weight(epoch, settings) for epoch in range(100)]
    assert weights[0] == 0.1
    assert np.isclose(weights[1], 0.11)
    assert weights[-1] == final_prediction_weight(settings) == 10.0
    assert np.all(np.diff(weights) >= 0)
    assert prediction_weight(100_000, settings) == 10.0


# ---- training


QUICK = Settings(epochs=8, hidden_sizes=[16], length=16, forest_trees=10)


def test_equal_seeds_give_equal_members_and_leave_the_random_state_alone(folder):
    dataset = load_dataset(folder)
    splits = validation_splits(np.ones(60, bool), 2, seed=0)
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    first, second = (fit_members(dataset, splits, QUICK, seed=3) for _ in range(2))
    other = fit_members(dataset, splits, QUICK, seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    for a, b, c in zip(
        first.model.parameters(), second.model.parameters(), other.model.parameters(), strict=True
    ):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


def test_held_out_networks_change_nothing(folder):
    """Neither spectra nor targets of networks outside a split may reach its member."""
    dataset = load_dataset(folder)
    training, validation = np.arange(60) < 40, (np.arange(60) >= 40) & (np.arange(60) < 50)
    first = fit_members(dataset, [Split(training, validation)], QUICK, seed=0)
    networks = dataset.networks.copy()
    networks.iloc[50:, networks.columns.get_loc("target")] = -100.0
    spectra = dataset.spectra.copy()
    for i in np.flatnonzero(spectra["network"] >= 50):
        spectra.at[i, "spectrum"] = spectra.at[i, "spectrum"] - 30
    changed = type(dataset)(**{**dataset.__dict__, "networks": networks, "spectra": spectra})
    second = fit_members(changed, [Split(training, validation)], QUICK, seed=0)
    for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_minibatches_learn_too(folder):
    dataset = load_dataset(folder)
    splits = validation_splits(np.ones(60, bool), 2, seed=0)[:1]
    history = fit_members(dataset, splits, QUICK.model_copy(update={"batch_size": 32}), seed=0).history
    losses = [row["training_total"] / row["prediction_weight"] for row in history.epochs]
    assert losses[-1] < losses[0]


def test_validation_splits_partition_the_candidates():
    candidates = np.arange(30) % 3 > 0
    splits = validation_splits(candidates, 4, seed=0)
    assert np.array_equal(sum(split.validation.astype(int) for split in splits), candidates.astype(int))
    for split in splits:
        assert not (split.training & split.validation).any()
        assert np.array_equal(split.training | split.validation, candidates)


# ---- train and load


def test_train_predicts_and_says_what_it_did(trained):
    folder, summary = trained
    text = str(summary)
    assert "179 spectra of 60 networks" in text
    assert "1 diverged" in text
    assert "9 exponents of -inf" in text
    assert summary.prediction < 0.5  # 1 is the error of knowing nothing
    latents = pd.read_parquet(folder.latents)
    assert list(latents.columns[:3]) == ["network_id", "epoch", "latent_0"]
    assert {"predicted", "split", "reconstruction_error"} <= set(latents.columns)
    assert len(latents) == 179
    assert set(latents["split"]) == {"train", "validation"}
    assert latents.groupby("network_id")["split"].nunique().max() == 1
    assert latents["predicted"].between(0, 1).all()


def test_loaded_autoencoder_gives_the_written_latents(trained):
    folder, _ = trained
    fitted, latents = load(folder), pd.read_parquet(folder.latents)
    again = fitted.embed(read_records(folder))
    pd.testing.assert_frame_equal(again, latents[again.columns])
    columns = [f"latent_{i}" for i in range(fitted.latent_size)]
    decoded = fitted.decode(latents[columns].to_numpy()[:4], epoch=0)
    assert decoded.shape == (4, fitted.settings.length)
    assert np.isfinite(decoded).all()


def test_history_names_every_loss_term(trained):
    content = json.loads((trained[0].autoencoder / "model.json").read_text())
    terms = {
        f"{part}_{name}"
        for part in ("training", "validation")
        for name in ("reconstruction", "prediction", "total")
    }
    assert set(content["history"][0]) == terms | {"prediction_weight"}
    assert set(content["split"]) == {"training", "validation"}


def test_training_twice_gives_the_same_bytes(folder):
    train(folder, progress=False)
    first = {p.name: p.read_bytes() for p in (*folder.autoencoder.iterdir(), folder.latents)}
    train(folder, progress=False)
    assert first == {p.name: p.read_bytes() for p in (*folder.autoencoder.iterdir(), folder.latents)}


# ---- bad input


def refused(folder, error, match):
    before = written(folder)
    with pytest.raises(error, match=match) as caught:
        train(folder, progress=False)
    assert "\n" not in str(caught.value)
    assert written(folder) == before


def test_too_few_networks(tmp_path):
    refused(
        write_synthetic_experiment(tmp_path / "x", networks=19),
        EmbeddingError,
        "at least 20 networks.* got 19",
    )


def test_constant_target(folder):
    rewrite(folder, lambda frame: frame.assign(val_metric=0.1))
    refused(folder, EmbeddingError, "same accuracy")


def test_all_diverged(folder):
    rewrite(folder, lambda frame: frame.assign(status="diverged"))
    refused(folder, EmbeddingError, "all 60 networks diverged")


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("spectrum_state", "hidden", "state conventions"),
        ("spectrum_inputs", "noise", "driving inputs"),
        ("task", "latch", "tasks"),
        ("metric_name", "mse", "metrics"),
    ],
)
def test_mixed_sets(folder, column, value, words):
    def change(frame):
        frame.loc[frame["network_id"] == f"{1:012x}", column] = value
        return frame

    rewrite(folder, change)
    refused(folder, EmbeddingError, f"mix several {words}")


def test_no_spectrum_at_all(folder):
    rewrite(folder, lambda frame: frame.assign(spectrum=None, spectrum_state=None, spectrum_inputs=None))
    refused(folder, EmbeddingError, "no spectrum yet")


def test_nan_spectra_are_not_used(folder):
    def change(frame):
        broken = frame["network_id"] == f"{1:012x}"
        frame["spectrum"] = [
            np.full(4, np.nan) if b and s is not None else s
            for b, s in zip(broken, frame["spectrum"], strict=True)
        ]
        return frame

    rewrite(folder, change)
    assert load_dataset(folder).excluded == {"without a spectrum": 1}


def test_missing_empty_and_foreign_folders(tmp_path, folder):
    with pytest.raises(RecordsError, match="no such folder"):
        train(ExperimentFolder(tmp_path / "nowhere"))
    other = write_synthetic_experiment(tmp_path / "other", name="other")
    shutil.copy(other.experiment_file, folder.experiment_file)
    refused(folder, RecordsError, "of experiment 'synthetic', but experiment.toml describes 'other'")
    shutil.rmtree(other.records)
    refused(other, RecordsError, "no records yet")
    other.experiment_file.unlink()
    refused(other, RecordsError, "not an experiment's folder")
    other.experiment_file.write_text("nonsense = [")
    refused(other, RecordsError, "not valid TOML")


def test_corrupt_parquet(folder):
    next(folder.records.glob("*.parquet")).write_bytes(b"PAR1 nonsense")
    refused(folder, RecordsError, "not a readable Parquet file")


@pytest.fixture
def checkpoint(trained, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(trained[0].root, copy)
    return ExperimentFolder(copy)


def test_missing_checkpoint(folder):
    with pytest.raises(EmbeddingError, match="fit the autoencoder first"):
        load(folder)


def test_checkpoint_of_another_experiment(checkpoint):
    text = checkpoint.experiment_file.read_text()
    checkpoint.experiment_file.write_text(text.replace('"synthetic"', '"other"'))
    with pytest.raises(EmbeddingError, match="fitted on experiment 'synthetic'"):
        load(checkpoint)


def test_weights_of_another_checkpoint(checkpoint):
    weights = checkpoint.autoencoder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(EmbeddingError, match="not the weights that model"):
        load(checkpoint)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[:200], "not valid JSON"),
        (lambda text: "[]", "not the description of an aelle autoencoder"),
        (lambda text: text.replace("aelle autoencoder 3", "something else"), "not the description"),
        (
            lambda text: text.replace("aelle autoencoder 3", "aelle autoencoder 2"),
            "written by another version",
        ),
        (lambda text: text.replace('"latent_size": 8', '"latent_size": 7'), "not a usable autoencoder"),
        (lambda text: text.replace('"length": 32', '"length": 31'), "not a usable autoencoder"),
        (lambda text: text.replace('"split"', '"spilt"'), "not a usable autoencoder"),
        (lambda text: text.replace('"settings"', '"setting"'), "not a usable autoencoder"),
    ],
)
def test_corrupt_description(checkpoint, change, words):
    file = checkpoint.autoencoder / "model.json"
    # As a file of an earlier version, which carries no digest; with one, every change is found before it is read.
    text = json.dumps({k: v for k, v in json.loads(file.read_text()).items() if k != "digest"}, indent=1)
    file.write_text(change(text))
    with pytest.raises(EmbeddingError, match=words) as caught:
        load(checkpoint)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("column", ["task", "spectrum_state", "spectrum_inputs"])
def test_autoencoder_refuses_foreign_records(trained, column):
    records = read_records(trained[0]).assign(**{column: "another"})
    with pytest.raises(EmbeddingError, match=f"trained on {column}"):
        load(trained[0]).embed(records)


def test_autoencoder_refuses_records_without_spectra(trained):
    records = read_records(trained[0])
    with pytest.raises(EmbeddingError, match="no spectrum to embed"):
        load(trained[0]).embed(records[records["epoch"] == 2])
