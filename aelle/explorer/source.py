"""The data behind a running page: loaded once, read again when the files change."""

from __future__ import annotations

import threading
from pathlib import Path

from aelle.explorer import umap_job
from aelle.explorer.data import ExplorerData, load
from aelle.explorer.decoder import Decoder, load_decoder
from aelle.explorer.errors import ExplorerError
from aelle.explorer.projection import FEWEST_FOR_UMAP, Projection, pca, umap, umap_file, umap_is_saved
from aelle.records import ExperimentFolder

_WAIT = (
    "UMAP is being computed beside this page, and will be saved. Its first use compiles it: 15 to 90 s, most of it the "
    "same for few points and for many. The map appears by itself; choose PCA to cancel."
)


class Source:
    """One experiment's folder as the page sees it; safe to use from several server threads."""

    def __init__(self, folder: ExperimentFolder) -> None:
        self.folder = folder
        self.version = 0  # rises whenever the data was read again
        self.problem = ""  # why there is no data, in words
        self._data: ExplorerData | None = None
        self._projections: dict[str, Projection] = {}
        self._decoder: Decoder | None = None
        self._stamp: object = None
        self._job: umap_job.Job | None = None
        self._told = False  # that the job has ended
        self._lock, self._umap_lock = threading.RLock(), threading.Lock()
        self.refresh()

    @property
    def data(self) -> ExplorerData | None:
        """The data as last read; None where the folder holds nothing that can be shown (see `problem`)."""
        with self._lock:
            return self._data

    def refresh(self) -> bool:
        """Read the folder again where a file was added, removed or rewritten; say whether it was read."""
        with self._lock:
            if self._job is not None and self._job.ended and not self._told:
                self._told = True  # the page asks anew, and finds the coordinates or why there are none
                self.version += 1
            stamp = _stamp(self.folder)
            if stamp == self._stamp:
                return False
            known = [] if self._data is None else self._data.networks["network_id"].tolist()
            try:
                self._data, self.problem = load(self.folder, known), ""
            except ExplorerError as error:
                # A file may vanish while a cohort is being merged; what is on the screen stays there.
                self.problem = str(error)
                if self._data is not None:
                    return False
            self._stamp, self._projections, self._decoder = stamp, {}, None
            self.version += 1
            return True

    def projection(self, method: str = "pca", dimensions: int = 2) -> Projection:
        """Coordinates of the points, computed once for each state of the files (UMAP: once, and saved).

        Raises:
            ExplorerError: where there are no latents, or too few for UMAP.
        """
        with self._lock:
            if self._data is None or not self._data.has_latents:
                raise ExplorerError(
                    f"{self.folder.root}: has no latents yet; run `aelle train {self.folder.root}`"
                )
            data, key = self._data, "pca" if method == "pca" else f"umap-{dimensions}"
            if key in self._projections:
                return self._projections[key]
        latents = data.points[data.latent_columns].to_numpy()
        if key == "pca":
            projection = pca(latents)
        else:
            with self._umap_lock:  # two requests at once compute it once; other requests go on meanwhile
                projection = umap(data.points, latents, dimensions, umap_file(self.folder.root, dimensions))
        with self._lock:
            if self._data is data:
                self._projections[key] = projection
        return projection

    def projection_soon(self, method: str, dimensions: int) -> Projection:
        """As `projection`, but at once: UMAP is computed in a process of its own, and `version` rises when it is there.

        Asking for another method ends a computation that is at work.

        Raises:
            ExplorerError: as `projection`; while UMAP is computed, what is done and how long it takes.
        """
        with self._lock:
            if method != "umap":
                self._end_job()
            elif self._must_wait(dimensions):
                raise ExplorerError(_WAIT)
        return self.projection(method, dimensions)

    def _must_wait(self, dimensions: int) -> bool:
        """Whether UMAP is being computed; begins it where it is neither saved nor at work."""
        data, name = self._data, f"umap-{dimensions}"
        if (
            data is None
            or len(data.points) < FEWEST_FOR_UMAP
            or not data.has_latents
            or name in self._projections
        ):
            return False
        latents = data.points[data.latent_columns].to_numpy()
        if umap_is_saved(data.points, latents, umap_file(self.folder.root, dimensions)):
            return False
        if self._job is not None and self._job.ended:
            problem, self._job = self._job.problem or "UMAP was computed, but could not be saved", None
            raise ExplorerError(problem)
        if self._job is None:
            self._job, self._told = umap_job.start(self.folder.root, dimensions), False
        return True

    def _end_job(self) -> None:
        if self._job is not None:
            self._job.cancel()
            self._job = None

    def decoder(self) -> Decoder:
        """The fitted autoencoder's decoder, read once for each state of the files.

        Raises:
            ExplorerError: where it cannot be read.
        """
        with self._lock:
            if self._decoder is None:
                self._decoder = load_decoder(self.folder)
            return self._decoder


def _stamp(folder: ExperimentFolder) -> tuple[tuple[str, int, int], ...]:
    """Name, time and size of every file that is shown."""
    files = [
        folder.experiment_file,
        folder.latents,
        folder.predictions,
        folder.report,
        folder.autoencoder / "model.json",
    ]
    files += folder.records.rglob("*.parquet")
    return tuple(sorted(entry for file in files if (entry := _entry(file)) is not None))


def _entry(file: Path) -> tuple[str, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return (str(file), status.st_mtime_ns, status.st_size)
