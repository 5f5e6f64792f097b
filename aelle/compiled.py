"""Compiling inner loops, so that one-thread workers do not wait for each other at the interpreter's lock."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeVar

import torch

F = TypeVar("F", bound=Callable)


def compiled(function: F) -> F:
    """Compile a function of tensors by TorchScript, which runs it without holding the interpreter's lock.

    Some ten operations of a few microseconds each make up a step of a small network: four threads that take the
    lock for every one of them are slower than one. torch.compile would need a C++ compiler. TorchScript is
    deprecated; where it is absent, the function stays as it is, and does the same.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.jit.script(function)
    except (AttributeError, RuntimeError, OSError):
        return function
