"""The one interface of early prediction: a method is fitted on some networks of a table, and predicts others.

    fitted = method.fit(table, networks)            # outcomes of `networks` are looked at, nothing of others
    fitted.predict(table.up_to(1), other_networks)  # value and interval, from what is known at epoch 1

Every rung of the ladder and AeLLE are such methods, each with all that belongs to it inside: transforms, ensembles,
blending, and the calibration of its intervals. Evaluation fits and judges them, saving writes what was fitted, and
neither knows more of them than what is here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import pandas as pd

from aelle.prediction.table import Table

Source = Literal["curve", "hyperparameters", "weights", "spectrum"]


class FittedMethod(Protocol):
    """A method that has been fitted."""

    @property
    def training(self) -> Table:
        """The networks it was fitted on, and nothing of others."""
        ...

    def predict(self, table: Table, networks: np.ndarray) -> pd.DataFrame:
        """Predict the outcomes of some networks from what is known at the table's epoch.

        Args:
            table: recorded or new networks, up to one of the epochs that the method was fitted for.
            networks: boolean mask of those to predict; what is said of one does not depend on the others.

        Returns:
            one row per network of the mask, indexed by network_id: predicted, lower, upper in metric units. All
            three are NaN where nothing can be predicted, the bounds where too few networks calibrate them.
        """
        ...

    def why_not(self, table: Table) -> dict[str, str]:
        """Say of each network that cannot be predicted at the table's epoch why; by its id."""
        ...

    def save(self, folder: Path) -> list[str]:
        """Write what cannot be made anew from `training`; return the names of the files."""
        ...


class Method(Protocol):
    """A way to predict outcomes, before it is fitted."""

    @property
    def name(self) -> str:
        """Its name in reports."""
        ...

    @property
    def family(self) -> Literal["AeLLE", "baseline"]:
        """On whose side it stands in the report."""
        ...

    @property
    def reads(self) -> frozenset[Source]:
        """What it looks at, as far as a network has it."""
        ...

    @property
    def first_epoch(self) -> int:
        """The first epoch at which it has something to say."""
        ...

    def fit(self, table: Table, networks: np.ndarray) -> FittedMethod:
        """Fit on the networks of a boolean mask, for all of the table's `epochs`; equal arguments, equal results."""
        ...

    def load(self, folder: Path, training: Table) -> FittedMethod:
        """Read a fitted method that `FittedMethod.save` wrote, with the table that it was fitted on."""
        ...
