"""Files of spectra → one data frame with list columns. CSV, NPZ and Parquet; nothing is ever unpickled."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from aelle.words import first_line

LISTS = ("spectrum", "spectrum_se", "spectrum_std")
_WORDS = ("network_id", "architecture", "status")
_NUMBERED = re.compile(r"(spectrum|spectrum_se|spectrum_std)_(\d+)")


class SpectraFileError(ValueError):
    """A file of spectra that cannot be taken; the message says where it is wrong and what would be right."""


def read_spectra_file(path: Path) -> pd.DataFrame:
    """Read a file into a frame with one row a spectrum; `spectrum` and its companions hold float64 arrays.

    CSV has a column for each exponent, `spectrum_1`, `spectrum_2`, …; NPZ has an array `spectrum` of rows ×
    exponents and other arrays with a value a row; Parquet has a list column `spectrum`, or columns as CSV.
    Spectra of different lengths end in empty fields, or NaN.

    Raises:
        SpectraFileError: for a file that is missing, of another kind, damaged or empty, or holds no spectra.
    """
    readers = {".csv": _read_csv, ".npz": _read_npz, ".parquet": _read_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise SpectraFileError(f"{path}: a file of spectra ends in .csv, .npz or .parquet")
    if not path.is_file():
        raise SpectraFileError(f"{path}: no such file")
    frame = _with_lists(reader(path))
    if frame.empty:
        raise SpectraFileError(f"{path}: holds no rows")
    if "spectrum" not in frame:
        raise SpectraFileError(
            f"{path}: holds no spectra; exponents are in columns spectrum_1, spectrum_2, … "
            "or in one array or list column `spectrum`"
        )
    for name in LISTS:
        if name in frame:
            lists = [_trimmed(values, name, row, path) for row, values in enumerate(frame[name], 1)]
            frame[name] = pd.Series(lists, index=frame.index, dtype=object)
    return frame


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        # Identifiers such as 0012 and 1e5 are words, not numbers.
        return pd.read_csv(path, dtype=dict.fromkeys(_WORDS, "object"), encoding="utf-8")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise SpectraFileError(f"{path}: not a readable CSV file ({first_line(error)})") from error


def _read_npz(path: Path) -> pd.DataFrame:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise SpectraFileError(
            f"{path}: not a readable NPZ file of plain numbers and words ({first_line(error)})"
        ) from error
    columns: dict[str, Any] = {}
    rows = {name: len(array) for name, array in arrays.items() if array.ndim > 0}
    for name, array in arrays.items():
        if array.ndim != (2 if name in LISTS else 1):
            right = "rows × exponents" if name in LISTS else "one value a row"
            raise SpectraFileError(f"{path}: array {name!r} has shape {array.shape}; it should be {right}")
        columns[name] = list(array) if name in LISTS else array
    if len(set(rows.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in rows.items())
        raise SpectraFileError(f"{path}: its arrays have different numbers of rows: {listed}")
    return pd.DataFrame(columns)


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        return pq.read_table(path, partitioning=None).to_pandas()
    except (pa.ArrowInvalid, OSError) as error:
        raise SpectraFileError(f"{path}: not a readable Parquet file ({first_line(error)})") from error


def _with_lists(frame: pd.DataFrame) -> pd.DataFrame:
    """Gather numbered columns into lists, in the order of their numbers."""
    numbered: dict[str, dict[int, str]] = {}
    for column in frame.columns:
        if match := _NUMBERED.fullmatch(str(column)):
            numbered.setdefault(match[1], {})[int(match[2])] = column
    for name, columns in numbered.items():
        if name in frame:
            raise SpectraFileError(f"columns {name} and {name}_… are both given; keep one of them")
        if sorted(columns) != list(range(1, len(columns) + 1)):
            raise SpectraFileError(f"columns {name}_1 to {name}_{max(columns)} are not complete")
        ordered = frame[[columns[number] for number in sorted(columns)]]
        lists = pd.Series(list(ordered.to_numpy()), index=frame.index, dtype=object)
        frame = frame.drop(columns=list(columns.values()))
        frame[name] = lists
    return frame


def _trimmed(values: Any, name: str, row: int, path: Path) -> np.ndarray | None:
    """One row's numbers without the empty end; None where there are none."""
    if values is None or np.ndim(values) == 0:
        return None
    try:
        numbers = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise SpectraFileError(f"{path}, row {row}: {name} holds something that is not a number") from None
    if numbers.ndim != 1:
        raise SpectraFileError(f"{path}, row {row}: {name} should be one list of numbers")
    known = np.flatnonzero(~np.isnan(numbers))
    numbers = numbers[: known[-1] + 1] if len(known) else numbers[:0]
    if np.isnan(numbers).any():
        place = int(np.flatnonzero(np.isnan(numbers))[0]) + 1
        raise SpectraFileError(f"{path}, row {row}: number {place} of {name} is missing")
    return numbers if len(numbers) else None
