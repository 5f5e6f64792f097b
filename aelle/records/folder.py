"""Where the files of an experiment lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class RecordsError(ValueError):
    """Records that cannot be read or written; the message names the file and what would be right."""


@dataclass(frozen=True)
class ExperimentFolder:
    """The paths of one experiment's folder. Creating it touches no file."""

    root: Path

    @property
    def experiment_file(self) -> Path:
        """The resolved experiment."""
        return self.root / "experiment.toml"

    @property
    def records(self) -> Path:
        """The folder of all records."""
        return self.root / "records"

    @property
    def checkpoints(self) -> Path:
        """The folder of cohort checkpoints."""
        return self.root / "checkpoints"

    @property
    def failures(self) -> Path:
        """One JSON object a failure."""
        return self.root / "failures.jsonl"

    @property
    def pruned(self) -> Path:
        """One JSON object a network that was stopped early, with the reason."""
        return self.root / "pruned.jsonl"

    @property
    def autoencoder(self) -> Path:
        """The folder of the fitted autoencoder: weights.safetensors and model.json."""
        return self.root / "autoencoder"

    @property
    def latents(self) -> Path:
        """Latents of every network and epoch."""
        return self.root / "latents.parquet"

    @property
    def predictions(self) -> Path:
        """Cross-validated predictions of every method, epoch and network."""
        return self.root / "predictions.parquet"

    @property
    def report(self) -> Path:
        """The prediction report as JSON; report.html stands beside it."""
        return self.root / "report.json"

    @property
    def page(self) -> Path:
        """The standalone explorer page."""
        return self.root / "explorer.html"

    def finished_file(self, cohort: str) -> Path:
        """The one file of a finished cohort."""
        return self.records / f"{cohort}.parquet"

    def epoch_file(self, cohort: str, epoch: int) -> Path:
        """One epoch of a running cohort."""
        return self.records / cohort / f"epoch-{epoch:04d}.parquet"

    def checkpoint(self, cohort: str) -> Path:
        """The state of a running cohort after its last recorded epoch."""
        return self.checkpoints / f"{cohort}.safetensors"

    def require(self) -> ExperimentFolder:
        """Return self where this is an experiment's folder.

        Raises:
            RecordsError: where the folder is missing or holds no experiment.
        """
        if not self.root.is_dir():
            raise RecordsError(f"{self.root}: no such folder; collect records first with `aelle collect`")
        if not self.experiment_file.is_file():
            raise RecordsError(f"{self.root}: not an experiment's folder (it holds no experiment.toml)")
        return self
