"""What a run's growth says: averages, their errors, what rounding cost, and whether they can be believed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from aelle.lyapunov import convergence, estimates
from aelle.lyapunov.arguments import is_number
from aelle.lyapunov.growth import Growth
from aelle.lyapunov.standard_error import relaxation_error, standard_error


@dataclass(eq=False, repr=False)
class Averages:
    """Averages of growth over time and sequences.

    Attributes:
        growth: what the run added up, directions in descending order of their exponent.
        warmup: steps of transient before the measurement.
        unit: "nats" or "bits".
        dt: time of one step, by which all rates are divided; None leaves them per step.
    """

    growth: Growth
    warmup: int
    unit: str = "nats"
    dt: float | None = None

    @cached_property
    def exponents(self) -> Tensor:
        """Averages over time and sequences, (n,), descending; +inf where every sequence diverged."""
        if not self._kept.any():
            return torch.full_like(self.growth.logs[0, 0], math.inf)
        return self._logs.sum((0, 1)) / self._block_steps.sum()

    @cached_property
    def standard_error(self) -> Tensor:
        """Standard error of each exponent over finite time and sequences, (n,); inf where unknown.

        It allows for memory in time, for sequences that coincide or move together, and for a frame that the
        warm-up has not finished turning: see `standard_error` and `relaxation_error` in its module.
        """
        return torch.hypot(self._noise[0], self._relaxation)

    def confidence_interval(self, level: float = 0.95) -> tuple[Tensor, Tensor]:
        """Lower and upper end of the two-sided interval of Student's t for each exponent, (n,) each.

        Raises:
            ValueError: where the level is not between 0 and 1.
        """
        if not is_number(level) or not 0 < level < 1:
            raise ValueError(f"level must lie between 0 and 1, got {level!r}")
        width = self._widths(self.standard_error, self._noise[1], level)
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
        return estimates.trusted_count(self.rounding_error / self._per_nat) if self._kept.any() else 0

    @property
    def certificate(self) -> float | None:
        """|Σλ - ⟨ln|det J|⟩| over the audited steps, in nats per step; None where k < n leaves no sum to check.

        Every step is audited where ln|det J| has a closed form or n is at most 16, else the first interval.
        """
        steps = int(self.growth.audited_steps[self._kept].sum())
        return abs(float(self.growth.audit[self._kept].sum())) / steps if steps else None

    @property
    def kaplan_yorke_dimension(self) -> float:
        """Kaplan-Yorke dimension; of k leading exponents, a lower bound where it equals k.

        A sum of exponents whose interval holds zero counts as zero, so that a limit cycle has dimension 1.
        """
        error, freedom = self._noise_of(self._logs.cumsum(-1))
        return estimates.kaplan_yorke_dimension(self.exponents, self._widths(error, freedom, 0.95))

    @property
    def kaplan_yorke_error(self) -> float:
        """Standard error of the Kaplan-Yorke dimension; near λ_1 = 0, where it leaps, half the leap and more."""
        return estimates.kaplan_yorke_error(self.exponents, self.standard_error)

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
        """Whether nothing speaks against the averages; `doubts` says what does.

        It takes 30 steps of warm-up and 20 of measurement, no divergence, sequences that agree, no trend in
        time, and a run that is long against its memory.
        """
        return not self.doubts

    @cached_property
    def doubts(self) -> list[str]:
        """Why `converged` is False, one sentence each."""
        found = []
        if self.diverged:
            found.append(
                f"{self.diverged} of {self.sequences} sequences diverged: the state left the range of numbers. Where "
                "the map is piecewise linear, as a relu network, its exponents exist all the same: take fewer steps"
            )
        if self.warmup < convergence.SHORTEST_WARMUP:
            found.append(f"the warm-up of {self.warmup} steps is shorter than {convergence.SHORTEST_WARMUP}")
        still = int((self.growth.still & self._kept).sum())
        if still and float(self.exponents[0]) > 1e-9:
            found.append(
                f"the state of {still} of {self.sequences} sequences rests at an unstable point, which a disturbance "
                "would leave: start elsewhere, with initial_state"
            )
        if self._kept.any():
            unit = self._per_nat
            logs, noise, relaxation = self._logs / unit, self._noise[0] / unit, self._relaxation / unit
            found += convergence.doubts(logs, self._block_steps, noise, relaxation)
        return found

    def __len__(self) -> int:
        return self.growth.logs.shape[-1]

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
    def _noise(self) -> tuple[Tensor, Tensor]:
        return self._noise_of(self._logs)

    def _noise_of(self, logs: Tensor) -> tuple[Tensor, Tensor]:
        if not self._kept.any():
            unknown = torch.full_like(self.exponents, math.inf)
            return unknown, torch.zeros_like(unknown)
        return standard_error(logs, self._block_steps)

    @cached_property
    def _relaxation(self) -> Tensor:
        return relaxation_error(self.exponents / self._per_nat, self.warmup, self.steps) * self._per_nat

    @property
    def _per_nat(self) -> float:
        """What a nat per step is in the unit of this spectrum."""
        return (1.0 if self.unit == "nats" else 1 / math.log(2)) / (self.dt or 1.0)

    def _widths(self, error: Tensor, freedom: Tensor, level: float) -> Tensor:
        """Half the interval of Student's t; inf where there is no freedom."""
        from scipy.special import stdtrit

        quantile = torch.as_tensor(stdtrit(freedom.cpu().numpy(), (1 + level) / 2)).to(error)
        return torch.where(freedom > 0, quantile * error, math.inf)
