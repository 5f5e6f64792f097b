"""What is wrong with an experiment, in one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from aelle.config.experiment import Experiment
from aelle.config.values import SHAPES
from aelle.words import hint, shown


class ConfigError(ValueError):
    """An experiment file that cannot be used; the message names the file, the key and what would be right."""


def explain(error: ValidationError) -> str:
    """Turn pydantic's list of errors into one line about the most telling one."""
    # A union reports an error for every member; the unknown keys and the shallowest locations tell most.
    details = sorted(error.errors(), key=lambda d: (d["type"] != "extra_forbidden", len(d["loc"])))
    keys = list(dict.fromkeys(_key(detail["loc"]) for detail in details))
    line = _explain_one(details[0])
    return line if len(keys) == 1 else f"{line} (and {len(keys) - 1} more: {', '.join(keys[1:4])})"


def _key(location: Sequence[int | str]) -> str:
    """Name the place as the user wrote it: `section.key[index]`, without the names of union members."""
    path = ""
    for position, part in enumerate(location):
        if isinstance(part, int):
            path += f"[{part}]"
        elif not (position == 2 and part in SHAPES) and "[" not in part:  # pydantic's names of union members
            path += f".{part}" if path else part
    return path


def _explain_one(detail: ErrorDetails) -> str:
    location, place = detail["loc"], _key(detail["loc"])
    if detail["type"] == "extra_forbidden":
        names = _known_keys(location[:-1])
        return f"unknown key {place!r}; {hint(str(location[-1]), names)}"
    if detail["type"] == "missing":
        return f"{place!r} is missing"
    if detail["type"] in ("model_type", "model_attributes_type"):
        return f"{place!r} must be a section, got {shown(detail['input'])}"
    if detail["type"] == "union_tag_invalid":
        return f"{place!r} takes no distribution of numbers"
    message = detail["msg"].removeprefix("Value error, ")
    got = "" if isinstance(detail["input"], dict) else f" (got {shown(detail['input'])})"
    return f"{place}: {message[0].lower()}{message[1:]}{got}"


def _known_keys(location: Sequence[int | str]) -> list[str]:
    """List what may stand at a place of the experiment."""
    if len(location) > 2:
        return list(SHAPES[2:])
    model: Any = Experiment.model_fields[str(location[0])].annotation if location else Experiment
    return sorted(model.model_fields)
