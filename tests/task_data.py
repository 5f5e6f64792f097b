"""Where tests find the real data files: AELLE_DATA, or a shared/data folder beside the checkout."""

import os
from pathlib import Path

import pytest


def data_folder(part: str) -> str:
    """The folder of data files that has `part`; skips the test where there is none."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("AELLE_DATA") or beside)
    if not (folder / part).exists():
        pytest.skip(f"no data folder with {part}: AELLE_DATA is not set to one")
    return str(folder)
