"""A predictor on disk. None of its files can run code when it is read.

predictor.json       what it predicts and from what; the checksums of the files beside it
experiment.toml      the experiment whose networks it was fitted on
networks.parquet     the training networks; trees are fitted to it anew when the predictor is used
spectra.parquet      the median training spectra
aelle-<view>-<member>/weights.safetensors, model.json
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from aelle.config import dump_experiment
from aelle.embedding import checkpoint
from aelle.embedding.dataset import EmbeddingError, read_experiment
from aelle.prediction.errors import PredictorError
from aelle.prediction.occlusion import MedianSpectra
from aelle.prediction.stage import Table
from aelle.records import ExperimentFolder, Metric, RecordsError, write_bytes, write_frame, write_json

if TYPE_CHECKING:
    from aelle.prediction.predictor import Predictor

FORMAT = "aelle predictor 2"
_TABLES = ("networks.parquet", "spectra.parquet")


@dataclass(frozen=True)
class _MemberFolder(ExperimentFolder):
    """The predictor's folder as the checkpoint of one autoencoder sees it."""

    member: str = ""

    @property
    def autoencoder(self) -> Path:
        return self.root / self.member


def save(predictor: Predictor, folder: Path) -> None:
    """Write a predictor. The description is removed first and written last, so that it vouches for the rest."""
    description = folder / "predictor.json"
    description.unlink(missing_ok=True)
    write_bytes(folder / "experiment.toml", dump_experiment(predictor.experiment).encode())
    write_frame(folder / _TABLES[0], predictor.table.frame.reset_index())
    write_frame(folder / _TABLES[1], predictor.medians.table)
    views = []
    for view, members in enumerate(predictor.members):
        names = [f"aelle-{view}-{number}" for number in range(len(members))]
        for name, member in zip(names, members, strict=True):
            checkpoint.save(_MemberFolder(folder, name), member)
        views.append(names)
    files = [*_TABLES, "experiment.toml", *(f"{name}/model.json" for names in views for name in names)]
    write_json(
        description,
        {
            "format": FORMAT,
            "experiment": predictor.experiment.name,
            "task": predictor.task,
            "metric_name": predictor.metric_name,
            "higher_is_better": predictor.higher_is_better,
            "target": predictor.experiment.prediction.target,
            "spectrum_state": predictor.spectrum_state,
            "spectrum_inputs": predictor.spectrum_inputs,
            "epochs": list(predictor.epochs),
            "level": predictor.level,
            "networks": len(predictor.table.frame),
            "views": views,
            "sha256": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files},
        },
    )


def load(folder: Path) -> Predictor:
    """Read a predictor that `save` wrote.

    Raises:
        PredictorError: where there is none, or a file is missing, corrupt or of another predictor.
    """
    from aelle.prediction.predictor import Predictor

    path = folder / "predictor.json"
    content = _description(path)
    try:
        tables = [_table(folder, name, content["sha256"][name]) for name in _TABLES]
        for name, checksum in content["sha256"].items():
            _vouched(folder, name, checksum)
        metric = Metric(str(content["metric_name"]), bool(content["higher_is_better"]))
        members = [
            [checkpoint.load(_MemberFolder(folder, str(name))) for name in names]
            for names in content["views"]
        ]
        return Predictor(
            experiment=read_experiment(ExperimentFolder(folder)),
            metric=metric,
            spectrum_state=str(content["spectrum_state"]),
            spectrum_inputs=str(content["spectrum_inputs"]),
            epochs=tuple(int(epoch) for epoch in content["epochs"]),
            level=float(content["level"]),
            members=members,
            table=Table(tables[0].set_index("network_id"), metric),
            medians=MedianSpectra(tables[1]),
        )
    except (EmbeddingError, RecordsError) as error:
        raise PredictorError(f"{path}: {error}; save the predictor again") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise PredictorError(
            f"{path}: not a usable predictor (no {error}); save the predictor again"
        ) from error


def _description(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise PredictorError(f"{path}: no such file; save a predictor with `aelle predict --save`") from None
    except OSError as error:
        raise PredictorError(f"{path}: cannot be read: {error.strerror}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise PredictorError(f"{path}: not valid JSON ({error}); save the predictor again") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise PredictorError(
            f"{path}: not the description of an aelle predictor of format {FORMAT!r}; one that an older version "
            "saved has to be saved again"
        )
    return content


def _vouched(folder: Path, name: str, checksum: str) -> bytes:
    """Read a file that the description vouches for."""
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise PredictorError(
            f"{folder / name}: cannot be read: {error.strerror}; save the predictor again"
        ) from None
    if hashlib.sha256(content).hexdigest() != checksum:
        raise PredictorError(
            f"{folder / name}: not the file that predictor.json describes; save the predictor again"
        )
    return content


def _table(folder: Path, name: str, checksum: str) -> pd.DataFrame:
    try:
        return pd.read_parquet(io.BytesIO(_vouched(folder, name, checksum)))
    except (pa.ArrowInvalid, OSError) as error:
        raise PredictorError(
            f"{folder / name}: not a readable Parquet file; save the predictor again"
        ) from error
