"""The predictor as the `on_epoch` of a collection: networks that will not end well are recorded as pruned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from aelle.integrations.rule import IntegrationError, PredictsFinalMetric, PruningRule, require_fit
from aelle.prediction.predictor import Predictor
from aelle.records import SCHEMA

_LISTS = [field.name for field in SCHEMA if field.type == pa.list_(pa.float32())]


class RecordsPruner:
    """Stop networks of a collection by their spectra: `collect(…, on_epoch=RecordsPruner(folder))`.

    Called in the workers with the record rows of each epoch of a cohort; keeps those of earlier epochs.

    Args:
        predictor: a `Predictor`, or the folder that holds one, which is then read once in each worker.
        rule: when to stop.
    """

    def __init__(self, predictor: PredictsFinalMetric | str | Path, rule: PruningRule | None = None) -> None:
        self._source, self.rule = predictor, rule or PruningRule()
        self._loaded: PredictsFinalMetric | None = None
        self._cohort: str | None = None
        self._seen: dict[str, list[dict[str, Any]]] = {}  # rows of the cohort at work, by network

    @property
    def predictor(self) -> PredictsFinalMetric:
        """The predictor, read on first use."""
        if self._loaded is None:
            given = self._source
            self._loaded = Predictor.load(given) if isinstance(given, str | Path) else given
        return self._loaded

    def __getstate__(self) -> dict[str, Any]:
        kept = self.__dict__ | {"_seen": {}}
        return kept | {"_loaded": None} if isinstance(self._source, str | Path) else kept

    def require_fit(
        self, *, task: str, spectrum_state: str, epochs: Sequence[int], look: str = "full"
    ) -> None:
        """Check the predictor against the experiment it is to prune; `epochs` are those with spectra.

        Raises:
            IntegrationError: where they do not fit together.
            PredictorError: where the folder holds no predictor.
        """
        require_fit(self.predictor, task=task, spectrum_state=spectrum_state, look=look)
        if not any(epoch in epochs and epoch >= self.rule.first_epoch for epoch in self.predictor.epochs):
            raise IntegrationError(
                f"the predictor knows the epochs {', '.join(map(str, self.predictor.epochs))}, but spectra are "
                f"taken at {', '.join(map(str, epochs))}: it would never prune"
            )

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Return the networks to stop after this epoch, each with the reason."""
        if rows[0]["cohort"] != self._cohort:  # a worker runs one cohort after another
            self._cohort, self._seen = rows[0]["cohort"], {}
        for row in rows:
            self._seen.setdefault(row["network_id"], []).append(_as_recorded(row))
        epoch = int(rows[0]["epoch"])
        due = [row["network_id"] for row in rows if row["status"] == "ok" and _was_looked_at(row)]
        if epoch not in self.predictor.epochs or not due:
            return {}
        seen = pd.DataFrame([row for network in due for row in self._seen[network]])
        predicted = self.predictor.predict(seen, epoch, explain=False).to_dict("records")
        verdicts = {row["network_id"]: self.rule.judge(row, self.predictor) for row in predicted}
        return {network: verdict.reason for network, verdict in verdicts.items() if verdict.stop}


def _as_recorded(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row in the precision of records, so that a resumed collection prunes what an uninterrupted one does."""
    return dict(row) | {
        name: np.asarray(row[name], np.float32) for name in _LISTS if row.get(name) is not None
    }


def _was_looked_at(row: Mapping[str, Any]) -> bool:
    return any(row.get(name) is not None for name in ("spectrum", "leading_exponents"))
