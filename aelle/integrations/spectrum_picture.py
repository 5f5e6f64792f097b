"""The readings of one network as a picture, for loggers of experiments: they take matplotlib's, without a browser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aelle.integrations.reading import Reading

try:
    from matplotlib import colormaps
    from matplotlib.figure import Figure
except ImportError as error:  # pragma: no cover
    raise ImportError(
        "pictures of spectra need matplotlib; install it with: pip install matplotlib"
    ) from error

MOST = 12
"""Earlier epochs drawn, the last one beside them."""


def spectrum_picture(readings: Sequence[Reading]) -> Figure:
    """Leading exponents, and readout growth by lag, at some epochs up to the last one: earlier ones paler."""
    chosen = [*readings[:-1][:: max(1, -(-(len(readings) - 1) // MOST))], readings[-1]]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    exponents, growth = figure.subplots(1, 2)
    colours = colormaps["viridis_r"].resampled(max(2, len(chosen)))
    for i, reading in enumerate(chosen):
        style: dict[str, Any] = {
            "color": colours((i + 1) / len(chosen)),
            "label": f"epoch {reading.epoch}",
        }
        style |= {"linewidth": 2.0 if reading is readings[-1] else 1.0}
        numbers = range(1, len(reading.leading) + 1)
        exponents.plot(numbers, reading.leading, marker="o", markersize=3, **style)
        growth.plot(
            reading.lags, [value - reading.readout_growth[0] for value in reading.readout_growth], **style
        )
    exponents.axhline(0, color="grey", linewidth=0.8)
    exponents.set(xlabel="index i of the exponent", ylabel="λ (nats per step)", title="Leading exponents")
    growth.axhline(0, color="grey", linewidth=0.8)
    growth.axvline(readings[-1].horizon, color="grey", linewidth=0.8, linestyle="--")
    growth.set(xlabel="steps back τ", ylabel="ln of gradient, relative to τ = 0", title="Readout growth")
    growth.legend(fontsize="x-small", loc="best")
    return figure
