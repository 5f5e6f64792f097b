"""SpectrumMonitor: exponents and readout growth while a network trains, logged, with a warning when gradients fade."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import nn

from aelle.integrations.reading import FLOOR, Reading, as_mapping, finite, read, scalars
from aelle.integrations.rule import IntegrationError
from aelle.spectra.look import EXPONENTS

_log = logging.getLogger(__name__)


class Logger(Protocol):
    """Where readings go; TensorBoardLogger, WandbLogger and MLflowLogger of this folder are three."""

    def log(self, numbers: Mapping[str, float], readings: Sequence[Reading], step: int) -> None:
        """Take the numbers of the last reading, and draw them all."""
        ...

    def warn(self, message: str, step: int) -> None:
        """Take a warning."""
        ...


class SpectrumMonitor:
    """Look at a network every so many epochs of training, log what is seen, and warn when gradients cease to reach back.

        monitor = aelle.SpectrumMonitor(lstm, inputs, readout, to=TensorBoardLogger(writer))
        for epoch in range(epochs + 1):  # 0 is before training
            if epoch > 0:
                train_one_epoch(lstm, readout)
            monitor(epoch)

    It warns once when the gradient's reach falls short of the horizon, and again only after it had recovered. What it
    says is of gradients, not of the loss: a network that keeps a bit in one of two stable states has faded gradients
    too, after it has learnt to.

    Args:
        model: a torch.nn.RNN, GRU, LSTM or one of their Cells, an aelle cell or network, or a larger model with one of
            them in it. Its current weights are read at every look; it is never modified.
        inputs: some sequences of the task, of one length, from their first step to the one at which the network
            answers, as the model reads them; of a larger model, what its forward takes. Three sequences do.
        readout: the linear map that reads the last hidden vector, or its qualified name in the model; the hidden vector
            as it is where None.
        horizon: how many steps back gradients are to reach; the length of the sequences where None.
        part: qualified name of the recurrent part of a larger model; where None, the only one.
        every: look at every so many epochs.
        exponents: how many leading exponents to take at least.
        floor: how far, in nats, a gradient may fall below that of the last step and still count: by default as far as
            float32 can add the two.
        to: where readings go beside Python's log; one logger or several.

    Attributes:
        readings: all so far, one `Reading` per look.

    Raises:
        IntegrationError, TypeError, ValueError: for a model, inputs, readout or horizon that do not fit, at once.
    """

    def __init__(
        self,
        model: nn.Module,
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
        if every < 1:
            raise IntegrationError(f"every must be a number of epochs, 1 or more, got {every}")
        if not floor < 0:
            raise IntegrationError(f"floor must be below 0 nats, got {floor}")
        self.model, self.inputs, self.every, self.floor = model, inputs, every, floor
        self._settings: dict[str, Any] = {"readout": readout, "horizon": horizon, "part": part}
        self._exponents = exponents
        self.to: list[Logger] = list(to) if isinstance(to, list | tuple) else [to]  # type: ignore[list-item]
        self.readings: list[Reading] = []
        self._read(0)  # what does not fit is found before an epoch has been trained

    def __call__(self, epoch: int, *, step: int | None = None) -> Reading | None:
        """Look at the network after `epoch` epochs of training, where it is due; 0 is before training.

        `step` is what loggers count by; the epoch where None. Returns None where no look is due, or none can be had since
        the weights are not finite, which is a warning.
        """
        if epoch % self.every:
            return None
        if self.readings and epoch <= self.readings[-1].epoch:
            raise IntegrationError(
                f"epoch {epoch} comes after epoch {self.readings[-1].epoch}; epochs must rise"
            )
        step = epoch if step is None else step
        if not finite(self.model):
            self._warn(f"epoch {epoch}: a parameter is NaN or infinite; there is no spectrum", step)
            return None
        reading = self._read(epoch)
        if not all(value < math.inf for value in reading.leading):
            self._warn(f"epoch {epoch}: the network's state grows without bound on these inputs", step)
            return None
        self.readings.append(reading)
        for logger in self.to:
            logger.log(scalars(reading, self.floor) | {"aelle/epoch": float(epoch)}, self.readings, step)
        message = faded(self.readings, self.floor)
        if message is not None:
            self._warn(message, step)
        return reading

    def state_dict(self) -> dict[str, Any]:
        """What has been seen so far, as plain data, for a checkpoint."""
        return {"readings": [reading.as_dict() for reading in self.readings]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave.

        Raises:
            IntegrationError: where it is something else.
        """
        given = as_mapping(state, {"readings"}, "a SpectrumMonitor")["readings"]
        try:
            self.readings = [Reading(**data) for data in given]
        except TypeError as error:
            raise IntegrationError(f"not the saved state of a SpectrumMonitor: {error}") from error

    def _read(self, epoch: int) -> Reading:
        known = self.readings[-1].kaplan_yorke_dimension if self.readings else 0
        exponents = max(self._exponents, math.ceil(known) + 1)  # a chaotic network's dimension at one look
        return read(self.model, self.inputs, epoch, exponents=exponents, **self._settings)

    def _warn(self, message: str, step: int) -> None:
        _log.warning(message)
        for logger in self.to:
            logger.warn(message, step)


def faded(readings: Sequence[Reading], floor: float = FLOOR) -> str | None:
    """One sentence where gradients fall short of the horizon at the last reading and did not at the one before."""
    last = readings[-1]
    reach, horizon = last.reach(floor), last.horizon
    before = readings[-2] if len(readings) > 1 else None
    if reach >= horizon or (before is not None and before.reach(floor) < before.horizon):
        return None
    fall, since = last.growth_at_horizon - last.readout_growth[0], ""
    if before is not None:
        was = before.growth_at_horizon - before.readout_growth[0]
        since = f" (e^{was:.1f} at epoch {before.epoch})"
    below = "what float32 adds up" if floor == FLOOR else f"e^{floor:.1f}"
    return (
        f"epoch {last.epoch}: gradients {'do not' if before is None else 'no longer'} reach back {horizon} steps: there "
        f"they are e^{fall:.1f} of those at the last step{since}, and beyond {reach} steps below {below}; "
        f"λ₁ = {last.leading[0]:.3f} per step"
    )
