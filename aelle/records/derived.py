"""Which files were made from which, and which are older than what they were made from."""

from __future__ import annotations

import hashlib
from pathlib import Path

from aelle.records.digest import digest_of, made_from
from aelle.records.folder import ExperimentFolder, RecordsError
from aelle.records.reading import record_files


def records_digest(folder: ExperimentFolder) -> str:
    """One digest of all records: of the names and digests of their files.

    Raises:
        RecordsError: where a file cannot be read, or is damaged.
    """
    total = hashlib.sha256()
    for file in record_files(folder.records):
        total.update(f"{file.relative_to(folder.records).as_posix()} {digest_of(file)}\n".encode())
    return total.hexdigest()


def out_of_step(folder: ExperimentFolder) -> list[str]:
    """One line for each derived file that was not made from what is there now; what cannot be read is passed over.

    Files of earlier versions do not say what they were made from, and nothing is said of them.
    """
    model = folder.autoencoder / "model.json"
    train, evaluated = f"run `aelle train {folder.root}`", f"run `aelle evaluate {folder.root}`"
    saved = f"run `aelle evaluate {folder.root} --save`"
    derived = (
        (model, "records", None, train),
        (folder.latents, "records", None, train),
        (folder.latents, "autoencoder", model, train),
        (folder.predictions, "records", None, evaluated),
        (folder.report, "predictions", folder.predictions, evaluated),
        (folder.root / "predictor" / "predictor.json", "records", None, saved),
    )
    try:
        records = records_digest(folder)
    except RecordsError:
        return []
    lines = []
    for file, source, of, remedy in derived:
        try:
            known = made_from(file).get(source) if file.exists() else None
            if known is not None and known != (records if of is None else digest_of(of)):
                lines.append(f"{_name(file, folder)} is older than the {source}: {remedy}")
        except (RecordsError, OSError):
            continue
    return lines


def _name(file: Path, folder: ExperimentFolder) -> str:
    return file.relative_to(folder.root).as_posix()
