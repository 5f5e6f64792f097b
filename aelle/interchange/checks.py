"""Does a file of spectra agree with what is declared of it?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from aelle.interchange.tables import LISTS, SpectraFileError
from aelle.records import SCHEMA, STATUSES
from aelle.recurrent.registry import ARCHITECTURES
from aelle.words import hint

_DECLARED = (
    "experiment", "cohort", "task", "metric_name", "higher_is_better", "spectrum_state", "spectrum_inputs",
    "trusted_count",
)  # fmt: skip
_COLUMNS = (
    "final_metric",
    *(
        field.name
        for field in SCHEMA
        if field.name not in _DECLARED and (field.name in LISTS or not pa.types.is_nested(field.type))
    ),
)
CHANGING = (
    "epoch", "train_loss", "val_loss", "val_metric", "status", "certificate", "cause", "cause_at", *LISTS,
    *(name for name in SCHEMA.names if name.endswith("_seconds")),
)  # fmt: skip


@dataclass(frozen=True)
class Declaration:
    """What a file of spectra does not say of itself.

    Attributes:
        unit: of the exponents, "nats" or "bits", per step.
        state: "full" (∂s'/∂s of the whole state) or "hidden" (∂h'/∂h at fixed other parts).
        size: hidden units a layer; None where the file has a column hidden_size.
        architecture: None where the file has a column of that name.
        layers: number of layers; None where the file has a column num_layers, else 1.
        metric: name of the validation metric, and whether more of it is better.
        inputs: what drove the networks, "validation" sequences or "noise".
        epochs: the last epoch of training; None takes the largest epoch of the file.
    """

    unit: Literal["nats", "bits"]
    state: Literal["full", "hidden"]
    size: int | None = None
    architecture: str | None = None
    layers: int | None = None
    task: str = "imported"
    metric: str = "accuracy"
    higher_is_better: bool = True
    inputs: Literal["validation", "noise"] = "validation"
    epochs: int | None = None

    def __post_init__(self) -> None:
        allowed = {"unit": ("nats", "bits"), "state": ("full", "hidden"), "inputs": ("validation", "noise")}
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise ValueError(f"{name} must be {' or '.join(values)}, got {getattr(self, name)!r}")


def check_columns(frame: pd.DataFrame, file: Path) -> None:
    """Refuse columns that records do not have, or that are declared for the whole file."""
    for column in frame.columns:
        if column in _DECLARED:
            raise SpectraFileError(f"{file}: column {column!r} is declared for the whole file; remove it")
        if column not in _COLUMNS:
            raise SpectraFileError(f"{file}: unknown column {column!r}; {hint(str(column), _COLUMNS)}")


def completed(frame: pd.DataFrame, declared: Declaration, file: Path) -> pd.DataFrame:
    """Return the frame with what is declared filled in, once each row is known to be one network and epoch."""
    if "network_id" not in frame:
        if "epoch" in frame and frame["epoch"].nunique() > 1:
            raise SpectraFileError(f"{file}: rows of several epochs need a column network_id")
        frame["network_id"] = [f"{row:012x}" for row in range(len(frame))]
    missing = np.flatnonzero(frame["network_id"].isna())
    if len(missing):
        raise SpectraFileError(f"{file}, row {missing[0] + 1}: network_id is missing")
    given = {
        "hidden_size": declared.size,
        "architecture": declared.architecture,
        "num_layers": declared.layers,
    }
    options = {"hidden_size": "--size", "architecture": "--architecture", "num_layers": "--layers"}
    for column, value in given.items():
        if column in frame and value is not None:
            raise SpectraFileError(f"{file}: has a column {column}; leave out {options[column]}")
        if column not in frame:
            value = 1 if value is None and column == "num_layers" else value
            if value is None:
                raise SpectraFileError(f"{file}: has no column {column}; declare it by {options[column]}")
            frame[column] = value
    for column, default in (("epoch", 0), ("status", "ok")):
        frame[column] = frame.get(column, default)
    for column in ("hidden_size", "num_layers", "epoch"):
        frame[column] = frame[column].astype("int64")
    _check_rows(frame, file)
    return frame


def _check_rows(frame: pd.DataFrame, file: Path) -> None:
    twice = frame.duplicated(["network_id", "epoch"])
    if twice.any():
        row = frame[twice].iloc[0]
        raise SpectraFileError(f"{file}: network {row['network_id']!r} has two rows at epoch {row['epoch']}")
    wrong = frame.loc[~frame["status"].isin(STATUSES), "status"]
    if len(wrong):
        raise SpectraFileError(f"{file}: status {wrong.iloc[0]!r} is none of {', '.join(STATUSES)}")
    fixed = [name for name in frame.columns if name not in CHANGING and name != "network_id"]
    differing = frame.groupby("network_id")[fixed].nunique(dropna=False) > 1
    for column in fixed:
        if differing[column].any():
            network = differing.index[differing[column]][0]
            raise SpectraFileError(f"{file}: {column} of network {network!r} differs between its rows")


def check_sizes(frame: pd.DataFrame, declared: Declaration, file: Path) -> None:
    """Compare numbers of exponents with the declared state and size."""
    if frame["spectrum"].isna().all():
        raise SpectraFileError(f"{file}: holds no spectrum")
    sizes = zip(
        frame["spectrum"], frame["architecture"], frame["hidden_size"], frame["num_layers"], strict=True
    )
    for row, (spectrum, architecture, size, layers) in enumerate(sizes, 1):
        if spectrum is None:
            continue
        if np.isposinf(spectrum).any():
            raise SpectraFileError(
                f"{file}, row {row}: an exponent is +inf; leave spectra of diverged runs empty"
            )
        known = ARCHITECTURES.get(architecture)
        parts = 1 if declared.state == "hidden" else len(known.state_parts) if known else None
        units = size * layers
        right = len(spectrum) == parts * units if parts else len(spectrum) % units == 0
        if not right:
            expected = f"{parts * units}" if parts else f"a multiple of {units}"
            raise SpectraFileError(
                f"{file}, row {row}: {len(spectrum)} exponents, but the {declared.state} state of {architecture} "
                f"with {layers} × {size} units has {expected}"
            )
        for name in LISTS[1:]:
            companion = frame[name].iloc[row - 1] if name in frame else None
            if companion is not None and len(companion) != len(spectrum):
                raise SpectraFileError(
                    f"{file}, row {row}: {len(companion)} numbers of {name} beside {len(spectrum)} exponents"
                )
