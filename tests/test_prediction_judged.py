"""The report judges the very object that is saved, and nothing of held-out networks is looked at."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from aelle.embedding.dataset import load_dataset
from aelle.prediction.cross_validation import cross_validate
from aelle.prediction.folds import assign_folds, prediction_epochs
from aelle.prediction.ladder import ladder
from aelle.prediction.predictor import Predictor
from aelle.prediction.table import Table
from tests.prediction_folder import configure, with_growth
from tests.synthetic import rewrite, write_synthetic_experiment

BOUNDS = ["predicted", "lower", "upper"]


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """60 networks with readout growth, their folds, and what the report says of them."""
    folder = configure(write_synthetic_experiment(tmp_path_factory.mktemp("judged") / "x"))
    rewrite(folder, with_growth)
    dataset = load_dataset(folder)
    table, folds = Table.of_dataset(dataset, prediction_epochs(dataset)), assign_folds(dataset)
    return dataset, table, folds, cross_validate(table, folds, ladder(dataset.experiment))[0]


@pytest.fixture(scope="module")
def fitted(judged):
    """Every method, fitted without each fold: fold → name → method."""
    dataset, table, folds, _ = judged
    return {
        fold: {method.name: method.fit(table, folds != fold) for method in ladder(dataset.experiment)}
        for fold in np.unique(folds)
    }


NAMES = [
    "last value", "best so far", "sum of training losses", "power law", "learning curve", "hyperparameters only",
    "curve + hyperparameters", "weight statistics", "λ₁ and mean λ", "raw spectrum", "PCA of the spectrum", "AeLLE",
    "AeLLE + architecture/size", "AeLLE + curve + hyperparameters",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_the_report_judges_what_is_saved(judged, fitted, tmp_path, name):
    """Bit for bit: fitted without a fold, saved, loaded, and applied to the fold's records as if they were new."""
    dataset, table, folds, reported = judged
    reported = reported[reported["method"] == name]
    compared = 0
    for fold, methods in fitted.items():
        predictor = Predictor(dataset.experiment, dataset.state, dataset.inputs, name, methods[name])
        predictor.save(tmp_path / str(fold))
        loaded = Predictor.load(tmp_path / str(fold))
        new = dataset.records[dataset.records["network_id"].isin(table.networks.index[folds == fold])]
        mine = reported[reported["fold"] == fold]
        for epoch, expected in mine.groupby("epoch"):
            said = loaded.predict(new[new["epoch"] <= epoch], epoch, explain=False).set_index("network_id")
            said = said.reindex(expected["network_id"])[BOUNDS].to_numpy()
            assert said.tobytes() == expected[BOUNDS].to_numpy().tobytes()
            compared += len(expected)
    assert compared == len(reported) > 50


def test_every_method_of_the_report_is_put_to_this_test(judged):
    assert [method.name for method in ladder(judged[0].experiment)] == NAMES


def absurd(table, network):
    """The table with one network whose every value is absurd; what it ended with too."""
    networks, records, spectra = table.networks.copy(), table.records.copy(), table.spectra.copy()
    place = networks.index[network]
    networks["architecture"] = networks["architecture"].astype(object)
    for name in networks:
        networks[name] = networks[name].astype(object)
    networks.loc[place, "architecture"] = "absurd"
    networks.loc[place, ["hidden_size", "num_layers", "batch_size"]] = 10**6
    networks.loc[place, ["init_scale", "init_gain", "learning_rate", "dropout", "weight_decay"]] = 1e30
    networks.loc[place, ["target", "diverged"]] = [-1e9, True]
    own = records["network"] == network
    records.loc[own, ["val_metric", "val_loss", "train_loss"]] = 1e300
    records["weight_statistics"] = [
        [("never.seen", 1e30)] if mine else w
        for mine, w in zip(own, records["weight_statistics"], strict=True)
    ]
    own = spectra["network"] == network
    for name in ("spectrum", "spectrum_se", "spectrum_std", "readout_growth"):
        spectra[name] = [
            np.full(999, 1e30, np.float32) if mine else s for mine, s in zip(own, spectra[name], strict=True)
        ]
    spectra["unheard_of"] = [np.ones(5) if mine else None for mine in own]
    return replace(table, networks=networks, records=records, spectra=spectra)


def test_an_absurd_network_that_is_held_out_moves_no_other_prediction(judged, fitted):
    """Neither of those that are held out with it, nor by one bit."""
    dataset, table, folds, _ = judged
    network = int(np.flatnonzero(folds == 0)[3])
    planted = absurd(table, network)
    others = (folds == 0) & (np.arange(60) != network)
    for method in ladder(dataset.experiment):
        after = method.fit(planted, folds != 0)
        for epoch in (epoch for epoch in table.epochs if epoch >= method.first_epoch):
            expected = fitted[0][method.name].predict(table.up_to(epoch), folds == 0)[others[folds == 0]]
            beside = after.predict(planted.up_to(epoch), folds == 0)[others[folds == 0]]
            pd.testing.assert_frame_equal(beside, expected, check_exact=True)


@pytest.mark.parametrize(
    "name", ["AeLLE + curve + hyperparameters", "PCA of the spectrum", "weight statistics"]
)
def test_what_is_said_of_a_network_does_not_depend_on_those_beside_it(judged, fitted, name):
    _, table, folds, _ = judged
    method, known = fitted[0][name], table.up_to(1)
    together = method.predict(known, folds == 0)
    for network in np.flatnonzero(folds == 0)[:4]:
        alone = method.predict(known, np.arange(len(table)) == network)
        np.testing.assert_allclose(alone[BOUNDS], together.loc[alone.index, BOUNDS], rtol=1e-12)
