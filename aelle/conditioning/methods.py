"""The methods there are, and their composition."""

from __future__ import annotations

from collections.abc import Sequence

from aelle.conditioning.floss import Floss
from aelle.conditioning.method import METHODS, Method
from aelle.conditioning.scale import Scale
from aelle.conditioning.shape import Shape

__all__ = ["DEFAULT", "METHODS", "Floss", "Scale", "Shape", "methods_of"]

DEFAULT = "scale"  # the winner of the contest, docs/contest.md


def methods_of(given: str | Method | Sequence[str | Method]) -> list[Method]:
    """Methods in the order in which they are to run, from a name, names joined by "+", a method or several.

    Raises:
        ValueError: for a name that no method has.
        TypeError: for anything else.
    """
    if isinstance(given, str):
        given = given.split("+")
    elif isinstance(given, Method):
        given = [given]
    if not isinstance(given, Sequence) or not given:
        raise TypeError(f"method must be a name such as {DEFAULT!r}, or a method; got {given!r}")
    found = []
    for one in given:
        if not isinstance(one, str | Method):
            raise TypeError(f"method must be a name such as {DEFAULT!r}, or a method; got {one!r}")
        found.append(METHODS.find(one.strip())() if isinstance(one, str) else one)
    return found
