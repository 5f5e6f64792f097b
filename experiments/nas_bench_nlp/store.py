"""What was measured, one JSON object a line, added to as it comes: a kill costs at most the recipe being measured."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from runs import Run
from torch import Tensor
from tqdm import tqdm
from untrained import DRAWS, VERSION, Draw, measure

Measured = dict[str, list[float]]


def key_of(run: Run, draw: Draw) -> str:
    """Name of what is measured: the recipe as it stands, the draw, and what is measured."""
    content = json.dumps([run.recipe, asdict(draw), VERSION], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:24]


def read(path: Path) -> dict[str, Measured]:
    """What is there, by key; a line that was cut off is as if it were not."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            content = json.loads(line)
            found[content["key"]] = {
                kind: [math.nan if value is None else float(value) for value in values]
                for kind, values in content["measured"].items()
            }
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return found


def fill(path: Path, runs: Sequence[Run], words: Tensor, seconds: float) -> tuple[dict[str, Measured], int]:
    """Measure what is not there yet, for at most some seconds.

    Returns:
        what is there, and how many measurements are still to be made.
    """
    found, started = read(path), time.monotonic()
    left = list(_missing(found, runs))
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = not path.exists() or path.read_bytes()[-1:] in (b"\n", b"")
    with path.open("a", encoding="utf-8") as stream:
        stream.write("" if whole else "\n")
        for done, (key, run, draw) in enumerate(tqdm(left, desc="measure", unit="draw", mininterval=10)):
            if time.monotonic() - started > seconds:
                return found, len(left) - done
            found[key] = measure(run, draw, words)
            plain = {kind: [None if v != v else v for v in values] for kind, values in found[key].items()}
            stream.write(json.dumps({"key": key, "run": run.name, **asdict(draw), "measured": plain}) + "\n")
            stream.flush()
    return found, 0


def _missing(found: dict[str, Measured], runs: Sequence[Run]) -> Iterator[tuple[str, Run, Draw]]:
    seen = set(found)
    for draw in DRAWS:
        for run in runs:
            key = key_of(run, draw)
            if key not in seen:
                seen.add(key)
                yield key, run, draw
