"""A layer's Jacobians pushed by the compiled loops: small networks on a CPU, in float64."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from aelle.kernels.library import CompiledJacobians
from aelle.lyapunov.factorise import Workspace
from aelle.lyapunov.tangent import Frames, Linearisation


class CompiledLinearisation:
    """Some steps of a segment, with the interface of `Linearisation`.

    Args:
        jacobians: those of the whole segment.
        start, stop: the steps of this piece.
        plain: one step of the segment by torch's operations, made where its Jacobian is asked for.
    """

    def __init__(
        self, jacobians: CompiledJacobians, start: int, stop: int, plain: Callable[[int], Linearisation]
    ) -> None:
        self._jacobians, self._start, self.steps, self._plain = jacobians, start, stop - start, plain

    def run(
        self, start: int, interval: int, count: int, frame: Tensor, spare: Frames, work: Workspace
    ) -> Tensor:
        """All intervals in one call; only the frame after the last is kept."""
        del work
        return self._jacobians.run(self._start + start, interval, count, frame, spare[(count - 1) % 2])

    def to_state(self, step: int, frame: Tensor) -> Tensor:
        """Frame in the coordinates of the state."""
        return self._jacobians.to_state(self._start + step, frame)

    def jacobian(self, step: int) -> Tensor:
        """J_step by torch's operations."""
        return self._plain(self._start + step).jacobian(0)
