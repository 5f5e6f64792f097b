"""What the callbacks of training frameworks share: a monitor that begins with the model and survives a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from aelle.integrations.monitor import Logger, SpectrumMonitor
from aelle.integrations.reading import FLOOR, Reading
from aelle.spectra.look import EXPONENTS


class MonitorOfCallback:
    """Settings of a `SpectrumMonitor` whose model comes when training begins.

    Args:
        inputs, readout, horizon, part, every, exponents, floor, to: as `SpectrumMonitor` takes them; `readout` and `part` by
            their qualified names in the model that is trained.
    """

    def __init__(
        self,
        inputs: Any,
        readout: nn.Linear | str | None = None,
        *,
        horizon: int | None = None,
        part: str | None = None,
        every: int = 1,
        exponents: int = EXPONENTS,
        floor: float = FLOOR,
        to: Logger | Sequence[Logger] = (),
    ) -> None:
        self._inputs, self._readout = inputs, readout
        self._settings: dict[str, Any] = {
            "horizon": horizon, "part": part, "every": every, "exponents": exponents, "floor": floor, "to": to,
        }  # fmt: skip
        self._saved: Mapping[str, Any] | None = None
        self.monitor: SpectrumMonitor | None = None

    @property
    def readings(self) -> list[Reading]:
        """All so far."""
        return [] if self.monitor is None else self.monitor.readings

    def begin(self, model: nn.Module) -> SpectrumMonitor:
        """Begin, or go on after a checkpoint."""
        saved = self._saved if self.monitor is None else self.monitor.state_dict()
        self.monitor = SpectrumMonitor(model, self._inputs, self._readout, **self._settings)
        if saved is not None:
            self.monitor.load_state_dict(saved)
        self._saved = None
        return self.monitor

    def look(self, epoch: int, step: int) -> Reading | None:
        """Look, where the epoch is due and was not looked at before a checkpoint."""
        if self.monitor is None or (self.readings and epoch <= self.readings[-1].epoch):
            return None
        return self.monitor(epoch, step=step)
