"""A layer's Jacobians pushed by the compiled loops: small networks on a CPU, in float64."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from aelle.kernels.library import CompiledJacobians, applies
from aelle.lyapunov.factorise import Workspace
from aelle.lyapunov.tangent import DenseJacobians, Frames, Linearisation


class CompiledLinearisation:
    """Some steps of a segment, with the interface of `Linearisation`.

    Args:
        jacobians: those of the whole segment.
        start, stop: the steps of this piece.
        plain: steps of the segment, from one to another, by torch's operations; made where a Jacobian is asked for.
    """

    def __init__(
        self, jacobians: CompiledJacobians, start: int, stop: int, plain: Callable[[int, int], Linearisation]
    ) -> None:
        self.jacobians, self.start, self.steps, self._plain = jacobians, start, stop - start, plain

    def run(
        self, start: int, interval: int, count: int, frame: Tensor, spare: Frames, work: Workspace
    ) -> Tensor:
        """All intervals in one call; only the frame after the last is kept."""
        del work
        return self.jacobians.run(self.start + start, interval, count, frame, spare[(count - 1) % 2])

    def to_state(self, step: int, frame: Tensor) -> Tensor:
        """Frame in the coordinates of the state."""
        return self.jacobians.to_state(self.start + step, frame)

    def jacobian(self, step: int) -> Tensor:
        """J_step by torch's operations."""
        return self._plain(self.start + step, self.start + step + 1).jacobian(0)


def compiled_jacobians(chunk: Linearisation, frame: Tensor) -> tuple[CompiledJacobians, int] | None:
    """What the compiled loops take of a chunk, and which of its steps is the chunk's first; None where they do not."""
    if isinstance(chunk, CompiledLinearisation):
        return chunk.jacobians, chunk.start
    if isinstance(chunk, DenseJacobians) and applies(frame, frame.shape[-1]):
        return CompiledJacobians.dense(chunk.jacobian_of_each), 0
    return None
