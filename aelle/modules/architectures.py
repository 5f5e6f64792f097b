"""Architectures of collections by name or dotted path: cells, and any other recurrent module."""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import nn

from aelle.modules.module_cell import ModuleCell
from aelle.recurrent.cell import Cell
from aelle.recurrent.registry import cell_class, imported


def architecture(name: str) -> type[Cell]:
    """Look an architecture up by name, or import a `Cell`, or any recurrent module, from `package.module:Class`.

    Raises:
        ValueError: where the name is unknown, or the path leads to neither.
    """
    if ":" not in name:
        return cell_class(name)
    found: Any = imported(name)
    if isinstance(found, type) and issubclass(found, nn.Module) and not issubclass(found, Cell):
        kind: Any = found
        return module_cell(kind, name)
    return cell_class(name)


@cache
def module_cell(kind: Any, name: str) -> type[ModuleCell]:
    """The cell class of a module class; `name` is its architecture in records."""
    return type(kind.__name__, (ModuleCell,), {"architecture": name, "kind": kind, "__doc__": kind.__doc__})
