"""Collect records: the only place where search space, training and spectra meet."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout
from tqdm.auto import tqdm

from aelle.collection.backend import chosen_backend
from aelle.collection.checks import checked_variants, cost_notes
from aelle.collection.cohort_job import CohortResult, Job, OnEpoch, driving_sequences, run_cohort
from aelle.collection.engines import Engine, LocalProcesses, refuse_in_a_starting_worker
from aelle.collection.ledger import claim
from aelle.collection.search_space import Cohort
from aelle.collection.versions import note_versions
from aelle.config import ConfigError, Experiment, load_experiment
from aelle.records import (
    SCHEMA,
    ExperimentFolder,
    RecordsError,
    adopt_epoch_files,
    best_of,
    network_states,
    read_arrow,
    record_files,
    remove_partial_files,
    write_incidents,
)
from aelle.tasks.registry import make_task
from aelle.words import shown

_LOCK_SECONDS = 1.0


class CollectionStopped(RuntimeError):  # noqa: N818
    """Collection gave up because networks keep failing; the message names the cause."""


@dataclass
class CollectionSummary:
    """What a collection did: networks by final status, and what should be known besides."""

    folder: ExperimentFolder
    networks: int
    statuses: dict[str, int] = field(default_factory=dict)
    best_metric: float | None = None
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [f"{count} {status}" for status, count in sorted(self.statuses.items()) if count]
        done = ", ".join(parts) or "nothing left to do"
        return f"{self.networks} networks in {self.folder.records}: {done}"


def collect(
    experiment: Experiment,
    folder: ExperimentFolder | str | Path,
    *,
    progress: bool = True,
    on_epoch: OnEpoch | None = None,
    retry_failed: bool = False,
    extend: bool = False,
    engine: Engine | None = None,
    allow_other_versions: bool = False,
) -> CollectionSummary:
    """Train every network of an experiment and record it, epoch by epoch; resume where records exist.

    `on_epoch` is called in the workers with the rows of each cohort's epoch and returns the ids of networks
    to stop there (status "pruned"), or a mapping from them to the reason, kept with their records as `cause`.
    `retry_failed` trains again the networks that failed; `extend` adds the networks of a wider
    search space to a folder that holds those of a narrower one.
    `engine` is where cohorts run; local processes where None. `allow_other_versions` goes on where the records
    were begun with another minor version of torch.

    Raises:
        ConfigError: where the experiment cannot be run, or the folder holds another experiment's records.
        RecordsError: where the folder cannot be written, or another collection is at work in it.
        CollectionStopped: where `training.stop_after_failures` networks in a row failed of one cause.
    """
    refuse_in_a_starting_worker()
    folder = folder if isinstance(folder, ExperimentFolder) else ExperimentFolder(Path(folder))
    job = _prepare(experiment, folder, on_epoch, gpus=engine.gpus if engine is not None else 0.0)
    found = checked_variants(experiment, job.task)
    with _locked(folder):
        size = job.backend.cohort_size(experiment.training, job.task)
        kept = experiment.training.keep_checkpoints or _kept_checkpoints(folder)
        every = claim(folder, experiment, found, size, extend)
        remove_partial_files(folder)
        adopt_epoch_files(folder)
        states = _states(folder, experiment)
        ended = states[states["complete"]]
        if retry_failed:
            again = ended.index[ended["status"] == "failed"]
            job.again, ended = frozenset(map(str, again)), ended.drop(again)
        done = set(map(str, ended.index))
        pending = [c for c in every if not done.issuperset(v.network_id for v in c.variants)]
        if not kept:  # a kill between the last epoch and the end of a cohort leaves one that nobody needs
            left = {cohort.cohort_id for cohort in every} - {cohort.cohort_id for cohort in pending}
            for name in left:
                folder.checkpoint(name).unlink(missing_ok=True)
        # The longest first, so that no worker ends long after the others.
        pending.sort(key=_size, reverse=True)
        summary = CollectionSummary(folder, sum(len(c.variants) for c in every))
        if pending:
            summary.notes += note_versions(folder, job.backend.device, allow_other_versions)
            summary.notes += cost_notes(found, job.task)
            chosen = engine or LocalProcesses(job.backend.workers(experiment.training))
            try:
                _run(job, pending, chosen, summary, progress)
            finally:
                write_incidents(folder)
            _check_arrived(folder, experiment, pending)
        else:
            write_incidents(folder)
    return summary


def _kept_checkpoints(folder: ExperimentFolder) -> bool:
    """Whether the folder's collection was to keep the checkpoints of finished cohorts, until now."""
    file = folder.experiment_file
    return file.exists() and load_experiment(file).training.keep_checkpoints


def _states(folder: ExperimentFolder, experiment: Experiment) -> pd.DataFrame:
    """What the records say of every network; every file is read whole, so that damage is met before training."""
    files = record_files(folder.records)
    rows = read_arrow(folder, ["status"]) if files else SCHEMA.empty_table()
    return network_states(rows, experiment.training.epochs)


