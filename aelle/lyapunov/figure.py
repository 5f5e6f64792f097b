"""The picture of one spectrum: plain data first, then a thin plotly figure."""

from __future__ import annotations

from typing import Any

from aelle.lyapunov.result import LyapunovSpectrum


def spectrum_figure_info(spectrum: LyapunovSpectrum, level: float) -> dict[str, list[float]]:
    """What the figure shows: index, exponent, and the ends of its confidence interval."""
    low, high = spectrum.confidence_interval(level)
    finite = spectrum.exponents.isfinite()
    return {
        "index": [i + 1 for i, shown in enumerate(finite.tolist()) if shown],
        "exponent": spectrum.exponents[finite].tolist(),
        "low": low[finite].tolist(),
        "high": high[finite].tolist(),
    }


def spectrum_figure(spectrum: LyapunovSpectrum, level: float = 0.95) -> Any:
    """Exponents against their index with a confidence band; rounding noise begins right of the dotted line."""
    import plotly.graph_objects as go

    info = spectrum_figure_info(spectrum, level)
    band = {"x": info["index"], "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    figure = go.Figure()
    figure.add_scatter(y=info["high"], showlegend=False, **band)
    figure.add_scatter(y=info["low"], fill="tonexty", name=f"{level:.0%} interval", **band)
    figure.add_scatter(x=info["index"], y=info["exponent"], mode="lines+markers", name="exponent")
    figure.add_hline(y=0, line_width=1, line_color="grey")
    if spectrum.trusted < len(spectrum):
        figure.add_vline(x=spectrum.trusted + 0.5, line_dash="dot")
    figure.update_layout(
        xaxis_title="i", yaxis_title=f"Lyapunov exponent ({spectrum.unit} per step)", template="plotly_white"
    )
    return figure
