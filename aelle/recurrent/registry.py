"""Architectures by name. A user's own cell joins by `register` or by a dotted path `package.module:Class`."""

from __future__ import annotations

from typing import Any

from aelle.recurrent.antisymmetric import AntisymmetricRNN, GatedAntisymmetricRNN
from aelle.recurrent.cell import Cell
from aelle.recurrent.coupled_oscillator import CoRNN
from aelle.recurrent.echo_state import EchoState
from aelle.recurrent.elman import ReluRNN, TanhRNN
from aelle.recurrent.gru import GRU
from aelle.recurrent.linear_recurrent_unit import LRU
from aelle.recurrent.lipschitz import LipschitzRNN
from aelle.recurrent.long_expressive_memory import LEM
from aelle.recurrent.lstm import LSTM
from aelle.recurrent.min_gru import MinGRU
from aelle.recurrent.min_lstm import MinLSTM
from aelle.recurrent.orthogonal import ExpRNN
from aelle.recurrent.piecewise_linear import PLRNN
from aelle.recurrent.rate import RateNetwork, RobustRateNetwork
from aelle.recurrent.slstm import SLSTM
from aelle.registry import Registry

_CELLS: tuple[type[Cell], ...] = (TanhRNN, ReluRNN, GRU, LSTM)
_CELLS += (AntisymmetricRNN, GatedAntisymmetricRNN, CoRNN, LipschitzRNN, ExpRNN, LEM, MinGRU)
_CELLS += (MinLSTM, LRU, SLSTM, PLRNN, RateNetwork, RobustRateNetwork, EchoState)
_REGISTRY = Registry("architecture", Cell, "architecture")  # type: ignore[type-abstract]
ARCHITECTURES: dict[str, type[Cell]] = _REGISTRY.classes


def register(cell: type[Cell]) -> type[Cell]:
    """Make a cell class known under its `architecture` name; usable as a decorator.

    Raises:
        ValueError: where another class already has that name.
    """
    return _REGISTRY.register(cell)


def cell_class(name: str) -> type[Cell]:
    """Look an architecture up by name, or import it from a dotted path `package.module:Class`.

    Raises:
        ValueError: where the name is unknown, or the path does not lead to a `Cell`.
    """
    return _REGISTRY.find(name)


def imported(path: str) -> Any:
    """Whatever a dotted path `package.module:Class` leads to.

    Raises:
        ValueError: where it cannot be imported.
    """
    return _REGISTRY.whatever_is_at(path)


for _cell in _CELLS:
    register(_cell)
