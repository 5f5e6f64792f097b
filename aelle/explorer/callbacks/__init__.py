"""The page's behaviour: which control changes which view. All figures and numbers are made elsewhere."""

from __future__ import annotations

from dash import Dash

from aelle.explorer.callbacks import latent_map, network, page, parallel, prediction, selection, table, walk
from aelle.explorer.source import Source


def register(app: Dash, source: Source) -> None:
    """Connect the controls and views of `layout` to the data."""
    for part in (page, latent_map, network, selection, parallel, table, prediction, walk):
        part.register(app, source)
