"""Classes by name: those of the package, a user's own by `register`, or any by a dotted path `package.module:Class`."""

from __future__ import annotations

import importlib
from typing import Any, Generic, TypeVar

from aelle.words import hint, printable, shown

T = TypeVar("T")


class Registry(Generic[T]):
    """Subclasses of `base` by the name in their attribute `attribute`; errors of `error` speak of a `kind`."""

    def __init__(
        self, kind: str, base: type[T], attribute: str, error: type[ValueError] = ValueError
    ) -> None:
        self.kind, self.base, self.attribute, self.error = kind, base, attribute, error
        self.classes: dict[str, type[T]] = {}

    def register(self, found: type[T]) -> type[T]:
        """Make a class known under its name.

        Raises:
            ValueError: (or `error`) where another class already has that name.
        """
        name = getattr(found, self.attribute)
        known = self.classes.setdefault(name, found)
        if known is not found:
            raise self.error(f"{self.kind} {name!r} is already registered by {known.__qualname__}")
        return found

    def find(self, name: str) -> type[T]:
        """Look a class up by its name, or import it from its dotted path.

        Raises:
            ValueError: (or `error`) where the name is unknown, or the path does not lead to a subclass of `base`.
        """
        if name in self.classes:
            return self.classes[name]
        if ":" in name:
            return self._imported(name)
        raise self.error(f"unknown {self.kind} {shown(name)}; {hint(name, self.classes)}")

    def _imported(self, path: str) -> type[T]:
        found = self.whatever_is_at(path)
        if not (isinstance(found, type) and issubclass(found, self.base)):
            base = f"{self.base.__module__}.{self.base.__qualname__}"
            raise self.error(f"{self.kind} {shown(path)} is not a subclass of {base}")
        return found

    def whatever_is_at(self, path: str) -> Any:
        """Import what a dotted path leads to.

        Raises:
            ValueError: (or `error`) where it cannot be imported.
        """
        module, _, attribute = path.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        # A user's module may raise anything; where in it, the chained error tells.
        except Exception as error:
            place = "; is its folder on PYTHONPATH?" if isinstance(error, ModuleNotFoundError) else ""
            raise self.error(
                f"{self.kind} {shown(path)} cannot be imported: {type(error).__name__}: {printable(str(error))}{place}"
            ) from error
