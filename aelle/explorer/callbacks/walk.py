"""The latent walk: move a point through the latent space and see the spectrum it stands for."""

from __future__ import annotations

from dash import Dash

from aelle.explorer.source import Source


def register(app: Dash, source: Source) -> None:
    """Connect the latent walk."""
