"""The command line: collect → train → predict → explore, or `run` for all four in order."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from aelle.config import Experiment
    from aelle.integrations.collection import RecordsPruner
    from aelle.records import ExperimentFolder

_experiment_file = click.argument("experiment_file", type=click.Path(path_type=Path))
_folder = click.argument("folder", type=click.Path(path_type=Path))
_overrides = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    help="Override one setting (repeatable).",
)
_output = click.option(
    "--output", type=click.Path(path_type=Path), help="Folder to write to [default: artifacts/<name>]."
)
_quiet = click.option("--quiet", is_flag=True, help="Draw no progress bars.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="aelle")
def cli() -> None:
    """Lyapunov spectra of recurrent networks: collect, train, predict, explore.

    An experiment is one TOML file; its results are one folder, artifacts/<name>. Every stage reads only
    the files of the stages before it and can be run again alone.
    """


@cli.command()
@_experiment_file
@_output
@_overrides
@_quiet
@click.option("--retry-failed", is_flag=True, help="Run again the cohorts in which networks failed.")
@click.option("--extend", is_flag=True, help="Add the networks of a wider search space to the folder.")
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True)
@click.option("--address", help="Address of a running Ray cluster [default: start one on this machine].")
@click.option("--gpus", type=click.FloatRange(min=0), default=0.0, help="Share of a GPU a Ray task needs.")
@click.option(
    "--prune", type=click.Path(path_type=Path), help="Predictor (a folder) by which to stop networks."
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
    retry_failed: bool,
    extend: bool,
    engine: str,
    address: str | None,
    gpus: float,
    prune: Path | None,
    prune_quantile: float,
    prune_by: Literal["interval", "predicted"],
) -> None:
    """Train networks and record their spectra.

    Stop it however you like; the same command resumes where it was.
    """
    experiment, folder = _load(experiment_file, output, overrides)
    pruner = None if prune is None else _pruner(experiment, prune, prune_quantile, prune_by)
    chosen = None
    if engine == "ray":
        from aelle.collection.ray_engine import RayCluster

        chosen = RayCluster(address, gpus)
    elif address is not None:
        raise click.UsageError("--address goes with --engine ray")
    from aelle.collection.collect import collect as collect_records

    summary = collect_records(
        experiment,
        folder,
        progress=not quiet,
        on_epoch=pruner,
        retry_failed=retry_failed,
        extend=extend,
        engine=chosen,
    )
    click.echo(summary)


@cli.command()
@_folder
@_quiet
def train(folder: Path, quiet: bool) -> None:
    """Fit the autoencoder of spectra with its accuracy head."""
    _train(_existing(folder), quiet)


@cli.command()
@click.argument("folders", type=click.Path(path_type=Path), nargs=-1, required=True)
@_quiet
@click.option("--save", is_flag=True, help="Also fit on all finished networks; writes FOLDER/predictor.")
@click.option("--predictor", type=click.Path(path_type=Path), help="Saved predictor to use on new networks.")
@click.option("--epoch", type=click.IntRange(min=0), help="Epoch at which to predict; with --predictor.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
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
        found: Any = _outlook(_existing(folders[0]), predictor, epoch)
    elif len(folders) > 1:
        from aelle.prediction.transfer import evaluate_transfer

        found = evaluate_transfer([_existing(f) for f in folders], progress=not quiet)
    else:
        from aelle.prediction.evaluate import predict as evaluate_predictions

        found = evaluate_predictions(_existing(folders[0]), progress=not quiet)
    click.echo(json.dumps(found.to_json(), allow_nan=False) if as_json else str(found))
    if save:
        _save_predictor(_existing(folders[0]), quiet=as_json)


@cli.command()
@_folder
@click.option("--html", type=click.Path(path_type=Path), help="Write one standalone file instead of serving.")
@click.option("--port", default=8050, show_default=True, type=click.IntRange(1, 65535))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--allow-remote", is_flag=True, help="Permit a --host that other machines can reach.")
def explore(folder: Path, html: Path | None, port: int, host: str, allow_remote: bool) -> None:
    """Open the latent space as a page on localhost, or write it as one file."""
    existing = _existing(folder)
    if html is not None:
        _write_page(existing, html)
        return
    from aelle.explorer.app import serve

    serve(existing, host=host, port=port, allow_remote=allow_remote)


@cli.command()
@_folder
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--to", type=click.Choice(["parquet", "projector"]), required=True, help="What OUT is read by.")
@click.option("--projection", type=click.Choice(["pca", "umap"]), default="pca", show_default=True)
def export(
    folder: Path, out: Path, to: Literal["parquet", "projector"], projection: Literal["pca", "umap"]
) -> None:
    """Write the latents for another tool.

    parquet: a table with coordinates x and y (embedding-atlas, pandas, duckdb). projector: the two TSV files of
    TensorBoard's embedding projector, in the folder OUT.
    """
    from aelle.explorer.export import export as write_export

    for file in write_export(_existing(folder), to, out, projection):
        click.echo(f"wrote {file}")


@cli.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@_output
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
def import_(file: Path, output: Path | None, lower_is_better: bool, **declared: Any) -> None:
    """Take spectra computed elsewhere (.csv, .npz, .parquet) as an experiment's folder.

    One row is one network at one epoch: columns spectrum_1, spectrum_2, … (in NPZ an array `spectrum` of rows ×
    exponents), network_id, epoch, val_metric or final_metric, and hyperparameters by the records' names.
    """
    from aelle.interchange.importing import Declaration, import_spectra

    folder = output or Path("artifacts") / file.stem
    click.echo(import_spectra(file, folder, Declaration(**declared, higher_is_better=not lower_is_better)))


@cli.command()
@_folder
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
@click.option("--watch", is_flag=True, help="Repeat every two seconds until the collection ends.")
def status(folder: Path, as_json: bool, watch: bool) -> None:
    """Show how far a collection has come."""
    from aelle.collection.status import status as read_status

    while True:
        found = read_status(_existing(folder))
        if watch and not as_json:
            click.clear()
        click.echo(json.dumps(found.as_dict()) if as_json else str(found))
        if not watch or not found.running:
            return
        time.sleep(2)


@cli.command()
@click.argument("experiment_files", type=click.Path(path_type=Path), nargs=-1, required=True)
@_output
@_overrides
@_quiet
def run(
    experiment_files: tuple[Path, ...], output: Path | None, overrides: tuple[str, ...], quiet: bool
) -> None:
    """Collect, train, predict and write the page, for one experiment after another."""
    if output is not None and len(experiment_files) > 1:
        raise click.UsageError("--output takes one experiment file")
    loaded = [_load(file, output, overrides) for file in experiment_files]
    for experiment, folder in loaded:
        click.secho(f"\n{experiment.name}", bold=True)
        _collect(experiment, folder, quiet)
        _train(folder, quiet)
        _predict(folder, quiet)
        _write_page(folder, folder.page)
    click.secho("\nOpen in a browser:", bold=True)
    for _, folder in loaded:
        click.echo(f"  {folder.page.resolve().as_uri()}\n  {folder.root.resolve().as_uri()}/report.html")
    click.echo("or serve the full explorer with: " + "; ".join(f"aelle explore {f.root}" for _, f in loaded))


def _load(file: Path, output: Path | None, overrides: tuple[str, ...]) -> tuple[Experiment, ExperimentFolder]:
    from aelle.config import load_experiment
    from aelle.records import ExperimentFolder

    experiment = load_experiment(file, overrides)
    return experiment, ExperimentFolder(output or Path("artifacts") / experiment.name)


def _existing(folder: Path) -> ExperimentFolder:
    from aelle.records import ExperimentFolder

    return ExperimentFolder(folder).require()


def _pruner(
    experiment: Experiment, predictor: Path, quantile: float, by: Literal["interval", "predicted"]
) -> RecordsPruner:
    from aelle.integrations.collection import RecordsPruner
    from aelle.integrations.rule import PruningRule

    pruner = RecordsPruner(predictor.resolve(), PruningRule(quantile, by=by))
    epochs = [epoch for epoch in range(experiment.training.epochs + 1) if experiment.spectrum.at(epoch)]
    pruner.require_fit(task=experiment.task.name, spectrum_state=experiment.spectrum.state, epochs=epochs)
    return pruner


def _collect(experiment: Experiment, folder: ExperimentFolder, quiet: bool) -> None:
    from aelle.collection.collect import collect as collect_records

    click.echo(collect_records(experiment, folder, progress=not quiet))


def _train(folder: ExperimentFolder, quiet: bool) -> None:
    from aelle.embedding.fit import train as fit_autoencoder

    click.echo(fit_autoencoder(folder, progress=not quiet))


def _predict(folder: ExperimentFolder, quiet: bool) -> None:
    from aelle.prediction.evaluate import predict as evaluate_predictions

    click.echo(evaluate_predictions(folder, progress=not quiet))


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


def _write_page(folder: ExperimentFolder, path: Path) -> None:
    from aelle.explorer.standalone import write_html

    write_html(folder, path)
    click.echo(f"wrote {path}")


def main() -> None:
    """Run the command line; what goes wrong by the user's doing is one line and exit code 2."""
    sys.exit(_guarded(cli))


def _guarded(command: Callable[..., Any]) -> int:
    if os.environ.get("AELLE_DEBUG"):
        return command(standalone_mode=False) or 0
    try:
        command(standalone_mode=False)
    except click.exceptions.Abort:
        return _complain("interrupted; the same command resumes", 130)
    except KeyboardInterrupt:
        return _complain("interrupted; the same command resumes", 130)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        # Every error a user can cause is one of these, with its own sentence; AELLE_DEBUG=1 shows where.
        return _complain(" ".join(str(error).split()) or type(error).__name__, 2)
    return 0


def _complain(message: str, code: int) -> int:
    click.echo(f"aelle: {message}", err=True)
    return code
