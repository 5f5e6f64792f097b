"""The latent map as one HTML file that opens offline: plotly, data and style are all inside it."""

from __future__ import annotations

import base64
import html
import json
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from plotly.offline import get_plotlyjs

from aelle.explorer.columns import Column, colour_columns, kind_codes, quantity
from aelle.explorer.data import ExplorerData, load
from aelle.explorer.errors import ExplorerError
from aelle.explorer.figures.colours import STANDOFF_WITH_BAR, kind_colours, quantity_axis
from aelle.explorer.figures.latent_map import MANY, latent_map, latent_map_info
from aelle.explorer.figures.learning_curves import PANELS, curves_layout, places
from aelle.explorer.figures.spectra import epoch_colours, spectrum_layout
from aelle.explorer.filters import filter_mask
from aelle.explorer.projection import Projection, pca
from aelle.explorer.summary import about_network, best_network, experiment_facts, headline_of
from aelle.explorer.theme import THEMES, Theme
from aelle.explorer.view import View, zoom_of
from aelle.records import ExperimentFolder, write_bytes

_SCRIPTS = ("assets/card.js", "page/standalone.js")


def write_html(folder: ExperimentFolder, path: Path) -> None:
    """Write the explorer of an experiment as one file that needs no network and no server.

    It holds the latent map by PCA, coloured by any column, with a slider over epochs; a click on a network
    shows its spectra and its learning curve.

    Raises:
        ExplorerError: where there are no records, or no latents yet.
        RecordsError: where the file cannot be written.
    """
    data = load(folder)
    if not data.has_latents:
        without = f"has no latents yet; run `aelle train {folder.root}` first"
        raise ExplorerError(f"{folder.root}: {data.unreadable[0] if data.unreadable else without}")
    write_bytes(Path(path), page(data).encode())


def page(data: ExplorerData, view: View | None = None, projection: Projection | None = None) -> str:
    """The text of the standalone page, opening as `view` says, with the points placed by `projection` (PCA where None)."""
    parts = files("aelle.explorer")
    content = json.dumps(page_data(data, view, projection), allow_nan=False, separators=(",", ":"))
    return Template((parts / "page" / "standalone.html").read_text("utf-8")).substitute(
        title=html.escape(f"aelle: {data.name}"),
        css=(parts / "assets" / "explorer.css").read_text("utf-8"),
        plotly=_plotly(data),
        # Inside a script element only these characters could end it or open a comment.
        data=content.replace("<", "\\u003c").replace(">", "\\u003e"),
        script="\n".join((parts / name).read_text("utf-8") for name in _SCRIPTS),
    )


def _plotly(data: ExplorerData) -> str:
    """Plotly's basic bundle, a quarter of the whole; points on WebGL, of very many networks, need the whole."""
    if len(data.networks) > MANY:
        return str(get_plotlyjs())
    return (files("aelle.explorer") / "page" / "plotly-basic.min.js").read_text("utf-8")


