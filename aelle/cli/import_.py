"""`aelle import`: spectra computed elsewhere as an experiment's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aelle.cli import arguments
from aelle.cli.output import tell


@click.command("import")
@click.argument("file", type=arguments.PATH)
@arguments.output
@click.option("--unit", type=click.Choice(["nats", "bits"]), required=True, help="Unit per step.")
@click.option("--state", type=click.Choice(["full", "hidden"]), required=True, help="Which Jacobian: s or h.")
@click.option("--size", type=click.IntRange(1), help="Hidden units a layer [or a column hidden_size].")
@click.option("--architecture", help="Of all networks, such as lstm [or a column architecture].")
@click.option(
    "--layers", type=click.IntRange(1), help="Number of layers [or a column num_layers; default: 1]."
)
@click.option("--epochs", type=click.IntRange(1), help="Epochs of training, of which final_metric is.")
@click.option("--metric", default="accuracy", show_default=True, help="Name of the validation metric.")
@click.option("--lower-is-better", is_flag=True, help="Less of the metric is better.")
@click.option("--inputs", type=click.Choice(["validation", "noise"]), default="validation", show_default=True)
@click.option("--task", default="imported", show_default=True, help="Name of what the networks learnt.")
@arguments.as_json
def import_(file: Path, output: Path | None, lower_is_better: bool, as_json: bool, **declared: Any) -> None:
    """Take spectra computed elsewhere (.csv, .npz, .parquet) as an experiment's folder.

    One row is one network at one epoch: columns spectrum_1, spectrum_2, … (in NPZ an array `spectrum` of rows ×
    exponents), network_id, epoch, val_metric or final_metric, and hyperparameters by the records' names.
    """
    from aelle.interchange.importing import Declaration, import_spectra

    folder = output or Path("artifacts") / file.stem
    found = import_spectra(file, folder, Declaration(**declared, higher_is_better=not lower_is_better))
    if not as_json:
        tell(found)
        return
    counts = {"networks": found.networks, "spectra": found.spectra, "epochs": found.epochs}
    arguments.print_json({"folder": str(found.folder.root), **counts, "notes": found.notes})
