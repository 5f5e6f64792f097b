"""Architectures by name. A user's own cell joins by `register` or by a dotted path `package.module:Class`."""

from __future__ import annotations

import difflib
import importlib

from aelle.recurrent.antisymmetric import AntisymmetricRNN, GatedAntisymmetricRNN
from aelle.recurrent.cell import Cell
from aelle.recurrent.coupled_oscillator import CoRNN
from aelle.recurrent.elman import ReluRNN, TanhRNN
from aelle.recurrent.gru import GRU
from aelle.recurrent.lipschitz import LipschitzRNN
from aelle.recurrent.long_expressive_memory import LEM
from aelle.recurrent.lstm import LSTM
from aelle.recurrent.min_gru import MinGRU
from aelle.recurrent.orthogonal import ExpRNN
from aelle.recurrent.rate import RateNetwork, RobustRateNetwork

_CELLS: tuple[type[Cell], ...] = (TanhRNN, ReluRNN, GRU, LSTM)
_CELLS += (AntisymmetricRNN, GatedAntisymmetricRNN, CoRNN, LipschitzRNN, ExpRNN, LEM, MinGRU)
_CELLS += (RateNetwork, RobustRateNetwork)
ARCHITECTURES: dict[str, type[Cell]] = {cell.architecture: cell for cell in _CELLS}


def register(cell: type[Cell]) -> type[Cell]:
    """Make a cell class known under its `architecture` name; usable as a decorator.

    Raises:
        ValueError: where another class already has that name.
    """
    known = ARCHITECTURES.setdefault(cell.architecture, cell)
    if known is not cell:
        raise ValueError(f"architecture {cell.architecture!r} is already registered by {known.__qualname__}")
    return cell


def cell_class(name: str) -> type[Cell]:
    """Look an architecture up by name, or import it from a dotted path `package.module:Class`.

    Raises:
        ValueError: where the name is unknown, or the path does not lead to a `Cell`.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    if ":" in name:
        return _imported(name)
    close = difflib.get_close_matches(name, ARCHITECTURES, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(ARCHITECTURES))}"
    raise ValueError(f"unknown architecture {name!r}; {hint}")


def _imported(path: str) -> type[Cell]:
    module, _, attribute = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    # A user's module may raise anything; where in it, the chained error tells.
    except Exception as error:
        raise ValueError(f"architecture {path!r} cannot be imported: {type(error).__name__}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Cell)):
        raise ValueError(f"architecture {path!r} is not a subclass of aelle.recurrent.cell.Cell")
    return found
