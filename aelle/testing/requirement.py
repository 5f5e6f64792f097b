"""One sentence on what is wrong, as an AssertionError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


def require(condition: bool, sentence: str) -> None:
    """Raise AssertionError with `sentence` where the condition does not hold."""
    if not condition:
        raise AssertionError(sentence)


@contextmanager
def speaking_of(what: str) -> Iterator[None]:
    """Turn whatever somebody else's code raises into one sentence."""
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{what} raised {type(error).__name__}: {error}") from error
