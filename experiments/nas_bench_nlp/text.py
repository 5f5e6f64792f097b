"""What drives the untrained cells: words of a text, each with an embedding drawn as the runs drew theirs."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import torch
from torch import Tensor

VOCABULARY = 3000
EMBEDDING_BOUND = 0.1
"""Embeddings were drawn from U(±0.1)."""


def default_text() -> Path:
    """War and Peace in the folder of data files.

    Raises:
        ValueError: where no folder is named, or it has no such file.
    """
    folder = os.environ.get("AELLE_DATA")
    path = Path(folder or ".") / "war_and_peace.txt"
    if folder is None or not path.exists():
        raise ValueError("no text: give --text FILE, or a folder with war_and_peace.txt in AELLE_DATA")
    return path


def words_of(path: Path) -> Tensor:
    """Words and marks of a text as numbers: 0 for a rare one, then by how frequent they are."""
    words = re.findall(r"\w+|[^\w\s]", path.read_text(encoding="utf-8").lower())
    number = {word: i for i, (word, _) in enumerate(Counter(words).most_common(VOCABULARY), start=1)}
    return torch.tensor([number.get(word, 0) for word in words])


def sequences(words: Tensor, count: int, length: int, seed: int) -> Tensor:
    """Random stretches (count, length) of the text.

    Raises:
        ValueError: for a text that is shorter than one.
    """
    if len(words) <= length:
        raise ValueError(f"the text has {len(words)} words; {length + 1} or more are needed")
    generator = torch.Generator().manual_seed(seed)
    starts = torch.randint(len(words) - length, (count,), generator=generator)
    return torch.stack([words[start : start + length] for start in starts.tolist()])


def embedding(size: int, drive: float, seed: int) -> Tensor:
    """One vector a word, (VOCABULARY + 1, size), float64, `drive` times as large as the runs' were."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(VOCABULARY + 1, size, generator=generator, dtype=torch.float64)
    return drive * EMBEDDING_BOUND * (2 * drawn - 1)
