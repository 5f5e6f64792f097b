"""`aelle collect`: train networks and record their spectra."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from aelle.cli import arguments
from aelle.cli.output import tell

if TYPE_CHECKING:
    from aelle.collection.collect import CollectionSummary
    from aelle.collection.ray_engine import RayCluster
    from aelle.config import Experiment
    from aelle.integrations.collection import RecordsPruner
    from aelle.records import ExperimentFolder


@click.command()
@arguments.experiment_file
@arguments.output
@arguments.overrides
@arguments.quiet
@arguments.as_json
@click.option("--retry-failed", is_flag=True, help="Train again the networks that failed.")
@click.option("--extend", is_flag=True, help="Add the networks of a wider search space to the folder.")
@click.option(
    "--allow-other-versions",
    is_flag=True,
    help="Go on though the records were begun with another minor version of torch.",
)
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True)
@click.option("--address", help="Address of a running Ray cluster [default: start one on this machine].")
@click.option("--gpus", type=click.FloatRange(min=0), default=0.0, help="Share of a GPU a Ray task needs.")
@click.option(
    "--prune",
    type=arguments.PATH,
    help="Predictor (a folder) by which to stop networks; [spectrum] look is what it learnt from, unless set.",
)
@click.option(
    "--prune-quantile",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Stop where the prediction is below this quantile of the predictor's training networks.",
)
@click.option(
    "--prune-by",
    type=click.Choice(["interval", "predicted"]),
    default="interval",
    show_default=True,
    help="Stop where the whole interval is below it, or where the predicted value is.",
)
def collect(
    experiment_file: Path,
    output: Path | None,
    overrides: tuple[str, ...],
    quiet: bool,
    as_json: bool,
    retry_failed: bool,
    extend: bool,
    allow_other_versions: bool,
    engine: str,
    address: str | None,
    gpus: float,
    prune: Path | None,
    prune_quantile: float,
    prune_by: Literal["interval", "predicted"],
) -> None:
    """Train networks and record their spectra.

    Stop it however you like; the same command resumes where it was. Exit code 1 says that networks failed.
    """
    experiment, folder = arguments.load(experiment_file, output, overrides)
    if prune is not None and "look" not in experiment.spectrum.model_fields_set:
        overrides = (*overrides, f'spectrum.look="{_look_of(prune)}"')  # what the predictor learnt from
        experiment, folder = arguments.load(experiment_file, output, overrides)
    summary = collect_records(
        experiment,
        folder,
        progress=not quiet,
        say=not as_json,
        on_epoch=None if prune is None else _pruner(experiment, prune, prune_quantile, prune_by),
        retry_failed=retry_failed,
        extend=extend,
        allow_other_versions=allow_other_versions,
        engine=_cluster(engine, address, gpus),
    )
    if as_json:
        arguments.print_json(as_data(summary))
    if summary.statuses.get("failed"):
        click.get_current_context().exit(1)


def collect_records(
    experiment: Experiment, folder: ExperimentFolder, *, say: bool = True, **options: Any
) -> CollectionSummary:
    """Collect, and say how it went; without `say`, only what needs attention, on standard error."""
    from aelle.collection.collect import collect

    summary = collect(experiment, folder, **options)
    if say:
        tell(summary)
    for note in summary.notes:
        tell(f"aelle: {note}", err=True)
    if summary.statuses.get("failed"):
        tell(f"aelle: why networks failed, and how to run them again: {folder.failures}", err=True)
    return summary


def as_data(summary: CollectionSummary) -> dict[str, Any]:
    """Plain data of what a collection did."""
    names = ("networks", "statuses", "best_metric", "notes")
    return {"folder": str(summary.folder.root), **{name: getattr(summary, name) for name in names}}


def _cluster(engine: str, address: str | None, gpus: float) -> RayCluster | None:
    if engine == "ray":
        from aelle.collection.ray_engine import RayCluster

        return RayCluster(address, gpus)
    if address is not None or gpus:
        raise click.UsageError(f"{'--gpus' if address is None else '--address'} goes with --engine ray")
    return None


def _pruner(
    experiment: Experiment, predictor: Path, quantile: float, by: Literal["interval", "predicted"]
) -> RecordsPruner:
    from aelle.integrations.collection import RecordsPruner
    from aelle.integrations.rule import PruningRule

    pruner = RecordsPruner(predictor.resolve(), PruningRule(quantile, by=by))
    epochs = [epoch for epoch in range(experiment.training.epochs + 1) if experiment.spectrum.at(epoch)]
    spectrum = experiment.spectrum
    pruner.require_fit(
        task=experiment.task.name, spectrum_state=spectrum.state, epochs=epochs, look=spectrum.look
    )
    return pruner


def _look_of(predictor: Path) -> str:
    from aelle.prediction.predictor import Predictor

    return Predictor.load(predictor).look
