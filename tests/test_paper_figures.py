"""The papers' figures: each command writes what it says it writes, and its verdict follows from what was measured."""

import importlib
import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import kaleido
import numpy as np
import pandas as pd
import pytest
import torch

from aelle.records import read_records
from tests.synthetic import SMALL_AUTOENCODER, write_synthetic_experiment

FOLDER = Path(__file__).parents[1] / "experiments" / "paper"
RESULTS = FOLDER.parent / "results" / "paper"
SCRIPTS = sorted(
    path.stem for path in FOLDER.glob("*.py") if "def judge(" in path.read_text(encoding="utf-8")
)
HAS_CHROME = any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome", "chrome"))


@pytest.fixture(autouse=True)
def _scripts_importable(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    root = tmp_path_factory.mktemp("records")
    return write_synthetic_experiment(root, networks=60, autoencoder=SMALL_AUTOENCODER).root


def script(name):
    return importlib.import_module(name)


def numbers_of(out):
    [written] = out.glob("*.json")
    return json.loads(written.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def _one_browser():
    """All pictures of a test process are drawn by one browser, which takes longer to start than to draw."""
    if HAS_CHROME:
        kaleido.start_sync_server(silence_warnings=True)
    yield
    kaleido.stop_sync_server(silence_warnings=True)


@pytest.fixture
def run(monkeypatch, capsys, _one_browser):
    """Run a script as its README says, but in this process; return its numbers and its last line."""

    def run_script(name, out, *arguments):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments), "--out", str(out)])
        script("common").run(script(name).main)
        return numbers_of(out), capsys.readouterr().out.splitlines()[-1]

    return run_script


def check_written(out, found, line, pictures=1):
    assert line == f"{'reproduced' if found['reproduced'] else 'not reproduced'}: {found['finding']}"
    assert found["claim"]
    assert found["criterion"]
    drawn = [path for path in out.glob("*.html") if path.stat().st_size > 1000]
    assert len(drawn) == pictures
    images = list(out.glob("*.png"))
    assert len(images) == (pictures if HAS_CHROME else 0)
    for image in images:
        width, height = struct.unpack(">II", image.read_bytes()[16:24])  # of the PNG's header
        assert (width / height) == pytest.approx(
            SHAPES.get(found["figure"].split("-")[0], width / height), abs=0.01
        )


TINY = {
    "regimes": ["--units", "40", "--steps", "300"],
    "warmup_and_interval": ["--units", "8", "--reference-warmup", "300"],
    "spectrum_cost": ["--sizes", "8", "16", "--batches", "1", "--repeats", "1"],
}
SHAPES = {"regimes": 1100 / 420, "spectrum_cost": 1000 / 440, "latent_pca": 620 / 480}  # width over height
OF_RECORDS = {"convergence_over_epochs": 1, "pc1_threshold": 1, "latent_over_epochs": 1}
OF_RECORDS |= {"latent_pca": 4, "latent_perturbation": 1}


def test_one_command_makes_every_figure_of_every_setting():
    from aelle.config import load_experiment

    everything = script("everything")
    made = everything.figures()
    assert {name for name, *_ in made} == set(SCRIPTS)
    used = {Path(word) for _, *words in made for word in words if word.startswith("artifacts")}
    found = everything.collections(full=False)
    assert {Path(command[3]) for command in found.values()} == used
    for command in found.values():
        load_experiment(Path(command[1]), command[5::2])


def test_every_figure_is_tested():
    assert {*TINY, *OF_RECORDS, "exponent_against_loss", "novel_inputs", "published_code"} == set(SCRIPTS)


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_figures_that_need_no_records(name, tmp_path, run):
    found, line = run(name, tmp_path, *TINY[name])
    check_written(tmp_path, found, line)
    assert found["command"] == f"python experiments/paper/{name}.py {' '.join(TINY[name])}"


