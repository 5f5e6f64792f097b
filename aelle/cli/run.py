"""`aelle run`: every stage in order, for one experiment after another."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aelle.cli import arguments
from aelle.cli.collect import as_data, collect_records
from aelle.cli.evaluate import evaluate_folder
from aelle.cli.explore import write_page
from aelle.cli.output import tell
from aelle.cli.train import train_autoencoder

if TYPE_CHECKING:
    from aelle.config import Experiment
    from aelle.records import ExperimentFolder


@click.command()
@click.argument("experiment_files", type=arguments.PATH, nargs=-1, required=True)
@arguments.output
@arguments.overrides
@arguments.quiet
@arguments.as_json
def run(
    experiment_files: tuple[Path, ...],
    output: Path | None,
    overrides: tuple[str, ...],
    quiet: bool,
    as_json: bool,
) -> None:
    """Collect, train, evaluate and write the page, for one experiment after another."""
    if output is not None and len(experiment_files) > 1:
        raise click.UsageError("--output takes one experiment file")
    loaded = [arguments.load(file, output, overrides) for file in experiment_files]
    for experiment, _ in loaded:
        _require_enough(experiment)
    done = [_stages(experiment, folder, quiet, say=not as_json) for experiment, folder in loaded]
    if as_json:
        arguments.print_json({"experiments": done})
        return
    for found in done:
        click.secho(f"\n{found['experiment']}", bold=True)
        tell(f"  {found['page']}\n  {found['report']}\n")
        tell(_paragraph(found))


def _stages(experiment: Experiment, folder: ExperimentFolder, quiet: bool, say: bool) -> dict[str, Any]:
    """Run every stage, and return where the results are and what they say."""
    if say:
        click.secho(f"\n{experiment.name}", bold=True)
    collected = collect_records(experiment, folder, progress=not quiet, say=say)
    trained = train_autoencoder(folder, quiet)
    if say:
        tell(trained)
    report = evaluate_folder(folder, quiet)
    write_page(folder, folder.page, say=False)
    return {
        "experiment": experiment.name,
        "folder": str(folder.root),
        "page": folder.page.resolve().as_uri(),
        "report": f"{folder.root.resolve().as_uri()}/report.html",
        "headline": report.headline,
        "warnings": report.warnings,
        "collection": as_data(collected),
        "training": asdict(trained),
    }


def _paragraph(found: dict[str, Any]) -> str:
    """What was found, what to beware of, and where to read on."""
    warnings = "".join(f" Warning: {warning}." for warning in found["warnings"])
    return (
        f"{found['headline']}{warnings} The report has every method with its intervals; `aelle evaluate {found['folder']}` "
        f"prints it, and `aelle explore {found['folder']}` serves the page with all it can do."
    )


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
