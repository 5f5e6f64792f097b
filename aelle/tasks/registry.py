"""Tasks by name. A user's own task joins by `register` or by a dotted path `package.module:Class`."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from aelle.tasks.adding import Adding
from aelle.tasks.characters import Characters
from aelle.tasks.copy_memory import CopyMemory
from aelle.tasks.digits import Digits
from aelle.tasks.latch import Latch
from aelle.tasks.motion_capture import MotionCapture
from aelle.tasks.sequential_mnist import SequentialMNIST
from aelle.tasks.target_learning import TargetLearning
from aelle.tasks.task import Task, TaskError

_TASKS: tuple[type[Task], ...] = (Digits, Latch, Characters, SequentialMNIST, MotionCapture)
_TASKS += (TargetLearning, Adding, CopyMemory)
TASKS: dict[str, type[Task]] = {task.name: task for task in _TASKS}


def register(task: type[Task]) -> type[Task]:
    """Make a task known under its `name`; usable as a decorator.

    Raises:
        TaskError: where another class already has that name.
    """
    known = TASKS.setdefault(task.name, task)
    if known is not task:
        raise TaskError(f"task {task.name!r} is already registered by {known.__qualname__}")
    return task


def make_task(name: str, options: Mapping[str, Any], data_folder: str | None = None) -> Task:
    """Build a task from its name, or dotted path, and its options.

    `data_folder` is handed to tasks that read data files, as their argument of that name. It is no option:
    where data lie decides nothing about a record.

    Raises:
        TaskError: for an unknown name or option, or options the task refuses.
    """
    kind = _task_class(name)
    known = list(inspect.signature(kind).parameters)
    located = {"data_folder": data_folder} if "data_folder" in known else {}
    known = [option for option in known if option not in located]
    for option in options:
        if option not in known:
            raise TaskError(f"task {name!r} has no option {option!r}; {_hint(option, known)}")
    try:
        return kind(**options, **located)
    except TypeError as error:
        raise TaskError(f"task {name!r}: {error}") from error


def _task_class(name: str) -> type[Task]:
    if name in TASKS:
        return TASKS[name]
    if ":" not in name:
        raise TaskError(f"unknown task {name!r}; {_hint(name, list(TASKS))}")
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise TaskError(f"task {name!r} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Task)):
        raise TaskError(f"task {name!r} is not a subclass of aelle.tasks.task.Task")
    return found


def _hint(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known)) or 'none'}"