@pytest.mark.slow
def test_a_figure_by_its_command(tmp_path):
    command = [sys.executable, str(FOLDER / "regimes.py"), *TINY["regimes"], "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    check_written(tmp_path, numbers_of(tmp_path), done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_RECORDS)
def test_figures_of_records(name, tmp_path, records, run):
    folds = [] if name == "convergence_over_epochs" else ["--folds", "2"]
    found, line = run(name, tmp_path, records, *folds)
    check_written(tmp_path, found, line, OF_RECORDS[name])
    assert found["figure"] == f"{name}-digits"


@pytest.mark.slow
def test_exponents_against_loss(tmp_path, records, run):
    found, line = run("exponent_against_loss", tmp_path, "--characters", records, "--motion-capture", records)
    check_written(tmp_path, found, line)
    assert not found[
        "reproduced"
    ]  # one exponent cannot be the better one and the worse one of the same records


def test_each_network_is_taken_at_its_best_epoch_with_a_spectrum(records):
    table = script("exponent_against_loss").best_spectra(read_records(records)).set_index("network_id")
    rows = read_records(records)
    rows = rows[
        rows.groupby("network_id")["epoch"].transform("max") == rows["epoch"].max()
    ]  # the others diverged
    rows = rows[rows["spectrum"].notna() & np.isfinite(rows["val_loss"])]
    assert set(table.index) == set(rows["network_id"])
    for network, own in rows.groupby("network_id"):
        assert table.loc[network, "val_loss"] == own["val_loss"].min()
        best = own.loc[own["val_loss"].idxmin()]
        assert table.loc[network, "largest"] == best["spectrum"][0]


@pytest.mark.parametrize(
    ("change", "reproduced"),
    [({}, True), ({"characters": 0.5}, False), ({"motion_capture": 0.5}, False)],
)
def test_a_larger_exponent_must_go_with_a_lower_loss(change, reproduced):
    def correlations(own, rho):
        strong = {"spearman": rho, "interval": (rho - 0.1, rho + 0.1)}
        other = {"spearman": 0.1, "interval": (-0.1, 0.3)}
        names = ("largest", "mean") if own == "largest" else ("mean", "largest")
        return {"correlations": {"all": dict(zip(names, (strong, other), strict=True))}}

    numbers = {
        "characters": correlations("largest", change.get("characters", -0.5)),
        "motion_capture": correlations("mean", change.get("motion_capture", -0.5)),
    }
    assert script("exponent_against_loss").judge(numbers).reproduced == reproduced


@pytest.mark.parametrize("architecture", ["rnn", "gru", "lstm"])
def test_the_published_way_is_the_product_of_transposed_jacobians_in_the_order_of_time(architecture):
    from aelle.recurrent.registry import cell_class

    torch.manual_seed(0)
    published = script("published_code")
    cell, inputs = cell_class(architecture)(2, 3).double(), torch.randn(1, 10, 2, dtype=torch.float64)

    def jacobians(state, steps):
        for x in steps:
            h = state[:, :3].clone()

            def hidden_after(h, x=x, state=state):
                return cell.step(x[None], torch.cat([h, state[:, 3:]], dim=1))[:, :3].squeeze(0)

            yield torch.autograd.functional.jacobian(lambda h: hidden_after(h[None]), h.squeeze(0)).numpy()
            state = cell.step(x[None], state).detach()
        last.append(state)

    last, product = [], np.eye(3)
    for jacobian in jacobians(cell.initial_state(1), inputs[0, : published.WARMUP]):
        product = jacobian.T @ product
    product = np.linalg.qr(product)[0]
    for jacobian in jacobians(last[0], inputs[0]):
        product = jacobian.T @ product
    expected = np.sort(np.log(np.abs(np.diag(np.linalg.qr(product)[1]))) / 10)[::-1]
    np.testing.assert_allclose(published.published_exponents(cell, inputs).numpy(), expected, atol=1e-6)


class RunsCode:
    """What a pickle must not be able to do."""

    def __reduce__(self):
        return (eval, ("1 / 0",))


def test_published_spectra_are_brought_to_the_import(tmp_path):
    from aelle import import_spectra, read_records
    from aelle.interchange.checks import Declaration

    torch.manual_seed(0)
    spectra = torch.randn(24, 8).sort(dim=1, descending=True).values
    torch.save(spectra, tmp_path / "all.p")
    torch.save(torch.linspace(1, 2, 24), tmp_path / "loss.p")
    convert = script("published_spectra")
    arrays = convert.table(convert.read(tmp_path / "all.p"), convert.read(tmp_path / "loss.p"), 8)
    np.savez(tmp_path / "all.npz", **arrays)
    declared = Declaration(
        unit="bits",
        state="hidden",
        architecture="lstm",
        size=8,
        epochs=10,
        metric="loss",
        higher_is_better=False,
    )
    import_spectra(tmp_path / "all.npz", tmp_path / "imported", declared)
    kept = read_records(tmp_path / "imported")
    found = np.stack(kept.sort_values("network_id")["spectrum"].dropna().to_list())
    assert np.sort(found.ravel()) == pytest.approx(np.sort(spectra.ravel().numpy()) * np.log(2), rel=1e-5)


@pytest.mark.parametrize(
    ("content", "words"),
    [(RunsCode(), "more than tensors"), ([1.0], "holds list"), (None, "cannot be read")],
)
def test_a_published_file_that_is_no_tensor_is_refused(content, words, tmp_path):
    path = tmp_path / "x.p"
    path.touch() if content is None else torch.save(content, path)
    with pytest.raises(ValueError, match=words):
        script("published_spectra").read(path)


@pytest.mark.parametrize(
    ("shape", "losses", "size", "words"),
    [((4,), 4, None, "networks × exponents"), ((4, 3), 5, None, "4 spectra and 5"), ((4, 3), 4, 2, "not 2")],
)
def test_published_spectra_that_do_not_fit_are_refused(shape, losses, size, words):
    with pytest.raises(ValueError, match=words):
        script("published_spectra").table(np.zeros(shape), np.zeros(losses), size)


@pytest.mark.slow
def test_novel_inputs_and_the_published_code_of_networks_with_their_weights(tmp_path, run):
    from aelle import collect
    from aelle.config import parse_experiment

    experiment = parse_experiment(
        {
            "name": "novel",
            "task": {"name": "digits"},
            "networks": {
                "architecture": "gru",
                "hidden_size": 4,
                "per_combination": 26,
                "init_gain": {"uniform": [0.3, 8.0]},
            },
            "training": {"epochs": 1, "keep_checkpoints": True, "workers": 1, "batch_size": 256},
            "spectrum": {"epochs": [0, 1], "sequences": 2, "steps": 20, "warmup": 10},
            "autoencoder": SMALL_AUTOENCODER,
        }
    )
    collect(experiment, tmp_path / "records", progress=False)
    found, line = run("novel_inputs", tmp_path / "out", tmp_path / "records", "--folds", "5")
    check_written(tmp_path / "out", found, line)
    assert found["numbers"]["networks"] == 26
    assert found["numbers"]["kinds"]["recorded"]["pc1_correlation"] == pytest.approx(1)
    found, line = run("published_code", tmp_path / "published", tmp_path / "records")
    check_written(tmp_path / "published", found, line)
    assert found["numbers"]["differences"]["mean, most"] < 0.2


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("pc1_threshold", ["nowhere"], "nowhere: no such folder"),
        ("latent_pca", ["RECORDS", "--folds", "1"], "--folds must be at least 2"),
        ("convergence_over_epochs", ["RECORDS", "--architecture", "lem"], "no network of architecture 'lem'"),
    ],
)
def test_mistakes_are_one_line(name, arguments, words, records, tmp_path, monkeypatch, capsys):
    given = [str(records) if argument == "RECORDS" else argument for argument in arguments]
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *given, "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        script("common").run(script(name).main)
    assert stopped.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert words in line


