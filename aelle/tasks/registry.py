"""Tasks by name. A user's own task joins by `register` or by a dotted path `package.module:Class`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from aelle.registry import Registry
from aelle.tasks.adding import Adding
from aelle.tasks.characters import Characters
from aelle.tasks.copy_memory import CopyMemory
from aelle.tasks.delayed_xor import DelayedXOR
from aelle.tasks.digits import Digits
from aelle.tasks.latch import Latch
from aelle.tasks.motion_capture import MotionCapture
from aelle.tasks.sequential_mnist import SequentialMNIST
from aelle.tasks.target_learning import TargetLearning
from aelle.tasks.task import Task, TaskError
from aelle.words import first_line, hint

_TASKS: tuple[type[Task], ...] = (Digits, Latch, Characters, SequentialMNIST, MotionCapture)
_TASKS += (TargetLearning, Adding, CopyMemory, DelayedXOR)
_REGISTRY = Registry("task", Task, "name", TaskError)  # type: ignore[type-abstract]
TASKS: dict[str, type[Task]] = _REGISTRY.classes


def register(task: type[Task]) -> type[Task]:
    """Make a task known under its `name`; usable as a decorator.

    Raises:
        TaskError: where another class already has that name.
    """
    return _REGISTRY.register(task)


for _task in _TASKS:
    register(_task)


def task_class(name: str) -> type[Task]:
    """The class of a task, by its name or dotted path.

    Raises:
        TaskError: for an unknown name, or a path that does not lead to a task.
    """
    return _REGISTRY.find(name)


def make_task(name: str, options: Mapping[str, Any], data_folder: str | None = None) -> Task:
    """Build a task from its name, or dotted path, and its options.

    `data_folder` is handed to tasks that read data files, as their argument of that name. It is no option:
    where data lie decides nothing about a record.

    Raises:
        TaskError: for an unknown name or option, or options the task refuses.
    """
    kind = _REGISTRY.find(name)
    parameters = dict(inspect.signature(kind).parameters)
    located = {"data_folder": data_folder} if parameters.pop("data_folder", None) else {}
    for option, value in options.items():
        if option not in parameters:
            raise TaskError(f"task {name!r} has no option {option!r}; {hint(option, parameters)}")
        _check_type(name, option, value, parameters[option].annotation)
    try:
        return kind(**options, **located)
    except TaskError:
        raise
    except Exception as error:
        raise TaskError(
            f"task {name!r} cannot be made: {type(error).__name__}: {first_line(error)}"
        ) from error


def _check_type(task: str, option: str, value: Any, annotation: Any) -> None:
    """Refuse a value of another type than a task's argument is annotated with, where that is a simple one."""
    accepted: dict[str, Any] = {"int": int, "float": (int, float), "str": str, "bool": bool}
    wanted = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    if wanted not in accepted:
        return
    if not isinstance(value, accepted[wanted]) or (isinstance(value, bool) and wanted != "bool"):
        words = {"int": "a whole number", "float": "a number", "str": "a string", "bool": "true or false"}
        raise TaskError(f"task {task!r}: option {option!r} must be {words[wanted]}, got {value!r}")
