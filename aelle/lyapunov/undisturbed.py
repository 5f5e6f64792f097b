"""Measuring under whatever the caller has switched on in torch, without leaving a trace in it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def ordinary_torch() -> Iterator[None]:
    """No inference mode, no autocast, and afterwards the random state of before."""
    cuda = torch.cuda.is_initialized()
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.autocast("cpu", enabled=False))
        if cuda:
            stack.enter_context(torch.autocast("cuda", enabled=False))
        stack.enter_context(
            torch.random.fork_rng(devices=list(range(torch.cuda.device_count())) if cuda else [])
        )
        yield


def undisturbed(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function work the same under inference_mode, autocast and no_grad, and leave random state alone.

    Gradients stay as the caller has them, except under inference_mode, which has none.
    """

    @functools.wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        with ordinary_torch():
            return function(*args, **kwargs)

    return inner
