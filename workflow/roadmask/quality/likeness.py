"""How much like road the ground of a sheet looks, by networks that its label did not teach there.

Each cell of the raster was judged by a network that learned from the labels of other ground
(`roadmask.looks`). Where it contradicts a label over a whole stretch, one of both is wrong
("confident learning": Northcutt et al. 2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader

from roadmask.errors import InputError
from roadmask.grid import Grid, Tile
from roadmask.looks.cells import UNSEEN
from roadmask.probability import CERTAIN
from roadmask.quality.blocks import Blocks
from roadmask.quality.misplaced import looks_scores
from roadmask.quality.offset import LAGS, REACH, Correlation
from roadmask.quality.sheet import Label, Sheet
from roadmask.quality.unmapped import along_outlines, continued, lone_streets
from roadmask.raster import read_window
from roadmask.style import UNKNOWN

Values = NDArray[np.float32]

# Cells of a sheet at most, so that memory doesn't grow with its pixels.
MOST_CELLS = 4_000_000
# Pixels of a sheet that are read at a time, in rows.
STRIP = 1024
# No likeness counts as surer than this.
LEAST_LIKENESS = 0.02
# Metres over which the looks are averaged: one car does not make a roof of a street.
SMOOTH_METRES = 1.0


@dataclass(frozen=True)
class Cells:
    """A sheet in cells.

    Attributes
    ----------
    values
        ``(rows, columns)`` float32, how much like road each looks, 0 to 1; NaN where that is
        not known.
    pixels
        Edge of a cell.
    """

    values: Values
    pixels: int


@dataclass(frozen=True)
class Likeness:
    """How much like road a sheet's ground looks.

    Attributes
    ----------
    values
        ``(rows, columns)`` float32, 0 to 1, by cells; NaN without a picture. None where
        nothing is known of the sheet.
    unmapped
        ``(rows, columns)`` bool: other ground that looks like road and goes on from road,
        lies in a strip along it, or is a street that no road leads to.
    pixels
        Edge of a cell.
    """

    values: Values | None
    unmapped: NDArray[np.bool_]
    pixels: int

    def on(self, x: int, y: int, width: int, height: int) -> Values:
        """Return each pixel's value in a window, NaN beyond the scene."""
        like = np.full((height, width), np.nan, np.float32)
        return like if self.values is None else self._spread(self.values, like, x, y)

    def unmapped_on(self, x: int, y: int, size: int) -> NDArray[np.bool_]:
        """Return in a square window where other ground looks like a street."""
        return self._spread(self.unmapped, np.zeros((size, size), bool), x, y)

    def _spread(self, cells: NDArray[Any], window: NDArray[Any], x: int, y: int) -> NDArray[Any]:
        """Write into a window what the cells in it hold."""
        rows = np.arange(y, y + window.shape[0]) // self.pixels
        columns = np.arange(x, x + window.shape[1]) // self.pixels
        down = (rows >= 0) & (rows < cells.shape[0])
        across = (columns >= 0) & (columns < cells.shape[1])
        window[np.ix_(down, across)] = cells[np.ix_(rows[down], columns[across])]
        return window


def read_likeness(sheet: Sheet, looks: DatasetReader, widest: float) -> Likeness:
    """Read how much like road a sheet looks, and where that contradicts its label.

    Parameters
    ----------
    sheet
        The sheet.
    looks
        What the networks say of its cells.
    widest
        Pixels: the width of its widest streets.

    Raises
    ------
    InputError
        If the cells are not those of the sheet.
    """
    cells = read_cells(looks, sheet.grid)
    label = label_of_cells(sheet, cells)
    if not np.isfinite(cells.values).any():
        return Likeness(None, np.zeros(label.shape, bool), cells.pixels)
    metres = cells.pixels * sheet.metres
    smooth = cv2.GaussianBlur(log_odds(cells.values), (0, 0), max(0.5, SMOOTH_METRES / metres))
    return Likeness(
        cells.values,
        continued(smooth, label, metres)
        | along_outlines(smooth, label, metres)
        | lone_streets(smooth, label, metres, widest * sheet.metres),
        cells.pixels,
    )


