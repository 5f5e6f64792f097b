"""`aelle run`: every stage in order, for one experiment after another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from aelle.cli import arguments
from aelle.cli.collect import collect_records
from aelle.cli.evaluate import evaluate_folder
from aelle.cli.explore import write_page
from aelle.cli.train import train_autoencoder

if TYPE_CHECKING:
    from aelle.config import Experiment


@click.command()
@click.argument("experiment_files", type=arguments.PATH, nargs=-1, required=True)
@arguments.output
@arguments.overrides
@arguments.quiet
def run(
    experiment_files: tuple[Path, ...], output: Path | None, overrides: tuple[str, ...], quiet: bool
) -> None:
    """Collect, train, evaluate and write the page, for one experiment after another."""
    if output is not None and len(experiment_files) > 1:
        raise click.UsageError("--output takes one experiment file")
    loaded = [arguments.load(file, output, overrides) for file in experiment_files]
    for experiment, _ in loaded:
        _require_enough(experiment)
    for experiment, folder in loaded:
        click.secho(f"\n{experiment.name}", bold=True)
        collect_records(experiment, folder, progress=not quiet)
        train_autoencoder(folder, quiet)
        click.echo(evaluate_folder(folder, quiet))
        write_page(folder, folder.page)
    click.secho("\nOpen in a browser:", bold=True)
    for _, folder in loaded:
        click.echo(f"  {folder.page.resolve().as_uri()}\n  {folder.root.resolve().as_uri()}/report.html")
    click.echo("or serve the full explorer with: " + "; ".join(f"aelle explore {f.root}" for _, f in loaded))


def _require_enough(experiment: Experiment) -> None:
    """Refuse before training what evaluation would refuse after it."""
    from aelle.collection.search_space import variants
    from aelle.config import ConfigError
    from aelle.embedding.dataset import MINIMUM_NETWORKS

    networks = len(variants(experiment))
    if networks < MINIMUM_NETWORKS:
        raise ConfigError(
            f"{experiment.name}: its search space has {networks} networks, and early prediction needs at least "
            f"{MINIMUM_NETWORKS}: raise networks.per_combination, or use `aelle collect`"
        )
