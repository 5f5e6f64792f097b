"""How long reading and `aelle status` take on a million records, and with how much memory.

    python experiments/benchmarks/million_records.py [FOLDER]

Writes about 77,000 networks of 13 epochs with synthetic spectra of 64 exponents at three epochs.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from aelle.collection.ledger import network_count
from aelle.collection.status import status
from aelle.config import dump_experiment, parse_experiment
from aelle.records import SCHEMA, ExperimentFolder, read_records, write_bytes, write_json, write_table

NETWORKS, EPOCHS, COHORT = 76_928, 13, 256
ARCHITECTURES = ("rnn", "gru", "lstm")


def cohort_table(start: int, random: np.random.Generator) -> pa.Table:
    """The records of one finished cohort."""
    rows = COHORT * EPOCHS
    network = np.repeat(np.arange(start, start + COHORT), EPOCHS)
    epoch = np.tile(np.arange(EPOCHS), COHORT)
    spectra = random.normal(size=(rows, 64)).astype(np.float32)
    taken = np.isin(epoch, (0, 1, 3))
    columns = {
        "network_id": [f"{n:012x}" for n in network],
        "cohort": [f"c{start}"] * rows,
        "architecture": [ARCHITECTURES[start // COHORT % len(ARCHITECTURES)]] * rows,
        "epoch": epoch.astype(np.int32),
        "val_metric": random.uniform(size=rows),
        "status": ["ok"] * rows,
        "metric_name": ["accuracy"] * rows,
        "higher_is_better": [True] * rows,
        "spectrum": [s if t else None for s, t in zip(spectra, taken, strict=True)],
    }
    arrays = [
        pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(rows, f.type) for f in SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def write(folder: ExperimentFolder) -> None:
    random = np.random.default_rng(0)
    content = {"name": "million", "task": {"name": "digits"}, "training": {"epochs": EPOCHS - 1}}
    write_bytes(folder.experiment_file, dump_experiment(parse_experiment(content)).encode())
    for start in range(0, NETWORKS, COHORT):
        write_table(folder.cohort_file(f"c{start}"), cohort_table(start, random))
    ledger = {
        f"c{start}": [f"{n:012x}" for n in range(start, start + COHORT)]
        for start in range(0, NETWORKS, COHORT)
    }
    write_json(folder.root / "cohorts.json", ledger)


def timed(label: str, function, *arguments) -> None:
    started = time.perf_counter()
    found = function(*arguments)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{label:48s} {seconds:6.2f} s   peak memory {peak:.2f} GB   {len(found) if hasattr(found, '__len__') else ''}"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        root = ExperimentFolder(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(temporary))
        if not root.records.exists():
            write(root)
        timed("count the networks", lambda: range(network_count(root)))
        timed("status", status, root)
        timed("read five scalar columns", read_records, root, ["status", "val_metric", "hidden_size"])
        timed("read spectra too", read_records, root, ["val_metric", "spectrum"])
        timed("filter: one epoch, with spectra", read_records, root, ["val_metric", "spectrum"], {"epoch": 1})
        timed(
            "filter: one architecture, scalars", read_records, root, ["val_metric"], {"architecture": "lstm"}
        )
        timed("read everything", read_records, root)
