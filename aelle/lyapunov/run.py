"""One call of the engine, start to spectrum: groups of sequences, stages until a tolerance, continuation."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from aelle.lyapunov import estimates
from aelle.lyapunov.benettin import Report, measure
from aelle.lyapunov.block_run import BlockTangent
from aelle.lyapunov.growth import Growth, Position
from aelle.lyapunov.inputs import DrivingGroup, as_sequences, group_by_length, plan_steps
from aelle.lyapunov.result import LyapunovSpectrum, spectrum_of_stack
from aelle.lyapunov.tangent import TangentMap


@dataclass(frozen=True)
class Run:
    """Settings of a run, which a spectrum keeps so that it can be continued."""

    stack: Sequence[TangentMap | BlockTangent]
    state: str
    k: int | None
    interval: int | None
    tolerance: float | None
    progress: bool
    dt: float | None = None  # time of one step; rates are per step where None
    read: Callable[[Any], Any] = lambda inputs: inputs  # how later inputs are read
    anew: Callable[[Any], Sequence[TangentMap | BlockTangent]] | None = (
        None  # the maps, from the weights of now
    )

    def start(
        self, position: Position, sequences: list[Tensor] | None, steps: int | None, warmup: int | str
    ) -> LyapunovSpectrum:
        """Measure from a position; steps and warmup as `lyapunov_spectrum` takes them."""
        groups = self._groups(sequences, steps, warmup, position.states[0])
        if self.tolerance is not None:
            return self._until_tolerance(position, groups)
        growths, position = self._measure(position, groups)
        return self._spectrum(growths, position, min(group.warmup for group in groups))

    def start_population(
        self,
        position: Position,
        sequences: list[Tensor],
        steps: int | None,
        warmup: int | str,
        networks: int,
    ) -> list[LyapunovSpectrum]:
        """Measure networks × sequences of one length as the rows of one run, and tell the networks apart."""
        groups = self._groups(sequences, steps, warmup, position.states[0])
        if len(groups) > 1:
            raise ValueError("a cohort as one batch needs sequences of one length")
        per_network = len(sequences) // networks
        growths, position = self._measure(position, groups, per_network)
        spectra = []
        for i in range(networks):
            rows = slice(i * per_network, (i + 1) * per_network)
            own, where = [growth.rows(rows) for growth in growths], position.rows(rows)
            spectra.append(
                spectrum_of_stack(
                    own, where, warmup=groups[0].warmup, state=self.state, k=self.k, resume=None
                )
            )
        return spectra

    def _groups(
        self, sequences: list[Tensor] | None, steps: int | None, warmup: int | str, like: Tensor
    ) -> list[DrivingGroup]:
        if sequences is not None:
            return group_by_length(sequences, steps, warmup, like)
        transient, measured = plan_steps(None, steps, warmup)
        rows = list(range(len(like)))
        size = self.stack[0].input_size
        driven = (
            None if size is None else like.new_zeros(len(like), 1, size).expand(-1, transient + measured, -1)
        )
        return [DrivingGroup(rows, driven, transient, measured)]

    def _measure(
        self, position: Position, groups: list[DrivingGroup], sequences: int | None = None
    ) -> tuple[list[Growth], Position]:
        """Run the groups one after the other and put their rows back in order."""
        rows = sequences or sum(len(group.index) for group in groups)
        count = min(estimates.block_count(group.steps, rows) for group in groups)
        total = sum((group.warmup + group.steps) * len(group.index) for group in groups)
        parts = []
        with Progress(total, self.progress) as report:
            for group in groups:
                parts.append(
                    measure(
                        self.stack,
                        group.inputs,
                        position.rows(group.index),
                        warmup=group.warmup,
                        blocks=estimates.block_lengths(group.steps, count),
                        interval=self.interval,
                        report=report,
                    )
                )
        if len(groups) == 1:
            return parts[0]
        order = torch.tensor([i for group in groups for i in group.index]).argsort().tolist()
        growths = [
            Growth.join_rows([part[0][i] for part in parts]).rows(order) for i in range(len(self.stack))
        ]
        return growths, Position.join_rows([part[1] for part in parts]).rows(order)

    def _until_tolerance(self, position: Position, groups: list[DrivingGroup]) -> LyapunovSpectrum:
        """Measure in stages, each as long as all before it, until every standard error is small enough."""
        if len(groups) > 1:
            raise ValueError("tolerance needs sequences of one length")
        group, done, stage = groups[0], 0, 100
        growths: list[Growth] | None = None
        while True:
            warmup, steps = (group.warmup if growths is None else 0), min(stage, group.steps - done)
            before = 0 if growths is None else group.warmup + done
            driven = None if group.inputs is None else group.inputs[:, before : before + warmup + steps]
            later, position = self._measure(
                position, [replace(group, inputs=driven, warmup=warmup, steps=steps)]
            )
            growths = _followed_by(growths, later)
            done += steps
            spectrum = self._spectrum(growths, position, group.warmup)
            finite = spectrum.exponents.isfinite()
            # Of exponents of -inf, and of what has diverged, more steps tell nothing more.
            error = float(spectrum.standard_error[finite].max()) if bool(finite.any()) else 0.0
            if error <= float(self.tolerance or 0):
                return spectrum
            if done >= group.steps:
                raise ValueError(self._short_of_tolerance(done, error))
            stage = done

    def _short_of_tolerance(self, done: int, error: float) -> str:
        tolerance = float(self.tolerance or 1)
        known = done > 1 and math.isfinite(error)
        needed = f"about {int(done * (error / tolerance) ** 2):,}" if known else "more"
        return (
            f"{done} measured steps leave a standard error of {error:.2g}, above the tolerance of "
            f"{tolerance:g}; {needed} steps would be needed"
        )

    def _spectrum(self, growths: list[Growth], position: Position, warmup: int) -> LyapunovSpectrum:
        resume = functools.partial(self._resume, growths)
        return spectrum_of_stack(
            growths, position, warmup=warmup, state=self.state, k=self.k, resume=resume, dt=self.dt
        )

    @torch.no_grad()
    def _resume(
        self,
        growths: list[Growth],
        spectrum: LyapunovSpectrum,
        inputs: Any,
        steps: int | None,
        accumulate: bool,
    ) -> LyapunovSpectrum:
        position = spectrum.position
        assert position is not None
        sequences = None if inputs is None else as_sequences(self.read(inputs))
        if sequences is not None and len(sequences) != len(position.states[0]):
            raise ValueError(
                f"continue_ needs the {len(position.states[0])} sequences of before, got {len(sequences)}"
            )
        run = self
        if not accumulate and self.anew is not None:
            run = replace(self, stack=self.anew(inputs))
        groups = run._groups(sequences, steps, 0, position.states[0])
        later, position = run._measure(position, groups)
        return run._spectrum(_followed_by(growths if accumulate else None, later), position, spectrum.warmup)


def _followed_by(growths: list[Growth] | None, later: list[Growth]) -> list[Growth]:
    if growths is None:
        return later
    return [before.followed_by(after) for before, after in zip(growths, later, strict=True)]


class Progress:
    """A tqdm bar over row-steps, or nothing."""

    def __init__(self, total: int, shown: bool) -> None:
        self._bar: Any = None
        if shown:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, unit="step", desc="Lyapunov spectrum")

    def __enter__(self) -> Report | None:
        return None if self._bar is None else self._bar.update

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()
