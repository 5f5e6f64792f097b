"""Records as a data frame."""

from __future__ import annotations

import html
from collections.abc import Callable

import pandas as pd

from aelle.hyperparameters import NAMES

# init_gain says what init_scale says.
_BRIEFLY = (
    *("task", *(name for name in NAMES if name != "init_scale")),
    *("train_loss", "val_loss", "val_metric", "status"),
)


class Records(pd.DataFrame):
    """Records as a data frame that notebooks show in brief; whatever is taken out of it is a plain data frame."""

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return pd.DataFrame

    def _repr_html_(self) -> str:
        varying = [name for name in _BRIEFLY if name in self and self[name].nunique(dropna=False) > 1]
        look = "leading_exponents" in self and self["leading_exponents"].notna().any()
        exponents = "leading_exponents" if look else "spectrum"
        names = [name for name in ("network_id", "epoch", *varying, exponents) if name in self]
        shown = pd.DataFrame(self[names].head(8))
        if exponents in shown:
            shown[exponents] = [
                "" if s is None or not len(s) else f"{len(s)} exponents from {s[0]:.3f}"
                for s in shown[exponents]
            ]
        words = [f"{len(self):,} records"]
        if "network_id" in self:
            words = [f"{words[0]} of {self['network_id'].nunique():,} networks"]
        words += [
            str(self[name].iloc[0]) for name in ("experiment", "metric_name") if name in self and len(self)
        ]
        table = shown.to_html(index=False, border=0, na_rep="", float_format="{:.4g}".format)
        return f"<p>{html.escape(' · '.join(words))}; {len(self.columns)} columns, in brief:</p>{table}"


def weight_statistics_frame(records: pd.DataFrame) -> pd.DataFrame:
    """Spread the weight_statistics map into one float column a statistic; NaN where a network lacks it."""
    return pd.DataFrame([dict(row or ()) for row in records["weight_statistics"]], index=records.index)
