"""Predict every network by methods that were fitted without its fold, in parallel over folds."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from itertools import groupby
from typing import Any

import joblib  # type: ignore[import-untyped]
import numpy as np
import pandas as pd
from tqdm import tqdm

from aelle.embedding.optimise import single_threaded
from aelle.prediction.errors import PredictionError
from aelle.prediction.method import FittedMethod, Method
from aelle.prediction.table import Table

_LOOK_SECONDS = 0.5
_watching: list[threading.Thread] = []  # of this worker, while it lives
COLUMNS = ("method", "epoch", "network_id", "fold", "actual", "predicted", "lower", "upper")


def cross_validate(
    table: Table,
    folds: np.ndarray,
    methods: Sequence[Method],
    *,
    keep: Method | None = None,
    workers: int = 1,
    progress: bool = False,
) -> tuple[pd.DataFrame, dict[str, float], FittedMethod | None]:
    """Predict every network's outcome, with an interval, from folds that do not contain it.

    Args:
        table: networks with their outcomes.
        folds: the fold of each network, (n,).
        methods: what is to be judged.
        keep: a method to fit on all networks as well.
        workers: processes; 0 for as many as there are cores.

    Returns:
        predictions in `COLUMNS`, in metric units, lower and upper NaN where too few networks calibrate them; of
        each epoch the networks of which every method says something. The seconds that fitting and predicting
        took, by method, summed over the folds. `keep`, fitted.
    """
    # Methods of one family may share what takes longest to fit; those that take longest go first.
    families = [list(group) for _, group in groupby(methods, key=lambda method: method.family)]
    jobs = [] if keep is None else [joblib.delayed(_fit)(keep, table)]
    jobs += [
        joblib.delayed(_judge)(family, table, folds, fold)
        for family in sorted(families, key=lambda family: family[0].family)
        for fold in np.unique(folds).tolist()
    ]
    done = _run(jobs, workers or joblib.cpu_count(), progress)
    kept: FittedMethod | None = done.pop(0) if keep is not None else None
    found = pd.concat([predictions for predictions, _ in done], ignore_index=True)
    silent = found["predicted"].isna().groupby([found["epoch"], found["network_id"]]).transform("any")
    found = found[~silent].sort_values(["epoch", "method", "network_id"], ignore_index=True)
    seconds: dict[str, float] = {}
    for _, spent in done:
        for name, value in spent.items():
            seconds[name] = seconds.get(name, 0.0) + value
    return found, seconds, kept


def _with_driver(driver: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Do a part of the work in a worker, which must not outlive the process that asked for it."""
    if os.getpid() != driver and not _watching:
        _watching.append(threading.Thread(target=_die_with, args=(driver,), daemon=True))
        _watching[0].start()
    return function(*arguments)


def _die_with(driver: int) -> None:
    while os.getppid() == driver:  # whoever has lost its parent gets another one
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


def _fit(method: Method, table: Table) -> FittedMethod:
    return method.fit(table, np.ones(len(table), dtype=bool))


def _judge(
    methods: Sequence[Method], table: Table, folds: np.ndarray, fold: int
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Fit methods without one fold, and predict it."""
    held_out = folds == fold
    frames, seconds = [], {}
    for method in methods:
        started = time.perf_counter()
        fitted = method.fit(table, ~held_out)
        for epoch in (e for e in table.epochs if e >= method.first_epoch):
            known = table.up_to(epoch)
            predicted = fitted.predict(known, held_out & known.predictable).reset_index()
            actual = table.networks["target"].reindex(predicted["network_id"]).to_numpy(float)
            frames.append(predicted.assign(method=method.name, epoch=epoch, fold=fold, actual=actual))
        seconds[method.name] = time.perf_counter() - started
    return pd.concat(frames, ignore_index=True)[list(COLUMNS)], seconds


def _run(jobs: list[Any], workers: int, progress: bool) -> list[Any]:
    """Run jobs in single-threaded processes, or in this one where there is one worker."""
    parallel = joblib.parallel_config(backend="loky", inner_max_num_threads=1)
    driver = os.getpid()
    if workers > 1 and os.name == "posix":
        jobs = [joblib.delayed(_with_driver)(driver, function, arguments) for function, arguments, _ in jobs]
    with parallel if workers > 1 else single_threaded():
        running = joblib.Parallel(n_jobs=workers, return_as="generator")(jobs)
        try:
            return list(
                tqdm(running, total=len(jobs), desc="evaluate", unit="fit", disable=not progress, leave=False)
            )
        except BrokenProcessPool:
            raise PredictionError(
                "a worker process was killed from outside, as where memory runs out: try fewer with [training] workers "
                "in experiment.toml"
            ) from None
