"""Distributions of hyperparameters → variants with stable ids → cohorts.

An id is a hash of the variant's content, never of its position; every draw comes from a generator seeded by
the experiment's seed, the grid point and the repeat. So adding grid values or repeats adds networks and
leaves those that were there as they were.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from aelle.config import Choice, Experiment, LogUniform, Uniform

_SEARCHED = (
    "architecture",
    "hidden_size",
    "num_layers",
    "init_gain",
    "init_scale",
    "learning_rate",
    "dropout",
    "weight_decay",
)


@dataclass(frozen=True)
class Variant:
    """One network to train: everything that decides its record, and nothing else."""

    task: str
    task_options: str  # canonical JSON
    architecture: str
    hidden_size: int
    num_layers: int
    bias: bool
    init_scale: float
    learning_rate: float
    dropout: float
    weight_decay: float
    batch_size: int
    gradient_clip: float | None
    seed: int
    cell_options: str = ""  # canonical JSON, empty where there are none

    @property
    def network_id(self) -> str:
        """Twelve hexadecimal digits of the content's SHA-256."""
        content = asdict(self)
        if not self.cell_options:
            del content["cell_options"]  # so that a cell that gains options keeps its networks' ids
        return _digest(content)

    @property
    def init_gain(self) -> float:
        """init_scale · sqrt(hidden_size)."""
        return float(self.init_scale * self.hidden_size**0.5)


@dataclass(frozen=True)
class Cohort:
    """Networks that train together: same task, architecture, size and number of layers."""

    variants: tuple[Variant, ...]

    @property
    def cohort_id(self) -> str:
        """Readable prefix and a hash of the members' ids."""
        first = self.variants[0]
        digest = _digest([variant.network_id for variant in self.variants])
        name = "".join(c if c.isalnum() else "-" for c in first.architecture)
        return f"{name}-h{first.hidden_size}-l{first.num_layers}-{digest}"


def variants(experiment: Experiment) -> list[Variant]:
    """All networks of an experiment: every grid point × `per_combination` draws.

    Raises:
        ValueError: where a drawn value is out of its range, for example a dropout of 1, or cell options are
            for an architecture that is not in the search space.
    """
    networks = experiment.networks
    axes = {name: _axis(getattr(networks, name)) for name in _SEARCHED}
    found = []
    for values in itertools.product(*axes.values()):
        point = dict(zip(axes, values, strict=True))
        for repeat in range(networks.per_combination):
            found.append(_draw(experiment, point, repeat))
    drawn = sorted({variant.architecture for variant in found})
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
        groups.setdefault((variant.architecture, variant.hidden_size, variant.num_layers), []).append(variant)
    found_cohorts = []
    for group in groups.values():
        most = size(group[0]) if callable(size) else size
        found_cohorts += [Cohort(tuple(group[i : i + most])) for i in range(0, len(group), most)]
    return found_cohorts


def _axis(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _draw(experiment: Experiment, point: Mapping[str, Any], repeat: int) -> Variant:
    named = {name: _jsonable(value) for name, value in point.items()}
    entropy = int(_digest([experiment.seed, experiment.task.name, named, repeat], length=16), 16)
    random = np.random.default_rng(entropy)
    drawn = {name: _sample(value, random) for name, value in point.items()}
    seed = int(random.integers(2**31))
    _check(drawn)
    gain, scale = drawn.pop("init_gain"), drawn.pop("init_scale")
    options = experiment.networks.cell_options.get(drawn["architecture"])
    if scale is None:
        scale = (1.0 if gain is None else float(gain)) / int(drawn["hidden_size"]) ** 0.5
    return Variant(
        task=experiment.task.name,
        task_options=json.dumps(experiment.task.options, sort_keys=True),
        bias=experiment.networks.bias,
        init_scale=float(scale),
        batch_size=experiment.training.batch_size,
        gradient_clip=experiment.training.gradient_clip,
        seed=seed,
        cell_options=json.dumps(options, sort_keys=True) if options else "",
        **{**drawn, **{name: float(drawn[name]) for name in ("learning_rate", "dropout", "weight_decay")}},
    )


def _sample(value: Any, random: np.random.Generator) -> Any:
    if isinstance(value, Uniform):
        low, high = value.uniform
        return float(random.uniform(low, high))
    if isinstance(value, LogUniform):
        return float(np.exp(random.uniform(*np.log(value.log_uniform))))
    if isinstance(value, Choice):
        return value.choice[int(random.integers(len(value.choice)))]
    return value


def _check(drawn: Mapping[str, Any]) -> None:
    """Distributions are not bounded by the schema of the value they stand for; their draws are checked here."""
    if not 0 <= drawn["dropout"] < 1:
        raise ValueError(f"networks.dropout: drew {drawn['dropout']}, must be in [0, 1)")
    if drawn["learning_rate"] <= 0 or drawn["weight_decay"] < 0:
        raise ValueError("networks: learning_rate must be above 0 and weight_decay at least 0")
    for name in ("hidden_size", "num_layers"):
        if not isinstance(drawn[name], int) or drawn[name] < 1:
            raise ValueError(f"networks.{name}: drew {drawn[name]!r}, must be a whole number of at least 1")


def _jsonable(value: Any) -> Any:
    return value.model_dump() if hasattr(value, "model_dump") else value


def _digest(content: Mapping[str, Any] | Sequence[Any], length: int = 12) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:length]
