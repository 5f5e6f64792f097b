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
    parameters = dict(inspect.signature(kind).parameters)
    located = {"data_folder": data_folder} if parameters.pop("data_folder", None) else {}
    for option, value in options.items():
        if option not in parameters:
            raise TaskError(f"task {name!r} has no option {option!r}; {_hint(option, list(parameters))}")
        _check_type(name, option, value, parameters[option].annotation)
    try:
        return kind(**options, **located)
    except TaskError:
        raise
    except Exception as error:
        raise TaskError(f"task {name!r} cannot be made: {type(error).__name__}: {error}") from error


def _check_type(task: str, option: str, value: Any, annotation: Any) -> None:
    """Refuse a value of another type than a task's argument is annotated with, where that is a simple one."""
    accepted: dict[str, Any] = {"int": int, "float": (int, float), "str": str, "bool": bool}
    wanted = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    if wanted not in accepted:
        return
    if not isinstance(value, accepted[wanted]) or (isinstance(value, bool) and wanted != "bool"):
        words = {"int": "a whole number", "float": "a number", "str": "a string", "bool": "true or false"}
        raise TaskError(f"task {task!r}: option {option!r} must be {words[wanted]}, got {value!r}")


def _task_class(name: str) -> type[Task]:
    if name in TASKS:
        return TASKS[name]
    if ":" not in name:
        raise TaskError(f"unknown task {name!r}; {_hint(name, list(TASKS))}")
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    # A user's module may raise anything; where in it, the chained error tells.
    except Exception as error:
        raise TaskError(f"task {name!r} cannot be imported: {type(error).__name__}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Task)):
        raise TaskError(f"task {name!r} is not a subclass of aelle.tasks.task.Task")
    return found


def _hint(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known)) or 'none'}"
