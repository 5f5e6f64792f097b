"""Loads the compiled loops of kernels.c; where there are none, everything runs on torch, and says so once."""

from __future__ import annotations

import ctypes
import functools
import os
import sysconfig
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from aelle.kernels.structures import Jacobians, LSTMGains, Passage, Schedule

INTERFACE = 3
"""Number of the interface of kernels.c that this module calls."""

LARGEST = 128
"""Size of frames up to which the compiled loops are faster than torch's matrix products."""


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled loops, or None with one warning. AELLE_KERNELS=0 leaves them out."""
    if os.environ.get("AELLE_KERNELS") == "0":
        return None
    path = Path(__file__).parent / f"kernels-{sysconfig.get_platform()}.so"
    try:
        found = ctypes.CDLL(str(path))
        if found.aelle_interface() != INTERFACE:
            raise AttributeError
    except (OSError, AttributeError) as error:
        state = "missing" if isinstance(error, OSError) else "of another version"
        warnings.warn(
            f"aelle's compiled loops are {state}: spectra of small networks take longer. "
            "Install aelle again where there is a C compiler",
            stacklevel=2,
        )
        return None
    pointer, size = ctypes.c_void_p, ctypes.c_long
    found.aelle_run.argtypes = [ctypes.POINTER(Jacobians), size, size, size, pointer, pointer, pointer]
    found.aelle_log_diagonal_of_r.argtypes = [size, size, size, pointer, pointer]
    found.aelle_pull.argtypes = [ctypes.POINTER(Jacobians), size, pointer, pointer, size, pointer]
    found.aelle_limit.argtypes = [ctypes.c_int]
    found.aelle_lstm.argtypes = [size, size, size, pointer, pointer, pointer, ctypes.POINTER(LSTMGains)]
    found.aelle_log_abs_det.argtypes = [size, pointer, pointer]
    found.aelle_determinants.argtypes = [ctypes.POINTER(Jacobians), size, size, pointer]
    structures = Jacobians, Schedule, Passage
    found.aelle_advance.argtypes = [ctypes.POINTER(structure) for structure in structures]
    return found


def applies(like: Tensor, n: int) -> bool:
    """Whether the compiled loops take frames of vectors of length n, with the type and device of `like`."""
    return (
        like.dtype == torch.float64 and like.device.type == "cpu" and n <= LARGEST and library() is not None
    )


def _checked(code: int) -> None:
    if code:
        raise MemoryError("not enough memory for the frames of a spectrum")


class Advance(NamedTuple):
    """What became of a frame on its way.

    Attributes:
        position: the step where it stopped.
        logs: logarithms of each interval, (intervals, rows, k).
        residuals: their sums less the determinants, (intervals, rows), or None.
        lengths: steps of each interval.
        read_off: ln diag R at the marks that were passed, (marks, rows, k).
        intervals_before: intervals done before each of these.
    """

    position: int
    logs: Tensor
    residuals: Tensor | None
    lengths: list[int]
    read_off: Tensor
    intervals_before: list[int]


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

    def advance(
        self,
        frame: Tensor,
        start: int,
        stop: int,
        marks: Sequence[int],
        schedule: Schedule,
        determinants: Tensor | None,
        first: int,
        inside: tuple[float, float],
    ) -> Advance:
        """Take the frame (rows, k, n), overwritten, from one step on to another, by intervals as `schedule` learns them.

        Args:
            marks: steps, ascending, above `start`, at which the frame is read off.
            determinants: ln|det J| of the steps from `first` on, (rows, steps), or None.
            inside: logarithms between which an interval is an ordinary one.
        """
        assert frame.is_contiguous()
        rows, k, _ = frame.shape
        self._struct.k = k
        most = stop - start
        logs, read_off = frame.new_empty(most, rows, k), frame.new_empty(len(marks), rows, k)
        residuals = None if determinants is None else frame.new_empty(most, rows)
        if determinants is not None:
            determinants = determinants.contiguous()
        lengths, before = (ctypes.c_long * most)(), (ctypes.c_long * max(len(marks), 1))()
        mark = (ctypes.c_long * max(len(marks), 1))(*marks)
        passage = Passage(
            start, stop, len(marks), ctypes.addressof(mark),
            None if determinants is None else determinants.data_ptr() - 8 * first,
            0 if determinants is None else determinants.stride(0),
            *inside, frame.data_ptr(), logs.data_ptr(), None if residuals is None else residuals.data_ptr(),
            ctypes.addressof(lengths), ctypes.addressof(before), read_off.data_ptr(),
        )  # fmt: skip
        found = library()
        assert found is not None
        _checked(found.aelle_advance(self._struct, schedule, passage))
        done, marked = passage.done, passage.marked
        return Advance(
            passage.position,
            logs[:done],
            None if residuals is None else residuals[:done],
            lengths[:done],
            read_off[:marked],
            before[:marked],
        )

    def log_abs_dets(self, start: int, steps: int) -> Tensor:
        """ln|det J| of some steps, (rows, steps)."""
        logs = self._kept[0].new_empty(self._struct.rows, steps)
        found = library()
        assert found is not None
        _checked(found.aelle_determinants(self._struct, start, steps, logs.data_ptr()))
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


class LSTMGates(NamedTuple):
    """Gains of an LSTM's gates as `LSTM._terms` has them; all but `by_gate` None at fixed c."""

    by_gate: Tensor
    output: Tensor | None
    forget: Tensor | None
    shear: Tensor | None
    volume: Tensor | None


