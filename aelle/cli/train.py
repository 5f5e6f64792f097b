"""`aelle train`: fit the autoencoder of spectra."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from aelle.cli import arguments

if TYPE_CHECKING:
    from aelle.records import ExperimentFolder


@click.command()
@arguments.folder
@arguments.quiet
def train(folder: Path, quiet: bool) -> None:
    """Fit the autoencoder of spectra with its accuracy head."""
    train_autoencoder(arguments.existing(folder), quiet)


def train_autoencoder(folder: ExperimentFolder, quiet: bool) -> None:
    """Train, and say how it went."""
    from aelle.embedding.fit import train

    click.echo(train(folder, progress=not quiet))
