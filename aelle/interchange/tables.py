"""Files of spectra → one data frame with list columns. CSV, NPZ and Parquet; nothing is ever unpickled."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from aelle.interchange.normalise import LISTS, NUMBERED, SpectraFileError, normalised, number
from aelle.words import first_line

__all__ = ["LISTS", "SpectraFileError", "read_spectra_file"]

_MOST_VALUES = 10**9  # rows × columns: 8 GB of numbers
_UNPACKED, _RATIO = 10**8, 100  # bytes, and how many times the packed size, beyond which a file is a zip bomb


def read_spectra_file(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read a file into a frame with one row a spectrum; `spectrum` and its companions hold float64 arrays.

    CSV has a column for each exponent, `spectrum_1`, `spectrum_2`, …; NPZ has an array `spectrum` of rows ×
    exponents and other arrays with a value a row; Parquet has a list column `spectrum`, or columns as CSV.
    Spectra of different lengths end in empty fields, or NaN.

    Returns:
        the frame, and what was read otherwise than it stands in the file, one line each.

    Raises:
        SpectraFileError: for a file that is missing, of another kind, damaged or empty, or holds no spectra.
    """
    readers = {".csv": _read_csv, ".npz": _read_npz, ".parquet": _read_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise SpectraFileError(f"{path}: a file of spectra ends in .csv, .npz or .parquet")
    if not path.is_file():
        raise SpectraFileError(f"{path}: {'is not a file' if path.exists() else 'no such file'}")
    raw, said = reader(path)
    frame, notes = normalised(raw, path)
    frame = _with_lists(frame, path)
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
    return frame, said + notes


def _read_csv(path: Path) -> tuple[pd.DataFrame, list[str]]:
    try:
        # As words: what is a number, and what is missing, depends on the column. 0012, NA and 1e5 may be names.
        return pd.read_csv(path, dtype=str, keep_default_na=False, na_filter=False, encoding="utf-8"), []
    except OSError as error:
        raise SpectraFileError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # the reader raises whatever damaged content leads it to
        raise SpectraFileError(f"{path}: not a readable CSV file ({first_line(error)})") from error


def _read_npz(path: Path) -> tuple[pd.DataFrame, list[str]]:
    try:
        with zipfile.ZipFile(path) as parts:
            unpacked = sum(part.file_size for part in parts.infolist())
        if unpacked > max(_UNPACKED, _RATIO * path.stat().st_size):
            raise SpectraFileError(
                f"{path}: unpacks to {unpacked:,} bytes from {path.stat().st_size:,}; write it with numpy.savez, "
                "which does not compress"
            )
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except SpectraFileError:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise whatever damaged content leads them to
        raise SpectraFileError(
            f"{path}: not a readable NPZ file of plain numbers and words ({first_line(error)})"
        ) from error
    columns: dict[str, Any] = {}
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.ndim != (2 if name in LISTS else 1):
            right = "rows × exponents" if name in LISTS else "one value a row"
            raise SpectraFileError(
                f"{path}: array {name!r} has shape {np.shape(array)}; it should be {right}"
            )
        columns[name] = list(array) if name in LISTS else array
    rows = {name: len(array) for name, array in columns.items()}
    if len(set(rows.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in rows.items())
        raise SpectraFileError(f"{path}: its arrays have different numbers of rows: {listed}")
    return pd.DataFrame(columns), []


def _read_parquet(path: Path) -> tuple[pd.DataFrame, list[str]]:
    try:
        with path.open("rb") as stream, pq.ParquetFile(stream) as file:
            values = file.metadata.num_rows * max(file.metadata.num_columns, 1)
            if values > _MOST_VALUES:
                raise SpectraFileError(f"{path}: holds {values:,} values, more than {_MOST_VALUES:,}")
            table = file.read().replace_schema_metadata(None)
        # What pandas noted of its index is passed over: an index that has a name is a column like any other.
        index = [name for name in table.column_names if name.startswith("__index_level_")]
        whole = {pa.type_for_alias(f"{sign}int{size}") for sign in ("", "u") for size in (8, 16, 32, 64)}
        frame = table.drop_columns(index).to_pandas(
            ignore_metadata=True, types_mapper=lambda kind: pd.ArrowDtype(kind) if kind in whole else None
        )
    except SpectraFileError:
        raise
    except OSError as error:
        raise SpectraFileError(f"{path}: cannot be read: {error.strerror or first_line(error)}") from error
    except Exception as error:  # Arrow raises whatever damaged content leads it to
        raise SpectraFileError(f"{path}: not a readable Parquet file ({first_line(error)})") from error
    return frame, ["an index without a name is left out"] if index else []


def _with_lists(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Gather numbered columns into lists, in the order of their numbers."""
    numbered: dict[str, dict[int, str]] = {}
    for column in frame.columns:
        if match := NUMBERED.fullmatch(str(column)):
            numbered.setdefault(match[1], {})[int(match[2])] = column
    for name, columns in numbered.items():
        if name in frame:
            raise SpectraFileError(f"{path}: columns {name} and {name}_… are both given; keep one of them")
        if sorted(columns) != list(range(1, len(columns) + 1)):
            raise SpectraFileError(f"{path}: columns {name}_1 to {name}_{max(columns)} are not complete")
        ordered = [_numbers(frame[columns[at]], name, path) for at in sorted(columns)]
        lists = pd.Series(list(np.stack(ordered, axis=1)), index=frame.index, dtype=object)
        frame = frame.drop(columns=list(columns.values()))
        frame[name] = lists
    return frame


def _numbers(values: pd.Series, name: str, path: Path) -> np.ndarray:
    """A column of exponents; one of plain numbers at once."""
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "iuf":
        return values.to_numpy(float)
    return np.array([number(value, name, row, path) for row, value in enumerate(values.tolist(), 1)], float)


def _trimmed(values: Any, name: str, row: int, path: Path) -> np.ndarray | None:
    """One row's numbers without the empty end; None where there are none."""
    if values is None or values is pd.NA or (isinstance(values, float) and np.isnan(values)):
        return None
    found = np.asarray(values) if isinstance(values, np.ndarray | list | tuple) else None
    if found is None or found.ndim != 1:
        raise SpectraFileError(f"{path}, row {row}: {name} should be one list of numbers")
    if found.dtype.kind in "iuf":
        numbers = found.astype(float)
    else:
        numbers = np.array([number(value, name, row, path) for value in found.tolist()], dtype=float)
    known = np.flatnonzero(~np.isnan(numbers))
    numbers = numbers[: known[-1] + 1] if len(known) else numbers[:0]
    if np.isnan(numbers).any():
        place = int(np.flatnonzero(np.isnan(numbers))[0]) + 1
        raise SpectraFileError(f"{path}, row {row}: number {place} of {name} is missing")
    return numbers if len(numbers) else None
