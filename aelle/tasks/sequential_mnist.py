"""Sequential MNIST: read a handwritten digit row by row or pixel by pixel, then name it (Le et al. 2015)."""

from __future__ import annotations

import gzip
import math
import struct
import zlib

import numpy as np
import torch
from torch import Tensor

from aelle.tasks.data_files import DataFile, locate, read_found
from aelle.tasks.task import Classification, Split, TaskError, split_by_permutation

_HASHES = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
_UNCOMPRESSED_HASHES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
_URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"
_ORDERS = {"rows": (28, 28), "pixels": (784, 1), "permuted": (784, 1)}
_SPLIT_SEED, _PERMUTATION_SEED = 1998, 784


class SequentialMNIST(Classification):
    """Name a digit after 28 rows of 28 pixels, 784 single pixels, or those in a fixed random order.

    Pixels are scaled to [0, 1] and stored as bytes. The files are the four of LeCun, Cortes & Burges (IDX), in the
    data folder under mnist/: compressed (train-images-idx3-ubyte.gz), or not (train-images-idx3-ubyte, also
    spelt train-images.idx3-ubyte). All hold the same, and give the same records.

    Args:
        order: "rows", "pixels" or "permuted" (one permutation of the 784 pixels, the same for every image).
        source: "full", 60,000 training images split 55,000 / 5,000 into train and validation, and the 10,000
            test images; or "test_files", the 10,000 test images alone, split 8,000 / 1,000 / 1,000. It is
            chosen here and not by which files exist, so that equal options mean equal data.
        share: share of the training images that is kept, in (0, 1].
        data_folder: see `aelle.tasks.data_files.locate`.

    Raises:
        TaskError: for a wrong option, or files that are missing, damaged or truncated.
    """

    name = "sequential_mnist"
    output_size = 10

    def __init__(
        self, order: str = "rows", source: str = "full", share: float = 1.0, data_folder: str | None = None
    ) -> None:
        if order not in _ORDERS:
            raise TaskError(f"sequential_mnist: order must be one of {', '.join(_ORDERS)}, got {order!r}")
        if source not in ("full", "test_files"):
            raise TaskError(f"sequential_mnist: source must be full or test_files, got {source!r}")
        if not 0 < share <= 1:
            raise TaskError(f"sequential_mnist: share must be above 0 and at most 1, got {share}")
        self.input_size = _ORDERS[order][1]
        train, self.validation, self.test = (
            Split(_as_sequences(split.inputs, order), split.targets) for split in _splits(source, data_folder)
        )
        kept = max(1, round(share * len(train)))
        self.train = Split(train.inputs[:kept].clone(), train.targets[:kept].clone())

    def encode(self, inputs: Tensor) -> Tensor:
        """Bytes to [0, 1]."""
        return inputs.float() / 255


def _splits(source: str, data_folder: str | None) -> list[Split]:
    if source == "test_files":
        return split_by_permutation(*_images_and_labels("t10k", data_folder), (0.8, 0.1), _SPLIT_SEED)
    try:
        images, labels = _images_and_labels("train", data_folder)
    except TaskError as error:
        raise TaskError(
            f'{error}; the option source = "test_files" does with the test images alone'
        ) from None
    train, validation, _ = split_by_permutation(images, labels, (11 / 12, 1 / 12), _SPLIT_SEED)
    return [train, validation, Split(*_images_and_labels("t10k", data_folder))]


def _images_and_labels(prefix: str, data_folder: str | None) -> tuple[Tensor, Tensor]:
    paths = (
        locate(_data_file(f"{prefix}-{kind}-ubyte"), data_folder) for kind in ("images-idx3", "labels-idx1")
    )
    images, labels = (read_idx(read_found(path), path.name) for path in paths)
    if images.shape[1:] != (28, 28) or labels.dim() != 1:
        raise TaskError(f"{prefix}: expected images of 28 × 28 and one label each, got {tuple(images.shape)}")
    if len(images) != len(labels) or not len(labels) or labels.max() > 9:
        raise TaskError(
            f"{prefix}: expected a label from 0 to 9 for each image, got {len(labels)} labels for {len(images)} images"
        )
    return images, labels.long()


def _data_file(name: str) -> DataFile:
    """A file by its name without .gz, with the other forms in which it is passed on."""
    plain, spelt = f"mnist/{name}", f"mnist/{name.replace('-idx', '.idx')}"
    others = tuple(DataFile(path, _UNCOMPRESSED_HASHES[name]) for path in (plain, spelt))
    return DataFile(f"{plain}.gz", _HASHES[f"{name}.gz"], f"{_URL}{name}.gz", others)


def _as_sequences(images: Tensor, order: str) -> Tensor:
    pixels = images.flatten(1)
    if order == "permuted":
        pixels = pixels[:, torch.randperm(784, generator=torch.Generator().manual_seed(_PERMUTATION_SEED))]
    return pixels.reshape(-1, *_ORDERS[order]).contiguous()


def read_idx(content: bytes, name: str) -> Tensor:
    """Read an IDX file of unsigned bytes, gzipped where its name ends in .gz.

    Its content is the magic number 0x0000 08 dd, dd big-endian sizes, and the data.

    Raises:
        TaskError: where it is no gzip, no such IDX file, or shorter or longer than its header says.
    """
    try:
        raw = gzip.decompress(content) if name.endswith(".gz") else content
    except (OSError, EOFError, zlib.error) as error:
        raise TaskError(f"{name}: not a whole gzip file: {error}") from None
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08" or not 1 <= raw[3] <= 4:
        raise TaskError(f"{name}: not an IDX file of unsigned bytes")
    dimensions = raw[3]
    header = 4 + 4 * dimensions
    if len(raw) < header:
        raise TaskError(f"{name}: truncated inside its header")
    sizes = struct.unpack(f">{dimensions}I", raw[4:header])
    if len(raw) - header != math.prod(sizes):
        raise TaskError(
            f"{name}: holds {len(raw) - header} bytes of data, its header announces {math.prod(sizes)}"
        )
    return torch.from_numpy(np.frombuffer(raw, np.uint8, offset=header).reshape(sizes).copy())
