"""A scene's picture, its neighbours' beyond its borders, and its mirror image beyond those."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from rasterio.io import DatasetReader

from roadmask.grid import Grid

# Reads a window that may stick out of the raster: (dataset, x, y, width, height) to what
# the network sees, uint8 of (height, width, bands), and where there is a picture, bool of
# (height, width).
ReadInput = Callable[[DatasetReader, int, int, int, int], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Sheet:
    """An open raster and the place of its upper left pixel on the scene's grid."""

    dataset: DatasetReader
    x: int
    y: int


def neighbours_of(
    scene: Grid, others: Sequence[Grid], reach: int
) -> list[tuple[int, tuple[int, int]]]:
    """Find the sheets that a scene's windows can see.

    Parameters
    ----------
    scene
        The scene's grid.
    others
        Grids of other scenes, in order of precedence where they overlap.
    reach
        How far windows look beyond the scene, in pixels.

    Returns
    -------
    list of (int, (int, int))
        Index of the sheet and column and row of its upper left pixel on the scene's grid,
        for each sheet that shares the scene's pixel lattice and lies within reach.
    """
    found = []
    for index, other in enumerate(others):
        if scene.crs is None or other == scene:
            continue
        try:
            x, y = scene.offset_of(other)
        except ValueError:  # another CRS, pixel size or fraction of a pixel: it can't be pasted
            continue
        beside = x >= scene.width + reach or x + other.width <= -reach
        above = y >= scene.height + reach or y + other.height <= -reach
        if not (beside or above):
            found.append((index, (x, y)))
    return found


class Picture:
    """Windows of what the network sees, anywhere on and around a scene.

    A pixel comes from the first of these that has it: the scene, its neighbours in their
    order, the mirror image of the ground at the scene's nearest edge. Where a sheet lies but
    has no data, and where `area` leaves ground out of every sheet, pixels are as the
    network's tiles had them in training, and not valid.

    Parameters
    ----------
    grid
        The scene's grid.
    sheets
        The scene first, then its neighbours.
    read_input
        How a window of a sheet is read.
    bands
        Bands that it gives.
    """

    def __init__(
        self, grid: Grid, sheets: Sequence[Sheet], read_input: ReadInput, bands: int
    ) -> None:
        self._grid, self._sheets = grid, sheets
        self._read_input, self._bands = read_input, bands

    def read(self, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """Read a window, in the scene's pixels, that may stick out of the scene.

        Returns
        -------
        numpy.ndarray
            uint8 of ``(height, width, bands)``.
        numpy.ndarray
            bool of ``(height, width)``: where the scene itself has a picture.
        """
        pixels, own, covered = self._read_sheets(x, y, width, height)
        for down in _pieces(y, height, self._grid.height):
            for across in _pieces(x, width, self._grid.width):
                part = (
                    slice(down[0] - y, down[-1] + 1 - y),
                    slice(across[0] - x, across[-1] + 1 - x),
                )
                self._mirror(pixels[part], covered[part], down, across)
        return pixels, own

    def _mirror(
        self, pixels: np.ndarray, covered: np.ndarray, rows: np.ndarray, columns: np.ndarray
    ) -> None:
        """Fill what no sheet covers of a piece that lies wholly in or out of the scene."""
        rows_inside = mirrored(rows, self._grid.height)
        columns_inside = mirrored(columns, self._grid.width)
        # Beyond a corner, a neighbour's own mirror image goes before the scene's.
        for down, across in (
            (rows_inside, columns),
            (rows, columns_inside),
            (rows_inside, columns_inside),
        ):
            if covered.all():
                return
            if np.array_equal(down, rows) and np.array_equal(across, columns):
                continue
            other, _, there = self._read_crossings(down, across)
            take = there & ~covered
            pixels[take] = other[take]
            covered |= take

    def _read_sheets(
        self, x: int, y: int, width: int, height: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Read a window from the sheets alone.

        Returns the pixels, where the scene has a picture, and where any sheet lies.
        """
        pixels = np.zeros((height, width, self._bands), dtype=np.uint8)
        own = np.zeros((height, width), dtype=bool)
        valid, covered = own.copy(), own.copy()
        for sheet in self._sheets:
            left, top = max(x, sheet.x), max(y, sheet.y)
            right = min(x + width, sheet.x + sheet.dataset.width)
            bottom = min(y + height, sheet.y + sheet.dataset.height)
            if left >= right or top >= bottom:
                continue
            part = (slice(top - y, bottom - y), slice(left - x, right - x))
            if valid[part].all():
                continue
            there, has_picture = self._read_input(
                sheet.dataset, left - sheet.x, top - sheet.y, right - left, bottom - top
            )
            if covered[part].any():
                take = ~covered[part] | (has_picture & ~valid[part])
                pixels[part][take] = there[take]
            else:
                pixels[part] = there
            valid[part] |= has_picture
            covered[part] = True
            if sheet is self._sheets[0]:
                own[part] = has_picture
        return pixels, own, covered

    def _read_crossings(
        self, rows: np.ndarray, columns: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Read the crossings of some rows and columns, in any order and with repeats."""
        y, x = int(rows.min()), int(columns.min())
        arrays = self._read_sheets(x, y, int(columns.max()) - x + 1, int(rows.max()) - y + 1)
        crossings = np.ix_(rows - y, columns - x)
        pixels, own, covered = (array[crossings] for array in arrays)
        return pixels, own, covered


def mirrored(indices: np.ndarray, size: int) -> np.ndarray:
    """Return the indices in ``[0, size)`` that stand in for `indices`.

    The edge pixel itself is not repeated (1 stands for -1), as in NumPy's ``reflect``; far
    out, the image is mirrored again and again.
    """
    if size == 1:
        return np.zeros_like(indices)
    period = 2 * (size - 1)
    folded = np.abs(indices) % period
    inside: np.ndarray = np.minimum(folded, period - folded)
    return inside


def _pieces(start: int, count: int, size: int) -> list[np.ndarray]:
    """Cut the indices ``[start, start + count)`` where they enter and leave ``[0, size)``."""
    borders = (start, *(min(max(edge, start), start + count) for edge in (0, size)), start + count)
    return [np.arange(low, high) for low, high in pairwise(borders) if low < high]
