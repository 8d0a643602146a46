"""How a sheet's label lies on its picture's edges, block by block."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from roadmask.grid import Tile
from roadmask.quality.edges import outline_edges, picture_edges
from roadmask.quality.offset import REACH, Correlation, Offset, correlate, estimate
from roadmask.quality.sheet import Sheet

# Pixels of a block that the label is laid over the picture by, and how many blocks a sheet
# has at most.
BLOCK = 128
MOST_BLOCKS = 4096
# What the blocks around a tile weigh where an offset is looked for there: what is wrong with
# its label goes on in theirs.
AROUND = 0.5


@dataclass(frozen=True)
class Blocks:
    """A sheet's correlations, block by block.

    Attributes
    ----------
    size
        Edge of a block in pixels.
    rows
        The blocks, row by row.
    """

    size: int
    rows: list[list[Correlation]]

    @cached_property
    def offset(self) -> Offset | None:
        """Where the sheet's picture lies, seen from its label."""
        return estimate(self.rows)

    def weights(self, tile: Tile, margin: float = 0.0) -> Iterator[tuple[int, int, float]]:
        """Return row, column and weight of the blocks that tell of a tile.

        Parameters
        ----------
        tile
            The tile.
        margin
            Weight of the blocks around, beside the share of those on it.
        """
        first = [start // self.size for start in (tile.y, tile.x)]
        last = [(start + tile.size - 1) // self.size for start in (tile.y, tile.x)]
        for row in range(max(first[0] - 1, 0), min(last[0] + 2, len(self.rows))):
            for column in range(max(first[1] - 1, 0), min(last[1] + 2, len(self.rows[0]))):
                inside = _overlap(tile.y, tile.size, row, self.size)
                inside *= _overlap(tile.x, tile.size, column, self.size)
                if (weight := max(inside, margin)) > 0:
                    yield row, column, weight

    def on(self, tile: Tile, margin: float = 0.0) -> Correlation:
        """Add up the blocks that tell of a tile."""
        total = Correlation(np.zeros_like(self.rows[0][0].scores), 0.0)
        for row, column, weight in self.weights(tile, margin):
            block = self.rows[row][column]
            total = Correlation(
                total.scores + np.float32(weight) * block.scores,
                total.outline + weight * block.outline,
            )
        return total


def _overlap(start: int, size: int, block: int, block_size: int) -> float:
    """Return the share of a block along one axis that a tile covers."""
    low, high = block * block_size, (block + 1) * block_size
    return max(0, min(high, start + size) - max(low, start)) / block_size


def correlate_blocks(sheet: Sheet) -> Blocks:
    """Lay the label over the picture, block by block."""
    width, height = sheet.grid.width, sheet.grid.height
    size = max(BLOCK, math.ceil(math.sqrt(width * height / MOST_BLOCKS)))
    wide = size + 2 * REACH

    def block(x: int, y: int) -> Correlation:
        label = sheet.label(x - REACH, y - REACH, wide, wide)
        outlines = outline_edges(label)[:, REACH:-REACH, REACH:-REACH]
        if not outlines.any():
            return correlate(np.zeros((2, wide, wide), np.float32), outlines)
        return correlate(picture_edges(*sheet.picture(x - REACH, y - REACH, wide, wide)), outlines)

    return Blocks(
        size, [[block(x, y) for x in range(0, width, size)] for y in range(0, height, size)]
    )
