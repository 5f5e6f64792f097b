"""`aelle init`: a file for every task that can be run as it is, with every comment a setting that can be."""

import inspect
import re

import pytest

from aelle.collection.checks import checked_variants
from aelle.config import dump_experiment, load_experiment, parse_experiment
from aelle.embedding.dataset import MINIMUM_NETWORKS
from aelle.recurrent.registry import ARCHITECTURES
from aelle.tasks.registry import TASKS, make_task

WITHOUT_DATA = sorted(set(TASKS) - {"characters", "sequential_mnist", "motion_capture"})


@pytest.mark.parametrize("task", sorted(TASKS))
def test_the_file_of_every_task_is_an_experiment_and_its_comments_are_the_defaults(aelle, tmp_path, task):
    file = tmp_path / "mine.toml"
    code, output, _ = aelle("init", task, file)
    assert code == 0
    assert output == f"wrote {file}\nnext: aelle run {file}\n"
    written = load_experiment(file)
    assert (written.name, written.task.name) == ("mine", task)
    text = file.read_text("utf-8")
    for name in (*ARCHITECTURES, "per_combination", "epochs", "init_gain"):
        assert name in text
    uncommented = tmp_path / "uncommented" / "mine.toml"
    uncommented.parent.mkdir()
    uncommented.write_text(re.sub(r"^# (\w+ = )", r"\1", text, flags=re.M), "utf-8")
    again = load_experiment(uncommented)
    assert again.task.options  # of which the experiment knows nothing: the task has them
    made = again.model_dump() | {"task": written.task.model_dump()}
    assert dump_experiment(parse_experiment(made)) == dump_experiment(written)


@pytest.mark.parametrize("task", WITHOUT_DATA)
def test_it_can_be_collected_and_evaluated_as_it_is(aelle, tmp_path, task):
    file = tmp_path / "mine.toml"
    aelle("init", task, file)
    experiment = load_experiment(file)
    made = make_task(task, experiment.task.options)
    assert len(checked_variants(experiment, made)) >= MINIMUM_NETWORKS
    options = re.findall(
        r"^# (\w+) = ", file.read_text("utf-8").split("[task.options]")[1].split("[networks]")[0], re.M
    )
    assert options
    assert set(options) == set(inspect.signature(TASKS[task]).parameters) - {"data_folder"}


def test_without_a_task_they_are_listed(aelle):
    code, output, _ = aelle("init")
    assert code == 0
    assert [line.split()[0] for line in output.splitlines()] == list(TASKS)
    assert "Name the first of `symbols` symbols" in output


def test_a_task_of_ones_own(aelle, tmp_path, monkeypatch):
    (tmp_path / "parity_task.py").write_text(
        "from aelle.tasks.latch import Latch\nclass Parity(Latch):\n    '''Mine.'''\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert aelle("init", "parity_task:Parity")[0] == 0
    assert load_experiment(tmp_path / "parity.toml").task.name == "parity_task:Parity"


def test_mistakes_are_one_line_and_exit_code_2(aelle, tmp_path):
    there = tmp_path / "there.toml"
    there.write_text("mine")
    for arguments, message in (
        (("latsch",), "unknown task 'latsch'; did you mean 'latch'?"),
        (("nowhere:Task",), "No module named 'nowhere'"),
        (("latch", there), "is there already; name another file"),
        (("latch", tmp_path / "a b.toml"), "name: string should match pattern"),
        (("latch", tmp_path / "none" / "a.toml"), "cannot be written"),
    ):
        code, output, errors = aelle("init", *arguments)
        assert (code, output) == (2, "")
        assert message in errors
        assert len(errors.splitlines()) == 1
    assert there.read_text() == "mine"
    assert sorted(tmp_path.iterdir()) == [there]
