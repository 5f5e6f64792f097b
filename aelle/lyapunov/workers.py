"""Splitting rows over one-thread workers.

Batched LAPACK calls leave most of a second core idle, so each worker takes its own rows through the whole
run. It is also a matter of correctness: batched LU, inverse, solve and determinant of n ≥ 160 hang or fail
inside MKL when torch has two or more threads (pytorch#141358, pytorch#142815). Nothing here factorises on a
thread that has more than one, whatever the caller's setting.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from itertools import pairwise
from typing import TypeVar

import torch

T = TypeVar("T")


WORTH_SPLITTING = 800_000
"""Multiply-adds a step that a worker must have: below, the interpreter, not the arithmetic, would be what is split."""

_lock = threading.Lock()
_here = threading.local()
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def map_rows(run: Callable[[int, int], T], pieces: int, rows: int, work: int, on_device: bool) -> list[T]:
    """Call `run(start, stop)` on ranges that cover the rows, in order.

    Args:
        run: what to do with a range of rows.
        pieces: into how many ranges the rows may be split at most.
        rows: how many there are.
        work: multiply-adds of one step over all rows.
        on_device: on an accelerator; rows then stay together on the calling thread.
    """
    threads = torch.get_num_threads()
    if on_device:
        return [run(0, rows)]
    count = max(1, min(threads, pieces, work // WORTH_SPLITTING))
    if threads == 1:
        return [run(0, rows)]
    bounds = [round(i * rows / count) for i in range(count + 1)]
    grad = torch.is_grad_enabled()
    with _lock:
        pool = _pool(threads)
    cancelled = threading.Event()
    futures = [
        pool.submit(_with_one_thread, run, start, stop, grad, cancelled) for start, stop in pairwise(bounds)
    ]
    try:
        return [future.result() for future in futures]
    except BaseException:  # an interrupt above all: nothing runs on in the background
        cancelled.set()
        for future in futures:
            future.cancel()
        wait(futures)
        raise


def stop_if_cancelled() -> None:
    """End this worker where its caller was interrupted; for loops to call once per interval or so.

    Raises:
        CancelledError: where it was.
    """
    cancelled = getattr(_here, "cancelled", None)
    if cancelled is not None and cancelled.is_set():
        raise CancelledError


def _pool(threads: int) -> ThreadPoolExecutor:
    """One pool per process (threads do not survive a fork) and thread count."""
    key = os.getpid(), threads
    if key not in _pools:
        pool = ThreadPoolExecutor(threads, thread_name_prefix="aelle-lyapunov")
        _pools[key] = pool
    return _pools[key]


def _with_one_thread(
    run: Callable[[int, int], T], start: int, stop: int, grad: bool, cancelled: threading.Event
) -> T:
    _here.cancelled = cancelled
    # torch.get_num_threads() makes torch initialise this thread from the process-wide setting, which it
    # would otherwise do at the first parallel region, undoing ours. Setting it changes that process-wide
    # default for threads yet to come, but not the calling thread's own; put it back.
    default = torch.get_num_threads()
    if default != 1:
        torch.set_num_threads(1)
        restore = threading.Thread(target=torch.set_num_threads, args=(default,))
        restore.start()
        restore.join()
    with torch.set_grad_enabled(grad):
        return run(start, stop)
