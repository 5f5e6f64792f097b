"""Networks found by words: an id or its beginning, `lstm 32`, `hidden_size >= 64`, `λ₁ > 0`."""

from __future__ import annotations

import operator
import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aelle.explorer.data import ExplorerData

_COMPARED = {
    "<=": operator.le, ">=": operator.ge, "≤": operator.le, "≥": operator.ge, "<": operator.lt, ">": operator.gt,
    "=": operator.eq,
}  # fmt: skip
_CONDITION = re.compile(r"([^\s<>=≤≥]+)\s*(<=|>=|≤|≥|<|>|=)\s*([^\s<>=≤≥]+)")
_SHORT = {
    "λ₁": "lambda_max", "λ1": "lambda_max", "λ": "lambda_max", "accuracy": "final_metric", "size": "hidden_size",
    "layers": "num_layers", "gain": "init_gain", "id": "network_id",
}  # fmt: skip
_BY_VALUE = ("architecture", "hidden_size", "outcome", "task", "cohort", "experiment")


def search(data: ExplorerData, text: str, epoch: int) -> NDArray[np.int64]:
    """The networks, by number, that meet every word and condition of a text, at an epoch; none for no text."""
    points = data.points[(data.points["epoch"] == epoch).to_numpy()].drop_duplicates("network")
    new = points.columns.difference([*data.networks.columns, "network"])
    table = data.networks.join(points.set_index("network")[new])
    keep = np.full(len(table), bool(text.strip()))
    for name, sign, value in _CONDITION.findall(text):
        keep &= _meets(table, data.metric_name, name, sign, value)
    for word in _CONDITION.sub(" ", text).split():
        keep &= _holds(table, word)
    exact = (table["network_id"] == text.strip()).to_numpy()
    return table.index.to_numpy()[exact if exact.any() else keep]


def _meets(table: pd.DataFrame, metric: str, name: str, sign: str, value: str) -> NDArray[np.bool_]:
    column = _SHORT.get(name.lower(), name)
    column = "final_metric" if name == metric else column
    if column not in table:
        return np.zeros(len(table), bool)
    if pd.api.types.is_numeric_dtype(table[column]) and not pd.api.types.is_bool_dtype(table[column]):
        try:
            found: NDArray[np.bool_] = _COMPARED[sign](
                table[column].to_numpy(float, na_value=np.nan), float(value)
            )
        except ValueError:
            return np.zeros(len(table), bool)
        return found
    same: NDArray[np.bool_] = table[column].astype(str).str.lower().eq(value.lower()).to_numpy(bool)
    return same if sign == "=" else np.zeros(len(table), bool)


def _holds(table: pd.DataFrame, word: str) -> NDArray[np.bool_]:
    """Whose id begins with a word, or of whom it is the architecture, the size, the outcome, the task."""
    keep: NDArray[np.bool_] = table["network_id"].astype(str).str.startswith(word).to_numpy(bool)
    for name in _BY_VALUE:
        keep = keep | table[name].astype(str).str.lower().eq(word.lower()).to_numpy(bool)
    return keep
