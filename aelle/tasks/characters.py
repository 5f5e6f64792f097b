"""CharRNN: predict the next character of a text (Karpathy 2015; the task of Vogt et al. 2022)."""

from __future__ import annotations

import functools
import itertools
import sysconfig
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from aelle.tasks.data_files import DataFile, read_bytes
from aelle.tasks.task import Split, Task, TaskError

WAR_AND_PEACE = DataFile(
    "war_and_peace.txt",
    "eaecfcb30408e2bc35ffe69b297127e3a6ca75548c033df4d2e703b5ff711f8d",
    "https://raw.githubusercontent.com/shlizee/LyapunovAutoEncode/"
    "4690469e12d445d00a850113dea617c02d812fe0/CharRNN/data/input.txt",
)
_DRAW_SEED = 1869


class Characters(Task):
    """Predict each next character of a text from all before it in its sequence.

    The text is split 80 / 10 / 10 in its own order, each part is cut into consecutive sequences of `length`
    characters, and the target of a step is the character after it. The alphabet is every distinct character
    of the text, sorted by code point; inputs are one-hot. Loss and metric are the mean cross-entropy over
    all steps, in nats per character: the "validation loss" that the papers predict.

    Args:
        text: "python", the sources of the running interpreter's standard library (another text with every
            version of Python); "war_and_peace", the papers' text of 82 symbols; or the path of a UTF-8 text
            file, looked for in the data folder unless absolute.
        length: steps of a sequence; the papers take 100.
        share: share of each part's sequences that is kept, in (0, 1]: one fixed draw, the same for every
            network. The papers keep 0.2, another draw for each network.
        data_folder: where the text lies; see `aelle.tasks.data_files.locate`.

    Raises:
        TaskError: for a text that cannot be had or is too short, or a wrong option.
    """

    name = "characters"
    metric_name = "cross_entropy"
    higher_is_better = False

    def __init__(
        self, text: str = "python", length: int = 100, share: float = 1.0, data_folder: str | None = None
    ) -> None:
        if length < 1 or not 0 < share <= 1:
            raise TaskError("characters: length must be at least 1, and share above 0 and at most 1")
        content = _read(text, data_folder)
        self.alphabet = "".join(sorted(set(content)))
        self.input_size = self.output_size = len(self.alphabet)
        symbols = _symbols(content, self.alphabet)
        ends = [0, int(0.8 * len(symbols)), int(0.9 * len(symbols)), len(symbols)]
        parts = [symbols[start:end] for start, end in itertools.pairwise(ends)]
        if any(len(part) <= length for part in parts):
            raise TaskError(
                f"characters: the text has {len(symbols)} characters, too few for sequences of {length} "
                f"in each of train, validation and test"
            )
        self.train, self.validation, self.test = (_cut(part, length, share) for part in parts)

    def encode(self, inputs: Tensor) -> Tensor:
        """One-hot characters."""
        return nn.functional.one_hot(inputs.long(), self.input_size).float()

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy over all steps, nats per character."""
        return nn.functional.cross_entropy(outputs.flatten(0, 1), targets.flatten().long())

    def metric(self, outputs: Tensor, targets: Tensor) -> float:
        """The same as the loss."""
        return self.loss(outputs, targets).item()


def _read(text: str, data_folder: str | None) -> str:
    if text == "python":
        return _python_sources()
    file = WAR_AND_PEACE if text == "war_and_peace" else DataFile(text)
    # Joined to a folder, an absolute path stays what it is: such a text needs no data folder.
    folder = str(Path(text).parent) if Path(text).is_absolute() else data_folder
    try:
        return read_bytes(file, folder).decode("utf-8")
    except UnicodeDecodeError as error:
        raise TaskError(
            f"characters: {text} is not UTF-8 text: {error.reason} at byte {error.start}"
        ) from None


@functools.cache
def _python_sources() -> str:
    """Top-level modules of the standard library that are pure ASCII, in the order of their names."""
    folder = Path(sysconfig.get_path("stdlib"))
    contents = [path.read_bytes() for path in sorted(folder.glob("*.py"))]
    return b"".join(content for content in contents if content.isascii()).decode("ascii")


def _symbols(content: str, alphabet: str) -> Tensor:
    """Index of every character in the sorted alphabet, in the narrowest type: it travels to every worker."""
    points = np.frombuffer(content.encode("utf-32-le"), dtype=np.uint32)
    known = np.array([ord(character) for character in alphabet], dtype=np.uint32)
    index = np.searchsorted(known, points)
    return torch.from_numpy(index.astype(np.uint8 if len(alphabet) <= 256 else np.int32))


def _cut(symbols: Tensor, length: int, share: float) -> Split:
    """Consecutive sequences and their next characters; the last incomplete one is dropped."""
    count = (len(symbols) - 1) // length
    inputs = symbols[: count * length].view(count, length)
    targets = symbols[1 : count * length + 1].view(count, length)
    kept = torch.randperm(count, generator=torch.Generator().manual_seed(_DRAW_SEED))
    kept = kept[: max(1, round(share * count))].sort().values
    return Split(inputs[kept], targets[kept])
