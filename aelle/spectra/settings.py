"""How a spectrum is taken: what `lyapunov_spectrum` is told, as one value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from aelle.lyapunov.arguments import steps_or_auto
from aelle.lyapunov.block_run import BlockTangent, in_blocks
from aelle.lyapunov.block_tangent import MapBlocks, with_structure
from aelle.lyapunov.driven_map import DrivenMap
from aelle.lyapunov.growth import Position
from aelle.lyapunov.result import LyapunovSpectrum
from aelle.lyapunov.run import Run
from aelle.lyapunov.structure import StructureError
from aelle.lyapunov.tangent import TangentMap
from aelle.modules.driving import as_read_by
from aelle.spectra.systems import System, directions, first_frames, number_of, stack_and_states

LONGEST_AUTONOMOUS_RUN = 1_000_000


@dataclass(frozen=True)
class Settings:
    """Settings of `lyapunov_spectrum`, under their names there."""

    steps: int | None
    state: str
    k: int | None
    warmup: int | str
    qr_interval: int | str
    dtype: torch.dtype
    tolerance: float | None
    generator: torch.Generator | None
    progress: bool

    @torch.no_grad()
    def spectrum(self, system: System, inputs: Any, initial_state: Any) -> LyapunovSpectrum:
        """Spectrum of one system that has one direction of time."""
        taken = stack_and_states(system, inputs, self.state == "hidden", self.dtype, initial_state)
        k, steps = number_of(self.k, sum(t.size for t in taken.stack)), self.steps
        warmup = steps_or_auto("warmup", self.warmup)
        if isinstance(warmup, int):
            warmup = max(warmup - taken.skipped, 0)
        if self.tolerance is not None and inputs is None and steps is None:
            steps = LONGEST_AUTONOMOUS_RUN

        def measured(stack: Sequence[TangentMap | BlockTangent]) -> LyapunovSpectrum:
            frames = [
                first_frames(tangent, k, like, self.generator)
                for tangent, like in zip(stack, taken.states, strict=True)
            ]
            interval = None if self.qr_interval == "auto" else int(self.qr_interval)
            dt = system.dt if isinstance(system, DrivenMap) else None
            read = lambda later: as_read_by(system, later)  # noqa: E731
            # A frame in blocks goes on in blocks, a dense one as it is.
            of_blocks = any(in_blocks(tangent) for tangent in stack)

            def anew(later: Any) -> Sequence[TangentMap | BlockTangent]:
                fresh = stack_and_states(
                    system, later, self.state == "hidden", self.dtype, initial_state
                ).stack
                return [with_structure(t, directions(t, k)) for t in fresh] if of_blocks else fresh

            run = Run(stack, self.state, k, interval, self.tolerance, self.progress, dt, read, anew)
            return run.start(Position(taken.states, frames), taken.sequences, steps, warmup)

        blocks = [with_structure(tangent, directions(tangent, k)) for tangent in taken.stack]
        try:
            return measured(blocks)
        except StructureError:
            if not any(isinstance(tangent, MapBlocks) and tangent.recognised for tangent in blocks):
                raise
            return measured(
                taken.stack
            )  # the structure was found at a few points, and is not there at others
