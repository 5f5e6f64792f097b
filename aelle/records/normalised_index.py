"""The normalised index: where the exponents of a spectrum stand on [0, 1], whatever the size of its network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def normalised_index(count: int) -> NDArray[np.float64]:
    """Return the places of `count` exponents on [0, 1], (i + ½)/count for i = 0 … count - 1.

    Each exponent stands in the middle of its own share, so that spectra of networks of any size lie over the same
    range, and neither end belongs to one exponent more than the other places do.
    """
    return (np.arange(count) + 0.5) / count


def resample_rows(values: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Interpolate rows of n values (rows, n) linearly at the normalised index of `length` values: (rows, length).

    Beyond the first and last value theirs is taken. Between two values of which one is not finite the result is not
    finite either; exactly on a value, its neighbour has no say.
    """
    n = values.shape[1]
    place = np.clip(normalised_index(length) * n - 0.5, 0, n - 1)
    lower = np.floor(place).astype(int)
    upper = np.where(place > lower, np.minimum(lower + 1, n - 1), lower)  # 0 · NaN would be NaN
    with np.errstate(invalid="ignore"):  # inf - inf is NaN, which means "not recorded"
        resampled: NDArray[np.float64] = values[:, lower] + (place - lower) * (
            values[:, upper] - values[:, lower]
        )
    return resampled
