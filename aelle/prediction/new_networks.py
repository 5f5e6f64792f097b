"""Predict the networks of a folder, finished or still running, with a saved predictor: a table, in words and as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from aelle.prediction.predictor import Predictor
from aelle.records import ExperimentFolder, read_records, without_nan


@dataclass(frozen=True)
class Predictions:
    """Predicted final metrics of networks, the most promising first.

    Attributes:
        predictor: who says so.
        epoch: the epoch up to which it read their records.
        table: `Predictor.predict`'s, the most promising network first, those left out at the end.
    """

    predictor: Predictor
    epoch: int
    table: pd.DataFrame

    @property
    def predicted(self) -> pd.DataFrame:
        """The networks of which something can be said."""
        return self.table[self.table["predicted"].notna()]

    def to_json(self) -> dict[str, Any]:
        """Return plain data; of a network that was left out the numbers are null and `why` says why."""
        predictor = self.predictor
        return {
            "experiment": predictor.experiment.name,
            "task": predictor.task,
            "metric_name": predictor.metric_name,
            "higher_is_better": predictor.higher_is_better,
            "target": predictor.experiment.prediction.target,
            "training_networks": len(predictor.training),
            "epoch": self.epoch,
            "interval": predictor.level,
            "networks": without_nan(self.table.to_dict("records")),
        }

    def __str__(self) -> str:
        """Return the table, and below it what was left out and what to beware of."""
        predictor, shown = self.predictor, self.predicted
        lines = [
            f"{predictor.experiment.prediction.target} validation {predictor.metric_name} predicted from what is "
            f"known at epoch {self.epoch}, learnt from {len(predictor.training)} networks of "
            f"{predictor.experiment.name}; percentile: of those, how many ended worse",
            "",
        ]
        if len(shown):
            width = max(7, shown["network_id"].str.len().max())
            lines.append(
                f"{'network':<{width}}  predicted  {f'{predictor.level:.0%} interval':<18}  percentile  why"
            )
            lines += [self._line(row, width) for row in shown.to_dict("records")]
        rests = Counter(shown["used"])
        lines += ["", *(f"{count} rest on: {used}" for used, count in rests.items())]
        left_out = Counter(self.table.loc[self.table["predicted"].isna(), "why"])
        lines += [f"{count} left out: {why}" for why, count in left_out.items()]
        warned = Counter(shown.loc[shown["warning"] != "", "warning"])
        lines += [f"Warning: {count} of {len(shown)} networks: {words}" for words, count in warned.items()]
        return "\n".join(lines)

    @staticmethod
    def _line(row: dict[Any, Any], width: int) -> str:
        interval = f"[{row['lower']:.4g}, {row['upper']:.4g}]" if row["lower"] == row["lower"] else "–"
        return (
            f"{row['network_id']:<{width}}  {row['predicted']:>9.4g}  {interval:<18}  {row['percentile']:>10.0f}  "
            f"{row['why']}{' (!)' if row['warning'] else ''}"
        )


def predict(
    folder: ExperimentFolder | str | Path, predictor: Predictor | str | Path, epoch: int
) -> Predictions:
    """Predict the networks of a folder, to which a collection may be writing.

    Args:
        folder: an experiment's folder with records.
        predictor: a `Predictor`, or the folder that holds one (`aelle.evaluate` with `save`).
        epoch: one of the predictor's epochs; later records are not looked at.

    Raises:
        RecordsError: for a missing, empty, corrupt or foreign folder.
        PredictorError: where there is no usable predictor; for another task, metric or convention of the
            spectrum, or an unknown epoch.
    """
    if not isinstance(predictor, Predictor):
        predictor = Predictor.load(predictor)
    if not isinstance(folder, ExperimentFolder):
        folder = ExperimentFolder(Path(folder))
    table = predictor.predict(read_records(folder), epoch)
    order = -predictor.metric.oriented(table["predicted"].to_numpy(float))
    table = table.assign(order=order).sort_values(["order", "network_id"], na_position="last")
    return Predictions(predictor, epoch, table.drop(columns="order").reset_index(drop=True))
