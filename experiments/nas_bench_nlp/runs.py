"""The file of runs: one JSON object a line, gzipped or not, as NAS-Bench-NLP's logs give them.

Of a line are read `recipe`, `val_losses` and `train_losses` after every epoch, and where it has them `recipe_id`, `status`,
`num_params`, `settings` and `proxies` (zero-cost proxies that others published). What cannot be read is left out, and why is
said in one line.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipe import Recipe, RecipeError, architecture

EPOCHS = 50
"""Of a run whose settings do not say how many."""


class RunsError(ValueError):
    """A file that holds no runs."""


@dataclass(frozen=True)
class Run:
    """One architecture, trained.

    Attributes:
        name: number of its line and recipe_id.
        architecture: text that all recipes of its function share.
        val_losses, train_losses: after epoch 1, 2, …; NaN where none was reached.
        diverged: whether it ended so.
        epochs: of its training.
        parameters: their number, NaN where the file does not say.
        proxies: published ones, by name.
    """

    name: str
    recipe: Recipe
    architecture: str
    val_losses: list[float]
    train_losses: list[float]
    diverged: bool
    epochs: int
    parameters: float
    proxies: dict[str, float]


def read_runs(path: Path) -> tuple[list[Run], list[str]]:
    """Read a file: its runs, and a line of words for each that is left out.

    Raises:
        RunsError: where the file is missing or damaged, or no line of it holds a run.
    """
    try:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8") as stream:
            lines = stream.read().splitlines()
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise RunsError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from error
    runs, left_out = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            runs.append(_run(json.loads(line), number))
        except (
            ValueError,
            TypeError,
            KeyError,
            RecursionError,
        ) as error:  # RecipeError and JSON's are ValueErrors
            left_out.append(f"{path.name}, line {number}: left out: {_words(error)}")
    if not runs:
        raise RunsError(
            f"{path}: none of its {len(lines)} lines holds a run" + (f"; {left_out[0]}" if left_out else "")
        )
    return runs, left_out


def _words(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return "no JSON"
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]


def _run(content: Any, number: int) -> Run:
    if not isinstance(content, Mapping):
        raise ValueError("it is no JSON object")
    recipe = content["recipe"]
    recipe = json.loads(recipe) if isinstance(recipe, str) else recipe
    if not isinstance(recipe, Mapping):
        raise RecipeError("a recipe must be a table of nodes")
    settings = content.get("settings") or {}
    epochs = int(settings.get("epochs", EPOCHS)) if isinstance(settings, Mapping) else EPOCHS
    val, train = (_losses(content, name)[:epochs] for name in ("val_losses", "train_losses"))
    diverged = content.get("status", "OK") != "OK" or not all(map(math.isfinite, val))
    if len(val) < epochs and not diverged:
        raise ValueError(f"it ends after {len(val)} of {epochs} epochs without having diverged")
    proxies = content.get("proxies") or {}
    return Run(
        f"{number:05d}-{content.get('recipe_id', 'run')}",
        recipe,
        architecture(recipe),
        val,
        train,
        diverged,
        epochs,
        _number(content.get("num_params")),
        {str(k): _number(v) for k, v in proxies.items()} if isinstance(proxies, Mapping) else {},
    )


def _losses(content: Mapping[str, Any], name: str) -> list[float]:
    values = content[name]
    if not isinstance(values, list):
        raise ValueError(f"{name} is no list")
    return [_number(value) for value in values]


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
