"""What several commands take: an experiment's file or folder, and the options that go with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aelle.cli.output import tell

if TYPE_CHECKING:
    from aelle.config import Experiment
    from aelle.records import ExperimentFolder

PATH = click.Path(path_type=Path)
experiment_file = click.argument("experiment_file", type=PATH)
folder = click.argument("folder", type=PATH)
overrides = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    help="Override one setting (repeatable).",
)
output = click.option("--output", type=PATH, help="Folder to write to [default: artifacts/<name>].")
quiet = click.option("--quiet", is_flag=True, help="Draw no progress bars.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of words.")


def print_json(content: Any) -> None:
    """Print one line of JSON, alone on standard output; what JSON has no number for is null."""
    import json

    from aelle.records import without_nan

    tell(json.dumps(without_nan(content), allow_nan=False))


def load(file: Path, output: Path | None, overrides: tuple[str, ...]) -> tuple[Experiment, ExperimentFolder]:
    """Read an experiment's file, and name the folder its results go to."""
    from aelle.config import load_experiment
    from aelle.records import ExperimentFolder

    experiment = load_experiment(file, overrides)
    return experiment, ExperimentFolder(output or Path("artifacts") / experiment.name)


def existing(folder: Path) -> ExperimentFolder:
    """Return the folder of an experiment that is there."""
    from aelle.records import ExperimentFolder

    return ExperimentFolder(folder).require()
