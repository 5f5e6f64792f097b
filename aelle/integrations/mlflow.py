"""Readings of a `SpectrumMonitor` in MLflow.

with mlflow.start_run():
    monitor = aelle.SpectrumMonitor(lstm, inputs, readout, to=MLflowLogger())
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aelle.integrations.reading import Reading
from aelle.integrations.rule import IntegrationError
from aelle.integrations.spectrum_picture import spectrum_picture

try:
    import mlflow
except ImportError as error:  # pragma: no cover
    raise ImportError(
        "logging to MLflow needs mlflow; install it with: pip install 'aelle[mlflow]'"
    ) from error


class MLflowLogger:
    """Metrics, the spectrum as an artifact aelle/spectrum-STEP.png and the last warning as a tag.

    Args:
        run_id: the run; the active one where None.
        client: an mlflow.MlflowClient; one of the current tracking address where None.

    Raises:
        IntegrationError: where no run is active.
    """

    def __init__(self, run_id: str | None = None, client: Any = None) -> None:
        active: Any = mlflow.active_run()
        if run_id is None and active is None:
            raise IntegrationError("no run of MLflow is active: call mlflow.start_run first, or pass run_id")
        self.run_id = active.info.run_id if run_id is None else run_id
        self.client = mlflow.MlflowClient() if client is None else client

    def log(self, numbers: Mapping[str, float], readings: Sequence[Reading], step: int) -> None:
        """Log the numbers at this step, and the picture as an artifact."""
        for name, value in numbers.items():
            self.client.log_metric(self.run_id, name, value, step=step)
        self.client.log_figure(self.run_id, spectrum_picture(readings), f"aelle/spectrum-{step:06d}.png")

    def warn(self, message: str, step: int) -> None:
        """Keep the sentence as a tag of the run."""
        self.client.set_tag(self.run_id, "aelle.warning", message)
