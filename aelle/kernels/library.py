"""Loads the compiled loops of kernels.c; where there are none, everything runs on torch, and says so once."""

from __future__ import annotations

import ctypes
import functools
import os
import sysconfig
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

LARGEST = 128
"""Size of frames up to which the compiled loops are faster than torch's matrix products."""


class Jacobians(ctypes.Structure):
    """The `jacobians` of kernels.c: what a piece of trajectory is linearised by. Keeps its tensors alive."""

    _fields_ = [
        *((name, ctypes.c_long) for name in ("rows", "networks", "n", "k", "hidden", "groups", "dense")),
        ("gates", ctypes.c_long * 2),
        ("weights", ctypes.c_void_p * 2),
        ("gains", ctypes.c_void_p * 2),
        ("gain_row", ctypes.c_long * 2),
        *((f"{name}{part}", kind) for name in ("matrices", "diagonal", "shear")
          for part, kind in (("", ctypes.c_void_p), ("_row", ctypes.c_long))),
    ]  # fmt: skip


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled loops, or None with one warning. AELLE_KERNELS=0 leaves them out."""
    if os.environ.get("AELLE_KERNELS") == "0":
        return None
    path = Path(__file__).parent / f"kernels-{sysconfig.get_platform()}.so"
    try:
        found = ctypes.CDLL(str(path))
    except OSError:
        warnings.warn(
            "aelle's compiled loops are missing: spectra of small networks take longer. "
            "Install aelle again where there is a C compiler",
            stacklevel=2,
        )
        return None
    pointer, size = ctypes.c_void_p, ctypes.c_long
    found.aelle_run.argtypes = [ctypes.POINTER(Jacobians), size, size, size, pointer, pointer, pointer]
    found.aelle_log_diagonal_of_r.argtypes = [size, size, size, pointer, pointer]
    found.aelle_pull.argtypes = [ctypes.POINTER(Jacobians), size, pointer, pointer, size, pointer]
    found.aelle_limit.argtypes = [ctypes.c_int]
    found.aelle_lstm.argtypes = [size, size, size, pointer, pointer, pointer]
    return found


def applies(like: Tensor, n: int) -> bool:
    """Whether the compiled loops take frames of vectors of length n, with the type and device of `like`."""
    return (
        like.dtype == torch.float64 and like.device.type == "cpu" and n <= LARGEST and library() is not None
    )


def _checked(code: int) -> None:
    if code:
        raise MemoryError("not enough memory for the frames of a spectrum")


class CompiledJacobians:
    """Jacobians along a piece of trajectory, as the compiled loops take them.

    Args:
        weights: per group of gates, (networks, gates, n, hidden), transposed: input first.
        gains: per group, (rows, steps, gates, hidden).
        diagonal: (rows, steps, hidden), or None.
        shear: (rows, steps + 1, hidden), or None.
        n: length of the frame's vectors.
    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        gains: Sequence[Tensor],
        diagonal: Tensor | None,
        shear: Tensor | None,
        n: int,
    ) -> None:
        self._kept = [t.contiguous() for t in (*weights, *gains)]
        self._shear = shear
        count = len(weights)
        first = self._kept[count]
        rows, _, _, hidden = first.shape
        self._struct = s = Jacobians(
            rows=rows, networks=weights[0].shape[0], n=n, hidden=hidden, groups=count, dense=0
        )
        for i in range(count):
            weight, gain = self._kept[i], self._kept[count + i]
            s.gates[i], s.weights[i], s.gains[i] = gain.shape[2], weight.data_ptr(), gain.data_ptr()
            s.gain_row[i] = gain.stride(0)
        for name, tensor in (("diagonal", diagonal), ("shear", shear)):
            if tensor is not None:
                self._kept.append(tensor.contiguous())
                setattr(s, name, self._kept[-1].data_ptr())
                setattr(s, f"{name}_row", self._kept[-1].stride(0))

    @classmethod
    def dense(cls, matrices: Tensor) -> CompiledJacobians:
        """Explicit Jacobians (rows, steps, n, n)."""
        made = cls.__new__(cls)
        matrices = matrices.contiguous()
        rows, _, n, _ = matrices.shape
        made._kept, made._shear = [matrices], None
        made._struct = Jacobians(rows=rows, networks=rows or 1, n=n, hidden=n, dense=1)
        made._struct.matrices, made._struct.matrices_row = matrices.data_ptr(), matrices.stride(0)
        return made

    def to_state(self, step: int, frame: Tensor) -> Tensor:
        """Frame (rows, k, n) before `step`, in the coordinates of the state: (e, b) → (e + shear ∘ b, b)."""
        if self._shear is None:
            return frame
        half = frame.shape[-1] // 2
        first = torch.addcmul(frame[..., :half], self._shear[:, step].unsqueeze(1), frame[..., half:])
        return torch.cat([first, frame[..., half:]], dim=-1)

    def run(self, start: int, interval: int, count: int, frame: Tensor, out: Tensor) -> Tensor:
        """Push the frame (rows, k, n) through `count` intervals into `out`; the logarithms, (count, rows, k)."""
        frame = frame.contiguous()
        self._struct.k = frame.shape[1]
        logs = frame.new_empty(count, frame.shape[0], frame.shape[1])
        found = library()
        assert found is not None
        _checked(
            found.aelle_run(
                self._struct, start, interval, count, frame.data_ptr(), out.data_ptr(), logs.data_ptr()
            )
        )
        return logs

    def pull(self, vectors: Tensor, steps: int, lags: Sequence[int]) -> Tensor:
        """ln norms of vectors (rows, k, n) pulled back from step `steps` by each lag: (rows, lags, k)."""
        vectors = vectors.contiguous()
        self._struct.k = vectors.shape[1]
        slots = (ctypes.c_long * (steps + 1))(*([-1] * (steps + 1)))
        for slot, lag in enumerate(lags):
            slots[lag] = slot
        logs = vectors.new_empty(vectors.shape[0], len(lags), vectors.shape[1])
        found = library()
        assert found is not None
        _checked(found.aelle_pull(self._struct, steps, vectors.data_ptr(), slots, len(lags), logs.data_ptr()))
        return logs


def lstm_trajectory(gates: Tensor, state: Tensor, weight: Tensor) -> Tensor:
    """States (batch, T + 1, 2H) of an LSTM; the recurrent shares are added to `gates` (batch, T, 4H) in place."""
    batch, steps, wide = gates.shape
    assert gates.is_contiguous()
    states = state.new_empty(batch, steps + 1, wide // 2)
    states[:, 0] = state
    transposed = weight.t().contiguous()
    found = library()
    assert found is not None
    _checked(
        found.aelle_lstm(batch, steps, wide // 4, transposed.data_ptr(), gates.data_ptr(), states.data_ptr())
    )
    return states


def log_diagonal_of_r(frame: Tensor) -> Tensor:
    """ln diag R of frames (rows, k, n): (rows, k)."""
    frame = frame.contiguous()
    logs = frame.new_empty(frame.shape[:2])
    found = library()
    assert found is not None
    rows, k, n = frame.shape
    _checked(found.aelle_log_diagonal_of_r(rows, k, n, frame.data_ptr(), logs.data_ptr()))
    return logs