def _prepare(experiment: Experiment, folder: ExperimentFolder, on_epoch: OnEpoch | None, gpus: float) -> Job:
    data = experiment.task.data_folder
    if data is not None:
        _check_folder(data)
    task = make_task(experiment.task.name, experiment.task.options, experiment.task.data_folder)
    backend = chosen_backend(experiment.training, task, gpus)
    settings = experiment.spectrum
    other = "noise" in settings.also and settings.inputs != "noise"
    noise = driving_sequences(experiment, task, "noise") if other else None
    # Workers on a cluster have other working directories.
    folder = ExperimentFolder(folder.root.resolve())
    return Job(experiment, folder, task, driving_sequences(experiment, task), on_epoch, backend, noise)


def _check_folder(data: str) -> None:
    """Where there is something else; a folder that is missing is of no matter to a task that reads none."""
    try:
        is_folder = stat.S_ISDIR(Path(data).stat().st_mode)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"task.data_folder: {shown(data)}: {reason}") from None
    if not is_folder:
        raise ConfigError(f"task.data_folder: {shown(data)} is not a folder")


@contextmanager
def _locked(folder: ExperimentFolder) -> Iterator[None]:
    """Hold the folder's lock; the system drops it with the process, however that ends."""
    try:
        folder.root.mkdir(parents=True, exist_ok=True)
        # Whoever merely looks, with another tool, may hold the lock for an instant.
        lock = FileLock(folder.root / ".collect.lock", timeout=_LOCK_SECONDS)
        lock.acquire()
        os.utime(lock.lock_file)  # when this collection began, for what estimates the time left
    except Timeout:
        raise RecordsError(f"{folder.root}: another collection is at work in this folder") from None
    except OSError as error:
        raise RecordsError(f"{folder.root}: cannot be written: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def _size(cohort: Cohort) -> int:
    """What a cohort's time grows with."""
    first = cohort.variants[0]
    return len(cohort.variants) * first["num_layers"] * first["hidden_size"] ** 2


def _run(job: Job, pending: list[Cohort], engine: Engine, summary: CollectionSummary, progress: bool) -> None:
    training, networks = job.experiment.training, summary.networks
    epochs = training.epochs + 1
    done_before = (networks - sum(len(cohort.variants) for cohort in pending)) * epochs
    with tqdm(
        total=networks * epochs,
        initial=done_before,
        desc=f"collect {job.experiment.name}",
        unit="epoch",
        disable=not progress,
        smoothing=0.05,
    ) as bar:
        watch, started = _FailureWatch(training.stop_after_failures), time.monotonic()
        # Closing ends the workers whatever ends this loop: completion, an error, or Ctrl-C.
        with closing(engine.run(run_cohort, job, pending, bar.update)) as results:
            for result in results:
                _note(job, result, summary)
                seconds = max(time.monotonic() - started, 1e-9)
                bar.set_postfix(_postfix(summary, (bar.n - done_before) / epochs / seconds), refresh=False)
                watch.see(result)
        bar.update(bar.total - bar.n)


def _check_arrived(folder: ExperimentFolder, experiment: Experiment, pending: list[Cohort]) -> None:
    states = _states(folder, experiment)
    complete = set(states.index[states["complete"]].astype(str))
    missing = [c for c in pending if not complete.issuperset(v.network_id for v in c.variants)]
    if missing:
        raise RecordsError(
            f"{folder.records}: {len(missing)} cohorts were finished, but their records are not here; a cluster "
            f"needs a folder that all its nodes share"
        )


def _note(job: Job, result: CohortResult, summary: CollectionSummary) -> None:
    summary.best_metric = best_of([summary.best_metric, result.best_metric], job.task.higher_is_better)
    for status in result.statuses.values():
        summary.statuses[status] = summary.statuses.get(status, 0) + 1
    summary.notes += result.notes


def _postfix(summary: CollectionSummary, networks_per_second: float) -> dict[str, Any]:
    """What the bar says besides the epochs: whole networks a second, the best so far, and what went wrong."""
    shown = {
        status: summary.statuses[status] for status in ("diverged", "failed") if status in summary.statuses
    }
    best = {"best": f"{summary.best_metric:.3g}"} if summary.best_metric is not None else {}
    return {"networks/s": f"{networks_per_second:.3g}"} | best | shown


class _FailureWatch:
    """Stops the sweep after `limit` networks in a row have failed of the same cause."""

    def __init__(self, limit: int) -> None:
        self.limit, self.cause, self.count = limit, None, 0

    def see(self, result: CohortResult) -> None:
        if any(status != "failed" for status in result.statuses.values()):
            self.cause, self.count = None, 0
        for failure in result.failures:
            self.count = self.count + 1 if failure["cause"] == self.cause else 1
            self.cause = failure["cause"]
        if self.count >= self.limit:
            last = result.failures[-1]
            raise CollectionStopped(
                f"stopped after {self.count} networks in a row failed: {self.cause} ({last['architecture']}, epoch "
                f"{last['epoch']}, at {last['where']}; all are in failures.jsonl)"
            )
