"""The methods that are judged side by side: the baselines, and AeLLE's rungs after them."""

from __future__ import annotations

from aelle.config import Experiment
from aelle.prediction.aelle import aelle_methods
from aelle.prediction.baselines import baselines
from aelle.prediction.method import Method


def ladder(experiment: Experiment) -> tuple[Method, ...]:
    """Every method, in the order of the report, under the settings of an experiment."""
    length, level = experiment.autoencoder.length, experiment.prediction.interval
    return (*baselines(length, level, experiment.seed), *aelle_methods(experiment))


def method_named(experiment: Experiment, name: str) -> Method:
    """The method of that name.

    Raises:
        KeyError: where there is none.
    """
    return {method.name: method for method in ladder(experiment)}[name]
