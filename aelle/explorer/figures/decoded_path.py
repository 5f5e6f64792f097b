"""Spectra decoded along the straight way between two places of the latent space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from aelle.explorer.data import ExplorerData
from aelle.explorer.decoder import Decoder
from aelle.explorer.errors import ExplorerError
from aelle.explorer.figures.spectra import NORMALISED_INDEX, epoch_colours, spectrum_layout
from aelle.explorer.theme import LIGHT, Theme, as_text
from aelle.records import normalised_index


@dataclass(frozen=True)
class DecodedPath:
    """Decoded exponents (steps, length) over the normalised index, and the metric the head predicts there."""

    share: NDArray[np.float64]  # of the way, 0 to 1
    index: NDArray[np.float64]
    exponents: NDArray[np.float64]
    predicted: NDArray[np.float64]
    metric_name: str


def decoded_path_info(
    data: ExplorerData, decoder: Decoder, start: list[int], end: list[int], epoch: int, steps: int = 5
) -> DecodedPath:
    """Decode points between the mean latent of the networks `start` and that of `end` at one epoch.

    Raises:
        ExplorerError: where one of the groups has no latent at that epoch.
    """
    points = data.points[data.points["epoch"] == epoch].set_index("network")[data.latent_columns]
    ends = []
    for networks in (start, end):
        known = points[points.index.isin(networks)]
        if known.empty:
            raise ExplorerError(f"none of these networks has a latent at epoch {epoch}")
        ends.append(known.to_numpy(float).mean(axis=0))
    share = np.linspace(0, 1, steps)
    latents = (1 - share)[:, None] * ends[0] + share[:, None] * ends[1]
    exponents = decoder.spectra(latents, epoch)
    index = normalised_index(exponents.shape[1])
    return DecodedPath(share, index, exponents, decoder.predicted(latents, epoch), data.metric_name)


def decoded_path(
    info: DecodedPath, theme: Theme = LIGHT, *, title: str = "", axis_title: str = NORMALISED_INDEX
) -> go.Figure:
    """Draw the decoded spectra, from dark (start) to bright (end)."""
    figure = go.Figure(layout=spectrum_layout(theme, title, axis_title))
    colours = epoch_colours(len(info.share), theme)
    for share, values, predicted, colour in zip(
        info.share, info.exponents, info.predicted, colours, strict=True
    ):
        figure.add_scatter(
            x=info.index, y=values, mode="lines", line={"color": colour, "width": 2.5},
            name=f"{share:.0%} of the way: {predicted:.2f}", hovertemplate="%{y:.4f}",
        )  # fmt: skip
    words = as_text(f"predicted {info.metric_name}")
    legend = {"title": {"text": words, "font": {"size": 12, "color": theme.muted}}, "orientation": "v",
              "x": 1.02, "xanchor": "left", "y": 1, "yanchor": "top"}  # fmt: skip
    return figure.update_layout(legend=legend)
