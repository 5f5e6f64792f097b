"""The interface of a method: moves the parameters of one stack, and says how far it is from what it wants."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from aelle.conditioning.stack import Drive, Stack
from aelle.registry import Registry


@dataclass(frozen=True)
class Moved:
    """What a method did.

    Attributes:
        steps: evaluations of its objective.
        note: what is to be said, in one line, "" for nothing.
    """

    steps: int
    note: str = ""


class Method(ABC):
    """One way of conditioning; subclasses are frozen dataclasses whose fields are its settings.

    `target` is the growth of gradients that it aims at, in nats per step; None takes the method's own.
    """

    name: ClassVar[str]
    source: ClassVar[str]

    @abstractmethod
    def move(self, stack: Stack, target: float | None) -> Moved:
        """Change the parameters of the stack's cells, by its `fitting` sequences.

        Raises:
            ValueError: where a parameter that it would move is frozen.
        """

    @abstractmethod
    def distance(self, stack: Stack, drive: Drive, target: float | None) -> float:
        """How far the stack is from the target along some sequences, in nats per step; smaller is better."""

    def least_gain(self) -> float:
        """Share of the distance that must go for the move to be kept."""
        return 0.02


METHODS: Registry[Method] = Registry("method", Method, "name")  # type: ignore[type-abstract]
