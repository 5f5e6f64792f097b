"""Where cohorts run: a pool of local processes, one thread each."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import queue
import signal
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any, Protocol

from aelle.collection.search_space import Cohort

RunCohort = Callable[[Any, Cohort, Callable[[int], None]], Any]


class Engine(Protocol):
    """Runs `function(job, cohort, report)` for every cohort somewhere, and yields results as they come.

    Attributes:
        gpus: share of a GPU that each cohort gets where it runs; 0 where cohorts run on this machine.
    """

    gpus: float

    def run(
        self, function: RunCohort, job: Any, cohorts: Sequence[Cohort], report: Callable[[int], None]
    ) -> Generator[Any, None, None]:
        """Yield the results; closing the generator ends whatever still runs."""
        ...


_POLL_SECONDS = 0.2

# What a worker holds; set once by its initialiser, so that a task's data travels once a worker.
_held: dict[str, Any] = {}


class WorkerDied(RuntimeError):  # noqa: N818
    """A worker process was killed from outside, for example for memory."""


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalProcesses:
    """Run cohorts in `workers` processes (0: one a core), each with one torch thread.

    A killed worker breaks the pool; the pool is made anew and the unfinished cohorts are run again, each
    resuming from its checkpoint. After `attempts` broken pools without a finished cohort, `WorkerDied`.
    """

    gpus = 0.0

    def __init__(self, workers: int = 0, attempts: int = 3) -> None:
        self.workers = workers or available_cores()
        self.attempts = attempts
        # A fork server imports torch once and forks clean copies of itself; elsewhere processes start anew.
        method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        self._context = multiprocessing.get_context(method)
        if method == "forkserver":
            self._context.set_forkserver_preload(["aelle.collection.cohort_job"])

    def run(
        self, function: RunCohort, job: Any, cohorts: Sequence[Cohort], report: Callable[[int], None]
    ) -> Generator[Any, None, None]:
        """Yield `function(job, cohort, report)` of every cohort, in order of completion.

        Raises:
            WorkerDied: where workers keep dying.
        """
        remaining, broken = {cohort.cohort_id: cohort for cohort in cohorts}, 0
        while remaining:
            progress = _Progress(report)
            try:
                for result in self._run_once(function, job, list(remaining.values()), progress):
                    remaining.pop(result.cohort_id)
                    broken = 0
                    yield result
            except BrokenProcessPool:
                progress.take_back(remaining)
                broken += 1
                if broken >= self.attempts:
                    raise WorkerDied(
                        f"worker processes died {broken} times in a row without finishing a cohort; they may "
                        f"have run out of memory: try fewer with --set training.workers=1"
                    ) from None

    def _run_once(
        self, function: RunCohort, job: Any, cohorts: Sequence[Cohort], progress: _Progress
    ) -> Generator[Any, None, None]:
        reports = self._context.Queue()
        # Pickled here and plainly: torch's own transport would put every tensor into shared memory files.
        held = pickle.dumps((function, job))
        pool = ProcessPoolExecutor(
            min(self.workers, len(cohorts)), self._context, _initialise, (held, reports)
        )
        try:
            waiting: set[Future[Any]] = {pool.submit(_run_held, cohort) for cohort in cohorts}
            while waiting:
                done, waiting = wait(waiting, timeout=_POLL_SECONDS, return_when="FIRST_COMPLETED")
                progress.hear(reports)
                for future in done:
                    yield future.result()
        finally:
            _stop(pool)


def _stop(pool: ProcessPoolExecutor) -> None:
    """End a pool at once: what a worker has not written yet is done again on resume."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()


class _Progress:
    """Network-epochs reported, by cohort, so that those of a cohort that has to resume are not counted twice."""

    def __init__(self, report: Callable[[int], None]) -> None:
        self.report = report
        self.counted: Counter[str] = Counter()

    def hear(self, reports: Any) -> None:
        """Pass on what workers have reported since."""
        with suppress(queue.Empty):
            while True:
                cohort_id, count = reports.get_nowait()
                self.counted[cohort_id] += count
                self.report(count)

    def take_back(self, cohorts: Iterable[str]) -> None:
        """Uncount what cohorts did in vain, or will report again when they resume."""
        self.report(-sum(self.counted[cohort_id] for cohort_id in cohorts))


def _initialise(held: bytes, reports: Any) -> None:
    import torch

    torch.set_num_threads(1)
    # Ctrl-C reaches the whole process group; the driver alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    function, job = pickle.loads(held)
    _held.update(function=function, job=job, reports=reports)


def _die_with_parent() -> None:
    """A worker whose driver was killed must not go on writing beside the run that resumes."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run_held(cohort: Cohort) -> Any:
    reports = _held["reports"]
    return _held["function"](_held["job"], cohort, lambda count: reports.put((cohort.cohort_id, count)))
