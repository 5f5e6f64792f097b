"""Does a folder hold what its collection and its later stages wrote? One line per fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

from aelle.collection.ledger import is_imported, ledger_file, read_ledger
from aelle.config import ConfigError, load_experiment
from aelle.records import (
    DamagedFileError,
    ExperimentFolder,
    RecordsError,
    carries_digest,
    is_whole,
    network_states,
    open_parquet,
    out_of_step,
    read_bytes,
    read_json,
    read_table,
    record_files,
)


def faults(folder: ExperimentFolder) -> Iterator[str]:
    """Read every file again and yield a line per fault; nothing is yielded where all is well.

    Files are compared with the digests they carry, the rows with the networks that cohorts.json lists, and derived
    files with what they were made from. A network that has not come to its end is no fault.

    Raises:
        RecordsError: where the folder holds no experiment.
    """
    folder.require()
    yield from _found(lambda: load_experiment(folder.experiment_file))
    if is_whole(folder.experiment_file.read_bytes()) is False:
        yield f"{folder.experiment_file}: is not what `aelle collect` wrote; it was edited, or is damaged"
    sound = []
    for file in _files(folder):
        lines = list(_found(lambda file=file: _read(file)))  # type: ignore[misc]
        yield from lines
        if not lines and file.parent == folder.records:
            sound.append(file)
    yield from _rows(folder, sound)
    yield from out_of_step(folder)


def without_digest(folder: ExperimentFolder) -> int:
    """How many files carry no digest, so that damage to them cannot be seen; those that cannot be read count too."""
    count = 0
    for file in _files(folder):
        try:
            count += not carries_digest(file)
        except RecordsError:
            count += 1
    return count


def _files(folder: ExperimentFolder) -> list[Path]:
    """Every file that is written with a digest and is there, partial and foreign ones left out."""
    derived = [folder.latents, folder.predictions, folder.report, *folder.root.glob("predictor/**/*")]
    beside = [ledger_file(folder), folder.root / "environment.json", *folder.autoencoder.glob("*")]
    kinds = (".parquet", ".json", ".safetensors")
    others = [*beside, *derived, *folder.checkpoints.glob("*")]
    there = [file for file in others if file.suffix in kinds and file.is_file() and file.name[0] != "."]
    return [*record_files(folder.records), *there]


def _read(file: Path) -> None:
    read_bytes(file, again=True)
    if file.suffix == ".json":
        read_json(file)
    elif file.suffix == ".parquet":
        open_parquet(file)


def _found(read: Callable[[], object]) -> Iterator[str]:
    """What is wrong with a file, by reading it."""
    try:
        read()
    except (RecordsError, ConfigError) as error:
        yield str(error)


def _rows(folder: ExperimentFolder, files: list[Path]) -> Iterator[str]:
    """Compare the rows of sound files with the ledger, and with the epochs that each network must have."""
    try:
        epochs = load_experiment(folder.experiment_file).training.epochs
        ledger, sparse = read_ledger(folder), is_imported(folder)
        tables = {file: read_table(file, ["network_id", "epoch", "status"]) for file in files}
    except (RecordsError, ConfigError) as error:
        yield from [] if isinstance(error, DamagedFileError | ConfigError) else [str(error)]  # those are said
        return
    if not tables:
        return
    owners = {network: cohort for cohort, members in ledger.items() for network in members}
    for file, table in tables.items():
        own = table["network_id"].unique().to_pylist()
        foreign = sorted(n for n in own if ledger and owners.get(n) != file.stem.split(".from-")[0])
        if foreign:
            yield f"{file}: holds networks that cohorts.json does not list there, {foreign[0]} among them"
    rows = pa.concat_tables(tables.values())
    states = network_states(rows, epochs, sparse)
    again = f"rerun `aelle collect {folder.experiment_file} --output {folder.root}`"
    if len(rows) > states["rows"].sum():
        yield f"{folder.records}: {len(rows) - states['rows'].sum()} rows are there twice; {again}"
    torn = states[states["rows"] < states["last_epoch"] + 1]
    if len(torn) and not sparse:
        yield (
            f"{folder.records}: {len(torn)} networks lack rows before their last epoch, {torn.index[0]} among them; "
            f"{again}, which trains them again"
        )
