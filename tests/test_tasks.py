"""Tasks: fixed splits, what the labels are, driving sequences, and wrong options."""

import re
from pathlib import Path

import pytest
import torch

from aelle.tasks.registry import TASKS, make_task, register
from aelle.tasks.task import TaskError
from tests.task_data import data_folder

SMALL = {
    "characters": {"share": 0.01},
    "sequential_mnist": {"source": "test_files"},
    "motion_capture": {"activity": "walking"},
    "adding": {"length": 20, "train": 200, "validation": 100},
    "copy_memory": {"train": 200, "validation": 100},
    "delayed_xor": {"train": 200, "validation": 100},
    "target_learning": {"period": 100},
}
FILES = {"sequential_mnist": "mnist", "motion_capture": "cmu_mocap"}


def small_task(name):
    return make_task(name, SMALL.get(name, {}), data_folder(FILES[name]) if name in FILES else None)


@pytest.mark.parametrize("name", sorted(TASKS))
def test_equal_options_give_equal_data_and_disjoint_splits(name):
    first, second = small_task(name), small_task(name)
    for split in ("train", "validation", "test"):
        assert torch.equal(getattr(first, split).inputs, getattr(second, split).inputs)
        assert torch.equal(getattr(first, split).targets, getattr(second, split).targets)
    assert first.encode(first.train.inputs[:3]).shape[2] == first.input_size


@pytest.mark.parametrize("order, shape", [("rows", (8, 8)), ("pixels", (64, 1))])
def test_digits_are_the_images_of_scikit_learn(order, shape):
    from sklearn.datasets import load_digits

    task = make_task("digits", {"order": order})
    assert [len(s) for s in (task.train, task.validation, task.test)] == [1258, 270, 269]
    images = torch.cat([task.train.inputs, task.validation.inputs, task.test.inputs]).flatten(1)
    expected = torch.tensor(load_digits().data / 16.0, dtype=torch.float32)
    assert task.train.inputs.shape[1:] == shape
    # The splits partition the data: the same rows in another order.
    assert torch.equal(images.unique(dim=0), expected.unique(dim=0))


