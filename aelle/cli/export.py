"""`aelle export`: latents for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from aelle.cli import arguments
from aelle.cli.output import tell


@click.command()
@arguments.folder
@click.argument("out", type=arguments.PATH)
@click.option("--to", type=click.Choice(["parquet", "projector"]), required=True, help="What OUT is read by.")
@click.option("--projection", type=click.Choice(["pca", "umap"]), default="pca", show_default=True)
@arguments.as_json
def export(
    folder: Path,
    out: Path,
    to: Literal["parquet", "projector"],
    projection: Literal["pca", "umap"],
    as_json: bool,
) -> None:
    """Write the latents for another tool.

    parquet: a table with coordinates x and y (embedding-atlas, pandas, duckdb). projector: the two TSV files of
    TensorBoard's embedding projector, in the folder OUT.
    """
    from aelle.explorer.export import export as write_export

    def say(line: str) -> None:
        tell(f"aelle: {line}", err=True)

    files = write_export(arguments.existing(folder), to, out, projection, say)
    if as_json:
        arguments.print_json({"files": [str(file) for file in files]})
        return
    for file in files:
        tell(f"wrote {file}")
