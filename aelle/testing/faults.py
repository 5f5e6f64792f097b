"""Fault injection: does a small collection survive kills, torn files, flipped bits and a full disk?

    python -m aelle.testing.faults --count 20 --seed 0

Kills end a process at a seeded call that makes a file appear, before or after it, with nothing cleaned up. A full disk is
a limit to the size of files. After either the collection goes on, and its records must equal an undisturbed run's to
the bit. Torn files and flipped bits must be found by `aelle check`, or, in a checkpoint, change no record. POSIX only.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from aelle.collection.check import faults
from aelle.collection.collect import collect
from aelle.config import Experiment, parse_experiment
from aelle.records import TIMINGS, ExperimentFolder, read_records, record_files

_SECONDS = 120.0  # after which a child is taken for hung
_CALLS = 60  # about as many files as one run writes


class _Here:
    """An engine that trains in this process, where a fault can be put."""

    gpus = 0.0

    def run(
        self, function: Any, job: Any, cohorts: Sequence[Any], report: Callable[[int], None]
    ) -> Generator[Any, None, None]:
        for cohort in cohorts:
            yield function(job, cohort, report)


def small_experiment() -> Experiment:
    """Six tiny networks in three cohorts, three epochs each."""
    networks = {"architecture": ["rnn", "gru"], "hidden_size": 3, "per_combination": 3}
    return parse_experiment(
        {
            "name": "faults",
            "task": {"name": "latch", "options": {"delay": 3, "train": 64, "validation": 16}},
            "networks": networks,
            "training": {"epochs": 3, "workers": 1, "cohort_size": 2},
            "spectrum": {"epochs": [0, 2], "sequences": 2, "steps": 8, "warmup": 4, "also": []},
        }
    )


def inject(count: int, seed: int, root: Path) -> tuple[Counter[str], list[str]]:
    """Inject `count` faults of each kind; return how many survived by kind, and a line per fault that did not."""
    draw = random.Random(seed)
    whole = ExperimentFolder(root / "whole")
    _collect(whole)
    survived: Counter[str] = Counter()
    lost: list[str] = []
    kinds: dict[str, Callable[[ExperimentFolder, ExperimentFolder, random.Random], str]] = {
        "kill": _kill,
        "fill": _fill,
        "tear": _tear,
        "flip": _flip,
        "flip in a checkpoint": _flip_checkpoint,
    }
    for kind, fault in kinds.items():
        for number in range(count):
            folder = ExperimentFolder(root / f"{kind.replace(' ', '-')}-{number}")
            what = fault(whole, folder, draw)
            if what:
                lost.append(f"{kind} {number}: {what}")
            else:
                survived[kind] += 1
            shutil.rmtree(folder.root, ignore_errors=True)
    return survived, lost


def _collect(folder: ExperimentFolder, **options: Any) -> None:
    collect(small_experiment(), folder, progress=False, engine=_Here(), **options)


def _resumed(whole: ExperimentFolder, folder: ExperimentFolder) -> str:
    """Go on, and compare with the undisturbed run; empty where they are equal."""
    _collect(folder)
    ours, theirs = (read_records(f).drop(columns=list(TIMINGS)) for f in (folder, whole))
    if not ours.equals(theirs) and ours.to_json() != theirs.to_json():
        return "the records differ from those of an undisturbed run"
    return "; ".join(faults(folder))


def _in_child(act: Callable[..., object], *arguments: object) -> str:
    """Do something in a process of its own that may die; empty unless it hung.

    The process comes from a fork server: a fork of this one would wait for ever for the threads of torch, which it lacks.
    """
    child = multiprocessing.get_context("forkserver").Process(target=_quietly, args=(act, arguments))
    child.start()
    child.join(_SECONDS)
    if not child.is_alive():
        return ""
    child.kill()
    child.join()
    return "it hung"


def _quietly(act: Callable[..., object], arguments: tuple[object, ...]) -> None:
    sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    act(*arguments)


def _kill(whole: ExperimentFolder, folder: ExperimentFolder, draw: random.Random) -> str:
    for _ in range(draw.randint(1, 3)):  # resumed runs are killed too
        at, after = draw.randrange(_CALLS), draw.random() < 0.5
        hung = _in_child(_killed, folder, at, after)
        if hung:
            return hung
    return _resumed(whole, folder)


def _killed(folder: ExperimentFolder, at: int, after: bool) -> None:
    replace, calls = Path.replace, iter(range(_CALLS * 10))

    def replace_or_die(self: Path, target: Path) -> Path:
        last = next(calls) == at
        if last and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        found = replace(self, target)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    Path.replace = replace_or_die  # type: ignore[method-assign, assignment]
    _collect(folder)


def _fill(whole: ExperimentFolder, folder: ExperimentFolder, draw: random.Random) -> str:
    size = draw.randrange(500, 20_000)
    return _in_child(_filled, folder, size) or _resumed(whole, folder)


def _filled(folder: ExperimentFolder, size: int) -> None:
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    _collect(folder)


def _tear(whole: ExperimentFolder, folder: ExperimentFolder, draw: random.Random) -> str:
    shutil.copytree(whole.root, folder.root)
    file = draw.choice(record_files(folder.records))
    content = file.read_bytes()
    file.write_bytes(content[: draw.randrange(len(content))])
    return _found(folder, file)


def _flip(whole: ExperimentFolder, folder: ExperimentFolder, draw: random.Random) -> str:
    shutil.copytree(whole.root, folder.root)
    file = draw.choice([*record_files(folder.records), folder.experiment_file, folder.root / "cohorts.json"])
    file.write_bytes(_flipped(file.read_bytes(), draw))
    return _found(folder, file)


def _flip_checkpoint(whole: ExperimentFolder, folder: ExperimentFolder, draw: random.Random) -> str:
    hung = _in_child(_killed, folder, draw.randrange(12, 20), True)
    found = sorted(folder.checkpoints.glob("*.safetensors")) if folder.checkpoints.is_dir() else []
    for file in found:
        file.write_bytes(_flipped(file.read_bytes(), draw))
    return hung or _resumed(whole, folder)


def _flipped(content: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]


def _found(folder: ExperimentFolder, file: Path) -> str:
    return "" if any(file.name in line for line in faults(folder)) else f"nobody sees it in {file.name}"


def main() -> None:
    """Inject faults, print survived / tried by kind and what was lost; exit code 1 where something was."""
    parser = argparse.ArgumentParser(description="Inject faults into a small collection.")
    parser.add_argument("--count", type=int, default=20, help="faults of each kind")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        survived, lost = inject(options.count, options.seed, Path(temporary))
    for kind in ("kill", "fill", "tear", "flip", "flip in a checkpoint"):
        print(f"{kind:22s} {survived[kind]} of {options.count} survived")
    print("\n".join(lost) or "nothing lost")
    sys.exit(bool(lost))


if __name__ == "__main__":
    main()
