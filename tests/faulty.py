"""Cells and callbacks that misbehave on purpose, importable by worker processes."""

import io
import os
import signal
import time

import pandas as pd

from aelle.recurrent.elman import TanhRNN


def has_recorded(root, epoch):
    """Whether some cohort of a collection that may be running has recorded an epoch, read by pandas alone."""
    files = list((root / "records").glob("*.parquet"))
    # pandas opens a single file twice, and a collection may replace it in between; bytes are of one moment.
    contents = [io.BytesIO(file.read_bytes()) for file in files]
    return any(pd.read_parquet(content, columns=["epoch"])["epoch"].max() >= epoch for content in contents)


class RaisingCell(TanhRNN):
    """Fails in its third epoch of training, counted by forward passes with gradients."""

    architecture = "raising"

    def scan_with_gradients(self, inputs, state):
        self.passes = getattr(self, "passes", 0) + 1
        if self.passes > 2 * 16:
            raise ArithmeticError("this cell gives up")
        return super().scan_with_gradients(inputs, state)


class Unbuildable(TanhRNN):
    """Cannot even be made."""

    architecture = "unbuildable"

    def __init__(self, *arguments, **options):
        raise ZeroDivisionError("no such\nthing")


class ExitingCell(TanhRNN):
    """Asks the whole process to end, in more than one line."""

    architecture = "exiting"

    def scan_with_gradients(self, inputs, state):
        raise SystemExit("I have\n  had enough")


def kill_worker_once(rows):
    """Kill this worker with SIGKILL, the first time any worker gets to epoch 2."""
    marker = os.environ["AELLE_TEST_MARKER"]
    if rows[0]["epoch"] == 2 and not os.path.exists(marker):  # noqa: PTH110
        time.sleep(1)  # until the driver has heard of the epochs before
        with open(marker, "w"):  # noqa: PTH123
            os.kill(os.getpid(), signal.SIGKILL)
    return []


def prune_all_at_epoch_one(rows):
    """Stop every network after its first epoch."""
    return [row["network_id"] for row in rows if row["epoch"] == 1]


def prune_for_a_reason(rows):
    """Stop every network after its first epoch, and say why."""
    return {row["network_id"]: "it was enough" for row in rows if row["epoch"] == 1}
