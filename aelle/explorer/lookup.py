"""What callers name, found in an experiment's data, or one clear line about what there is instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aelle.explorer.data import ExplorerData, open_data
from aelle.explorer.errors import ExplorerError
from aelle.explorer.groups import Group
from aelle.explorer.theme import theme_named


def with_latents(experiment: Any, *columns: str | None) -> ExplorerData:
    """Data that have latents and these columns (ExplorerError where not)."""
    data = open_data(experiment)
    if not data.has_latents:
        raise ExplorerError(f"{data.folder.root}: has no latents yet; run `aelle train {data.folder.root}`")
    unknown = [name for name in columns if name is not None and name not in data.points]
    if unknown:
        raise ExplorerError(f"no column {unknown[0]!r}; there are {', '.join(map(str, data.points.columns))}")
    return data


def require_spectra(data: ExplorerData, epoch: int) -> None:
    """Refuse an epoch without spectra (ExplorerError), naming those with some."""
    known = data.spectrum_epochs
    if epoch not in known:
        raise ExplorerError(f"no spectra at epoch {epoch}; there are some at {listed(known) or 'none'}")


def listed(epochs: Sequence[int]) -> str:
    """Epochs in words: all of a few, first and last of many."""
    return ", ".join(map(str, epochs)) if len(epochs) <= 8 else f"{epochs[0]} to {epochs[-1]}"


def number_of(data: ExplorerData, network: str) -> int:
    """The number of the network with an id (ExplorerError where there is none)."""
    found = data.numbers_of([network])
    if not found:
        raise ExplorerError(f"{data.folder.root}: holds no network {network!r}")
    return found[0]


def groups_named(data: ExplorerData, groups: Mapping[str, Sequence[str]], theme: str) -> list[Group]:
    """Groups of networks by their ids, each with a colour of the theme."""
    colours = theme_named(theme).kinds
    return [
        Group(
            name,
            np.array([number_of(data, member) for member in members], np.int64),
            colours[k % len(colours)],
        )
        for k, (name, members) in enumerate(groups.items())
    ]
