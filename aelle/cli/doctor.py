"""`aelle doctor`: what this machine has of what aelle can use."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from aelle.cli import arguments
from aelle.cli.output import tell

LIBRARIES = ("torch", "numpy", "pandas", "scipy", "scikit-learn", "pyarrow", "plotly", "umap-learn")
EXTRAS = {  # distribution by the extra that brings it
    "web": "dash", "ray": "ray", "optuna": "optuna", "lightning": "lightning", "transformers": "transformers",
    "tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow-skinny",
}  # fmt: skip
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
LITTLE_DISK = 2**30


@dataclass(frozen=True)
class Finding:
    """One line.

    Attributes:
        name: what was looked at.
        found: what was found.
        problem: what to mend; None where nothing is wrong.
    """

    name: str
    found: str
    problem: str | None = None


@click.command()
@click.argument("folder", type=arguments.PATH, default=Path("artifacts"))
@arguments.as_json
def doctor(folder: Path, as_json: bool) -> None:
    """Say what this machine has: versions, threads, GPU, browser, data folder, and disk where results go (FOLDER).

    Exit code 1 says that something is to be mended; it is marked with an exclamation mark.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is a file; give the folder that results go to")
    found = list(findings(folder))
    if as_json:
        arguments.print_json([asdict(finding) for finding in found])
    else:
        width = max(len(finding.name) for finding in found)
        for finding in found:
            tell(f"{'!' if finding.problem else ' '} {finding.name:<{width}}  {finding.found}")
            if finding.problem:
                tell(f"  {'':<{width}}  {finding.problem}")
    if any(finding.problem for finding in found):
        click.get_current_context().exit(1)


def findings(folder: Path) -> Iterator[Finding]:
    """What there is, line by line."""
    yield Finding("aelle", f"{version('aelle')}, Python {platform.python_version()}, {platform.platform()}")
    yield Finding("libraries", ", ".join(f"{name} {version(name)}" for name in LIBRARIES))
    have = {extra: _version(name) for extra, name in EXTRAS.items()}
    yield Finding("extras", ", ".join(f"{e} ({v})" for e, v in have.items() if v) or "none")
    lacking = [extra for extra, found in have.items() if not found]
    if lacking:
        yield Finding("not installed", f"{', '.join(lacking)}: pip install 'aelle[NAME]'")
    yield _threads()
    yield _kernels()
    yield _gpu()
    yield _browser()
    yield _data_folder()
    yield _disk(folder)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _threads() -> Finding:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    set_by = ", ".join(
        f"{n}={os.environ[n]}" for n in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if n in os.environ
    )
    return Finding(
        "threads", f"{cores} cores, torch uses {torch.get_num_threads()}{f' ({set_by})' if set_by else ''}"
    )


def _kernels() -> Finding:
    import warnings

    from aelle.kernels.library import library

    if os.environ.get("AELLE_KERNELS") == "0":
        return Finding("compiled loops", "left out (AELLE_KERNELS=0)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        there = library() is not None
    problem = (
        None
        if there
        else "spectra of small networks take longer; install aelle again where there is a C compiler"
    )
    return Finding("compiled loops", "there" if there else "missing", problem)


def _gpu() -> Finding:
    import torch

    if not torch.cuda.is_available():
        return Finding("GPU", "none that torch can use; everything runs on the CPU")
    gib = 2**30
    names = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return Finding("GPU", ", ".join(f"{p.name} ({p.total_memory / gib:.0f} GiB)" for p in names))


def _browser() -> Finding:
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    pictures = "figures as pictures too" if importlib.util.find_spec("kaleido") else "pictures need kaleido"
    if path is None:
        return Finding("Chromium", "none; the page needs any browser, pictures of figures this one")
    return Finding("Chromium", f"{path}; {pictures}")


def _data_folder() -> Finding:
    from aelle.tasks.data_files import DATA_VARIABLE

    given = os.environ.get(DATA_VARIABLE)
    if not given:
        return Finding("data folder", f"none ({DATA_VARIABLE} is not set); data files are downloaded once")
    there = Path(given).expanduser().is_dir()
    problem = None if there else f"there is no such folder; mend or unset {DATA_VARIABLE}"
    return Finding("data folder", f"{given} ({DATA_VARIABLE})", problem)


def _disk(folder: Path) -> Finding:
    place = folder.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    found = f"{free / 2**30:.1f} GiB free for {folder}"
    if not os.access(place, os.W_OK):
        return Finding("disk", found, f"{place} cannot be written")
    return Finding("disk", found, "less than 1 GiB is left" if free < LITTLE_DISK else None)
