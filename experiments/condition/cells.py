"""What the contest runs: tasks, architectures and methods, fixed before it began."""

from dataclasses import dataclass, field
from typing import Any

TRAINING = {"learning_rate": 0.005, "weight_decay": 0.0, "batch_size": 64}
SIZES = (16, 32)  # even networks have the first, odd ones the second
GATED = ("gru", "lstm")


@dataclass(frozen=True)
class ContestTask:
    """One task.

    Attributes:
        threshold: of the metric; a network that passes it has solved the task.
        horizon: steps over which a gradient has to reach.
        memory: whether networks fail it for want of memory; the others are there to show harm.
        scopes: which methods are run on it.
    """

    name: str
    kind: str
    options: dict[str, Any]
    epochs: int
    threshold: float
    horizon: int
    memory: bool = True
    lower_is_better: bool = False
    architectures: tuple[str, ...] = ("rnn", "relu_rnn", "gru", "lstm")
    scopes: tuple[str, ...] = ("all", "memory", "short")


@dataclass(frozen=True)
class Method:
    """One way to begin: a start of starts.py, then perhaps `aelle.condition` with these arguments, its method with these settings.

    `only` are the architectures it makes sense for; empty for all. `rival` marks initialisations of others. `scope` says on
    which tasks it is run: "all", "memory" (those that need one), "short" (the cheap ones of these), "once" (the first).
    """

    start: str = "torch default"
    condition: dict[str, Any] | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    clip: float | None = None
    only: tuple[str, ...] = field(default=())
    rival: bool = False
    scope: str = "memory"


FEW = ("rnn", "gru", "lstm")
LONG: dict[str, Any] = {
    "architectures": FEW,
    "scopes": ("all", "memory"),
}  # a network takes a second and more
# Tasks that need no long memory, where a cure must not harm.
KEEPS: dict[str, Any] = {"memory": False, "architectures": FEW, "scopes": ("all",)}
TASKS = {
    task.name: task
    for task in (
        ContestTask(
            "latch 24",
            "latch",
            {"delay": 24, "train": 1536},
            12,
            0.9,
            24,
            scopes=("all", "memory", "short", "once"),
        ),
        ContestTask("delayed XOR", "delayed_xor", {"delay": 10, "length": 30, "train": 1536}, 12, 0.9, 10),
        ContestTask(
            "copy memory", "copy_memory", {"copied": 2, "delay": 10, "symbols": 4, "train": 1536}, 16, 0.9, 11
        ),
        ContestTask("latch 60", "latch", {"delay": 60, "train": 1536}, 12, 0.9, 60, **LONG),
        ContestTask(
            "adding 100",
            "adding",
            {"length": 100, "train": 1536, "validation": 256},
            12,
            0.05,
            99,
            lower_is_better=True,
            **LONG,
        ),
        ContestTask(
            "latch 120",
            "latch",
            {"delay": 120, "train": 1536, "validation": 256},
            10,
            0.9,
            120,
            **LONG,
        ),
        ContestTask("digits", "digits", {}, 12, 0.9, 7, **KEEPS),
        ContestTask(
            "MNIST by rows",
            "sequential_mnist",
            {"source": "test_files", "share": 0.2},
            12,
            0.9,
            27,
            **KEEPS,
        ),
        ContestTask(
            "characters",
            "characters",
            {"text": "war_and_peace", "length": 50, "share": 0.01},
            8,
            2.5,
            25,
            lower_is_better=True,
            **KEEPS,
        ),
        ContestTask(
            "motion capture",
            "motion_capture",
            {"activity": "all", "stride": 20},
            8,
            0.5,
            12,
            lower_is_better=True,
            **KEEPS,
        ),
    )
}
