"""Tables looked up for every pixel of a raster, a few rows at a time.

NumPy turns whatever counts pixels into 64 bits before it looks anything up: on 25 Mpx of 32-bit
region numbers, 200 MB for a moment.
"""

from __future__ import annotations

import numpy as np

STRIP = 128


def strips(raster: np.ndarray) -> list[slice]:
    """Return the rows of a raster, ``(h, w)``, a few at a time, from the top."""
    return [slice(top, top + STRIP) for top in range(0, len(raster), STRIP)]


def look_up(values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return ``values[numbers]`` for ``(h, w)`` numbers."""
    found = np.empty(numbers.shape, values.dtype)
    for rows in strips(numbers):
        np.take(values, numbers[rows], out=found[rows], mode="clip")
    return found
