"""Columns as they come from any reader → columns of the records' types, exactly, with a word about each change."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from aelle.hyperparameters import HYPERPARAMETERS
from aelle.records import SCHEMA, STATUSES
from aelle.recurrent.registry import ARCHITECTURES

LISTS = ("spectrum", "spectrum_se", "spectrum_std")
NUMBERED = re.compile(r"(spectrum|spectrum_se|spectrum_std)_(\d+)")
_TYPES = {field.name: field.type for field in SCHEMA} | {"final_metric": pa.float64()}
_HYPERPARAMETERS = {h.name: h for h in HYPERPARAMETERS}
_LEAST = {"epoch": 0, "hidden_size": 1, "num_layers": 1}  # which every row must have, too
_FINITE = ("val_metric", "final_metric")
_MISSING = ("", "na", "n/a", "#n/a", "nan", "-nan", "null", "none", "<na>")
_EXACT = 2**53  # whole numbers up to here are exact in floating point


class SpectraFileError(ValueError):
    """A file of spectra that cannot be taken; the message says where it is wrong and what would be right."""


def normalised(frame: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Return a frame with every known column of its own type, and what was changed on the way, in words.

    Words are str, whole numbers int, other numbers float64; a missing value is None or NaN. Unknown columns stay.

    Raises:
        SpectraFileError: naming the row, for a value that is of another type, out of range, or not exact.
    """
    notes: list[str] = []
    frame = _known_names(frame, path, notes)
    for name in [name for name in frame.columns if name in _TYPES and name not in LISTS]:
        read = _reader(name, path)
        values = [read(value, row) for row, value in enumerate(frame[name].tolist(), 1)]
        kind = float if pa.types.is_floating(_TYPES[name]) else object
        frame[name] = pd.Series(values, index=frame.index, dtype=kind)
    for name, known in (("architecture", ARCHITECTURES), ("status", STATUSES)):
        if name in frame:
            frame[name] = _folded(frame[name], list(known), notes)
    return frame, notes


def number(value: Any, name: str, row: int, path: Path) -> float:
    """One number of any reader's; NaN where it is missing."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if value is None or value is pd.NA or (isinstance(value, str) and value.strip().lower() in _MISSING):
        return math.nan
    plain = isinstance(value, int | float | np.integer | np.floating | Decimal) and not isinstance(
        value, bool
    )
    if plain or (isinstance(value, str) and "_" not in value):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    raise SpectraFileError(f"{path}, row {row}: {name} holds something that is not a number: {_shown(value)}")


def _reader(name: str, path: Path) -> Callable[[Any, int], Any]:
    """How a value of a column is read."""
    kind = _TYPES[name]
    if pa.types.is_string(kind):
        return lambda value, row: _word(value, name, row, path)
    if pa.types.is_boolean(kind):
        return lambda value, row: _truth(value, name, row, path)
    if pa.types.is_integer(kind):
        return lambda value, row: _whole(value, name, row, path)
    return lambda value, row: _bounded(number(value, name, row, path), name, row, path)


def _bounded(value: float, name: str, row: int, path: Path) -> float:
    hyperparameter = _HYPERPARAMETERS.get(name)
    if hyperparameter is not None and not math.isnan(value) and not hyperparameter.allows(value):
        raise SpectraFileError(f"{path}, row {row}: {name} is {value:g}, must be {hyperparameter.allowed}")
    if name in _FINITE and math.isinf(value):
        raise SpectraFileError(f"{path}, row {row}: {name} is {value:g}; leave it empty where there is none")
    return value


def _whole(value: Any, name: str, row: int, path: Path) -> int | None:
    """A whole number, exactly; floating numbers only as far as they are exact."""
    text = value.strip() if isinstance(value, str) else None
    if text is not None and re.fullmatch(r"[+-]?\d{1,40}", text):
        found = int(text)
    elif isinstance(value, int | np.integer) and not isinstance(value, bool):
        found = int(value)
    else:
        as_float = number(value, name, row, path)
        if math.isnan(as_float) and name not in _LEAST:
            return None
        if not as_float.is_integer() or abs(as_float) > _EXACT:
            raise SpectraFileError(f"{path}, row {row}: {name} {_must(name)}, got {_shown(value)}")
        found = int(as_float)
    most = 2 ** (_TYPES[name].bit_width - 1) - 1
    hyperparameter = _HYPERPARAMETERS.get(name)
    allowed = hyperparameter is None or hyperparameter.allows(found)
    if not _LEAST.get(name, -most) <= found <= most or not allowed:
        raise SpectraFileError(f"{path}, row {row}: {name} {_must(name)}, got {_shown(value)}")
    return found


def _must(name: str) -> str:
    if name in _LEAST:
        return f"must be a whole number from {_LEAST[name]} up"
    return f"must be {_HYPERPARAMETERS[name].allowed if name in _HYPERPARAMETERS else 'a whole number of 64 bits'}"


def _word(value: Any, name: str, row: int, path: Path) -> str | None:
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError:
            raise SpectraFileError(f"{path}, row {row}: {name} holds bytes that are no UTF-8 text") from None
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)) or value == "":
        return None
    return str(value)


def _truth(value: Any, name: str, row: int, path: Path) -> bool | None:
    known = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
    text = "" if value is None or value is pd.NA else str(value).strip().lower()
    if text in _MISSING:
        return None
    if text not in known:
        raise SpectraFileError(f"{path}, row {row}: {name} must be true or false, got {_shown(value)}")
    return known[text]


def _known_names(frame: pd.DataFrame, path: Path, notes: list[str]) -> pd.DataFrame:
    """Rename columns that differ from a known name in case, spaces or dashes alone."""
    names = [str(name) for name in frame.columns]
    folded = {}
    for name in names:
        plain = re.sub(r"[\s-]+", "_", name.strip().lower())
        known = plain in _TYPES or NUMBERED.fullmatch(plain)
        if known and plain != name and plain not in names:
            folded[name] = plain
            notes.append(f"column {name!r} is read as {plain!r}")
    frame = frame.set_axis([folded.get(name, name) for name in names], axis=1)
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise SpectraFileError(f"{path}: column {twice[0]!r} is there twice; keep one of them")
    return frame


def _folded(values: pd.Series, known: list[str], notes: list[str]) -> pd.Series:
    """Words that differ from a known one in case alone are that one."""
    lower = {word.lower(): word for word in known}
    changed = {
        value: lower[value.lower().strip()]
        for value in values.dropna().unique()
        if value not in known and value.lower().strip() in lower
    }
    notes += [f"{values.name} {value!r} is read as {word!r}" for value, word in changed.items()]
    return values.map(lambda value: changed.get(value, value)).astype(object)


def _shown(value: Any) -> str:
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) < 60 else f"{text[:57]}..."
