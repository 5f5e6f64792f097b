"""`aelle status`: how far a collection has come."""

from __future__ import annotations

import time
from pathlib import Path

import click

from aelle.cli import arguments
from aelle.cli.output import tell


@click.command()
@arguments.folder
@arguments.as_json
@click.option("--watch", is_flag=True, help="Repeat every two seconds until the collection ends.")
def status(folder: Path, as_json: bool, watch: bool) -> None:
    """Show how far a collection has come."""
    from aelle.collection.status import status as read_status

    while True:
        found = read_status(arguments.existing(folder))
        if watch and not as_json:
            click.clear()
        if as_json:
            arguments.print_json(found.as_dict())
        else:
            tell(found)
        if not watch or not found.running:
            return
        time.sleep(2)
