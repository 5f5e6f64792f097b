"""Distributions of hyperparameters → variants with stable ids → cohorts.

An id is a hash of the variant's content, never of its position; every draw comes from a generator seeded by
the experiment's seed, the grid point and the repeat. So adding grid values or repeats adds networks and
leaves those that were there as they were.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from aelle.config import Choice, Experiment, LogUniform, Uniform
from aelle.hyperparameters import HYPERPARAMETERS, SHAPE, Hyperparameter

MOST_NETWORKS = 100_000  # drawn, listed and written to cohorts.json in seconds


@dataclass(frozen=True)
class Variant:
    """One network to train: everything that decides its record, and nothing else.

    `variant["learning_rate"]` is a hyperparameter; `hyperparameters` holds all of `aelle.hyperparameters` by name.
    """

    task: str
    task_options: str  # canonical JSON
    hyperparameters: Mapping[str, Any]
    gradient_clip: float | None
    seed: int
    cell_options: str = ""  # canonical JSON, empty where there are none

    def __getitem__(self, name: str) -> Any:
        return self.hyperparameters[name]

    def learning(self, epoch: int = 0) -> dict[str, Any]:
        """What a learning rule is told in an epoch: the hyperparameters, with the learning rate of that epoch."""
        decayed = self["learning_rate_decay"] ** max(0, epoch - self["decay_after"])
        rate = self["learning_rate"] * decayed
        return {**self.hyperparameters, "learning_rate": rate, "gradient_clip": self.gradient_clip}

    @property
    def network_id(self) -> str:
        """Twelve hexadecimal digits of the content's SHA-256."""
        content = asdict(self)
        content |= _without_later_defaults(content.pop("hyperparameters"))
        del content["init_gain"]  # which follows from init_scale and hidden_size
        if not self.cell_options:
            del content["cell_options"]  # so that a cell that gains options keeps its networks' ids
        return _digest(content)


@dataclass(frozen=True)
class Cohort:
    """Networks that train together: same task, architecture, size and number of layers."""

    variants: tuple[Variant, ...]

    @property
    def cohort_id(self) -> str:
        """Readable prefix and a hash of the members' ids."""
        first = self.variants[0]
        digest = _digest([variant.network_id for variant in self.variants])
        name = "".join(c if c.isalnum() else "-" for c in first["architecture"])
        return f"{name}-h{first['hidden_size']}-l{first['num_layers']}-{digest}"


def variants(experiment: Experiment) -> list[Variant]:
    """All networks of an experiment: every grid point × `per_combination` draws.

    Raises:
        ValueError: where a value is listed twice, there are too many networks, a drawn value is out of its range, for example a dropout of 1, or cell options are
            for an architecture that is not in the search space.
    """
    networks = experiment.networks
    axes = {
        h.name: _axis(f"{h.section}.{h.name}", _setting(experiment, h)) for h in HYPERPARAMETERS if h.searched
    }
    _count(axes, networks.per_combination)
    found = []
    for values in itertools.product(*axes.values()):
        point = dict(zip(axes, values, strict=True))
        for repeat in range(networks.per_combination):
            found.append(_draw(experiment, point, repeat))
    drawn = sorted({variant["architecture"] for variant in found})
    for architecture in networks.cell_options:
        if architecture not in drawn:
            raise ValueError(
                f"networks.cell_options: no network has the architecture {architecture!r}; "
                f"there are {', '.join(drawn)}"
            )
    return found


def cohorts(found: Sequence[Variant], size: int | Callable[[Variant], int]) -> list[Cohort]:
    """Group variants by shape into cohorts of at most `size`, which may depend on the shape."""
    groups: dict[tuple[Any, ...], list[Variant]] = {}
    for variant in found:
        groups.setdefault(tuple(variant[name] for name in SHAPE), []).append(variant)
    found_cohorts = []
    for group in groups.values():
        most = size(group[0]) if callable(size) else size
        found_cohorts += [Cohort(tuple(group[i : i + most])) for i in range(0, len(group), most)]
    return found_cohorts


def _setting(experiment: Experiment, hyperparameter: Hyperparameter) -> Any:
    return getattr(getattr(experiment, hyperparameter.section), hyperparameter.name)


def _axis(setting: str, value: Any) -> list[Any]:
    """The values of a grid; one that is listed twice would train and record its networks twice."""
    values = value if isinstance(value, list) else [value]
    for place, found in enumerate(values):
        if found in values[:place]:
            raise ValueError(
                f"{setting}: {found!r} is listed twice; for more networks raise networks.per_combination"
            )
    return values


def _count(axes: Mapping[str, list[Any]], repeats: int) -> None:
    """Count the networks before any is drawn.

    Raises:
        ValueError: for more than can be drawn and listed in minutes.
    """
    count = math.prod(len(values) for values in axes.values()) * repeats
    if count > MOST_NETWORKS:
        raise ValueError(
            f"networks: the search space has {count:,} networks, more than {MOST_NETWORKS:,}; leave values out, or "
            f"lower networks.per_combination"
        )


def _draw(experiment: Experiment, point: Mapping[str, Any], repeat: int) -> Variant:
    named = {name: _jsonable(value) for name, value in _without_later_defaults(point).items()}
    entropy = int(_digest([experiment.seed, experiment.task.name, named, repeat], length=16), 16)
    random = np.random.default_rng(entropy)
    drawn = {name: _sample(value, random) for name, value in point.items()}
    seed = int(random.integers(2**31))
    options = experiment.networks.cell_options.get(drawn["architecture"])
    return Variant(
        task=experiment.task.name,
        task_options=json.dumps(experiment.task.options, sort_keys=True),
        hyperparameters=_completed(experiment, drawn),
        gradient_clip=experiment.training.gradient_clip,
        seed=seed,
        cell_options=json.dumps(options, sort_keys=True) if options else "",
    )


def _completed(experiment: Experiment, drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Return all hyperparameters of a network in the order of their list: those drawn, and those set for all."""
    values = {h.name: _setting(experiment, h) for h in HYPERPARAMETERS} | dict(drawn)
    _check(values)
    root = values["hidden_size"] ** 0.5
    if values["init_scale"] is None:
        values["init_scale"] = (1.0 if values["init_gain"] is None else float(values["init_gain"])) / root
    values["init_gain"] = float(values["init_scale"]) * root
    return {h.name: h.kind(values[h.name]) for h in HYPERPARAMETERS}


def _without_later_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out hyperparameters at the default that they had before they could be set, so that ids stay."""
    unchanged = {h.name for h in HYPERPARAMETERS if h.later and values.get(h.name) == h.default}
    return {name: value for name, value in values.items() if name not in unchanged}


def _sample(value: Any, random: np.random.Generator) -> Any:
    if isinstance(value, Uniform):
        low, high = value.uniform
        return float(random.uniform(low, high))
    if isinstance(value, LogUniform):
        return float(np.exp(random.uniform(*np.log(value.log_uniform))))
    if isinstance(value, Choice):
        return value.choice[int(random.integers(len(value.choice)))]
    return value


def _check(values: Mapping[str, Any]) -> None:
    """Distributions are not bounded by the schema of the value they stand for; their draws are checked here."""
    for h in HYPERPARAMETERS:
        value = values[h.name]
        if not (h.allows(value) or (value is None and h.default is None)):
            raise ValueError(f"{h.section}.{h.name}: drew {value!r}, must be {h.allowed}")


def _jsonable(value: Any) -> Any:
    return value.model_dump() if hasattr(value, "model_dump") else value


def _digest(content: Mapping[str, Any] | Sequence[Any], length: int = 12) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:length]
