"""Bring spectra that the papers' code left behind to `aelle import`.

    python experiments/paper/published_spectra.py lstm_allLEs.p lstm_allValLoss.p --size 64 --out lstm.npz
    aelle import lstm.npz --unit bits --state hidden --architecture lstm --size 64 --epochs 10 --metric loss --lower-is-better

The code of github.com/shlizee/LyapunovAutoEncode writes tensors with torch.save, which is a pickle. Aelle never
unpickles; this script does, in your own process, with `weights_only=True`, which allows tensors and plain containers and
nothing that runs code. A file that needs more is refused: convert it where you trust it.

Its exponents are in bits per step, of the hidden state alone, in the transposed order that `published_code.py` describes.
"""

from __future__ import annotations

import argparse
import pickle
import sys
from pathlib import Path

import numpy as np
import torch

from aelle.words import first_line


def read(path: Path) -> np.ndarray:
    """The one tensor in a file, as float64.

    Raises:
        ValueError: where there is no such file, or it holds something else than a tensor.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ValueError(f"{path}: holds more than tensors, or is no file of torch.save") from None
    except (OSError, EOFError, RuntimeError) as error:
        raise ValueError(f"{path}: cannot be read: {first_line(error)}") from None
    if not isinstance(found, torch.Tensor):
        raise ValueError(f"{path}: holds {type(found).__name__}, not a tensor")
    return found.double().numpy()


def table(spectra: np.ndarray, losses: np.ndarray, size: int | None) -> dict[str, np.ndarray]:
    """Arrays for `aelle import`: one network per row; `size` keeps the networks' own exponents only.

    The published code stretches spectra of all sizes to the largest by interpolation; such rows are not spectra, and
    without `size` every column is taken for an exponent.

    Raises:
        ValueError: where rows do not agree, or there are fewer columns than units.
    """
    if spectra.ndim != 2:
        raise ValueError(f"spectra must be networks × exponents, got shape {tuple(spectra.shape)}")
    losses = losses.reshape(-1)
    if len(losses) != len(spectra):
        raise ValueError(f"{len(spectra)} spectra and {len(losses)} losses")
    if size is not None and spectra.shape[1] != size:
        raise ValueError(
            f"spectra have {spectra.shape[1]} exponents, not {size}: stretched ones cannot be brought back"
        )
    return {"spectrum": spectra, "final_metric": losses}


def main() -> None:
    """Read two files, write one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("spectra", type=Path, help="networks × exponents, bits per step")
    parser.add_argument("losses", type=Path, help="one per network")
    parser.add_argument("--size", type=int, help="hidden units; refuses spectra of another length")
    parser.add_argument("--out", type=Path, required=True, help="an .npz file")
    options = parser.parse_args()
    print("reading with torch.load(weights_only=True): tensors only, in this process", file=sys.stderr)
    try:
        arrays = table(read(options.spectra), read(options.losses), options.size)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    np.savez(options.out, **arrays)
    print(f"{len(arrays['spectrum'])} networks × {arrays['spectrum'].shape[1]} exponents in {options.out}")


if __name__ == "__main__":
    main()
