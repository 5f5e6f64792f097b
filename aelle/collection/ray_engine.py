"""Where cohorts run: a Ray cluster. One stateless task a cohort; the folder must be on storage all nodes share.

A task keeps nothing that its cohort's checkpoint does not hold, so one lost with its node is run again
elsewhere and resumes there. Needs the `ray` extra.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Generator, Sequence
from typing import Any

from aelle.collection.engines import RunCohort, WorkerDied
from aelle.collection.search_space import Cohort

_PATIENCE_SECONDS = 5


class RayCluster:
    """Run cohorts as Ray tasks, one CPU (and `gpus` of a GPU, which may be a fraction) each.

    Args:
        address: of a running cluster ("auto" finds one on this machine); None starts one for this run.
        gpus: share of a GPU a cohort needs.
        attempts: how often a cohort is run again after its worker or node died; -1 for without end.

    Raises:
        ImportError: where Ray is not installed.
        ConnectionError: where there is no cluster at the address.
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
        ray.init(include_dashboard=False, **options)
        return
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdecimal():
        try:  # Ray itself would go on trying for minutes
            socket.create_connection((host, int(port)), timeout=_PATIENCE_SECONDS).close()
        except OSError as error:
            reason = error.strerror or error
            raise ConnectionError(f"no Ray cluster answers at {address}: {reason}") from None
    try:
        ray.init(address=address, **options)
    except Exception as error:
        # Ray passes on the errors of whatever it uses; all of them mean that there is no cluster to work on.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConnectionError(
            f"the Ray cluster at {address} cannot be used: {reason}; one that demands a token takes it from this "
            f"process only with RAY_AUTH_MODE=token in the environment"
        ) from None


def _run(held: tuple[RunCohort, Any], cohort: Cohort) -> tuple[Any, int]:
    import torch

    torch.set_num_threads(1)
    function, job = held
    done: list[int] = []
    return function(job, cohort, done.append), sum(done)
