"""Where cohorts run: a Ray cluster. One stateless task a cohort; the folder must be on storage all nodes share.

A task keeps nothing that its cohort's checkpoint does not hold, so one lost with its node is run again
elsewhere and resumes there. Needs the `ray` extra.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from typing import Any

from aelle.collection.engines import RunCohort, WorkerDied
from aelle.collection.search_space import Cohort


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
            ray.init(
                address=address, log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR
            )

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


def _run(held: tuple[RunCohort, Any], cohort: Cohort) -> tuple[Any, int]:
    import torch

    torch.set_num_threads(1)
    function, job = held
    done: list[int] = []
    return function(job, cohort, done.append), sum(done)
