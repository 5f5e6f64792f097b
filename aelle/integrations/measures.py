"""What a watch takes of a network: its whole spectrum or an economy look, whichever its predictor learnt from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from aelle.integrations.rule import IntegrationError
from aelle.records import look_columns
from aelle.spectra import Look, LyapunovSpectrum, look, lyapunov_spectrum, readout_growth


@dataclass(frozen=True)
class WholeSpectrum:
    """The spectrum along `inputs`, and readout growth along `sequences` where those are given."""

    model: nn.Module
    inputs: Any
    warmup: int | str
    readout: nn.Linear | None
    sequences: Tensor | None
    state: str

    def check(self) -> None:
        """Refuse what does not fit, by one step per sequence, before an epoch has been trained.

        Raises:
            IntegrationError: for one of readout and sequences without the other.
        """
        lyapunov_spectrum(self.model, self.inputs, steps=1, k=1, warmup=0, state=self.state)
        if self.sequences is None:
            if self.readout is not None:
                raise IntegrationError("a readout alone is of no use: pass sequences of the task with it")
            return
        _require_readout(self.model, self.readout)
        readout_growth(self.model, self.sequences[:, :1], self.readout)

    def take(self) -> tuple[LyapunovSpectrum, dict[str, Any]]:
        """The spectrum, and the columns of records that it fills."""
        spectrum = lyapunov_spectrum(self.model, self.inputs, state=self.state, warmup=self.warmup)
        arrays = (spectrum.exponents, spectrum.standard_error, spectrum.temporal_std)
        columns: dict[str, Any] = {
            name: _recorded(values)
            for name, values in zip(("spectrum", "spectrum_se", "spectrum_std"), arrays, strict=True)
        }
        columns["trusted_count"] = int(spectrum.trusted)
        if self.sequences is not None:
            columns["readout_growth"] = _recorded(readout_growth(self.model, self.sequences, self.readout))
        return spectrum, columns


@dataclass(frozen=True)
class EconomyLook:
    """`aelle.look` along `sequences` of the task's own."""

    model: nn.Module
    sequences: Any
    readout: nn.Linear | None

    def check(self) -> None:
        """Refuse what does not fit by one look, before an epoch has been trained.

        Raises:
            IntegrationError: for a model of which it is not known what reads it.
        """
        _require_readout(self.model, self.readout)
        look(self.model, self.sequences, self.readout)

    def take(self) -> tuple[Look, dict[str, Any]]:
        """The look, and the columns of records that it fills."""
        seen = look(self.model, self.sequences, self.readout)
        return seen, look_columns(_recorded(seen.leading), seen.mean_exponent, _recorded(seen.readout_growth))


def exponents_of(taken: LyapunovSpectrum | Look) -> Tensor:
    """The exponents that are known of it, descending."""
    return taken.leading if isinstance(taken, Look) else taken.exponents


def _require_readout(model: nn.Module, readout: nn.Linear | None) -> None:
    if readout is None and getattr(model, "readout", None) is None:
        raise IntegrationError(
            "sequences are driven to the readout: pass readout=, the linear map that reads them"
        )


def _recorded(values: Tensor) -> np.ndarray:
    """In the precision of records."""
    return values.cpu().numpy().astype(np.float32)
