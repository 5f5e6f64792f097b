"""The command line as a user types it: one line and exit code 2 for mistakes, and `run` from end to end."""

import json
import shutil

import pytest
from filelock import FileLock

from aelle.config import dump_experiment
from aelle.records import ExperimentFolder
from tests.small_collection import experiment
from tests.synthetic import write_synthetic_experiment


@pytest.fixture
def toml(tmp_path):
    file = tmp_path / "fast.toml"
    file.write_text(dump_experiment(experiment()))
    return file


MISTAKES = [
    (["--set", "networks.hiden_size=8"], "unknown key 'networks.hiden_size'; did you mean 'hidden_size'?"),
    (["--set", "training.epochs=many"], "training.epochs: input should be a valid integer"),
    (["--set", "networks.hidden_size=0"], "networks.hidden_size: input should be greater than or equal to 1"),
    (["--set", "task.name=latsch"], "unknown task 'latsch'; did you mean 'latch'?"),
    (["--set", "task.options.delai=3"], "task 'latch' has no option 'delai'; did you mean 'delay'?"),
    (["--set", "networks.architecture=lstmm"], "unknown architecture 'lstmm'; did you mean 'lstm'?"),
    (["--set", "networks.init_scale=1.0"], "not both"),
    (["--set", "training.device=abacus"], "training.device: 'abacus' cannot be used here"),
    (["--set", "epochs"], "expected section.key=value"),
    (
        ["--set", 'task.options.delay="many"'],
        "task 'latch': option 'delay' must be a whole number, got 'many'",
    ),
    (["--set", "task.options.delay=true"], "task 'latch': option 'delay' must be a whole number, got True"),
    (["--set", "task.name=:"], "task ':' cannot be imported: "),
    (["--set", "networks.architecture=:"], "architecture ':' cannot be imported: "),
    (["--set", "networks.architecture=.cells:X"], "architecture '.cells:X' cannot be imported: "),
    (
        ["--set", "networks.architecture=nowhere:X"],
        "No module named 'nowhere'; is its folder on PYTHONPATH?",
    ),
    (
        ["--set", "networks.architecture=tests.faulty:Unbuildable"],
        "units cannot be built: ZeroDivisionError: no",
    ),
    (
        ["--set", "networks.hidden_size=10000000"],
        "networks.hidden_size: input should be less than or equal to 8192 (got 10000000)",
    ),
    (
        ["--set", "spectrum.epochs=[7, 9]"],
        "no spectrum would be taken at [7, 9], since training ends with epoch",
    ),
]


@pytest.mark.parametrize("arguments, message", MISTAKES)
def test_a_mistake_in_the_experiment_is_one_line_and_writes_nothing(
    aelle, toml, tmp_path, arguments, message
):
    code, _, errors = aelle("collect", toml, "--output", tmp_path / "x", *arguments)
    assert code == 2
    assert message in errors
    assert errors.startswith("aelle: ")
    assert len(errors.splitlines()) == 1
    assert not (tmp_path / "x").exists()


def test_missing_and_foreign_files_are_one_line(aelle, tmp_path, toml):
    (tmp_path / "empty").mkdir()
    broken = tmp_path / "broken.toml"
    broken.write_text("name = [")
    cases = [
        (("collect", tmp_path / "none.toml"), "no such experiment file"),
        (("collect", broken), "not valid TOML"),
        (("train", tmp_path / "none"), "no such folder"),
        (("evaluate", tmp_path / "empty"), "not an experiment's folder"),
        (("status", tmp_path / "empty"), "not an experiment's folder"),
        (("explore", tmp_path / "empty", "--html", tmp_path / "x.html"), "not an experiment's folder"),
    ]
    for arguments, message in cases:
        code, _, errors = aelle(*arguments)
        assert (code, len(errors.splitlines())) == (2, 1), errors
        assert message in errors


