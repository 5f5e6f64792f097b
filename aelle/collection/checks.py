"""What is checked before anything trains, so that a collection that cannot go well never begins."""

from __future__ import annotations

from collections.abc import Sequence

from aelle.collection.memory import free_bytes
from aelle.collection.search_space import Variant, cohorts, variants
from aelle.collection.training import build_network
from aelle.conditioning.methods import methods_of
from aelle.config import ConfigError, Experiment
from aelle.modules.module_cell import ModuleCell
from aelle.tasks.task import Task


def checked_variants(experiment: Experiment, task: Task) -> list[Variant]:
    """All variants; one network of each shape is built, so that a bad one is refused at the start.

    Raises:
        ConfigError: where no spectrum would ever be taken, or a network cannot be drawn or built.
    """
    settings, epochs = experiment.spectrum, experiment.training.epochs
    if settings.epochs and not any(settings.at(epoch) for epoch in range(epochs + 1)):
        raise ConfigError(
            f"spectrum.epochs: no spectrum would be taken at {settings.epochs}, since training ends with epoch {epochs}"
        )
    try:
        if experiment.training.condition != "none":
            methods_of(experiment.training.condition)
    except ValueError as error:
        raise ConfigError(f"training.condition: {error}") from error
    try:
        found = variants(experiment)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    for variant in _extremes(found):
        _check_shape(variant, task)
    return found


def _extremes(found: Sequence[Variant]) -> list[Variant]:
    """The smallest and the largest network of each architecture: what can be built lies between them."""
    chosen: dict[str, list[Variant]] = {}
    for cohort in cohorts(found, len(found)):
        chosen.setdefault(cohort.variants[0]["architecture"], []).append(cohort.variants[0])
    return [end(shapes, key=_weights) for shapes in chosen.values() for end in (min, max)]


def _weights(variant: Variant) -> int:
    return int(variant["num_layers"] * variant["hidden_size"] ** 2)


def cost_notes(found: Sequence[Variant], task: Task) -> list[str]:
    """One line for the largest network of each architecture without a closed form: what its Jacobians cost here."""
    notes = []
    for variant in _extremes(found)[1::2]:
        cell = build_network(variant, task).layers[0]
        if isinstance(cell, ModuleCell):
            notes.append(f"{variant['architecture']} of {variant['hidden_size']} units {cell.cost()}")
    return notes


def _check_shape(variant: Variant, task: Task) -> None:
    least = (
        4 * 4 * _weights(variant)
    )  # one matrix per layer: weight, gradient and two moments, in single precision
    free = free_bytes("cpu")
    if least > free:
        raise ConfigError(
            f"networks: {variant['architecture']} of {variant['num_layers']} × {variant['hidden_size']} units needs at "
            f"least {least / 2**30:.0f} GiB to train, and {free / 2**30:.0f} GiB of memory are free"
        )
    try:
        build_network(variant, task)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    except Exception as error:  # a user's cell may raise anything, and torch where memory does not suffice
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(
            f"networks: {variant['architecture']} of {variant['hidden_size']} units cannot be built: {reason}"
        ) from error
