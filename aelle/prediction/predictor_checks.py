"""Do the tables of a saved predictor, which somebody else may have written, belong together?"""

from __future__ import annotations

import numpy as np

from aelle.hyperparameters import NAMES
from aelle.prediction.table import Table


def require_consistent(training: Table) -> None:
    """Check the training networks of a predictor.

    Raises:
        ValueError: where the tables are not of one another.
    """
    ids, count = training.networks.index, len(training)
    needed = {*NAMES, "target", "diverged"}
    if missing := sorted(needed - set(training.networks.columns)):
        raise ValueError(f"networks.parquet lacks the columns {', '.join(missing)}")
    if not count or not ids.is_unique or not np.isfinite(training.targets).all():
        raise ValueError("networks.parquet does not hold each network once, with its outcome")
    if not 0 <= training.epoch <= training.final_epoch <= 10**6 or not training.epochs:
        raise ValueError("the description names no epochs")
    if min(training.epochs) < 0 or max(training.epochs) > training.epoch:
        raise ValueError("the description names epochs after the last one that is known")
    for name in ("records", "spectra"):
        frame = getattr(training, name)
        places, epochs = (frame[column].to_numpy() for column in ("network", "epoch"))
        if places.dtype.kind != "i" or epochs.dtype.kind != "i" or not len(frame):
            raise ValueError(f"{name}.parquet does not number networks and epochs")
        if places.min() < 0 or places.max() >= count or (ids[places] != frame["network_id"]).any():
            raise ValueError(f"{name}.parquet is of other networks")
        if epochs.min() < 0 or epochs.max() > training.epoch:
            raise ValueError(f"{name}.parquet has epochs after the last one that is known")