def lstm_trajectory(
    gates: Tensor, state: Tensor, weight: Tensor, hidden_only: bool | None
) -> tuple[Tensor, LSTMGates | None] | None:
    """States (batch, T + 1, 2H) of an LSTM and the gains of its gates; None where a gate is too far out for the loops, or a
    determinant is zero.

    Args:
        gates: the inputs' shares of the pre-activations, (batch, T, 4H).
        state: (batch, 2H).
        weight: of the state, (4H, H).
        hidden_only: whether the gains are those at fixed c; None for none.
    """
    batch, steps, wide = gates.shape
    gates, hidden = gates.contiguous(), wide // 4
    states = state.new_empty(batch, steps + 1, 2 * hidden)
    states[:, 0] = state
    terms = None
    if hidden_only is not None:
        many, whole = batch * steps, not hidden_only
        output, forget, shear = (gates.new_empty(many, hidden) if whole else None for _ in range(3))
        terms = LSTMGates(
            gates.new_empty(many, 3 if whole else 4, hidden),
            output,
            forget,
            shear,
            gates.new_empty(many) if whole else None,
        )
        into = LSTMGains(whole, *(None if term is None else term.data_ptr() for term in terms))
    transposed = weight.t().contiguous()
    found = library()
    assert found is not None
    code = found.aelle_lstm(
        batch, steps, hidden, transposed.data_ptr(), gates.data_ptr(), states.data_ptr(),
        None if terms is None else ctypes.byref(into),
    )  # fmt: skip
    if code == 2:
        return None
    _checked(code)
    return states, terms


def log_abs_det(matrix: Tensor) -> Tensor:
    """ln|det| of one matrix (n, n): a tensor of no dimensions."""
    matrix = matrix.contiguous()
    found = library()
    assert found is not None
    value = ctypes.c_double()
    _checked(found.aelle_log_abs_det(len(matrix), matrix.data_ptr(), ctypes.addressof(value)))
    return matrix.new_tensor(value.value)


def log_diagonal_of_r(frame: Tensor) -> Tensor:
    """ln diag R of frames (rows, k, n): (rows, k)."""
    frame = frame.contiguous()
    logs = frame.new_empty(frame.shape[:2])
    found = library()
    assert found is not None
    rows, k, n = frame.shape
    _checked(found.aelle_log_diagonal_of_r(rows, k, n, frame.data_ptr(), logs.data_ptr()))
    return logs
