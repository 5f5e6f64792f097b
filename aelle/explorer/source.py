"""The data behind a running page: loaded once, read again when the files change."""

from __future__ import annotations

import threading
from pathlib import Path

from aelle.explorer.data import ExplorerData, load
from aelle.explorer.decoder import Decoder, load_decoder
from aelle.explorer.errors import ExplorerError
from aelle.explorer.projection import Projection, pca, umap
from aelle.records import ExperimentFolder


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
                projection = umap(
                    data.points, latents, dimensions, self.folder.root / "explorer" / f"{key}.parquet"
                )
        with self._lock:
            if self._data is data:
                self._projections[key] = projection
        return projection

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
