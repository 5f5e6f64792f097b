"""With what records are made: the libraries, the machine and the device. A change of them is said, never silent."""

from __future__ import annotations

import platform
from importlib.metadata import version

from aelle.config import ConfigError
from aelle.records import ExperimentFolder, RecordsError, read_json, write_json

_LIBRARIES = ("aelle", "torch", "numpy", "safetensors", "pyarrow")


def versions(device: str) -> dict[str, str]:
    """Versions of this process, by name."""
    libraries = {name: version(name) for name in _LIBRARIES}
    return libraries | {"python": platform.python_version(), "machine": platform.machine(), "device": device}


def note_versions(folder: ExperimentFolder, device: str, allow_change: bool) -> list[str]:
    """Write environment.json, keep what it held before under `earlier`, and return a line where that differs.

    Raises:
        ConfigError: where the records were begun with another minor version of torch, by which networks may come
            to other numbers, unless `allow_change`.
    """
    path, now = folder.root / "environment.json", versions(device)
    try:
        before = read_json(path) if path.exists() else {}
    except RecordsError:  # the records carry their versions themselves
        before = {}
    before = before if isinstance(before, dict) else {}
    earlier = before.pop("earlier", [])
    changed = [
        f"{name} {before[name]} → {now[name]}" for name in now if before.get(name, now[name]) != now[name]
    ]
    if _minor(before.get("torch", now["torch"])) != _minor(now["torch"]) and not allow_change:
        raise ConfigError(
            f"{folder.root}: its records were made with torch {before['torch']}, and this is torch {now['torch']}, by "
            f"which the networks left may come to other numbers than they would have; install the former, or go "
            f"on with --allow-other-versions"
        )
    if changed or not before:
        write_json(path, now | ({"earlier": [*earlier, before]} if before else {}))
    return (
        [f"records go on with other versions than they began with: {', '.join(changed)}"] if changed else []
    )


def _minor(found: object) -> list[str]:
    return str(found).split(".")[:2]