def page_data(
    data: ExplorerData, view: View | None = None, projection: Projection | None = None
) -> dict[str, Any]:
    """Everything the standalone page shows, as JSON; arrays are base64 of little-endian bytes."""
    projection = projection or pca(data.points[data.latent_columns].to_numpy())
    taken = np.flatnonzero(data.spectra.lengths > 0)
    columns = colour_columns(data.points, data.metric_name)
    records, points, view = data.records, data.points, view or View()
    focus = data.numbers_of([view.focus] if view.focus else [])
    names = [column.name for column in columns]
    hidden = ~filter_mask(points, view.filters)
    coordinates = np.where(hidden[:, None], np.nan, projection.coordinates)
    return {
        "name": data.name,
        "facts": experiment_facts(data) + (f" · {shown:,} shown" if (shown := len(set(points["network"][~hidden]))) < len(data.networks) else ""),
        "headline": headline_of(data),
        "notes": "; ".join(data.unreadable),
        "exponents_title": data.exponents_title,
        "ids": data.networks["network_id"].astype(str).tolist(),
        "about": [about_network(data, network) for network in data.networks.index],
        "epochs": data.point_epochs,
        "many": MANY,
        "start": {
            "network": focus[0] if focus else best_network(data),
            "column": names.index(view.colour) if view.colour in names else 0,
            "place": data.point_epochs.index(view.epoch) if view.epoch in data.point_epochs else 0,
            "zoom": zoom_of(view.zoom),
        },
        "groups": {"group_a": data.numbers_of(view.a), "group_b": data.numbers_of(view.b)},
        "points": {
            "x": _floats(coordinates[:, 0]), "y": _floats(coordinates[:, 1]),
            "network": _integers(points["network"]), "epoch": _integers(points["epoch"]),
        },
        "columns": [_column(data, column) for column in columns],
        "spectra": {
            "network": _integers(records["network"].to_numpy()[taken]),
            "epoch": _integers(records["epoch"].to_numpy()[taken]),
            # Rows without a spectrum have no values, so the offsets of the others stay contiguous.
            "offsets": _integers(np.append(data.spectra.offsets[taken], len(data.spectra.values))),
            "values": _floats(data.spectra.values),
        },
        "curves": {
            "network": _integers(records["network"]), "epoch": _integers(records["epoch"]),
            "metric": _floats(records["val_metric"]), "train_loss": _floats(records["train_loss"]),
            "val_loss": _floats(records["val_loss"]), "exponent": _floats(records["lambda_max"]),
        },
        "title": "Latent map" if projection.rulers is None else "Networks",
        "panels": places(_panels(data)),
        "themes": {
            name: {"ink": theme.ink, "edge": theme.edge, "group_a": theme.group_a, "group_b": theme.group_b,
                   "sequence": epoch_colours(16, theme)}
            for name, theme in THEMES.items()
        },
        "standoff_with_bar": STANDOFF_WITH_BAR,
        "layouts": {name: _layouts(data, projection, theme) for name, theme in THEMES.items()},
    }  # fmt: skip


def _layouts(data: ExplorerData, projection: Projection, theme: Theme) -> dict[str, Any]:
    """The layouts of the three figures without their data; colours of the map are set per column."""
    column = next((c.name for c in colour_columns(data.points) if c.is_kind), "final_metric")
    figure = latent_map(latent_map_info(data, projection, column, hover=False), theme)
    return {
        "map": figure.layout.to_plotly_json(),
        "spectra": spectrum_layout(theme, "", "index i of the exponent"),
        "curves": curves_layout(theme, _panels(data), "", data.metric_name),
    }


def _panels(data: ExplorerData) -> list[str]:
    """Which learning curves any network has."""
    recorded = (("val_metric",), ("train_loss", "val_loss"), ("lambda_max",))
    return [
        name for name, columns in zip(PANELS, recorded, strict=True)
        if np.isfinite(data.records[list(columns)].to_numpy(np.float64)).any()
    ]  # fmt: skip


def _column(data: ExplorerData, column: Column) -> dict[str, Any]:
    values = data.points[column.name]
    content: dict[str, Any] = {
        "label": column.label, "levels": list(column.levels), "logarithmic": column.logarithmic,
        "values": _integers(kind_codes(values, column)) if column.is_kind else _floats(quantity(values, column)),
    }  # fmt: skip
    if column.is_kind:
        content["colours"] = {name: kind_colours(column, theme) for name, theme in THEMES.items()}
    else:
        content["bar"] = {name: quantity_axis(column, theme) for name, theme in THEMES.items()}
    return content


def _floats(values: ArrayLike) -> dict[str, str]:
    return _packed("f4", np.asarray(values, dtype="<f4"))


def _integers(values: ArrayLike) -> dict[str, str]:
    return _packed("i4", np.asarray(values, dtype="<i4"))


def _packed(dtype: str, array: np.ndarray[Any, Any]) -> dict[str, str]:
    return {"dtype": dtype, "bdata": base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")}
