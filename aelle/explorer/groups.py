"""Groups of networks that are shown side by side: selection A, selection B, all the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Group:
    """Some networks, by number, under one name and colour (as #rrggbb)."""

    name: str
    networks: NDArray[np.int64]
    colour: str
