"""The experiments of the papers: each file is valid, and each of its kinds of network can be built and run."""

from pathlib import Path

import pytest
import torch

from aelle.collection.search_space import variants
from aelle.collection.training import build_network
from aelle.config import load_experiment
from aelle.tasks.registry import make_task
from tests.task_data import data_folder

FOLDER = Path(__file__).parents[1] / "experiments"
FILES = {"characters": "war_and_peace.txt", "sequential_mnist": "mnist", "motion_capture": "cmu_mocap"}
NAMES = ["characters", "sequential_mnist", "motion_capture", "target_learning", "cross_architecture"]
NAMES += ["adding", "copy_memory", "delayed_xor"]


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_builds_its_networks_and_runs_them_on_its_data(name):
    experiment = load_experiment(FOLDER / f"{name}.toml")
    kind = experiment.task.name
    task = make_task(kind, experiment.task.options, data_folder(FILES[kind]) if kind in FILES else None)
    first = {(v["architecture"], v["hidden_size"]): v for v in variants(experiment)}
    assert {architecture for architecture, _ in first} == set(experiment.networks.architecture)
    few = task.validation.take(torch.arange(min(4, len(task.validation))))
    for variant in first.values():
        network = build_network(variant, task)
        outputs, _ = network(task.encode(few.inputs)[:, :300], readout_steps=task.readout_steps)
        assert outputs.shape[2] == task.output_size
        assert outputs.isfinite().all()