def test_novel_inputs_says_what_is_missing(records):
    from aelle import ExperimentFolder

    with pytest.raises(ValueError, match="keep_checkpoints=true"):
        script("novel_inputs").final_weights(ExperimentFolder(records), 3)


def test_weights_of_another_collection_are_refused():
    from aelle.config import parse_experiment
    from aelle.recurrent.elman import TanhRNN
    from aelle.recurrent.network import Network

    novel = script("novel_inputs")
    experiment = parse_experiment({"name": "x", "task": {"name": "digits"}, "spectrum": {"warmup": 5}})
    network = Network([TanhRNN(2, 4)])
    inputs = torch.randn(2, 30, 2, dtype=torch.float64)
    exponents = novel.spectrum_under(experiment, network, inputs).exponents.numpy()
    novel.check_weights(experiment, network, inputs, exponents)
    with pytest.raises(ValueError, match="another collection"):
        novel.check_weights(experiment, network, inputs, exponents + 0.1)


def test_a_linear_network_shrinks_distances_by_its_radius():
    distances = script("regimes").distances(0.5 * torch.eye(6, dtype=torch.float64), 10)
    np.testing.assert_allclose(distances, 0.5 ** np.arange(11), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("chaotic", {"interval": [-0.1, 0.2]}),
        ("marginal", {"largest": -0.2}),
        ("stable", {"distance": [1.0, 0.5]}),
        (None, {}),
    ],
)
def test_regimes_are_judged_by_their_numbers(name, change):
    found = {
        "stable": {"g": 0.6, "largest": -0.5, "interval": [-0.6, -0.4], "distance": [1.0, 1e-9]},
        "marginal": {"g": 1.0, "largest": 0.001, "interval": [0.0, 0.002], "distance": [1.0, 0.5]},
        "chaotic": {"g": 2.0, "largest": 0.1, "interval": [0.05, 0.15], "distance": [1.0, 1e4]},
    }
    if name is not None:
        found[name] |= change
    sweep = [{"g": 2.0, "largest": [0.1, 0.14], "theory": 0.15}]
    assert script("regimes").judge({"regimes": found, "sweep": sweep}).reproduced == (name is None)


