"""The resume ledger: which experiment a folder belongs to, and which networks train together in it.

Networks are assigned to cohorts once, in cohorts.json; whatever is added later gets cohorts of its own. So a
resumed or extended run finds every cohort as it was, and no network is trained twice.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from aelle.collection.search_space import Cohort, Variant, cohorts
from aelle.config import ConfigError, Experiment, dump_experiment, load_experiment
from aelle.records import (
    COMMENT,
    DamagedFileError,
    ExperimentFolder,
    RecordsError,
    read_arrow,
    read_json,
    record_files,
    write_bytes,
    write_json,
)

# What decides the records; the rest of an experiment may change between runs.
_DECISIVE = {"name", "seed", "task", "networks", "training", "spectrum"}
_INDIFFERENT = {"data_folder", "workers", "cohort_size", "keep_checkpoints", "stop_after_failures"}


def claim(
    folder: ExperimentFolder,
    experiment: Experiment,
    variants: Sequence[Variant],
    cohort_size: int | Callable[[Variant], int],
    extend: bool = False,
) -> list[Cohort]:
    """Make a folder this experiment's and return its cohorts, or refuse a folder of another experiment.

    With `extend`, a wider search space is accepted. Nothing is written before everything is checked.

    Raises:
        ConfigError: where the folder holds another experiment; the message shows the difference.
        RecordsError: where it holds records of no experiment, or its ledger is corrupt.
    """
    if folder.experiment_file.exists():
        difference = _difference(load_experiment(folder.experiment_file), experiment)
        extends = all(line.split(" ")[1].startswith("networks.") for line in difference)
        if difference and not (extend and extends):
            ways = "undo the change, or add networks with --extend" if extends else "or undo the change"
            also = "; --extend takes changes of [networks] alone" if extend else ""
            raise ConfigError(
                f"{folder.root}: holds records of another experiment ({'; '.join(difference)}); choose another "
                f"folder with --output, {ways}{also}"
            )
    elif folder.records.exists() and any(folder.records.iterdir()):
        raise RecordsError(f"{folder.root}: holds records but no experiment.toml; choose another folder")
    found = _assigned(folder, variants, cohort_size)
    write_bytes(folder.experiment_file, (COMMENT + dump_experiment(experiment)).encode())
    _write(folder, found)
    return found


def network_count(folder: ExperimentFolder) -> int:
    """Number of networks assigned to cohorts; 0 before the first collection."""
    return sum(len(members) for members in read_ledger(folder).values())


def is_imported(folder: ExperimentFolder) -> bool:
    """Whether the records were brought in from elsewhere."""
    return "imported" in read_ledger(folder)


def _assigned(
    folder: ExperimentFolder, variants: Sequence[Variant], size: int | Callable[[Variant], int]
) -> list[Cohort]:
    """All cohorts of a folder: those assigned before, then new ones for networks not assigned yet."""
    known = {variant.network_id: variant for variant in variants}
    assigned = read_ledger(folder) or _from_records(folder, list(known))
    lost = [network for members in assigned.values() for network in members if network not in known]
    if lost:
        raise ConfigError(
            f"{folder.root}: the search space no longer holds {len(lost)} of its networks; --extend only adds"
        )
    found = [Cohort(tuple(known[network] for network in members)) for members in assigned.values()]
    for name, cohort in zip(assigned, found, strict=True):
        if name != cohort.cohort_id:  # the name is made from the members
            raise DamagedFileError(ledger_file(folder), f"cohort {name} has not the networks it was made of")
    taken = {network for members in assigned.values() for network in members}
    found += cohorts([variant for variant in variants if variant.network_id not in taken], size)
    return found


def _from_records(folder: ExperimentFolder, order: Sequence[str]) -> dict[str, list[str]]:
    """The cohorts that records are of, for a folder that has lost its ledger; members in the order of variants."""
    if not record_files(folder.records):
        return {}
    rows = read_arrow(folder, ["cohort"]).to_pandas().drop_duplicates(["cohort", "network_id"])
    places = {network: place for place, network in enumerate(order)}
    return {
        str(cohort): sorted(map(str, members), key=lambda network: places.get(network, len(places)))
        for cohort, members in rows.groupby("cohort")["network_id"]
    }


def ledger_file(folder: ExperimentFolder) -> Path:
    """Which networks train together; where it is lost it is made again from the records."""
    return folder.root / "cohorts.json"


def read_ledger(folder: ExperimentFolder) -> dict[str, list[str]]:
    """Ids of networks by cohort; empty before the first collection.

    Raises:
        DamagedFileError: where it is no such list.
        RecordsError: where it cannot be read.
    """
    path = ledger_file(folder)
    if not path.exists():
        return {}
    content = read_json(path)
    try:
        return {str(cohort): [str(n) for n in members] for cohort, members in content.items()}
    except (AttributeError, TypeError) as error:
        raise DamagedFileError(path, f"not a list of cohorts: {error}") from error


def _write(folder: ExperimentFolder, found: Sequence[Cohort]) -> None:
    content = {cohort.cohort_id: [variant.network_id for variant in cohort.variants] for cohort in found}
    write_json(ledger_file(folder), content)


def _difference(old: Experiment, new: Experiment) -> list[str]:
    """Changed decisive settings as `key: old → new`."""

    def lines(experiment: Experiment) -> list[str]:
        content = experiment.model_dump(mode="json", include=_DECISIVE)
        content |= {
            section: {k: v for k, v in content[section].items() if k not in _INDIFFERENT}
            for section in ("task", "training")
        }
        return [f"{key} = {value}" for key, value in _flat(content)]

    return [
        line.replace("- ", "was ", 1).replace("+ ", "is ", 1)
        for line in difflib.ndiff(lines(old), lines(new))
        if line.startswith(("- ", "+ "))
    ]


def _flat(content: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
