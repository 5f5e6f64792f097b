"""Readings of a `SpectrumMonitor` in TensorBoard.

from torch.utils.tensorboard import SummaryWriter

writer = SummaryWriter("runs/latch")
monitor = aelle.SpectrumMonitor(lstm, inputs, readout, to=TensorBoardLogger(writer))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aelle.integrations.reading import Reading
from aelle.integrations.spectrum_picture import spectrum_picture


class TensorBoardLogger:
    """Scalars, the spectrum as an image and warnings as text, by a torch.utils.tensorboard.SummaryWriter.

    Args:
        writer: the writer; it stays the caller's to close.
    """

    def __init__(self, writer: Any) -> None:
        if not all(hasattr(writer, name) for name in ("add_scalar", "add_figure", "add_text")):
            raise TypeError(
                f"expected a torch.utils.tensorboard.SummaryWriter, got {type(writer).__name__}; "
                "it needs: pip install 'aelle[tensorboard]'"
            )
        self.writer = writer

    def log(self, numbers: Mapping[str, float], readings: Sequence[Reading], step: int) -> None:
        """Write the numbers and the picture at this step."""
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)
        self.writer.add_figure("aelle/spectrum", spectrum_picture(readings), step)

    def warn(self, message: str, step: int) -> None:
        """Write the warning as text."""
        self.writer.add_text("aelle/warning", message, step)
