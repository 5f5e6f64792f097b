"""Readings of a `SpectrumMonitor` in Weights & Biases.

wandb.init(project="latch")
monitor = aelle.SpectrumMonitor(lstm, inputs, readout, to=WandbLogger())
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aelle.integrations.reading import Reading
from aelle.integrations.rule import IntegrationError
from aelle.integrations.spectrum_picture import spectrum_picture

try:
    import wandb
except ImportError as error:  # pragma: no cover
    raise ImportError(
        "logging to Weights & Biases needs wandb; install it with: pip install 'aelle[wandb]'"
    ) from error


class WandbLogger:
    """Numbers, the spectrum as an image and warnings, counted by aelle/epoch whatever steps the run itself counts.

    Args:
        run: the run; the one that wandb.init began last where None.

    Raises:
        IntegrationError: where there is none.
    """

    def __init__(self, run: Any = None) -> None:
        self.run: Any = wandb.run if run is None else run
        if self.run is None:
            raise IntegrationError("no run of Weights & Biases has begun: call wandb.init first")
        self.run.define_metric("aelle/*", step_metric="aelle/epoch")

    def log(self, numbers: Mapping[str, float], readings: Sequence[Reading], step: int) -> None:
        """Log the numbers with the picture; the run's own step is left alone."""
        self.run.log({**numbers, "aelle/spectrum": wandb.Image(spectrum_picture(readings))})

    def warn(self, message: str, step: int) -> None:
        """Raise an alert of the run, and keep the sentence in its summary."""
        self.run.summary["aelle/warning"] = message
        self.run.alert(title="aelle", text=message, level="WARN")
