"""Where the files of an experiment lie."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path

EPOCHS_PER_FILE = 100  # every epoch rewrites its file whole, so no file may grow without end


class RecordsError(ValueError):
    """Records that cannot be read or written; the message names the file and what would be right."""


class DamagedFileError(RecordsError):
    """A file whose content is not what was written; the message says how to make it again."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path}: damaged ({what}); {_remedy(path)}")
        self.path, self.what = path, what

    def __reduce__(self) -> tuple[type[DamagedFileError], tuple[Path, str]]:
        return DamagedFileError, (self.path, self.what)


def _remedy(path: Path) -> str:
    """How a damaged file is made again, without the loss of any other."""
    if "records" in (path.parent.name, path.parent.parent.name):
        return (
            "put back a good copy, or move it out of records/ and rerun `aelle collect`, "
            "which trains that cohort alone again"
        )
    if path.parent.name == "autoencoder" or path.stem == "latents":
        return "run `aelle train` again"
    if path.stem in ("predictions", "report"):
        return "run `aelle evaluate` again"
    if path.parent.name == "checkpoints":
        return "rerun `aelle collect`, by which its networks begin anew where they have not come to their end"
    if path.stem == "cohorts":
        return "move it away and rerun `aelle collect`, which makes it again from the records"
    return "put back a good copy"


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

    def cohort_file(self, cohort: str, epoch: int = 0) -> Path:
        """The file of a cohort's records that holds `epoch`: the first, or one for each further 100 epochs."""
        first = epoch // EPOCHS_PER_FILE * EPOCHS_PER_FILE
        return self.records / (f"{cohort}.from-{first:04d}.parquet" if first else f"{cohort}.parquet")

    def cohort_files(self, cohort: str) -> list[Path]:
        """The files of a cohort's records that are there, in the order of their epochs."""
        later = self.records.glob(f"{glob.escape(cohort)}.from-*.parquet")
        return [file for file in (self.cohort_file(cohort), *sorted(later)) if file.exists()]

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
