"""The state of the page as a link: what is shown and selected, in the address of the page."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any
from urllib.parse import parse_qs, urlencode

import numpy as np

LONGEST_LINK = 6000  # characters; longer addresses are cut by some programs
_FEW = 40  # selections up to this many are written as ids, and survive any change of the records


@dataclass(frozen=True)
class View:
    """What the page shows. `a`, `b` and `focus` are ids of networks; None stands for the page's default."""

    colour: str | None = None
    shape: str | None = None
    size: str | None = None
    method: str | None = None  # pca, umap, or columns
    x: str | None = None  # the columns along the axes, where the method is columns
    y: str | None = None
    log: str | None = None  # which of them by their logarithm: x, y, xy
    dimensions: int | None = None
    epoch: int | None = None
    paths: str | None = None
    tab: str | None = None
    theme: str | None = None
    display: str | None = None  # projector: larger type and lines
    focus: str | None = None
    scale: str | None = None  # of the index of spectra: log
    predictor: str | None = None  # the method of the prediction view
    sort: str | None = None  # the column of the table, with - before it from the largest down
    zoom: str | None = None  # ends of the map's frame: x0,x1,y0,y1
    filters: Mapping[str, list[Any]] = field(default_factory=dict)
    a: Sequence[str] = ()
    b: Sequence[str] = ()


def to_query(view: View, ids: Sequence[str]) -> str:
    """Write a view as the query part of an address; a selection too large for a link is left out.

    `ids` are all networks in the order of their numbers.
    """
    plain = {
        key: value
        for key, value in asdict(view).items()
        if value is not None and key not in ("filters", "a", "b")
    }
    if view.filters:
        plain["filters"] = json.dumps(view.filters, separators=(",", ":"))
    link = urlencode(plain)
    for key, chosen in (("a", view.a), ("b", view.b)):
        if chosen:
            longer = f"{link}&{urlencode({key: _pack(chosen, ids)})}"
            link = longer if len(longer) <= LONGEST_LINK else link
    return link.lstrip("&")


def from_query(query: str, ids: Sequence[str]) -> View:
    """Read a view from the query part of an address; what cannot be read or is unknown is passed over."""
    values = {key: found[-1] for key, found in parse_qs(query.lstrip("?")).items()}
    content: dict[str, Any] = {f.name: values[f.name] for f in fields(View) if f.name in values}
    for key, allowed in _ALLOWED.items():
        if content.get(key) not in allowed:
            content[key] = None
    content["dimensions"] = content["dimensions"] and int(content["dimensions"])
    epoch = str(content.get("epoch", ""))
    content["epoch"] = int(epoch) if epoch.isascii() and epoch.isdigit() and len(epoch) < 10 else None
    content["filters"] = _filters(content.get("filters"))
    if "zoom" in content and zoom_of(content["zoom"]) is None:
        content["zoom"] = None
    for key in ("a", "b"):
        content[key] = _unpack(content.get(key, ""), ids)
    return View(**content)


def zoom_of(text: str | None) -> list[float] | None:
    """The ends of the frame, x0, x1, y0, y1; None where they are none."""
    try:
        ends = [float(end) for end in (text or "").split(",")]
    except ValueError:
        return None
    right = (
        len(ends) == 4 and all(abs(end) < 1e12 for end in ends) and ends[0] < ends[1] and ends[2] < ends[3]
    )
    return ends if right else None


# What is one of few; columns, ids and tabs are looked up where they are used.
_ALLOWED = {
    "method": ("pca", "umap", "columns"),
    "dimensions": ("2", "3"),
    "paths": ("none", "trails", "arrows"),
    "theme": ("light", "dark"),
    "display": ("projector",),
    "scale": ("log",),
}


def _filters(text: str | None) -> dict[str, list[Any]]:
    try:
        found = json.loads(text or "{}", parse_constant=_refuse)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(k): v for k, v in found.items() if isinstance(v, list) and all(_is_plain(e) for e in v)}


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no end of a range")


def _is_plain(end: Any) -> bool:
    return end is None or isinstance(end, str) or (isinstance(end, (int, float)) and abs(end) < 1e300)


def _pack(chosen: Sequence[str], ids: Sequence[str]) -> str:
    """Ids as they are where few; else one bit a network, compressed, with a mark of the whole list."""
    if len(chosen) <= _FEW and not any("," in name for name in chosen):
        return "i:" + ",".join(chosen)
    wanted = set(chosen)
    bits = np.packbits(np.array([name in wanted for name in ids]))
    return f"z:{_mark(ids)}:{base64.urlsafe_b64encode(zlib.compress(bits.tobytes(), 9)).decode('ascii')}"


def _unpack(text: str, ids: Sequence[str]) -> list[str]:
    kind, _, rest = text.partition(":")
    known = set(ids)
    if kind == "i":
        return [name for name in rest.split(",") if name in known]
    mark, _, packed = rest.partition(":")
    if kind != "z" or mark != _mark(ids):
        return []
    try:
        # The list is known, so is the length: a link cannot make the page unpack more than that.
        raw = zlib.decompressobj().decompress(base64.urlsafe_b64decode(packed), (len(ids) + 7) // 8)
    except (ValueError, zlib.error):
        return []
    chosen = np.unpackbits(np.frombuffer(raw, np.uint8))[: len(ids)].astype(bool)
    return [name for name, is_in in zip(ids, chosen, strict=False) if is_in]


def _mark(ids: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:10]
