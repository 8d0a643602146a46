"""Lines on a pixel grid, as barriers that a four-connected fill can't cross."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from roadmask.grid import Grid

# Columns and rows of where segments start, then of where they end: ``(n,)`` int64 each.
Segments = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

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
    x0, y0, x1, y1 = _segments(geometries, grid)
    steep = np.abs(y1 - y0) > np.abs(x1 - x0)
    for segments in _batches(np.flatnonzero(~steep), (x0, y0, x1, y1)):
        row, column, side = _burn_flat(grid.height, grid.width, *segments)
        yield row, column, side, np.zeros_like(side)
    for segments in _batches(np.flatnonzero(steep), (y0, x0, y1, x1)):
        column, row, side = _burn_flat(grid.width, grid.height, *segments)
        yield row, column, np.zeros_like(side), side


def _batches(chosen: np.ndarray, segments: Segments) -> Iterator[Segments]:
    """Yield the chosen segments in batches, in order; at least one, which may be empty."""
    u0, v0, u1, v1 = segments
    for first in range(0, max(len(chosen), 1), SEGMENTS):
        batch = chosen[first : first + SEGMENTS]
        yield u0[batch], v0[batch], u1[batch], v1[batch]


def _segments(geometries: Iterable[BaseGeometry], grid: Grid) -> Segments:
    """Return where segments start and end, in steps of a pixel.

    Column by column and without a product of matrices: two numbers a row are too few for NumPy's
    loops, and BLAS wakes its threads for them. Both took more time than all the rest here.
    """
    inverse = ~grid.transform

    def to_pixels(xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = xy[:, 0], xy[:, 1]
        return (
            x * inverse.a + y * inverse.b + inverse.c,
            x * inverse.d + y * inverse.e + inverse.f,
        )

    lines = shapely.get_parts(np.array(list(geometries), dtype=object))
    coordinates, index = shapely.get_coordinates(lines, return_index=True)
    x, y = to_pixels(coordinates)
    far_off = (np.abs(x) > FAR) | (np.abs(y) > FAR)
    if far_off.any():
        far = np.zeros(len(lines), bool)
        far[index[far_off]] = True
        long = shapely.transform(lines[far], lambda xy: np.stack(to_pixels(xy), axis=1))
        cut = shapely.get_coordinates(
            shapely.get_parts(shapely.clip_by_rect(long, -FAR, -FAR, FAR, FAR)), return_index=True
        )
        near = ~far[index]
        x, y = (np.concatenate([a[near], b]) for a, b in zip((x, y), cut[0].T, strict=True))
        index = np.concatenate([index[near], cut[1] + len(lines)])
    x, y = (np.rint(a * STEPS).astype(np.int64) for a in (x, y))
    start = np.flatnonzero(index[1:] == index[:-1])
    return x[start], y[start], x[start + 1], y[start + 1]


def _burn_flat(
    height: int, width: int, u0: np.ndarray, v0: np.ndarray, u1: np.ndarray, v1: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row, column and side of the pixels of segments no steeper than a diagonal."""
    swapped = u0 > u1
    u0, u1 = np.where(swapped, u1, u0), np.where(swapped, u0, u1)
    v0, v1 = np.where(swapped, v1, v0), np.where(swapped, v0, v1)
    first = np.maximum(u0 // STEPS, 0)
    count = np.maximum(np.minimum(u1 // STEPS, width - 1) - first + 1, 0)
    run = np.maximum(u1 - u0, 1)  # 0 for a point, whose rise is 0 as well
    segment = np.repeat(np.arange(len(count)), count)
    column = np.arange(len(segment)) + (first - (np.cumsum(count) - count))[segment]
    u0, u1, v0, rise, run = (a[segment] for a in (u0, u1, v0, v1 - v0, run))
    middle = np.clip(column * STEPS + STEPS // 2, u0, u1)
    row, rest = np.divmod(v0 * run + (middle - u0) * rise, run * STEPS)
    # The line runs below the centre where more than half of the pixel is above it.
    side = np.where(2 * rest > run * STEPS, -1, 1)
    inside = (row >= 0) & (row < height)
    return (
        row[inside].astype(np.int32),
        column[inside].astype(np.int32),
        side[inside].astype(np.int8),
    )
