"""A small collection that tests of several modules make, and what two equal ones must have in common."""

from types import SimpleNamespace

from aelle.collection.search_space import Cohort, variants
from aelle.config import parse_experiment
from aelle.records import TIMINGS, read_records

FAST_TASK = {"name": "latch", "options": {"delay": 5, "train": 1024, "validation": 64}}


class InThisProcess:
    """An engine that works where the test can change what the clock says, and call what it likes."""

    gpus = 0.0

    def run(self, function, job, cohorts, report):
        for cohort in cohorts:
            yield function(job, cohort, report)


def experiment(**sections):
    networks = {"hidden_size": 6, "per_combination": 3, "init_gain": {"uniform": [0.5, 3.0]}, "dropout": 0.1}
    content = {
        "name": "fast",
        "task": FAST_TASK,
        "networks": networks | sections.pop("networks", {}),
        "training": {"epochs": 4, "batch_size": 64, "workers": 2, "cohort_size": 2}
        | sections.pop("training", {}),
        "spectrum": {"epochs": [0, 2], "sequences": 3, "steps": 20, "warmup": 10},
    }
    return parse_experiment({**content, **sections})


def comparable(folder):
    """Records without what may differ between equal runs: seconds, and how cohorts were cut."""
    return read_records(folder).drop(columns=[*TIMINGS, "cohort"])


def _run_here(function, job, cohorts, report):
    for cohort in cohorts:
        yield function(job, cohort, report)


in_this_process = SimpleNamespace(
    run=_run_here, gpus=0.0
)  # an engine that works where the test can change things


def cohort_of(architecture, num_layers=1, **networks):
    """Four small networks of one shape, for populations: everything that may differ between them does."""
    space = {
        "architecture": architecture,
        "hidden_size": 7,
        "num_layers": num_layers,
        "per_combination": 4,
        "init_gain": {"uniform": [0.5, 2.0]},
        "learning_rate": {"log_uniform": [1e-3, 1e-2]},
        "weight_decay": {"uniform": [0.0, 0.1]},
        **networks,
    }
    content = {"name": "x", "task": {"name": "latch"}, "networks": space, "training": {"gradient_clip": 0.5}}
    return Cohort(tuple(variants(parse_experiment(content))))
