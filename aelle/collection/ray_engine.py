"""Where cohorts run: a Ray cluster. One stateless task a cohort; the folder must be on storage all nodes share.

A task keeps nothing that its cohort's checkpoint does not hold, so one lost with its node is run again
elsewhere and resumes there. Needs the `ray` extra.
"""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from aelle.collection.engines import RunCohort, WorkerDied
from aelle.collection.search_space import Cohort
from aelle.words import first_line

_PATIENCE_SECONDS = 5
_ANSWER_SECONDS = 30
_TOKEN_HINT = "; a token is taken from this process only with RAY_AUTH_MODE=token in the environment"


class RayCluster:
    """Run cohorts as Ray tasks, one CPU (and `gpus` of a GPU, which may be a fraction) each.

    Args:
        address: of a running cluster ("auto" finds one on this machine); None starts one for this run.
        gpus: share of a GPU a cohort needs.
        attempts: how often a cohort is run again after its worker or node died; -1 for without end.

    Raises:
        ImportError: where Ray is not installed.
        ConnectionError: where there is no cluster at the address, or it lacks the GPUs.
    """

    def __init__(self, address: str | None = None, gpus: float = 0.0, attempts: int = 10) -> None:
        try:
            import ray
        except ImportError as error:
            raise ImportError(
                "the Ray engine needs Ray; install it with: pip install 'aelle[ray]'"
            ) from error
        self._ray, self.gpus, self.attempts = ray, gpus, attempts
        self._own = not ray.is_initialized()
        if self._own:
            _connect(ray, address)
        there = ray.cluster_resources().get("GPU", 0)
        if gpus > there:  # Ray would wait for one without end
            if self._own:
                ray.shutdown()
            raise ConnectionError(f"the Ray cluster has {there:g} GPUs, and each cohort was to get {gpus:g}")

    def run(
        self, function: RunCohort, job: Any, cohorts: Sequence[Cohort], report: Callable[[int], None]
    ) -> Generator[Any, None, None]:
        """Yield `function(job, cohort, …)` of every cohort, in order of completion; report its network-epochs.

        Raises:
            WorkerDied: where a cohort's workers keep dying.
        """
        ray = self._ray
        task = ray.remote(num_cpus=1, num_gpus=self.gpus, max_retries=self.attempts)(_run)
        held = ray.put((function, job))
        waiting = {task.remote(held, cohort): cohort for cohort in cohorts}
        try:
            while waiting:
                (done, *_), _ = ray.wait(list(waiting), num_returns=1)
                cohort = waiting.pop(done)
                result, network_epochs = self._result(done, cohort)
                report(network_epochs)
                yield result
        finally:
            for reference in waiting:
                ray.cancel(reference, force=True)
            if self._own:
                ray.shutdown()

    def _result(self, reference: Any, cohort: Cohort) -> tuple[Any, int]:
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as error:
            raise error.cause from None
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.ObjectLostError) as error:
            raise WorkerDied(f"cohort {cohort.cohort_id}: its workers keep dying ({error})") from None


def _connect(ray: Any, address: str | None) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        with _own_signals():
            ray.init(address="local", include_dashboard=False, **options)
        return
    _check_answers(address)
    try:
        with _own_signals():
            ray.init(address=address, **options)
    except Exception as error:
        raise ConnectionError(f"the Ray cluster at {address} cannot be used: {first_line(error)}") from None


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep what this process does at the signals that end it: Ray would end it with exit code 1 and a trace."""
    own = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    if threading.current_thread() is threading.main_thread():
        for number, handler in own.items():
            if handler is not None:
                signal.signal(number, handler)


def _check_answers(address: str) -> None:
    """Connect from a process of its own first: where something else answers, Ray itself would go on trying for minutes.

    Raises:
        ConnectionError: where the address is none, or no Ray cluster answers there.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address != "auto" and not (host and port.isdecimal() and int(port) < 2**16):
        raise ConnectionError(
            f"{address!r} is no address of a Ray cluster; write host:port, ray://host:port, or auto for the one that "
            f"runs on this machine"
        )
    if address != "auto":
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE_SECONDS).close()
        except OSError as error:
            raise ConnectionError(f"no Ray cluster answers at {address}: {error.strerror or error}") from None
    code = (  # what came of it stands on a line of its own, after whatever Ray prints
        "import sys, ray\ntry: ray.init(address=sys.argv[1], log_to_driver=False); reason = ''\n"
        "except Exception as error: reason = str(error) or type(error).__name__\n"
        "print('\\nreason:', reason.partition('\\n')[0], flush=True)"
    )
    command = [sys.executable, "-c", code, address]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ConnectionError(
            f"what answers at {address} did not become a Ray cluster within {_ANSWER_SECONDS} seconds"
        ) from None
    _, found, reason = done.stdout.rpartition("\nreason:")
    if not found or reason.strip():
        raise ConnectionError(
            f"the Ray cluster at {address} cannot be used: {reason.strip() or 'its client ended without a word'}"
            f"{_TOKEN_HINT if 'auth' in (reason + done.stderr).lower() else ''}"
        )


def _run(held: tuple[RunCohort, Any], cohort: Cohort) -> tuple[Any, int]:
    import torch

    torch.set_num_threads(1)
    function, job = held
    done: list[int] = []
    return function(job, cohort, done.append), sum(done)