def test_a_corrupt_record_file_stops_every_stage_and_is_kept(aelle, tmp_path):
    folder = write_synthetic_experiment(tmp_path / "x", networks=40)
    corrupt = folder.cohort_file("cohort0001")
    corrupt.write_bytes(corrupt.read_bytes()[:1000])
    for stage in ("train", "evaluate", "status"):
        code, _, errors = aelle(stage, folder.root)
        assert code == 2
        assert f"{corrupt}: damaged (not a readable Parquet file" in errors
        assert len(errors.splitlines()) == 1
    assert len(corrupt.read_bytes()) == 1000


def test_status_in_words_and_as_json(aelle, tmp_path):
    folder = write_synthetic_experiment(tmp_path / "x", networks=40)
    code, words, _ = aelle("status", folder.root)
    assert code == 0
    assert "1 diverged" in words
    found = json.loads(aelle("status", folder.root, "--json")[1])
    assert (found["started"], found["diverged"], found["running"]) == (40, 1, False)


def test_watching_ends_with_the_collection(aelle, tmp_path, monkeypatch):
    folder = write_synthetic_experiment(tmp_path / "x", networks=40)
    lock, waited = FileLock(folder.root / ".collect.lock"), []
    lock.acquire()

    def wait(seconds):
        waited.append(seconds)
        if len(waited) == 2:
            lock.release()

    monkeypatch.setattr("time.sleep", wait)
    code, shown, _ = aelle("status", folder.root, "--watch", "--json")
    assert code == 0
    assert [json.loads(line)["running"] for line in shown.splitlines()] == [True, True, False]
    assert waited == [2, 2]


def test_run_refuses_too_few_networks_before_it_trains_any(aelle, toml, tmp_path):
    code, _, errors = aelle("run", toml, "--output", tmp_path / "x")
    assert (code, len(errors.splitlines())) == (2, 1)
    assert "its search space has 9 networks, and early prediction needs at least 20" in errors
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("option, value", [("--address", "auto"), ("--gpus", "0.5")])
def test_what_ray_alone_takes_is_a_usage_error_without_it(aelle, toml, option, value):
    code, _, errors = aelle("collect", toml, option, value)
    assert code == 2
    assert f"{option} goes with --engine ray" in errors


@pytest.mark.slow
def test_run_goes_from_a_toml_to_a_page(aelle, tmp_path):
    file = tmp_path / "tiny.toml"
    tiny = experiment(networks={"per_combination": 8, "hidden_size": [6, 8]})
    file.write_text(dump_experiment(tiny))
    folder = ExperimentFolder(tmp_path / "x")
    fewer = ["autoencoder.epochs=20", "autoencoder.forest_trees=4", "prediction.bootstrap=50"]
    fewer += ["prediction.folds=3", "prediction.ensemble=2"]
    overrides = [word for setting in fewer for word in ("--set", setting)]
    code, output, errors = aelle("run", file, "--output", folder.root, "--quiet", *overrides)
    assert code == 0, errors
    report = json.loads(folder.report.read_text())
    ending = output.split("\n\n")[-2:]  # the links, and one paragraph
    assert ending[0].split() == [
        "fast",
        folder.page.resolve().as_uri(),
        f"{folder.root.resolve().as_uri()}/report.html",
    ]
    assert ending[1].startswith(report["headline"])
    assert ending[1].count("\n") == 1
    assert "inside 90%" not in output  # tables are the report's
    assert report["networks"] == 48
    methods = {row["method"] for row in report["rows"]}
    assert {"last value", "hyperparameters only", "weight statistics", "AeLLE"} <= methods
    page = folder.page.read_text()
    assert "<html" in page
    assert "<script src=" not in page  # nothing is fetched; a browser test watches the network
    code, output, errors = aelle("run", file, "--output", folder.root, "--quiet", "--json", *overrides)
    assert code == 0, errors
    (found,) = json.loads(output)["experiments"]
    assert found["headline"] == report["headline"]
    assert found["collection"]["statuses"] == {}  # nothing was left to do
    # Every later stage runs again alone, from files alone.
    shutil.rmtree(folder.autoencoder)
    assert aelle("train", folder.root, "--quiet")[0] == 0
    assert (folder.autoencoder / "weights.safetensors").exists()
