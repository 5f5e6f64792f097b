"""Training with torch's kernels: the optimiser, and what a worker has to import."""

import subprocess
import sys

import torch
from torch import nn

from aelle.optimiser import AdamW


def test_the_optimiser_equals_torchs_to_the_bit():
    torch.manual_seed(0)
    inputs, targets = torch.randn(5, 16, 3), torch.randn(5, 16, 2)
    ours, theirs = nn.Linear(3, 2), nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    optimisers = (
        AdamW(ours.parameters(), 0.01, 0.1),
        torch.optim.AdamW(theirs.parameters(), lr=0.01, weight_decay=0.1, fused=True),
    )
    for x, y in zip(inputs, targets, strict=True):
        for model, optimiser in zip((ours, theirs), optimisers, strict=True):
            optimiser.zero_grad()
            (model(x) - y).square().mean().backward()
            optimiser.step()
    for mine, torchs in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, torchs)
        for name, moment in optimisers[1].state[torchs].items():
            assert torch.equal(optimisers[0].state[mine][name], moment)


def test_a_worker_trains_without_importing_torchs_compiler():
    program = """
import sys
from aelle.collection.search_space import Cohort, variants
from aelle.collection.training import NativeTraining
from aelle.config import parse_experiment
from aelle.tasks.registry import make_task

experiment = parse_experiment({"name": "x", "task": {"name": "latch"}, "training": {"gradient_clip": 1.0}})
task = make_task("latch", {"delay": 2, "train": 8, "validation": 4})
for epoch in NativeTraining(Cohort(tuple(variants(experiment)[:1])), task, 1):
    assert all(trainee.error is None for trainee in epoch.trainees)
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0
