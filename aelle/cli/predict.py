"""`aelle predict`: what a saved predictor says of networks, finished or still running."""

from __future__ import annotations

from pathlib import Path

import click

from aelle.cli import arguments
from aelle.cli.output import tell


@click.command()
@click.argument("folder", type=arguments.PATH)
@click.option("--predictor", type=arguments.PATH, help="Saved predictor (a folder) to predict with.")
@click.option("--epoch", type=click.IntRange(min=0), help="Epoch at which to predict.")
@arguments.as_json
def predict(folder: Path, predictor: Path | None, epoch: int | None, as_json: bool) -> None:
    """Predict the networks of a folder, finished or still running, with a saved predictor.

    `aelle evaluate --save` saves one, and says how good such predictions are.
    """
    if predictor is None:
        raise click.UsageError(
            "--predictor is missing: `aelle predict` predicts networks with a saved predictor; `aelle evaluate` "
            "makes the report, and with --save the predictor"
        )
    if epoch is None:
        raise click.UsageError("--epoch is missing: the epoch at which to predict")
    from aelle.prediction.new_networks import predict as predict_networks

    found = predict_networks(arguments.existing(folder), predictor, epoch)
    if as_json:
        arguments.print_json(found.to_json())
    else:
        tell(found)
