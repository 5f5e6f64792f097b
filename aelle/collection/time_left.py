"""How long a collection at work will take yet, from its records alone: what networks like those to come have cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pandas as pd

from aelle.config import Experiment
from aelle.records import ExperimentFolder, record_files

COLUMNS = ("cohort", "train_seconds", "spectrum_seconds", "also_seconds")


def at_work(folder: ExperimentFolder) -> set[str]:
    """Names of cohorts whose records were written since the collection began that holds the lock."""
    try:
        began = (folder.root / ".collect.lock").stat().st_mtime
    except OSError:
        return set()
    return {file.name.split(".")[0] for file in record_files(folder.records) if _written(file) >= began}


def _written(file: Path) -> float:
    with suppress(OSError):  # replaced meanwhile
        return file.stat().st_mtime
    return 0.0


def seconds_left(
    rows: pd.DataFrame,
    states: pd.DataFrame,
    cohorts: Mapping[str, Sequence[str]],
    working: set[str],
    experiment: Experiment,
) -> float | None:
    """Seconds until the last network is finished; None where nothing tells yet.

    What is missing is priced by the mean cost of networks of the same shape, or of all where there is none yet. Cohorts
    at work share it evenly, and the dearest cohort is worked on by one process alone.

    Args:
        rows: records with network_id, epoch and `COLUMNS`.
        states: as `records.network_states`.
        cohorts: network ids by the name of their cohort.
        working: names of cohorts that are being written.
        experiment: how long networks train, and when spectra are due.
    """
    epochs = experiment.training.epochs
    rows = rows.assign(
        shape=rows["cohort"].astype(str).map(_shape),
        train=rows["train_seconds"].where(rows["epoch"] > 0),
        spectra=rows["spectrum_seconds"] + rows["also_seconds"].fillna(0.0),
    )
    training, spectra = (rows.groupby("shape")[name].mean().dropna() for name in ("train", "spectra"))
    if training.empty:
        return None
    complete = set(states.index[states["complete"]].astype(str))
    reached = {str(network): int(epoch) for network, epoch in states["last_epoch"].items()}
    left: dict[str, float] = {}
    for name, members in cohorts.items():
        shape = _shape(name)
        price = float(training.get(shape, training.mean())), float(spectra.get(shape, spectra.mean()))
        for network in (network for network in members if network not in complete):
            first = reached.get(network, -1) + 1
            due = sum(experiment.spectrum.at(epoch) for epoch in range(first, epochs + 1))
            seconds = (epochs + 1 - max(first, 1)) * price[0] + (due * price[1] if due else 0.0)
            left[name] = left.get(name, 0.0) + seconds
    busy = working & set(left)
    if left and not busy:
        return None
    return max(sum(left.values()) / len(busy), *left.values()) if left else 0.0


def _shape(cohort: str) -> str:
    """Architecture, size and layers, which the name of a cohort begins with."""
    return cohort.rpartition("-")[0]


def in_words(seconds: float) -> str:
    """Roughly, in the largest unit that fits: "about 3 minutes"."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 1.5 * length:
            return f"about {seconds / length:.0f} {unit}s"
    return "about a minute" if seconds >= 45 else "less than a minute"