def test_the_way_still_to_go(records):
    convergence = script("convergence_over_epochs")
    rows = read_records(records)
    ways, losses = convergence.remaining_ways(rows)
    assert ways.columns.tolist() == [0, 1, 3]
    assert (ways[0] == 1).all()
    assert (ways[3] == 0).all()
    name = ways.index[0]
    taken = rows[rows["network_id"] == name].set_index("epoch")
    start, middle, end = (np.asarray(taken["spectrum"][epoch], float) for epoch in (0, 1, 3))
    assert ways[1][name] == pytest.approx(
        np.linalg.norm(middle - end) / np.linalg.norm(start - end), rel=1e-5
    )
    loss = taken["val_loss"]
    assert losses[1][name] == pytest.approx((loss[1] - loss[3]) / (loss[0] - loss[3]))


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_the_best_threshold_separates_what_can_be_separated(side):
    pc1 = script("pc1_threshold")
    values = side * np.array([1.0, 2.0, 3.0, 10.0, 11.0])
    good = np.array([False, False, False, True, True])
    threshold, found, score = pc1.best_threshold(values, good)
    assert (threshold, found, score) == (side * 6.5, side, 1.0)
    assert pc1.f1(np.array([True, True, False]), np.array([True, False, True])) == pytest.approx(0.5)


def test_steps_in_the_latent_space_point_to_better_networks():
    perturbation = script("latent_perturbation")
    random = np.random.default_rng(0)
    latents = random.normal(size=(4000, 3))
    rows = pd.DataFrame(latents, columns=["latent_0", "latent_1", "latent_2"]).assign(oriented=latents[:, 1])
    for step in perturbation.steps_towards_better(rows, ["latent_0", "latent_1", "latent_2"]).values():
        assert perturbation.cosine(step, np.array([0.0, 1.0, 0.0])) > 0.99
        assert np.linalg.norm(step) == pytest.approx(1, abs=0.1)
    spectra = np.array([[0.0, -1.0], [1.0, -1.0], [4.0, -3.0]])
    difference = perturbation.best_less_worst(spectra, np.array([2.0, 3.0, 1.0]))
    np.testing.assert_allclose(difference, [-3.0, 2.0])


@pytest.mark.slow
def test_autoencoders_do_not_see_the_networks_left_out(records, tmp_path):
    every = list(script("held_out").folds(records, tmp_path, 2))
    assert not every[0].unseen & every[1].unseen
    for fold in every:
        used = set(fold.fitted.split["training"]) | set(fold.fitted.split["validation"])
        assert used
        assert not used & fold.unseen
        assert used | fold.unseen == set(fold.dataset.networks.index)
        assert set(fold.latents.loc[fold.latents["unseen"], "network_id"]) == fold.unseen


def test_what_is_written_is_json_with_few_digits():
    plain = script("common").plain
    values = {"a": np.array([1.0, np.nan]), 2: (np.float32(1 / 3), True, np.int64(4)), "words": "λ"}
    assert plain(values) == {"a": [1.0, None], "2": [0.33333, True, 4], "words": "λ"}


def test_the_readme_holds_the_table_of_the_results():
    table = script("table")
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert table.with_table(text, table.table(RESULTS)) == text
    shown = {path.stem.split("-")[0] for path in RESULTS.glob("*.json")}
    assert shown == set(SCRIPTS)
