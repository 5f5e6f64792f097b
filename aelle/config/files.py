"""Experiments as TOML: read, overridden, checked and written."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from aelle.config.errors import ConfigError, explain
from aelle.config.experiment import Experiment
from aelle.files import read_plain


def load_experiment(path: str | Path, overrides: Iterable[str] = ()) -> Experiment:
    """Read an experiment from TOML and apply overrides `section.key=value` (values in TOML's own syntax).

    Raises:
        ConfigError: for a missing or unreadable file, broken TOML, an unknown key, or a wrong value.
    """
    path = Path(path)
    try:
        content = tomllib.loads(read_plain(path)[0].decode("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such experiment file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder; an experiment is one TOML file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: cannot be read: it is no UTF-8 text ({error.reason})") from None
    except RecursionError:
        raise ConfigError(f"{path}: not valid TOML: it is nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    for override in overrides:
        _apply(content, override)
    return parse_experiment(content, source=str(path))


def parse_experiment(content: Mapping[str, Any], source: str = "experiment") -> Experiment:
    """Check a nested mapping against the schema.

    Raises:
        ConfigError: naming the first wrong key, and how many others there are.
    """
    try:
        return Experiment.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{source}: {explain(error)}") from None


def dump_experiment(experiment: Experiment) -> str:
    """Write the resolved experiment, every default included, as TOML."""
    return tomli_w.dumps(experiment.model_dump(mode="json", exclude_none=True))


def _apply(content: dict[str, Any], override: str) -> None:
    key, separator, value = override.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"--set {override}: expected section.key=value")
    *sections, last = key.strip().split(".")
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise ConfigError(f"--set {override}: {section} is a value, not a section")
    content[last] = _toml_value(value.strip())


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # a bare word such as lstm is a string
