"""Lines on a pixel grid, as barriers that a four-connected fill can't cross."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from roadmask.grid import Grid

# Coordinates are rounded to this share of a pixel, so that all else is exact arithmetic:
# with floats, a diagonal through pixel corners now and then skips two rows at once.
STEPS = 1024
# Lines that reach farther than this many pixels are cut, so that products fit 64 bits.
FAR = 2**19
# Segments that are burnt at once: so few that what is computed of each batch takes the place of
# the last one's in memory. New memory for all of them was a fifth of the time.
SEGMENTS = 4096


def burn_lines(geometries: Iterable[BaseGeometry], grid: Grid) -> np.ndarray:
    """Mark the pixels that lines run through.

    Of each segment, one pixel is marked in every column it crosses, or in every row where
    it is steeper than a diagonal: the one under the point where the segment is nearest to
    the middle of that column. So

    - every marked pixel is touched by the line, and every line marks a pixel;
    - the pixels of a line form an eight-connected chain without a gap, which no fill over
      four neighbours crosses;
    - where a line ends on another, between that one's vertices too, their pixels touch.

    GDAL's own burning (`rasterio.features.rasterize`) is gap-free as well, but moves the
    ends of each segment to pixel centres first: 5 % of its pixels are not touched by the
    line, and a line that leaves the grid by more than 2**31 pixels is lost.

    Parameters
    ----------
    geometries
        Lines or multiple lines with finite coordinates in the grid's CRS.
    grid
        Where to burn them. Which pixels are marked does not depend on where it ends.

    Returns
    -------
    numpy.ndarray
        ``(height, width)`` uint8: 1 where a line runs, else 0.
    """
    out = np.zeros(grid.shape, dtype=np.uint8)
    for rows, columns, _, _ in _pixels(geometries, grid):
        out[rows, columns] = 1
    return out


def sides_of_lines(
    geometries: Iterable[BaseGeometry], grid: Grid
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Tell for each pixel that `burn_lines` marks on which side of the line its centre lies.

    Parameters
    ----------
    geometries, grid
        As for `burn_lines`.

    Returns
    -------
    rows, columns, down, right
        ``(n,)`` int32, int32, int8 and int8: a marked pixel, and the step of one pixel up, down,
        left or right to the next one that lies wholly on its centre's side. A pixel that several
        segments run through comes several times.
    """
    found = list(_pixels(geometries, grid))
    rows, columns, down, right = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return rows, columns, down, right


def _pixels(
    geometries: Iterable[BaseGeometry], grid: Grid
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield pixels of the flat segments, then of the steep ones, with their centre's side."""
    starts, ends = _segments(geometries, grid)
    delta = ends - starts
    steep = np.abs(delta[:, 1]) > np.abs(delta[:, 0])
    for one, two in _batches(starts[~steep], ends[~steep]):
        row, column, side = _burn_flat(grid.height, grid.width, one, two)
        yield row, column, side, np.zeros_like(side)
    for one, two in _batches(starts[steep][:, ::-1], ends[steep][:, ::-1]):
        column, row, side = _burn_flat(grid.width, grid.height, one, two)
        yield row, column, np.zeros_like(side), side


def _batches(starts: np.ndarray, ends: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the segments' ends in batches, in order; at least one, which may be empty."""
    for first in range(0, max(len(starts), 1), SEGMENTS):
        yield starts[first : first + SEGMENTS], ends[first : first + SEGMENTS]


def _segments(geometries: Iterable[BaseGeometry], grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return the segments' ends, ``(n, 2)`` int64 each, in steps of a pixel."""
    inverse = ~grid.transform
    matrix = np.array([[inverse.a, inverse.b], [inverse.d, inverse.e]])
    offset = np.array([inverse.c, inverse.f])
    lines = shapely.get_parts(np.array(list(geometries), dtype=object))
    coordinates, index = shapely.get_coordinates(lines, return_index=True)
    coordinates = coordinates @ matrix.T + offset
    far = np.zeros(len(lines), bool)
    far[index[(np.abs(coordinates) > FAR).any(axis=1)]] = True
    if far.any():
        long = shapely.transform(lines[far], lambda xy: xy @ matrix.T + offset)
        cut = shapely.get_coordinates(
            shapely.get_parts(shapely.clip_by_rect(long, -FAR, -FAR, FAR, FAR)), return_index=True
        )
        near = ~far[index]
        coordinates = np.concatenate([coordinates[near], cut[0]])
        index = np.concatenate([index[near], cut[1] + len(lines)])
    steps = np.rint(coordinates * STEPS).astype(np.int64)
    joined = index[1:] == index[:-1]
    return steps[:-1][joined], steps[1:][joined]


def _burn_flat(
    height: int, width: int, starts: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row, column and side of the pixels of segments no steeper than a diagonal."""
    swapped = starts[:, 0] > ends[:, 0]
    u0, v0 = np.where(swapped[:, None], ends, starts).T
    u1, v1 = np.where(swapped[:, None], starts, ends).T
    first = np.maximum(u0 // STEPS, 0)
    count = np.maximum(np.minimum(u1 // STEPS, width - 1) - first + 1, 0)
    segment = np.repeat(np.arange(len(count)), count)
    column = np.arange(len(segment)) - np.repeat(np.cumsum(count) - count, count) + first[segment]
    middle = np.clip(column * STEPS + STEPS // 2, u0[segment], u1[segment])
    run = np.maximum(u1 - u0, 1)[segment]  # 0 for a point, whose rise is 0 as well
    rise = (v1 - v0)[segment]
    row, rest = np.divmod(v0[segment] * run + (middle - u0[segment]) * rise, run * STEPS)
    # The line runs below the centre where more than half of the pixel is above it.
    side = np.where(2 * rest > run * STEPS, -1, 1)
    inside = (row >= 0) & (row < height)
    return (
        row[inside].astype(np.int32),
        column[inside].astype(np.int32),
        side[inside].astype(np.int8),
    )
