"""`aelle check`: is a folder what was written?"""

from __future__ import annotations

from pathlib import Path

import click

from aelle.cli import arguments
from aelle.cli.output import tell


@click.command()
@arguments.folder
@arguments.as_json
def check(folder: Path, as_json: bool) -> None:
    """Read every file of a folder, and say what is damaged, missing or out of step: one line per fault.

    Exit code 0 says that nothing is, 1 that something is.
    """
    from aelle.collection.check import faults, without_digest

    existing = arguments.existing(folder)
    if as_json:
        found = list(faults(existing))
        arguments.print_json({"faults": found, "without_digest": without_digest(existing)})
        if found:
            click.get_current_context().exit(1)
        return
    count = 0
    for line in faults(existing):
        count += 1
        tell(line)
    bare = without_digest(existing) if not count else 0
    if bare:
        tell(f"{bare} files carry no digest (an earlier version wrote them); damage to them goes unseen")
    tell(f"{count} faults" if count else "no faults")
    if count:
        click.get_current_context().exit(1)
