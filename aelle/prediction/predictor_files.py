"""A predictor on disk. None of its files can run code when it is read.

predictor.json       what it predicts and from what; the checksums of the files beside it
experiment.toml      the experiment whose networks it was fitted on
networks.parquet, records.parquet, spectra.parquet    the table of training networks
scores.safetensors, ensemble-<view>/weights.safetensors, model.json    what AeLLE has learnt from them

What follows from the table at once, such as trees, is made anew from it, always the same under the same version of
scikit-learn.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from safetensors import SafetensorError

from aelle.config import Experiment, dump_experiment
from aelle.embedding.dataset import EmbeddingError, read_experiment
from aelle.files import read_plain
from aelle.hyperparameters import NAMES
from aelle.prediction.errors import PredictorError
from aelle.prediction.ladder import method_named
from aelle.prediction.method import FittedMethod
from aelle.prediction.predictor_checks import require_consistent
from aelle.prediction.table import Table
from aelle.records import (
    LATER_COLUMNS,
    SCHEMA,
    ExperimentFolder,
    Metric,
    RecordsError,
    put_in_place,
    write_bytes,
    write_json,
    write_table,
)
from aelle.words import first_line

FORMAT = "aelle predictor 3"
_TABLES = ("networks", "records", "spectra")
_OWN = re.compile(
    r"predictor\.json|experiment\.toml|\w+\.parquet|scores\.safetensors|ensemble-\d+|\..*\.partial"
)
_AGAIN = "save the predictor again with `aelle evaluate --save`"


def save(
    folder: Path,
    experiment: Experiment,
    conventions: Mapping[str, str],
    name: str,
    method: FittedMethod,
    made_from: Mapping[str, str] | None = None,
) -> None:
    """Write a predictor. It is made beside one that is there, and then takes its place whole."""
    folder = folder.resolve()
    if folder.is_dir() and not all(_OWN.fullmatch(entry.name) for entry in folder.iterdir()):
        _write(folder, experiment, conventions, name, method, made_from)  # other things lie there, and stay
        return
    made = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.partial")
    try:
        _write(made, experiment, conventions, name, method, made_from)
        put_in_place(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _write(
    folder: Path,
    experiment: Experiment,
    conventions: Mapping[str, str],
    name: str,
    method: FittedMethod,
    made_from: Mapping[str, str] | None,
) -> None:
    """Write the files, and last the description, which vouches for the rest."""
    description, training = folder / "predictor.json", method.training
    write_bytes(folder / "experiment.toml", dump_experiment(experiment).encode())
    for table in _TABLES:
        frame = getattr(training, table)
        write_table(
            folder / f"{table}.parquet", _arrow(frame.reset_index() if table == "networks" else frame)
        )
    files = ["experiment.toml", *(f"{table}.parquet" for table in _TABLES), *method.save(folder)]
    write_json(
        description,
        {
            "format": FORMAT,
            "experiment": experiment.name,
            "task": experiment.task.name,
            "metric_name": training.metric.name,
            "higher_is_better": training.metric.higher_is_better,
            "target": experiment.prediction.target,
            **conventions,
            "method": name,
            "epochs": list(training.epochs),
            "last_epoch": training.epoch,
            "final_epoch": training.final_epoch,
            "level": experiment.prediction.interval,
            "networks": len(training),
            "sha256": {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in files},
        },
        made_from,
    )


def load(folder: Path) -> tuple[Experiment, str, str, str, FittedMethod]:
    """Read a predictor that `save` wrote: experiment, state and inputs of its spectra, method's name, method.

    Raises:
        PredictorError: where there is none, or a file is missing, corrupt or of another predictor.
    """
    path = folder / "predictor.json"
    content = _description(path)
    try:
        for name, checksum in content["sha256"].items():
            _vouched(folder, name, checksum)
        tables = {name: _table(folder, f"{name}.parquet", content["sha256"]) for name in _TABLES}
        epochs = tuple(int(epoch) for epoch in content["epochs"])
        training = Table(
            tables["networks"].set_index("network_id"),
            tables["records"],
            tables["spectra"],
            int(content["last_epoch"]),
            epochs,
            int(content["final_epoch"]),
            Metric(str(content["metric_name"]), bool(content["higher_is_better"])),
        )
        require_consistent(training)
        experiment = read_experiment(ExperimentFolder(folder))
        state, inputs, name = (str(content[key]) for key in ("spectrum_state", "spectrum_inputs", "method"))
        method = method_named(experiment, name).load(folder, training)
    except (EmbeddingError, RecordsError) as error:
        raise PredictorError(f"{path}: {error}; {_AGAIN}") from error
    except (
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
        ValueError,
        OverflowError,
        RuntimeError,
        OSError,
        SafetensorError,
    ) as error:
        if isinstance(error, PredictorError):
            raise
        raise PredictorError(
            f"{path}: not a usable predictor ({type(error).__name__}: {first_line(error)}); {_AGAIN}"
        ) from error
    return experiment, state, inputs, name, method


def _arrow(frame: pd.DataFrame) -> pa.Table:
    """Columns of records keep the types that they have there: a map cannot be told from its values."""
    columns = {
        str(name): pa.array(
            frame[name],
            type=SCHEMA.field(name).type if name in SCHEMA.names and frame[name].dtype == object else None,
            from_pandas=True,
        )
        for name in frame
    }
    return pa.table(columns)


def _description(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_plain(path)[0])
    except FileNotFoundError:
        raise PredictorError(f"{path}: no such file; save a predictor with `aelle evaluate --save`") from None
    except OSError as error:
        raise PredictorError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise PredictorError(f"{path}: not valid JSON ({first_line(error)}); {_AGAIN}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise PredictorError(
            f"{path}: not the description of an aelle predictor of format {FORMAT!r}; one that an older version "
            "saved has to be saved again with `aelle evaluate --save`"
        )
    return content


def _vouched(folder: Path, name: str, checksum: str) -> bytes:
    """Read a file that the description vouches for."""
    try:
        content = read_plain(folder / name)[0]
    except OSError as error:
        raise PredictorError(f"{folder / name}: cannot be read: {error.strerror}; {_AGAIN}") from None
    if hashlib.sha256(content).hexdigest() != checksum:
        raise PredictorError(f"{folder / name}: not the file that predictor.json describes; {_AGAIN}")
    return content


def _table(folder: Path, name: str, checksums: Mapping[str, str]) -> pd.DataFrame:
    """A table; what came with a later version is null where the predictor was saved by an earlier one."""
    try:
        frame = pd.read_parquet(io.BytesIO(_vouched(folder, name, checksums[name])))
    except (pa.ArrowInvalid, OSError) as error:
        raise PredictorError(f"{folder / name}: not a readable Parquet file; {_AGAIN}") from error
    later = set(LATER_COLUMNS) & set(NAMES) if name == "networks.parquet" else set(LATER_COLUMNS)
    lacking = [] if name == "spectra.parquet" else sorted(later - set(frame))
    return frame.assign(**dict.fromkeys(lacking))
