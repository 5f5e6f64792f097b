"""What is drawn as a point: latents with what is known of their networks, or spectra before there are latents."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from aelle.records import ExperimentFolder, RecordsError, open_parquet

LATENT = re.compile(r"latent_(\d+)$")


def latent_columns(points: pd.DataFrame) -> list[str]:
    """Names of the columns latent_0, latent_1, ... in numeric order."""
    found = [(int(match[1]), str(name)) for name in points.columns if (match := LATENT.match(str(name)))]
    return [name for _, name in sorted(found)]


def points_of(
    folder: ExperimentFolder,
    records: pd.DataFrame,
    networks: pd.DataFrame,
    taken: NDArray[np.bool_],
    notes: list[str],
) -> pd.DataFrame:
    """Latents joined with what is known of their network at that epoch.

    Without latents: the records with a spectrum (`taken`); without any of those, all records.
    """
    points = _with_latents(folder, records, notes)
    if points.empty:
        points = records[taken] if taken.any() else records
    outcome = networks[["outcome", "final_metric", "best_metric"]]
    return points.join(outcome, on="network").sort_values(["network", "epoch"], ignore_index=True)


def _with_latents(folder: ExperimentFolder, records: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Records with the latents that belong to them; empty where there are none."""
    latents = optional_parquet(folder.latents, ["network_id", "epoch"], notes)
    if latents is None or not latent_columns(latents):
        return records.iloc[:0]
    # A latents file of other records would silently join to nothing; what is on both sides is kept.
    own = [name for name in latents.columns if name in ("network_id", "epoch") or name not in records.columns]
    points = latents[own].merge(records, on=["network_id", "epoch"], how="inner")
    if len(points) < len(latents):
        notes.append(f"{len(latents) - len(points)} latents belong to no record; run `aelle train` again")
    return points[np.isfinite(points[latent_columns(points)].to_numpy(np.float64)).all(axis=1)]


def add_interval_width(points: pd.DataFrame, predictions: pd.DataFrame) -> None:
    """Add how wide the interval of the prediction is, of the first method that gives intervals."""
    wide = predictions.dropna(subset=["lower", "upper"])
    if points.empty or wide.empty:
        return
    wide = wide[wide["method"] == wide["method"].iloc[0]].drop_duplicates(["network", "epoch"])
    width = (wide["upper"] - wide["lower"]).set_axis(pd.MultiIndex.from_frame(wide[["network", "epoch"]]))
    points["interval_width"] = width.reindex(
        pd.MultiIndex.from_frame(points[["network", "epoch"]])
    ).to_numpy()


def optional_parquet(path: Path, needed: list[str], notes: list[str]) -> pd.DataFrame | None:
    """Read a Parquet file that may be missing; note in words where it is damaged."""
    if not path.is_file():
        return None
    stage = "train" if path.stem == "latents" else "evaluate"
    try:
        frame = open_parquet(path).read().to_pandas()
    except RecordsError as error:
        notes.append(str(error))
        return None
    except (pa.ArrowException, OSError):
        notes.append(f"{path.name} cannot be read; run `aelle {stage}` again")
        return None
    missing = [name for name in needed if name not in frame.columns]
    if missing:
        notes.append(f"{path.name} lacks the columns {', '.join(missing)}; run `aelle {stage}` again")
        return None
    return frame
