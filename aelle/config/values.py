"""Values of settings: numbers within bounds, and the grids and distributions a search space is made of."""

from __future__ import annotations

import math
from typing import Annotated, Any, Union

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from aelle.hyperparameters import HYPERPARAMETERS, Hyperparameter


class Strict(BaseModel):
    """A section of an experiment: unknown keys, wrong types, NaN and infinities are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class Uniform(Strict):
    """A number drawn uniformly from [low, high], written `{ uniform = [low, high] }`."""

    uniform: Annotated[list[float], Field(min_length=2, max_length=2)]

    @model_validator(mode="after")
    def _ordered(self) -> Uniform:
        if self.uniform[0] > self.uniform[1]:
            raise ValueError(f"the range [{self.uniform[0]}, {self.uniform[1]}] runs downwards")
        if not math.isfinite(self.uniform[1] - self.uniform[0]):
            raise ValueError(
                f"the range [{self.uniform[0]}, {self.uniform[1]}] is too wide for numbers of 64 bits"
            )
        return self


class LogUniform(Strict):
    """A number whose logarithm is uniform on [ln low, ln high], written `{ log_uniform = [low, high] }`."""

    log_uniform: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=2, max_length=2)]

    @model_validator(mode="after")
    def _ordered(self) -> LogUniform:
        if self.log_uniform[0] > self.log_uniform[1]:
            raise ValueError(f"the range [{self.log_uniform[0]}, {self.log_uniform[1]}] runs downwards")
        return self


class Choice(Strict):
    """One value drawn from a list, written `{ choice = [a, b] }`."""

    choice: Annotated[list[bool | int | float | str], Field(min_length=1)]


# Bounds are where no machine would finish, or have the memory; beyond 1e9, single precision has no digits left.
Epochs = Annotated[int, Field(ge=1, le=10**6)]
PositiveFloat = Annotated[float, Field(gt=0, le=1e9)]
NonNegativeFloat = Annotated[float, Field(ge=0, le=1e9)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Channels = Annotated[list[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]], Field(min_length=1)]
SHAPES = ("fixed", "grid", "uniform", "log_uniform", "choice")


def _shape(value: Any) -> str:
    """Tell which form of a search-space entry was written, so that errors speak of that form alone."""
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if isinstance(value, dict):
        return next((name for name in SHAPES[2:] if name in value), "choice")
    return "grid" if isinstance(value, list) else "fixed"


def hyperparameters(section: str) -> dict[str, Any]:
    """Fields, type and default, of the hyperparameters that stand in a section of the settings."""
    return {h.name: (_annotation(h), h.default) for h in HYPERPARAMETERS if h.section == section}


def _annotation(hyperparameter: Hyperparameter) -> Any:
    bounds = {
        "gt": hyperparameter.above,
        "ge": hyperparameter.at_least,
        "lt": hyperparameter.below,
        "le": hyperparameter.at_most,
    }
    bounded = {name: bound for name, bound in bounds.items() if bound is not None}
    kind: Any = Annotated[hyperparameter.kind, Field(**bounded)] if bounded else hyperparameter.kind  # type: ignore[call-overload]
    annotation = searched(kind) if hyperparameter.searched else kind
    return annotation if hyperparameter.default is not None else annotation | None


def searched(kind: Any) -> Any:
    """Type of one entry of the search space: a value, a grid of values, or a distribution of them."""
    forms: dict[str, Any] = {
        "fixed": kind,
        "grid": Annotated[list[kind], Field(min_length=1)],
        "choice": Choice,
    }
    if kind is not str:
        forms.update(uniform=Uniform, log_uniform=LogUniform)
    tagged = tuple(Annotated[form, Tag(name)] for name, form in forms.items())
    return Annotated[Union[tagged], Discriminator(_shape)]  # noqa: UP007
