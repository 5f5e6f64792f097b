"""Where cohorts run: a pool of local processes, one thread each."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import queue
import signal
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
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
_LONGEST_SOCKET = 107  # bytes of a Unix socket's address
_BELOW_TEMPORARY = 40  # what multiprocessing adds to the temporary folder for it
_UNGUARDED = 78  # exit code of a worker that ran the script which had started it
_GUARD = (
    "worker processes import the script that starts them, and this one collects as it is imported: put what it does "
    "below `if __name__ == '__main__':`"
)

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
        self._ended_with: set[int | None] = set()  # exit codes of the workers of the last pool that broke
        # A fork server imports torch once and forks clean copies of itself; elsewhere processes start anew.
        fork = "forkserver" in multiprocessing.get_all_start_methods() and _sockets_fit()
        method = "forkserver" if fork else "spawn"
        self._context = multiprocessing.get_context(method)
        if method == "forkserver":
            self._context.set_forkserver_preload(["aelle.collection.cohort_job"])

    def run(
        self, function: RunCohort, job: Any, cohorts: Sequence[Cohort], report: Callable[[int], None]
    ) -> Generator[Any, None, None]:
        """Yield `function(job, cohort, report)` of every cohort, in order of completion.

        Raises:
            WorkerDied: where workers keep dying, or cannot be started.
        """
        _check_script()
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
                if _UNGUARDED in self._ended_with:
                    raise WorkerDied(_GUARD) from None
                if broken >= self.attempts:
                    raise WorkerDied(
                        f"worker processes died {broken} times in a row without finishing a cohort "
                        f"({_how(self._ended_with)}; what is recorded stays)"
                    ) from None

    def _run_once(
        self, function: RunCohort, job: Any, cohorts: Sequence[Cohort], progress: _Progress
    ) -> Generator[Any, None, None]:
        try:
            reports = self._context.Queue()
        except OSError as error:
            raise WorkerDied(
                f"worker processes cannot be started: {error.strerror or error}; they share semaphores, which need "
                f"a /dev/shm that can be written"
            ) from None
        # Pickled here and plainly: torch's own transport would put every tensor into shared memory files.
        held = pickle.dumps((function, job))
        pool = ProcessPoolExecutor(
            min(self.workers, len(cohorts)), self._context, _initialise, (held, reports)
        )
        try:
            try:
                waiting: set[Future[Any]] = {pool.submit(_run_held, cohort) for cohort in cohorts}
            except BrokenPipeError:  # a worker ended before it had read what to do
                raise WorkerDied(_GUARD) from None
            processes = list((pool._processes or {}).values())
            while waiting:
                done, waiting = wait(waiting, timeout=_POLL_SECONDS, return_when="FIRST_COMPLETED")
                progress.hear(reports)
                for future in done:
                    yield future.result()
        except BrokenProcessPool:
            for process in processes:
                process.join(1)
            self._ended_with = {process.exitcode for process in processes}
            raise
        finally:
            _stop(pool)


def refuse_in_a_starting_worker() -> None:
    """End a worker that, as it starts, runs the script that started it: the script lacks a main guard."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # as multiprocessing itself tells it
        os._exit(_UNGUARDED)


def _check_script() -> None:
    """Workers must be able to import the script that starts them.

    Raises:
        WorkerDied: where it was read from standard input, for example.
    """
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    if getattr(main, "__spec__", None) is None and file is not None and not Path(file).exists():
        raise WorkerDied(f"worker processes cannot import {file}; save the script as a file. Then, {_GUARD}")


def _sockets_fit() -> bool:
    return len(os.fsencode(tempfile.gettempdir())) + _BELOW_TEMPORARY < _LONGEST_SOCKET


def _how(codes: set[int | None]) -> str:
    """How workers ended, in words."""
    if -signal.SIGKILL in codes:
        return "killed from outside, as where memory runs out: try fewer with --set training.workers=1"
    known = sorted(code for code in codes if code not in (None, 0, -signal.SIGTERM))
    ends = [signal.Signals(-code).name if code < 0 else f"exit code {code}" for code in known]
    return f"by {', '.join(ends)}" if ends else "why is not known"


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
