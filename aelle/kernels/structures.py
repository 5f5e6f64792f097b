"""The structures of kernels.c, field by field."""

from __future__ import annotations

import ctypes

_LONG, _DOUBLE, _POINTER = ctypes.c_long, ctypes.c_double, ctypes.c_void_p


class Jacobians(ctypes.Structure):
    """What a piece of trajectory is linearised by."""

    _fields_ = [
        *((name, _LONG) for name in ("rows", "networks", "n", "k", "hidden", "groups", "dense")),
        ("gates", _LONG * 2),
        ("weights", _POINTER * 2),
        ("gains", _POINTER * 2),
        ("gain_row", _LONG * 2),
        *((f"{name}{part}", kind) for name in ("matrices", "diagonal", "shear")
          for part, kind in (("", _POINTER), ("_row", _LONG))),
    ]  # fmt: skip


class Schedule(ctypes.Structure):
    """How long intervals are, and what was learnt of it: `AdaptiveInterval` reads it and writes it."""

    _fields_ = [
        *((name, _LONG) for name in ("steps", "done", "fixed", "longest", "reconsidered")),
        *((name, _DOUBLE) for name in ("average", "unit", "noise", "range")),
        *((name, _DOUBLE) for name in ("rounding_tolerance", "residual_tolerance", "largest_loss")),
    ]


class Passage(ctypes.Structure):
    """A way through a piece of trajectory, and where it ended."""

    _fields_ = [
        *((name, _LONG) for name in ("start", "stop", "marks")),
        ("mark", _POINTER),
        ("determinants", _POINTER),
        ("determinants_row", _LONG),
        ("lowest", _DOUBLE),
        ("highest", _DOUBLE),
        *((name, _POINTER) for name in ("frames", "logs", "residuals", "lengths", "intervals_before")),
        ("mark_logs", _POINTER),
        *((name, _LONG) for name in ("position", "done", "marked")),
    ]


class LSTMGains(ctypes.Structure):
    """Where the gains of an LSTM go."""

    _fields_ = [
        ("whole", _LONG),
        *((name, _POINTER) for name in ("by_gate", "output", "forget", "shear", "volume")),
    ]
