"""UMAP in a process of its own: its first use compiles for many seconds, and the page must go on meanwhile.

    python -m aelle.explorer.umap_job FOLDER DIMENSIONS

computes the coordinates of an experiment's latents and saves them where the page looks for them.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from aelle.explorer.data import load
from aelle.explorer.errors import ExplorerError
from aelle.explorer.projection import umap, umap_file
from aelle.records import ExperimentFolder

COMMAND = (sys.executable, "-m", "aelle.explorer.umap_job")


@dataclass(frozen=True)
class Job:
    """One computation at work, or ended."""

    process: subprocess.Popen[str]
    started: float

    @property
    def ended(self) -> bool:
        """Whether it has come to its end."""
        return self.process.poll() is not None

    @property
    def problem(self) -> str:
        """Why it failed, in one line; empty where it did not."""
        if not self.process.poll():
            return ""
        lines = (self.process.stderr.read() if self.process.stderr else "").strip().splitlines()
        return lines[-1] if lines else f"UMAP ended with code {self.process.returncode}"

    def cancel(self) -> None:
        """End it; what it had computed is lost."""
        self.process.kill()
        self.process.wait()


def start(root: Path, dimensions: int) -> Job:
    """Begin to compute; a bad outcome is told by the job's `problem`."""
    words = [*COMMAND, str(root), str(dimensions)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    return Job(process, time.monotonic())


def main() -> int:
    """Compute and save, as the command line says."""
    root, dimensions = Path(sys.argv[1]), int(sys.argv[2])
    try:
        data = load(ExperimentFolder(root))
        umap(
            data.points, data.points[data.latent_columns].to_numpy(), dimensions, umap_file(root, dimensions)
        )
    except ExplorerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
