"""Which look records were taken with: the whole spectrum, or the few quantities of an economy look."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd


def looked(rows: pd.DataFrame) -> pd.Series:
    """Say of each row how its network was looked at: "full", "economy", or None where it was not."""
    kinds = pd.Series(None, index=rows.index, dtype=object)
    for column, look in (("spectrum", "full"), ("leading_exponents", "economy")):
        if column in rows:
            kinds[rows[column].notna()] = look
    return kinds


def looks_of(rows: pd.DataFrame) -> list[str]:
    """The looks that rows were taken with, each once."""
    return sorted(looked(rows).dropna().unique())


def known_exponents(rows: pd.DataFrame) -> pd.Series:
    """What is known of each row's exponents, from the largest on: the spectrum, or the leading ones; or None."""
    known = rows["spectrum"] if "spectrum" in rows else pd.Series(None, index=rows.index, dtype=object)
    if "leading_exponents" not in rows:
        return known
    return known.where(rows["leading_exponents"].isna(), rows["leading_exponents"])


def look_columns(leading: Any, mean_exponent: float, growth: Any) -> dict[str, Any]:
    """The columns of an economy look; a mean exponent that is not known (NaN) is null."""
    mean = None if math.isnan(mean_exponent) else mean_exponent
    return {"leading_exponents": leading, "mean_exponent": mean, "readout_growth": growth}
