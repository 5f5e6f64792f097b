"""`aelle train`: fit the autoencoder of spectra."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aelle.cli import arguments
from aelle.cli.output import tell

if TYPE_CHECKING:
    from aelle.embedding.fit import TrainSummary
    from aelle.records import ExperimentFolder


@click.command()
@arguments.folder
@arguments.quiet
@arguments.as_json
def train(folder: Path, quiet: bool, as_json: bool) -> None:
    """Fit the autoencoder of spectra with its accuracy head."""
    found = train_autoencoder(arguments.existing(folder), quiet)
    if as_json:
        arguments.print_json(asdict(found))
    else:
        tell(found)


def train_autoencoder(folder: ExperimentFolder, quiet: bool) -> TrainSummary:
    """Train, and return how it went."""
    from aelle.embedding.fit import train

    return train(folder, progress=not quiet)
