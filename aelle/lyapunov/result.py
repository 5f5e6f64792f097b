"""LyapunovSpectrum: the exponents of one network, with what is known about their errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from os import PathLike
from typing import Any, NamedTuple

import torch
from torch import Tensor

from aelle.lyapunov import saved
from aelle.lyapunov.averages import Averages
from aelle.lyapunov.convergence import attractor_rows
from aelle.lyapunov.growth import Growth, Position


class Attractor(NamedTuple):
    """Sequences that share a spectrum: their numbers, and the spectrum of them alone."""

    rows: list[int]
    spectrum: LyapunovSpectrum


@dataclass(eq=False, repr=False)
class LyapunovSpectrum(Averages):
    """Lyapunov exponents, descending, in nats per step, or per unit of time where the system has a `dt`.

    Attributes:
        growth: what the run added up, directions in descending order of their exponent.
        warmup: steps of transient before the measurement.
        unit: "nats" or "bits".
        dt: time of one step, by which all rates are divided; None leaves them per step.
        state: "full" (∂s'/∂s, all of the state) or "hidden" (∂h'/∂h at fixed other parts).
        of_layers: spectra of the layers of a stack; empty for one layer, whose `layers` are just itself.
        position: last states and frames of each layer.
    """

    state: str = "full"
    of_layers: list[LyapunovSpectrum] = field(default_factory=list, repr=False)
    position: Position | None = field(default=None, repr=False)
    resume: Callable[..., LyapunovSpectrum] | None = field(default=None, repr=False)
    layer_order: Tensor | None = field(default=None, repr=False)  # places of the exponents among all layers'

    @property
    def layers(self) -> list[LyapunovSpectrum]:
        """Spectra of the layers of a stack; of one layer, just itself."""
        return self.of_layers or [self]

    @property
    def attractors(self) -> list[Attractor]:
        """Sequences by group, largest first, where they fall into groups with spectra of their own; else one."""
        kept = self._kept.nonzero().flatten().tolist()
        groups = attractor_rows(self._logs / self._per_nat, self._block_steps) if kept else [[]]
        if len(groups) == 1:
            return [Attractor(kept, self)]
        return [
            Attractor([kept[i] for i in group], self._of_rows([kept[i] for i in group])) for group in groups
        ]

    def _of_rows(self, rows: list[int]) -> LyapunovSpectrum:
        position = None if self.position is None else self.position.rows(rows)
        if len(self.layers) == 1:
            growth = sorted_growth(self.growth.rows(rows), None)
            return replace(self, growth=growth, position=position, resume=None)
        layers = [layer._of_rows(rows) for layer in self.layers]
        return _union(layers, position, len(self), resume=None)

    def in_bits(self) -> LyapunovSpectrum:
        """Return the same spectrum in bits."""
        if self.unit == "bits":
            return self
        layers = [layer.in_bits() for layer in self.of_layers]
        growth = self.growth.scaled(1 / math.log(2))
        return replace(self, growth=growth, of_layers=layers, unit="bits", resume=None)

    def continue_(
        self, inputs: Any = None, *, steps: int | None = None, accumulate: bool = True
    ) -> LyapunovSpectrum:
        """Go on from the last state and frame under new inputs, without another warm-up.

        Updates this spectrum in place and returns it.

        Args:
            inputs: read as `lyapunov_spectrum` reads them, as many sequences as before; None for an autonomous map.
            steps: how many steps; all inputs where None.
            accumulate: average over the earlier steps too, so that a continued run equals an uninterrupted
                one. False measures the new steps alone: for a network that has been trained on since, whose
                last frame is still close to its new one.

        Raises:
            ValueError: where the spectrum cannot be resumed, or the inputs do not fit.
        """
        if self.resume is None:
            raise ValueError("only a spectrum from lyapunov_spectrum, in nats, can be continued")
        later = self.resume(self, inputs, steps, accumulate)
        self.__dict__ = dict(later.__dict__)
        return self

    def save(self, path: str | PathLike[str]) -> None:
        """Write all but `resume` to one safetensors file; `LyapunovSpectrum.load` reads it."""
        tensors = {
            f"layer{i}.{part.name}": getattr(layer.growth, part.name)
            for i, layer in enumerate(self.layers)
            for part in fields(Growth)
        }
        if self.position is not None:
            tensors |= {f"state{i}": state for i, state in enumerate(self.position.states)}
            tensors |= {f"frame{i}": frame for i, frame in enumerate(self.position.frames)}
        facts = {"warmup": self.warmup, "unit": self.unit, "dt": self.dt, "state": self.state}
        saved.write(path, tensors, facts | {"layers": len(self.layers), "exponents": len(self)})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> LyapunovSpectrum:
        """Read a spectrum that `save` wrote; it cannot be continued.

        Raises:
            FileNotFoundError: where there is no such file.
            ValueError: where it holds no spectrum, or one of another version.
        """
        tensors, facts = saved.read(path)
        try:
            layers = [
                cls(
                    Growth(**{part.name: tensors[f"layer{i}.{part.name}"] for part in fields(Growth)}),
                    *(facts[name] for name in ("warmup", "unit", "dt", "state")),
                )
                for i in range(facts["layers"])
            ]
            position = None
            if "state0" in tensors:
                parts = [[tensors[f"{kind}{i}"] for i in range(len(layers))] for kind in ("state", "frame")]
                position = Position(*parts)
            if len(layers) > 1:
                return _union(layers, position, facts["exponents"], None)
        except KeyError as error:
            raise ValueError(f"{path}: a spectrum of another version, without {error}") from error
        return replace(layers[0], position=position)

    def __getstate__(self) -> dict[str, Any]:
        """A spectrum travels between processes without what would continue it, which may hold any function."""
        return self.__dict__ | {"resume": None}

    def to_frame(self) -> Any:
        """Return a pandas DataFrame, one row per exponent, with errors and unit."""
        import pandas as pd

        low, high = self.confidence_interval()
        columns = {
            "exponent": self.exponents,
            "standard_error": self.standard_error,
            "low": low,
            "high": high,
            "temporal_std": self.temporal_std,
            "rounding_error": self.rounding_error,
        }
        frame = pd.DataFrame({name: values.cpu().numpy() for name, values in columns.items()})
        frame["trusted"] = frame.index < self.trusted
        frame["unit"] = self.rate_unit
        frame.index = pd.RangeIndex(1, len(frame) + 1, name="i")
        return frame

    def plot(self, level: float = 0.95) -> Any:
        """Return the plotly figure of `aelle.plot.spectrum`: the spectrum with its confidence band."""
        from aelle.plot import spectrum as figure

        return figure(self, level)

    def __repr__(self) -> str:
        values = self.exponents
        shown = ", ".join(
            f"{v:.4f} ± {e:.4f}" for v, e in zip(values[:3], self.standard_error[:3], strict=True)
        )
        rest = f", …, {values[-1]:.4f}" if len(values) > 3 else ""
        certificate = "" if self.certificate is None else f", certificate {self.certificate:.1e}"
        of_time = "" if self.dt is None else f" of {self.dt:g}"
        flags = f"; not converged: {'; '.join(self.doubts)}" if self.doubts else ""
        return (
            f"LyapunovSpectrum({len(values)} exponents in {self.rate_unit}: {shown}{rest}; "
            f"{self.sequences} × {self.steps} steps{of_time} after {self.warmup}, {self.state} state, "
            f"trusted {self.trusted}{certificate}{flags})"
        )

    def _repr_html_(self) -> str:
        import html

        return f"<p>{html.escape(repr(self))}</p>{self.to_frame().to_html(max_rows=10, float_format='%.4f')}"

    @cached_property
    def _relaxation(self) -> Tensor:
        """Each layer has a frame of its own."""
        if self.layer_order is None:
            return super()._relaxation
        return torch.cat([layer._relaxation for layer in self.layers])[self.layer_order]


def spectrum_of_stack(
    growths: list[Growth],
    position: Position,
    *,
    warmup: int,
    state: str,
    k: int | None,
    resume: Callable[..., LyapunovSpectrum] | None,
    dt: float | None = None,
) -> LyapunovSpectrum:
    """Sort each layer's directions by exponent, and their union, cut to k; rates per time where there is a dt."""
    if dt is not None:
        growths = [growth.scaled(1 / dt) for growth in growths]
    layers = [LyapunovSpectrum(sorted_growth(growth, k), warmup, dt=dt, state=state) for growth in growths]
    if len(layers) == 1:
        layers[0].position, layers[0].resume = position, resume
        return layers[0]
    return _union(layers, position, k, resume)


