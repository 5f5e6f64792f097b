"""`aelle evaluate`: early prediction next to baselines, cross-validated, and a predictor to keep."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aelle.cli import arguments
from aelle.cli.output import tell

if TYPE_CHECKING:
    from aelle.records import ExperimentFolder


@click.command()
@click.argument("folders", type=arguments.PATH, nargs=-1, required=True)
@arguments.quiet
@click.option("--save", is_flag=True, help="Also fit on all finished networks; writes FOLDER/predictor.")
@arguments.as_json
def evaluate(folders: tuple[Path, ...], quiet: bool, save: bool, as_json: bool) -> None:
    """Say how early and how well final accuracy is predicted, next to baselines, cross-validated by network.

    With several folders: learn on all tasks but one and order the networks of that one.
    """
    if save and len(folders) > 1:
        raise click.UsageError("--save takes one folder")
    found: Any
    if len(folders) > 1:
        from aelle.prediction.transfer import evaluate_transfer

        found = evaluate_transfer([arguments.existing(folder) for folder in folders], progress=not quiet)
    else:
        found = evaluate_folder(arguments.existing(folders[0]), quiet, save)
    if as_json:
        arguments.print_json(found.to_json())
    else:
        tell(found)
    if save and not as_json:
        tell(f"wrote {folders[0] / 'predictor'}")


def evaluate_folder(folder: ExperimentFolder, quiet: bool, save: bool = False) -> Any:
    """Predict the networks of one experiment, cross-validated."""
    from aelle.prediction.evaluate import evaluate

    return evaluate(folder, save=save, progress=not quiet)
