"""Connected pieces of a raster, found by the runs of pixels along its rows.

What lines leave free are long runs, and what is out of the streets' reach is little: there are
a hundred times fewer runs than pixels. To number the pieces of them takes half the time of
OpenCV's and SciPy's labelling, which look at each pixel, on all ground, and a tenth on little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from roadmask.masks.strips import strips


@dataclass(frozen=True)
class Connected:
    """The four-connected pieces of a raster, numbered from 1 in the order of their first pixels.

    Attributes
    ----------
    shape
        Of the raster, ``(h, w)``.
    starts, stops
        ``(n,)`` int64 flat indices of each run's first pixel and of the one after its last, in
        order. No run goes on in the next row.
    numbers
        ``(n,)`` int32: the piece that a run is of.
    count
        Pieces, and one more for all around them, whose number is 0.
    """

    shape: tuple[int, int]
    starts: np.ndarray
    stops: np.ndarray
    numbers: np.ndarray
    count: int

    @classmethod
    def of(cls, filled: np.ndarray) -> Connected:
        """Find the pieces of what is filled in a ``(h, w)`` bool raster."""
        height, width = filled.shape
        cuts = _cuts(filled)
        inside = np.flatnonzero(filled.reshape(-1)[cuts[:-1]])
        starts, stops = cuts[inside], cuts[inside + 1]
        # The runs of the next row that each one touches follow each other.
        first = np.searchsorted(stops, starts + width, side="right")
        links = np.searchsorted(starts, stops + width, side="left") - first
        bounds = np.concatenate([[0], np.cumsum(links)])
        below = np.arange(bounds[-1]) + np.repeat(first - bounds[:-1], links)
        touching = csr_array(
            (np.ones(len(below), np.int8), below.astype(np.int32), bounds.astype(np.int32)),
            shape=(len(starts), len(starts)),
        )
        # SciPy counts components in the order of their first members.
        count, numbers = connected_components(touching, directed=False)
        return cls((height, width), starts, stops, numbers + np.int32(1), count + 1)

    def paint(self, values: np.ndarray) -> np.ndarray:
        """Return a raster ``(h, w)`` of ``(count,)`` values by number: all around, the first."""
        lengths = np.diff(np.stack([self.starts, self.stops], axis=1).reshape(-1), prepend=0)
        lengths = np.append(lengths, self.shape[0] * self.shape[1] - lengths.sum())
        painted = np.full(len(lengths), values[0], values.dtype)
        painted[1::2] = values[self.numbers]
        return np.repeat(painted, lengths).reshape(self.shape)

    def pixels(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the flat indices of all filled pixels, in order, and each one's number."""
        return _indices(self.starts, self.stops), np.repeat(self.numbers, self.stops - self.starts)

    def pixels_of(self, chosen: np.ndarray) -> np.ndarray:
        """Return the flat indices of the pixels of some pieces, told by ``(count,)`` bool."""
        runs = np.flatnonzero(chosen[self.numbers])
        return _indices(self.starts[runs], self.stops[runs])

    def around(self) -> np.ndarray:
        """Return the flat indices of all pixels that are not filled, in order."""
        last = self.shape[0] * self.shape[1]
        return _indices(np.concatenate([[0], self.stops]), np.append(self.starts, last))

    def numbers_at(self, pixels: np.ndarray) -> np.ndarray:
        """Return the numbers of pixels, ``(n,)`` flat indices, all of them filled."""
        return np.asarray(self.numbers[np.searchsorted(self.starts, pixels, side="right") - 1])

    def cut_out(self, number: int, margin: int) -> tuple[tuple[slice, slice], np.ndarray]:
        """Return the window around a piece, within the raster, and where the piece is in it.

        Parameters
        ----------
        number
            The piece.
        margin
            Pixels around it.

        Returns
        -------
        window, filled
            Rows and columns; ``(rows, columns)`` bool.
        """
        height, width = self.shape
        of_piece = np.flatnonzero(self.numbers == number)
        starts, stops = self.starts[of_piece], self.stops[of_piece]
        rows, columns = np.divmod(starts, width)
        top = max(int(rows[0]) - margin, 0)
        bottom = min(int(rows[-1]) + 1 + margin, height)
        left = max(int(columns.min()) - margin, 0)
        right = min(int((stops - rows * width).max()) + margin, width)
        filled = np.zeros((bottom - top, right - left), bool)
        # From the raster's flat indices to the window's.
        shift = (rows - top) * (right - left) - left - rows * width
        filled.reshape(-1)[_indices(starts + shift, stops + shift)] = True
        return (slice(top, bottom), slice(left, right)), filled


def _cuts(filled: np.ndarray) -> np.ndarray:
    """Return the flat indices at which runs of equal pixels start along the rows, and the end."""
    width = filled.shape[1]
    found = []
    # A few rows at a time, for which no new memory is needed each time.
    for rows in strips(filled):
        flat = filled[rows].reshape(-1)
        starts = np.empty(len(flat), bool)
        np.not_equal(flat[1:], flat[:-1], out=starts[1:])
        starts[::width] = True
        found.append(np.flatnonzero(starts) + rows.start * width)
    return np.concatenate([*found, [filled.size]])


def _indices(starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Return all numbers of ranges, one range after the other."""
    lengths = stops - starts
    ends = np.cumsum(lengths)
    return np.asarray(np.arange(lengths.sum()) + np.repeat(starts - (ends - lengths), lengths))