@pytest.mark.parametrize("source", ["def broken(:", "raise RuntimeError('at import')", "1 / 0"])
def test_a_module_that_cannot_be_imported_is_one_line(tmp_path, monkeypatch, source):
    from aelle.recurrent.registry import cell_class

    (tmp_path / "broken_module.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TaskError, match="task 'broken_module:Mine' cannot be imported: "):
        make_task("broken_module:Mine", {})
    with pytest.raises(ValueError, match="architecture 'broken_module:Mine' cannot be imported: "):
        cell_class("broken_module:Mine")


def test_a_task_that_raises_is_one_line():
    class Raising(type(make_task("latch", {}))):
        name = "raising_here"

        def __init__(self, size: int = 3):
            raise ZeroDivisionError("no data today")

    try:
        register(Raising)
        with pytest.raises(
            TaskError, match="'raising_here' cannot be made: ZeroDivisionError: no data today"
        ):
            make_task("raising_here", {})
        with pytest.raises(TaskError, match=r"'size' must be a whole number, got 2\.5"):
            make_task("raising_here", {"size": 2.5})
    finally:
        del TASKS["raising_here"]


def test_latch_asks_for_the_first_symbol():
    task = make_task("latch", {"symbols": 5, "delay": 9, "train": 50, "validation": 20})
    encoded = task.encode(task.train.inputs)
    assert encoded.shape == (50, 10, 5)
    assert torch.equal(encoded[:, 0].argmax(-1), task.train.targets)
    assert torch.equal(encoded.sum(-1), torch.ones(50, 10))


def test_loss_and_metric_of_a_perfect_and_a_blind_answer():
    task = make_task("latch", {})
    targets = torch.tensor([1, 3, 3])
    perfect = 50.0 * torch.nn.functional.one_hot(targets, 8).float().unsqueeze(1)
    assert task.metric(perfect, targets) == 1.0
    assert task.loss(perfect, targets).item() < 1e-6
    blind = torch.zeros(3, 1, 8)
    assert task.loss(blind, targets).item() == pytest.approx(torch.log(torch.tensor(8.0)).item())


@pytest.mark.parametrize("name", sorted(set(TASKS) - {"target_learning"}))
def test_driving_sequences_come_from_validation_data_or_match_its_moments(name):
    task = small_task(name)

    def draw(kind, seed=3):
        return task.driving_sequences(6, 200, kind, torch.Generator().manual_seed(seed))

    driving = draw("validation")
    assert driving.shape == (6, 200, task.input_size)
    assert torch.equal(driving, draw("validation"))
    assert not torch.equal(driving, draw("validation", seed=4))
    length = task.validation.inputs.shape[1]
    known = task.encode(task.validation.inputs).flatten(1)
    pieces = driving[:, : 200 // length * length].reshape(-1, length * task.input_size)
    distances = torch.cdist(pieces, known, compute_mode="donot_use_mm_for_euclid_dist")
    assert distances.min(dim=1).values.max() == 0
    noise = draw("noise")
    torch.testing.assert_close(noise.mean((0, 1)), driving.mean((0, 1)), atol=0.1, rtol=0)
    torch.testing.assert_close(noise.std((0, 1)), driving.std((0, 1)), atol=0.1, rtol=0)
    with pytest.raises(TaskError, match="unknown kind of driving sequences 'music'"):
        draw("music")


def test_target_learning_is_driven_by_one_pulse_or_by_noise():
    task = small_task("target_learning")

    def draw(kind, seed=3):
        return task.driving_sequences(6, 2000, kind, torch.Generator().manual_seed(seed))

    driving = draw("validation")
    assert driving.shape == (6, 2000, 1)
    assert (driving[:, 0] != 0).all()
    assert (driving[:, 1:] == 0).all()
    assert torch.equal(driving, draw("validation"))
    noise, target = draw("noise"), task.train.targets
    assert noise.std().item() == pytest.approx(target.std().item(), rel=0.05)
    assert noise.mean().item() == pytest.approx(0, abs=0.05)
    with pytest.raises(TaskError, match="unknown kind of driving sequences 'music'"):
        draw("music")


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("digitz", {}, "unknown task 'digitz'; did you mean 'digits'"),
        ("digits", {"ordr": "rows"}, "task 'digits' has no option 'ordr'; did you mean 'order'"),
        ("digits", {"order": "columns"}, "order must be one of rows, pixels, got 'columns'"),
        ("latch", {"delay": 0}, "delay, train and validation at least 1"),
        ("adding", {"length": 1}, "length must be at least 2"),
        ("copy_memory", {"symbols": 1}, "symbols must be at least 2"),
        ("delayed_xor", {"delay": 7}, "delay must be even and at least 2"),
        ("delayed_xor", {"delay": 20, "length": 20}, "length more than delay"),
        ("characters", {"share": 0.0}, "share above 0"),
        ("characters", {"data_folder": "."}, "has no option 'data_folder'"),
        ("sequential_mnist", {"order": "columns"}, "order must be one of rows, pixels, permuted"),
        ("sequential_mnist", {"source": "web"}, "source must be full or test_files"),
        ("motion_capture", {"activity": "dancing"}, "activity must be all, basketball"),
        ("motion_capture", {"length": 0}, "length and stride must be at least 1"),
        ("no_module:Task", {}, "cannot be imported"),
        ("aelle.config:Experiment", {}, "not a subclass"),
    ],
)
def test_wrong_names_and_options(name, options, message):
    with pytest.raises(TaskError, match=message):
        make_task(name, options)


def test_the_page_on_tasks_lists_each_of_them():
    page = (Path(__file__).parents[1] / "docs" / "how-to" / "own-task.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)
    assert listed == sorted(TASKS)


def test_a_task_of_ones_own():
    kind = TASKS["latch"]
    assert register(kind) is kind
    assert make_task("aelle.tasks.latch:Latch", {}).name == "latch"
    with pytest.raises(TaskError, match="already registered"):
        register(type("Other", (kind,), {"name": "latch"}))
