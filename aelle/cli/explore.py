"""`aelle explore`: the latent space as a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from aelle.cli import arguments

if TYPE_CHECKING:
    from aelle.records import ExperimentFolder


@click.command()
@arguments.folder
@click.option("--html", type=arguments.PATH, help="Write one standalone file instead of serving.")
@click.option("--port", default=8050, show_default=True, type=click.IntRange(1, 65535))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--allow-remote", is_flag=True, help="Permit a --host that other machines can reach.")
def explore(folder: Path, html: Path | None, port: int, host: str, allow_remote: bool) -> None:
    """Open the latent space as a page on localhost, or write it as one file."""
    existing = arguments.existing(folder)
    if html is not None:
        write_page(existing, html)
        return
    from aelle.explorer.app import serve

    serve(existing, host=host, port=port, allow_remote=allow_remote)


def write_page(folder: ExperimentFolder, path: Path) -> None:
    """Write the page as one standalone file, and say where."""
    from aelle.explorer.standalone import write_html

    write_html(folder, path)
    click.echo(f"wrote {path}")
