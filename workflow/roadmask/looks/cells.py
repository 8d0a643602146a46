"""Cells: what networks for the looks see of a sheet, and the squares that they share out.

A cell is smaller than a car and larger than the grain of asphalt, so that a small network
sees whole streets and learns them within a minute.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.io import DatasetReader
from rasterio.windows import Window

from roadmask.grid import Grid
from roadmask.imagery import Scale, read_network_input

Values = NDArray[np.float32]

# Metres of a cell's edge.
CELL_METRES = 0.6
# Edge of a checkerboard's square in cells. Larger ones see more of the streets that a label leaves
# out, since no piece of them lies beside as a lesson, but teach less variety: as many false alarms.
SQUARE_CELLS = 64
# Of a meridian; only the size of the squares depends on it.
METRES_PER_DEGREE = 111_320.0
# The halves of a checkerboard.
HALVES = ("even", "odd")
# Of the raster of looks, whose probabilities are bytes: no answer.
UNSEEN = 255


@dataclass(frozen=True)
class Part:
    """A rectangle of cells.

    Attributes
    ----------
    row, column
        Its first cell.
    rows, columns
        Its size.
    """

    row: int
    column: int
    rows: int
    columns: int

    @property
    def size(self) -> int:
        """How many cells it has."""
        return self.rows * self.columns


def cell_pixels(pixel_metres: float) -> int:
    """Return how many pixels a cell's edge has."""
    return max(1, round(CELL_METRES / pixel_metres)) if pixel_metres > 0 else 1


def cell_grid(grid: Grid) -> Grid:
    """Return the cells of a sheet as pixels; those at its right and lower edge may stick out."""
    pixels = cell_pixels(grid.ground_sample_distance)
    return Grid(
        math.ceil(grid.width / pixels),
        math.ceil(grid.height / pixels),
        grid.transform @ Affine.scale(pixels),
        grid.crs,
    )


def parts(grid: Grid, edge: int) -> Iterator[Part]:
    """Part a grid of cells into rectangles of nearly one size, none longer than `edge`."""
    tops, lefts = (_starts(side, edge) for side in grid.shape)
    for top, bottom in pairwise(tops):
        for left, right in pairwise(lefts):
            yield Part(top, left, bottom - top, right - left)


def _starts(side: int, edge: int) -> list[int]:
    count = math.ceil(side / edge)
    return [side * number // count for number in range(count + 1)]


def read_cells(
    scene: DatasetReader, part: Part, bands: Sequence[int], scale: Scale | None
) -> tuple[Values, NDArray[np.bool_]]:
    """Read some cells of a sheet.

    Parameters
    ----------
    scene
        Its picture.
    part
        Which cells.
    bands, scale
        1-based numbers of the bands, and their limits or None.

    Returns
    -------
    values : numpy.ndarray
        ``(rows, columns, bands + 1)`` float32: each band's mean and the standard deviation of
        the brightness, in grey values.
    seen : numpy.ndarray
        ``(rows, columns)`` bool: whether there is a picture in the middle of a cell.
    """
    pixels = cell_pixels(Grid.from_dataset(scene).ground_sample_distance)
    window = Window(*(count * pixels for count in (part.column, part.row, part.columns, part.rows)))
    picture, valid = read_network_input(scene, window, bands, scale)
    middle = pixels // 2
    return cell_values(picture, pixels), valid[middle::pixels, middle::pixels]


def cell_values(picture: NDArray[np.uint8], pixels: int) -> Values:
    """Reduce a picture to cells.

    Parameters
    ----------
    picture
        ``(height, width, bands)``; both sides are multiples of `pixels`.
    pixels
        Edge of a cell.

    Returns
    -------
    numpy.ndarray
        As the values of `read_cells`.
    """
    size = picture.shape[1] // pixels, picture.shape[0] // pixels

    def reduced(array: Values) -> Values:
        return np.asarray(cv2.resize(array, size, interpolation=cv2.INTER_AREA))

    values = picture.astype(np.float32)
    bright = values.mean(axis=2)
    bands = [reduced(np.ascontiguousarray(values[..., band])) for band in range(values.shape[2])]
    variance = reduced(bright * bright) - reduced(bright) ** 2
    return np.stack([*bands, np.sqrt(np.maximum(variance, 0))], axis=-1)


def half_of(cells: Grid) -> NDArray[np.uint8]:
    """Tell which half of a checkerboard on the ground each cell lies in.

    Sheets that overlap agree on it, so that no network judges ground that it learned from on
    another sheet.

    Parameters
    ----------
    cells
        The cells, as `cell_grid` returns them or a window of these.

    Returns
    -------
    numpy.ndarray
        ``(rows, columns)`` uint8, number in `HALVES`.
    """
    side = SQUARE_CELLS * CELL_METRES / _unit_metres(cells.crs)
    rows, columns = np.indices(cells.shape) + 0.5
    matrix = cells.transform
    x = matrix.a * columns + matrix.b * rows + matrix.c
    y = matrix.d * columns + matrix.e * rows + matrix.f
    return np.asarray((np.floor(x / side) + np.floor(y / side)) % 2, np.uint8)


def _unit_metres(crs: CRS | None) -> float:
    """Return about how many metres a unit of a CRS has; a pixel is a cell where there is none."""
    if crs is None:
        return CELL_METRES
    return METRES_PER_DEGREE if crs.is_geographic else float(crs.linear_units_factor[1])
