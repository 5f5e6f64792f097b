"""LyapunovSpectrum: the exponents of one network, with what is known about their errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from aelle.lyapunov import estimates
from aelle.lyapunov.growth import Growth, Position

SHORTEST_WARMUP = 30


@dataclass(eq=False, repr=False)
class LyapunovSpectrum:
    """Lyapunov exponents, descending, in nats per step, or per unit of time where the system has a `dt`.

    Attributes:
        growth: what the run added up, directions in descending order of their exponent.
        warmup: steps of transient before the measurement.
        state: "full" (∂s'/∂s, all of the state) or "hidden" (∂h'/∂h at fixed other parts).
        layers: spectra of the layers of a stack; of one layer, just itself.
        position: last states and frames of each layer.
        unit: "nats" or "bits".
        dt: time of one step, by which all rates are divided; None leaves them per step.
    """

    growth: Growth
    warmup: int
    state: str = "full"
    layers: list[LyapunovSpectrum] = field(default_factory=list, repr=False)
    position: Position | None = field(default=None, repr=False)
    resume: Callable[..., LyapunovSpectrum] | None = field(default=None, repr=False)
    unit: str = "nats"
    dt: float | None = None

    def __post_init__(self) -> None:
        if not self.layers:
            self.layers = [self]

    @cached_property
    def exponents(self) -> Tensor:
        """Averages over time and sequences, (n,), descending; +inf where every sequence diverged."""
        if not self._kept.any():
            return torch.full_like(self.growth.logs[0, 0], math.inf)
        return self._logs.sum((0, 1)) / self._block_steps.sum()

    @cached_property
    def standard_error(self) -> Tensor:
        """Standard error of each exponent over finite time and sequences, (n,); inf where unknown."""
        return self._standard_error[0]

    def confidence_interval(self, level: float = 0.95) -> tuple[Tensor, Tensor]:
        """Lower and upper end of the two-sided interval of Student's t for each exponent, (n,) each.

        Raises:
            ValueError: where the level is not between 0 and 1.
        """
        from scipy.special import stdtrit

        if not 0 < level < 1:
            raise ValueError(f"level must lie between 0 and 1, got {level}")
        error, freedom = self._standard_error
        width = float(stdtrit(freedom, (1 + level) / 2)) * error if freedom else error
        finite = self.exponents.isfinite()
        low = torch.where(finite, self.exponents - width, -math.inf)
        return low, torch.where(finite, self.exponents + width, self.exponents)

    @property
    def per_sequence(self) -> Tensor:
        """Average of each driving sequence, (B, n); +inf for a sequence that diverged."""
        averages = self.growth.logs.sum(1) / self.growth.block_steps.sum(1, keepdim=True)
        return averages.masked_fill(self.growth.diverged.unsqueeze(1), math.inf)

    @property
    def finite_time(self) -> Tensor:
        """Finite-time exponents of successive blocks, (B, blocks, n); `block_steps` says how long each is."""
        finite = self.growth.logs / self.growth.block_steps.unsqueeze(-1)
        return finite.masked_fill(self.growth.diverged.view(-1, 1, 1), math.inf)

    @property
    def block_steps(self) -> Tensor:
        """Steps in each block of each sequence, (B, blocks)."""
        return self.growth.block_steps

    @property
    def convergence(self) -> Tensor:
        """Running average of the exponents after each block, (blocks, n)."""
        steps = self._block_steps.sum(0).cumsum(0).unsqueeze(-1)
        return self._logs.sum(0).cumsum(0) / steps

    @cached_property
    def temporal_std(self) -> Tensor:
        """Temporal standard deviation of local exponents, per step, (n,): see `estimates.temporal_std`."""
        return estimates.temporal_std(self._logs, self._block_steps)

    @cached_property
    def rounding_error(self) -> Tensor:
        """Bound on the rounding error of each exponent, (n,), estimated from the growth gaps of the run."""
        return self.growth.rounding[self._kept].sum(0) / max(int(self._block_steps.sum()), 1)

    @property
    def trusted(self) -> int:
        """How many leading exponents are known to better than 1e-3 nats per step as far as rounding goes."""
        return estimates.trusted_count(self.rounding_error) if self._kept.any() else 0

    @property
    def certificate(self) -> float | None:
        """|Σλ - ⟨ln|det J|⟩| over the audited steps, in nats per step; None where k < n leaves no sum to check.

        Every step is audited where ln|det J| has a closed form or n is at most 16, else the first interval.
        """
        steps = int(self.growth.audited_steps[self._kept].sum())
        return abs(float(self.growth.audit[self._kept].sum())) / steps if steps else None

    @property
    def kaplan_yorke_dimension(self) -> float:
        """Kaplan-Yorke dimension; of k leading exponents, a lower bound where it equals k."""
        return estimates.kaplan_yorke_dimension(self.exponents)

    @property
    def entropy_rate(self) -> float:
        """Sum of the positive exponents, per step."""
        return estimates.entropy_rate(self.exponents)

    @property
    def steps(self) -> int:
        """Measured steps of the longest sequence."""
        return int(self.growth.block_steps.sum(1).max())

    @property
    def sequences(self) -> int:
        """Number of driving sequences B."""
        return len(self.growth.diverged)

    @property
    def diverged(self) -> int:
        """Number of sequences whose state left the range of floating-point numbers; the averages omit them."""
        return int(self.growth.diverged.sum())

    @property
    def qr_interval(self) -> int:
        """The most steps between two factorisations."""
        return int(self.growth.longest_interval.max())

    @property
    def rate_unit(self) -> str:
        """Unit of the exponents and all other rates, such as "nats per step"."""
        return f"{self.unit} per {'step' if self.dt is None else 'unit of time'}"

    @property
    def converged(self) -> bool:
        """No divergence, at least 30 steps of warm-up, and halves of the run that agree within noise."""
        return (
            self.diverged == 0
            and self.warmup >= SHORTEST_WARMUP
            and estimates.halves_agree(self._logs, self._block_steps, self.standard_error)
        )

    def in_bits(self) -> LyapunovSpectrum:
        """Return the same spectrum in bits."""
        if self.unit == "bits":
            return self
        layers = [layer.in_bits() for layer in self.layers if layer is not self]
        growth = self.growth.scaled(1 / math.log(2))
        return replace(self, growth=growth, layers=layers, unit="bits", resume=None)

    def continue_(
        self, inputs: Any = None, *, steps: int | None = None, accumulate: bool = True
    ) -> LyapunovSpectrum:
        """Go on from the last state and frame under new inputs, without another warm-up.

        Updates this spectrum in place and returns it.

        Args:
            inputs: (batch, time, input_size) with as many sequences as before; None for an autonomous map.
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
        layers = [self if layer is later else layer for layer in later.layers]
        self.__dict__ = {**later.__dict__, "layers": layers}
        return self

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

    def __len__(self) -> int:
        return self.growth.logs.shape[-1]

    def __repr__(self) -> str:
        values = self.exponents
        shown = ", ".join(
            f"{v:.4f} ± {e:.4f}" for v, e in zip(values[:3], self.standard_error[:3], strict=True)
        )
        rest = f", …, {values[-1]:.4f}" if len(values) > 3 else ""
        certificate = "" if self.certificate is None else f", certificate {self.certificate:.1e}"
        of_time = "" if self.dt is None else f" of {self.dt:g}"
        flags = f", {self.diverged} of {self.sequences} sequences diverged" if self.diverged else ""
        return (
            f"LyapunovSpectrum({len(values)} exponents in {self.rate_unit}: {shown}{rest}; "
            f"{self.sequences} × {self.steps} steps{of_time} after {self.warmup}, {self.state} state, "
            f"trusted {self.trusted}{certificate}{flags})"
        )

    def _repr_html_(self) -> str:
        import html

        return f"<p>{html.escape(repr(self))}</p>{self.to_frame().to_html(max_rows=10, float_format='%.4f')}"

    @property
    def _kept(self) -> Tensor:
        return ~self.growth.diverged

    @property
    def _logs(self) -> Tensor:
        return self.growth.logs[self._kept]

    @property
    def _block_steps(self) -> Tensor:
        return self.growth.block_steps[self._kept]

    @cached_property
    def _standard_error(self) -> tuple[Tensor, int]:
        if not self._kept.any():
            return torch.full_like(self.growth.logs[0, 0], math.inf), 0
        return estimates.standard_error(self._logs, self._block_steps)


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
    layers = [LyapunovSpectrum(_sorted(growth, k), warmup, state, dt=dt) for growth in growths]
    if len(layers) == 1:
        layers[0].position, layers[0].resume = position, resume
        return layers[0]
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
    )
    return LyapunovSpectrum(_sorted(union, k), warmup, state, layers, position, resume, dt=dt)


def _sorted(growth: Growth, k: int | None) -> Growth:
    kept = ~growth.diverged if not growth.diverged.all() else torch.ones_like(growth.diverged)
    order = growth.logs[kept].sum((0, 1)).argsort(descending=True)[:k]
    return replace(growth, logs=growth.logs[..., order], rounding=growth.rounding[:, order])