def _union(
    layers: list[LyapunovSpectrum],
    position: Position | None,
    k: int | None,
    resume: Callable[..., LyapunovSpectrum] | None,
) -> LyapunovSpectrum:
    growths = [layer.growth for layer in layers]
    first = growths[0]
    audited = torch.stack([growth.audited_steps for growth in growths])
    union = Growth(
        torch.cat([growth.logs for growth in growths], dim=-1),
        first.block_steps,
        torch.cat([growth.rounding for growth in growths], dim=-1),
        torch.stack([growth.audit / growth.audited_steps.clamp(min=1) for growth in growths]).sum(0),
        (audited.min(0).values > 0).long(),
        torch.stack([growth.diverged for growth in growths]).any(0),
        torch.stack([growth.longest_interval for growth in growths]).max(0).values,
        torch.stack([growth.still for growth in growths]).all(0),
    )
    order = _descending(union)[:k]
    growth = replace(union, logs=union.logs[..., order], rounding=union.rounding[:, order])
    below = layers[0]
    return LyapunovSpectrum(
        growth, below.warmup, below.unit, below.dt, below.state, layers, position, resume, order
    )


def sorted_growth(growth: Growth, k: int | None) -> Growth:
    """Directions in descending order of their exponent, the first k of them."""
    order = _descending(growth)[:k]
    return replace(growth, logs=growth.logs[..., order], rounding=growth.rounding[:, order])


def _descending(growth: Growth) -> Tensor:
    kept = ~growth.diverged if not growth.diverged.all() else torch.ones_like(growth.diverged)
    return growth.logs[kept].sum((0, 1)).argsort(descending=True)
