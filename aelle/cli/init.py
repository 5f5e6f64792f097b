"""`aelle init`: a commented experiment file for a task."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import click

from aelle.cli import arguments
from aelle.cli.output import tell

SPACE: dict[str, Any] = {"init_gain": {"uniform": [0.3, 3.0]}}
"""What varies in every file: the initial gain, from contracting to chaotic."""

OTHER_SPACE: dict[str, dict[str, Any]] = {
    "target_learning": {
        "architecture": ["rate", "robust_rate"], "hidden_size": 200, "init_gain": {"uniform": [0.8, 2.2]},
        "learning_rate": 1.0,
    },
}  # fmt: skip
"""Tasks whose networks learn by another rule than gradient descent."""

OTHER_SPECTRUM = {"target_learning": {"sequences": 1, "steps": 600, "warmup": 200}}

SECTIONS = ("training", "spectrum", "prediction")
LEFT_OUT = {
    "training": {"keep_checkpoints", "stop_after_failures", "cohort_size"},
    "prediction": {"views", "epochs"},
}


@click.command()
@click.argument("task", required=False)
@click.argument("file", type=arguments.PATH, required=False)
def init(task: str | None, file: Path | None) -> None:
    """Write a commented experiment file for TASK: FILE, or TASK.toml. Nothing is overwritten.

    TASK is one of the package's, which are listed where none is given, or a dotted path to your own, package.module:Class.
    """
    from aelle.config import parse_experiment
    from aelle.tasks.registry import TASKS, task_class

    if task is None:
        for name, known in TASKS.items():
            tell(f"{name:<18}{_first_sentence(known)}")
        return
    kind = task_class(task)
    file = file or Path(f"{task.rpartition(':')[2].lower()}.toml")
    if file.exists():
        raise ValueError(f"{file}: is there already; name another file")
    text = _text(task, kind, file)
    parse_experiment(
        _parsed(text), source=str(file)
    )  # a file that cannot be an experiment's name is refused here
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise ValueError(f"{file}: cannot be written: {error.strerror or error}") from error
    tell(f"wrote {file}\nnext: aelle run {file}")


def _parsed(text: str) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(text)


def _first_sentence(kind: type) -> str:
    return (inspect.getdoc(kind) or "").split("\n\n")[0].replace("\n", " ").split(". ")[0].rstrip(".") + "."


def _text(task: str, kind: type, file: Path) -> str:
    lines = [
        f"# {_first_sentence(kind)}",
        "# A setting behind a '#' stands at its default; remove the '#' to change it.",
        f"#   aelle run {file}        collects, trains, evaluates and writes the page",
        f"name = {_toml(file.stem)}",
        "# seed = 0",
        "",
        "[task]",
        f"name = {_toml(task)}",
        "",
        "[task.options]",
    ]
    for name, parameter in inspect.signature(kind).parameters.items():
        if name == "data_folder" or parameter.default is inspect.Parameter.empty:
            continue
        lines.append(f"# {name} = {_toml(parameter.default)}")
    lines += _networks(task)
    for section in SECTIONS:
        lines += ["", *_section(section, OTHER_SPECTRUM.get(task, {}) if section == "spectrum" else {})]
    return "\n".join(lines) + "\n"


def _networks(task: str) -> list[str]:
    """The search space: every hyperparameter with what it is and what it may be."""
    from aelle.config.collection import Networks
    from aelle.hyperparameters import HYPERPARAMETERS
    from aelle.recurrent.registry import ARCHITECTURES

    space = SPACE | OTHER_SPACE.get(task, {})
    lines = [
        "",
        "[networks]",
        "#   The search space. A list is an axis of the grid; a distribution is drawn anew for each network:",
        "#   { uniform = [low, high] }, { log_uniform = [low, high] } or { choice = [a, b] }.",
    ]
    for h in (h for h in HYPERPARAMETERS if h.section == "networks"):
        if h.name in space or h.default is not None:
            given = space.get(h.name, h.default)
            mark = "" if h.name in space or h.shape else "# "
            allowed = f"one of {', '.join(ARCHITECTURES)}" if h.name == "architecture" else h.allowed
            lines.append(f"{mark}{h.name} = {_toml(given)}  # {h.label}: {allowed}")
    default = Networks.model_fields["per_combination"].default
    return [*lines, f"# per_combination = {default}  # networks at each point of the grid"]


def _section(section: str, given: dict[str, Any]) -> list[str]:
    """Every setting of a section, those that are given as settings, the others as comments."""
    from aelle.config import Experiment
    from aelle.hyperparameters import HYPERPARAMETERS

    labels = {h.name: f"  # {h.label}: {h.allowed}" for h in HYPERPARAMETERS}
    default = Experiment.model_fields[section].default
    words = (inspect.getdoc(type(default)) or "").replace("`", "").splitlines()
    lines = [f"[{section}]", *(f"#   {line}".rstrip() for line in words)]
    for name, value in default.model_dump(mode="json").items():
        if value is None or name in LEFT_OUT.get(section, ()):
            continue
        mark = "" if name in given else "# "
        lines.append(f"{mark}{name} = {_toml(given.get(name, value))}{labels.get(name, '')}")
    return lines


def _toml(value: Any) -> str:
    """A value in TOML's syntax."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(each)}" for name, each in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
