"""Latents and coordinates for other tools: one Parquet table, or the two TSV files of TensorBoard's projector."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pandas as pd

from aelle.explorer.columns import colour_columns
from aelle.explorer.data import ExplorerData
from aelle.explorer.errors import ExplorerError
from aelle.explorer.projection import Projection
from aelle.explorer.source import Source
from aelle.records import ExperimentFolder, write_bytes, write_frame


def export(
    folder: ExperimentFolder,
    to: Literal["parquet", "projector"],
    out: Path,
    projection: Literal["pca", "umap"] = "pca",
    say: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """Write an experiment's latents for another tool; return the paths of the files.

    "parquet" writes one table with coordinates x and y, `out` being the file; "projector" writes the two files
    of TensorBoard's embedding projector into the folder `out`. `say` is called with each line about what could not
    be read, and so is missing in the file, or is older than what it was made from.

    Raises:
        ExplorerError: where there are no latents, or a file is there already.
        RecordsError: where a file cannot be written.
    """
    out = Path(out)
    files = [out] if to == "parquet" else [out / "vectors.tsv", out / "metadata.tsv"]
    for file in files:
        if file.exists():
            raise ExplorerError(f"{file}: is there already; remove it or name another")
    source = Source(folder)
    if source.data is None:
        raise ExplorerError(source.problem)
    for line in source.data.unreadable:
        say(line)
    if to == "projector":
        return list(write_projector(source.data, out))
    write_points(source.data, source.projection(projection), out)
    return files


def points_table(data: ExplorerData, projection: Projection) -> pd.DataFrame:
    """Every latent with its coordinates x and y, a text that names it, and all scalar columns.

    Raises:
        ExplorerError: where there are no latents.
    """
    if not data.has_latents:
        raise ExplorerError(f"{data.folder.root}: has no latents yet; run `aelle train {data.folder.root}`")
    names = [column.name for column in colour_columns(data.points, data.metric_name)]
    table = data.points[["network_id", *(name for name in names if name != "network_id")]].copy()
    table.insert(1, "x", projection.coordinates[:, 0])
    table.insert(2, "y", projection.coordinates[:, 1])
    words = table["architecture"].astype(str) + " of " + table["hidden_size"].astype(str)
    table.insert(3, "text", table["network_id"] + ", " + words + ", epoch " + table["epoch"].astype(str))
    return table


def write_points(data: ExplorerData, projection: Projection, path: Path) -> None:
    """Write `points_table` as Parquet, which embedding-atlas opens with `--x x --y y --text text`.

    Raises:
        ExplorerError: where there are no latents.
        RecordsError: where the file cannot be written.
    """
    write_frame(Path(path), points_table(data, projection))


def write_projector(data: ExplorerData, folder: Path) -> tuple[Path, Path]:
    """Write vectors.tsv and metadata.tsv, which TensorBoard's embedding projector loads; return their paths.

    Raises:
        ExplorerError: where there are no latents.
        RecordsError: where the files cannot be written.
    """
    if not data.has_latents:
        raise ExplorerError(f"{data.folder.root}: has no latents yet; run `aelle train {data.folder.root}`")
    names = [
        c.name for c in colour_columns(data.points, data.metric_name) if not c.name.startswith("latent_")
    ]
    metadata = data.points[["network_id", *names]].astype(object)
    metadata = metadata.where(metadata.notna(), "").map(str)
    # The format has no quotes: a tab or line break inside a value would start another field or row.
    metadata = metadata.replace(r"[\t\r\n]+", " ", regex=True)
    metadata.columns = metadata.columns.str.replace(r"[\t\r\n]+", " ", regex=True)
    vectors = data.points[data.latent_columns].to_csv(
        sep="\t", header=False, index=False, lineterminator="\n"
    )
    lines = ["\t".join(metadata.columns), *("\t".join(row) for row in metadata.itertuples(index=False))]
    paths = Path(folder) / "vectors.tsv", Path(folder) / "metadata.tsv"
    write_bytes(paths[0], vectors.encode())
    write_bytes(paths[1], ("\n".join(lines) + "\n").encode())
    return paths
