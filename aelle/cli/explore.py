"""`aelle explore`: the latent space as a page."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aelle.cli import arguments
from aelle.cli.output import tell

if TYPE_CHECKING:
    from aelle.records import ExperimentFolder


@click.command()
@arguments.folder
@click.option("--html", type=arguments.PATH, help="Write one standalone file instead of serving.")
@click.option("--port", default=8050, show_default=True, type=click.IntRange(1, 65535))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--no-browser", is_flag=True, help="Do not open the page in a browser.")
@click.option("--allow-remote", is_flag=True, help="Permit a --host that other machines can reach.")
def explore(
    folder: Path, html: Path | None, port: int, host: str, no_browser: bool, allow_remote: bool
) -> None:
    """Open the latent space as a page on localhost, or write it as one file.

    The page opens in a browser by itself where a person sits before one.
    """
    existing = arguments.existing(folder)
    if html is not None:
        write_page(existing, html)
        return
    from aelle.explorer.app import serve

    def ready(address: str) -> None:
        tell(f"{address}  (Ctrl-C ends it)")
        if not no_browser and _has_a_reader():
            webbrowser.open(address)

    serve(existing, host=host, port=port, allow_remote=allow_remote, on_ready=ready)


def _has_a_reader() -> bool:
    """Whether a person sits before a terminal and a screen of this machine."""
    screen = (
        sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    return sys.stdout.isatty() and bool(screen) and "SSH_CONNECTION" not in os.environ


def write_page(folder: ExperimentFolder, path: Path, *, say: bool = True) -> None:
    """Write the page as one standalone file, and say where."""
    from aelle.explorer.standalone import write_html

    write_html(folder, path)
    if say:
        tell(f"wrote {path}")
