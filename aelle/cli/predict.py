"""`aelle predict`: early prediction next to baselines, a saved predictor, and what it says of new networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aelle.cli import arguments

if TYPE_CHECKING:
    from aelle.records import ExperimentFolder


@click.command()
@click.argument("folders", type=arguments.PATH, nargs=-1, required=True)
@arguments.quiet
@click.option("--save", is_flag=True, help="Also fit on all finished networks; writes FOLDER/predictor.")
@click.option("--predictor", type=arguments.PATH, help="Saved predictor to use on new networks.")
@click.option("--epoch", type=click.IntRange(min=0), help="Epoch at which to predict; with --predictor.")
@arguments.as_json
def predict(
    folders: tuple[Path, ...],
    quiet: bool,
    save: bool,
    predictor: Path | None,
    epoch: int | None,
    as_json: bool,
) -> None:
    """Predict final accuracy early, next to baselines, cross-validated by network.

    With --predictor and --epoch: predict new networks, finished or still running. With several folders: learn
    on all tasks but one and order the networks of that one.
    """
    if (predictor is None) != (epoch is None):
        raise click.UsageError("--predictor and --epoch go together")
    if predictor is not None and (save or len(folders) > 1):
        raise click.UsageError("--predictor takes one folder of new networks, and no --save")
    if save and len(folders) > 1:
        raise click.UsageError("--save takes one folder")
    if predictor is not None and epoch is not None:
        found = _outlook(arguments.existing(folders[0]), predictor, epoch)
    elif len(folders) > 1:
        found = _transfer([arguments.existing(folder) for folder in folders], quiet)
    else:
        found = evaluate(arguments.existing(folders[0]), quiet)
    click.echo(json.dumps(found.to_json(), allow_nan=False) if as_json else str(found))
    if save:
        _save_predictor(arguments.existing(folders[0]), quiet=as_json)


def evaluate(folder: ExperimentFolder, quiet: bool) -> Any:
    """Predict the networks of one experiment, cross-validated."""
    from aelle.prediction.evaluate import predict

    return predict(folder, progress=not quiet)


def _transfer(folders: list[ExperimentFolder], quiet: bool) -> Any:
    from aelle.prediction.transfer import evaluate_transfer

    return evaluate_transfer(folders, progress=not quiet)


def _outlook(folder: ExperimentFolder, predictor: Path, epoch: int) -> Any:
    from aelle.prediction.outlook import outlook
    from aelle.prediction.predictor import Predictor

    return outlook(folder, Predictor.load(predictor), epoch)


def _save_predictor(folder: ExperimentFolder, quiet: bool) -> None:
    from aelle.embedding.dataset import load_dataset
    from aelle.prediction.predictor import Predictor

    dataset = load_dataset(folder)
    Predictor.fit(dataset, level=dataset.experiment.prediction.interval).save(folder.root / "predictor")
    if not quiet:
        click.echo(f"wrote {folder.root / 'predictor'}")
