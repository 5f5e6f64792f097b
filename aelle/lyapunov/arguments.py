"""Arguments in the forms people have them: whole numbers of any kind, seeds for generators, arrays for tensors."""

from __future__ import annotations

import operator
from numbers import Real
from typing import Any

import torch
from torch import Generator, Tensor


def whole_number(name: str, value: Any, least: int | None = None) -> int:
    """Return an int, a numpy integer or a tensor of one integer as int.

    Raises:
        ValueError: for anything else, a bool or 3.0 too, and below `least`.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be a whole number, got {shown(value)}") from None
    if least is not None and number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    return number


def steps_or_auto(name: str, value: Any, least: int = 0) -> int | str:
    """Return "auto" or a number of steps; ValueError for anything else."""
    if isinstance(value, str) and value == "auto":
        return value
    try:
        return whole_number(name, value, least)
    except ValueError:
        raise ValueError(f'{name} must be "auto" or a number of steps, got {shown(value)}') from None


def generator_of(value: Any) -> Generator | None:
    """Return a torch.Generator, one seeded by a whole number, or None.

    Raises:
        TypeError: for anything else.
    """
    if value is None or isinstance(value, Generator):
        return value
    try:
        return Generator().manual_seed(whole_number("generator", value))
    except (ValueError, RuntimeError):
        raise TypeError(f"generator must be a torch.Generator or a seed, got {shown(value)}") from None


def real_tensor(name: str, value: Any) -> Tensor:
    """Return a tensor, array or nested list of real numbers as tensor.

    Raises:
        TypeError: where it holds something else than numbers.
        ValueError: where it is ragged, or complex.
    """
    if not isinstance(value, Tensor):
        try:
            found = torch.as_tensor(value)
            exact = found.is_floating_point() and not hasattr(
                value, "__array__"
            )  # Python's floats have 64 bits
            value = torch.as_tensor(value, dtype=torch.float64) if exact else found
        except (TypeError, RuntimeError):
            raise TypeError(f"{name} must hold numbers, got {shown(value)}") from None
        except ValueError:
            raise ValueError(f"{name} must be rows of one length, got {shown(value)}") from None
    if value.is_complex():
        raise ValueError(f"{name} must be real; give real and imaginary parts as components of their own")
    return value


def is_number(value: Any) -> bool:
    """Whether a value is one real number, Python's or numpy's."""
    return isinstance(value, Real)


def shown(value: Any) -> str:
    """A value in one short line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