def read_cells(looks: DatasetReader, grid: Grid) -> Cells:
    """Read a sheet's cells, several as one where there are too many of them.

    Parameters
    ----------
    looks
        Bytes, a pixel a cell: 0 to `CERTAIN` as it looks like road, else `UNSEEN`.
    grid
        The sheet's pixels.

    Raises
    ------
    InputError
        If they are not cells of the sheet.
    """
    pixels = _cell_pixels(looks, grid)
    factor = math.ceil(math.sqrt(looks.width * looks.height / MOST_CELLS))
    rows, columns = (math.ceil(side / factor) for side in (looks.height, looks.width))
    values = np.empty((rows, columns), np.float32)
    strip = max(1, STRIP // (pixels * factor))
    for row in range(0, rows, strip):
        count = min(strip, rows - row)
        window = (0, row * factor, columns * factor, count * factor)
        bytes_ = read_window(looks, *window, fill=UNSEEN)[0]
        parts = bytes_.reshape(count, factor, columns, factor)
        known = parts != UNSEEN
        total = np.where(known, parts, 0).sum(axis=(1, 3), dtype=np.float32)
        number = known.sum(axis=(1, 3))
        mean = total / np.maximum(number, 1) / CERTAIN
        values[row : row + count] = np.where(number > 0, mean, np.nan)
    return Cells(values, pixels * factor)


def _cell_pixels(looks: DatasetReader, grid: Grid) -> int:
    """Return the edge of a cell in pixels of the sheet."""
    cell = ~grid.transform @ looks.transform
    pixels = max(1, round(cell.a))
    shape = tuple(math.ceil(side / pixels) for side in grid.shape)
    placed = cell.almost_equals(cell.scale(pixels), precision=1e-3)
    if looks.dtypes[0] != "uint8" or looks.shape != shape or not placed:
        raise InputError(
            looks.name,
            f"its {looks.width} x {looks.height} cells at {tuple(looks.transform)[:6]} are not "
            f"those of a scene of {grid.width} x {grid.height} pixels at "
            f"{tuple(grid.transform)[:6]}",
            "Remove it and run again",
        )
    return int(pixels)


def label_of_cells(sheet: Sheet, cells: Cells) -> Label:
    """Return the label at the cells' middles, 255 where nothing is known of their looks."""
    label, pixels = np.empty(cells.values.shape, np.uint8), cells.pixels
    rows, columns = cells.values.shape
    strip, middle = max(1, STRIP // pixels), pixels // 2
    for row in range(0, rows, strip):
        count = min(strip, rows - row)
        window = sheet.label(0, row * pixels, columns * pixels, count * pixels)
        label[row : row + count] = window[middle::pixels, middle::pixels]
    return np.where(np.isfinite(cells.values), label, np.uint8(UNKNOWN))


def log_odds(likeness: Values) -> Values:
    """Return logarithms of odds, none of them surer than `LEAST_LIKENESS`, 0 for NaN."""
    bounded = np.clip(np.nan_to_num(likeness, nan=0.5), LEAST_LIKENESS, 1 - LEAST_LIKENESS)
    return np.asarray(np.log(bounded / (1 - bounded)))


@dataclass(frozen=True)
class LooksScores:
    """How a sheet's label lies on what looks like road, block by block.

    Attributes
    ----------
    blocks
        The blocks.
    rows
        Their scores, row by row; None where nothing could be learned.
    """

    blocks: Blocks
    rows: list[list[NDArray[np.float32]]] | None

    def on(self, tile: Tile, margin: float) -> NDArray[np.float32]:
        """Add up the blocks that tell of a tile."""
        total = np.zeros((LAGS, LAGS), np.float32)
        if self.rows is not None:
            for row, column, weight in self.blocks.weights(tile, margin):
                total += np.float32(weight) * self.rows[row][column]
        return total


def correlate_looks(sheet: Sheet, blocks: Blocks, likeness: Likeness) -> LooksScores:
    """Lay the label over what looks like road, block by block."""
    if likeness.values is None:
        return LooksScores(blocks, None)
    size = blocks.size
    wide = size + 2 * REACH

    def scores(x: int, y: int, block: Correlation) -> NDArray[np.float32]:
        # Without outlines, moving the label changes nothing.
        if block.outline == 0:
            return np.zeros((LAGS, LAGS), np.float32)
        like = likeness.on(x - REACH, y - REACH, wide, wide)
        return looks_scores(like, sheet.label(x, y, size, size))

    return LooksScores(
        blocks,
        [
            [scores(column * size, row * size, block) for column, block in enumerate(line)]
            for row, line in enumerate(blocks.rows)
        ],
    )
