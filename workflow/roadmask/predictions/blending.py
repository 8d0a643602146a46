"""Joining the windows' probabilities into rows of a scene, and turning them into bytes."""

from __future__ import annotations

import numpy as np

from roadmask.predictions.lattice import Span
from roadmask.probability import CERTAIN

NODATA = 255
# The tag that says what the bytes of a probability raster mean.
SCALE_TAG = "ROADMASK_SCALE"


class RowBlender:
    """Adds up weighted windows and hands out the rows that no later window changes.

    Holds one strip: the rows of one row of windows, over the scene's width.

    Parameters
    ----------
    width, height
        The scene's size in pixels.
    outputs
        Probabilities a pixel.
    rows
        The scene's windows along the rows, from the top.
    """

    def __init__(self, width: int, height: int, outputs: int, rows: list[Span]) -> None:
        self._width, self._height = width, height
        self._rows = rows
        deepest = max(row.stop - row.first for row in rows)
        self._strip = np.zeros((deepest, width, outputs), dtype=np.float32)
        self._top = 0

    def add(self, row: int, column: Span, probabilities: np.ndarray) -> None:
        """Add one window.

        Parameters
        ----------
        row
            Index of its row of windows; rows come from the top down.
        column
            Where it lies along the columns.
        probabilities
            float32 of ``(window, window, outputs)``.
        """
        span = self._rows[row]
        top, bottom = max(span.first, 0), min(span.stop, self._height)
        left, right = max(column.first, 0), min(column.stop, self._width)
        part = probabilities[
            top - span.start : bottom - span.start, left - column.start : right - column.start
        ]
        down = span.weights[top - span.first : bottom - span.first]
        across = column.weights[left - column.first : right - column.first]
        weights = down[:, np.newaxis] * across
        self._strip[top - self._top : bottom - self._top, left:right] += (
            part * weights[:, :, np.newaxis]
        )

    def finish(self, row: int) -> tuple[int, np.ndarray]:
        """Take out the rows that are complete once a row of windows was added.

        Returns
        -------
        int
            The scene's row of the first of them.
        numpy.ndarray
            float32 of ``(rows, width, outputs)``.
        """
        last = row == len(self._rows) - 1
        stop = self._height if last else min(max(self._rows[row + 1].first, 0), self._height)
        count = stop - self._top
        done = self._strip[:count].copy()
        kept = len(self._strip) - count
        self._strip[:kept] = self._strip[count:].copy()
        self._strip[kept:] = 0
        first, self._top = self._top, stop
        return first, done


def probability_bytes(probabilities: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Turn probabilities into what the probability raster holds.

    Parameters
    ----------
    probabilities
        float32 of ``(rows, columns, outputs)`` in [0, 1].
    valid
        Where the picture has pixels, bool of ``(rows, columns)``.

    Returns
    -------
    numpy.ndarray
        uint8 of ``(outputs, rows, columns)``: the nearest of 0 to 254, halves upwards; 255
        where there is no picture.
    """
    steps = np.float32(CERTAIN)
    scaled = np.floor(probabilities * steps + np.float32(0.5))
    values = np.clip(scaled, 0, CERTAIN).astype(np.uint8)
    values[~valid] = NODATA
    return np.ascontiguousarray(values.transpose(2, 0, 1))


def classes_of(probabilities: np.ndarray, threshold: float | None) -> np.ndarray:
    """Decide each pixel's class from the bytes of the probability raster.

    So a user gets the class raster from the probability raster exactly, and another
    threshold without predicting again.

    Parameters
    ----------
    probabilities
        uint8 of ``(outputs, rows, columns)``, see `probability_bytes`.
    threshold
        Of a single output: the class where the byte over 254 is at least this. With None,
        the class is the band of the highest byte, the first among equals.

    Returns
    -------
    numpy.ndarray
        uint8 of ``(rows, columns)``: class indices, 255 where there is no picture.
    """
    if threshold is not None:
        road = probabilities[0] >= lowest_byte(threshold)
        classes: np.ndarray = road.astype(np.uint8)
    else:
        classes = np.argmax(probabilities, axis=0).astype(np.uint8)
    classes[probabilities[0] == NODATA] = NODATA
    return classes


def lowest_byte(threshold: float) -> int:
    """Return the smallest byte of a probability raster that counts as the class."""
    # 0.5 * 254 is exactly 127, but 0.1 * 254 isn't 25.4: a tiny slack keeps whole numbers.
    return int(np.ceil(threshold * CERTAIN - 1e-9))
