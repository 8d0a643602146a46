"""What a label says on both sides of the map's lines.

A street line is the edge of the pavement: road lies on one of its sides. Where it lies on
neither, a road is missing; where on both, ground has leaked in, or an island is lost. Along a
centerline the label keeps its width from crossing to crossing; where it jumps, it has leaked
through a gap or lost a side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from shapely.geometry.base import BaseGeometry

from roadmask.style import UNKNOWN

Points = NDArray[np.float64]

# Metres between two places along a line.
SPACING = 2.0
# Metres (and pixels at least) from a street line to the ground of its sides.
ASIDE, LEAST_ASIDE = 1.0, 3.0
# Metres to either side over which a label's width is measured.
REACH = 30.0
# Pixels at most, so that a window's margin stays small.
MOST_REACH = 256
# Metres from a centerline's ends within which crossings widen the road.
CROSSING = 15.0
# Metres around a crossing of two levels within which lines and widths tell nothing.
LEVELS = 30.0
# Places that a street's own width is agreed on by, at least.
LEAST_PLACES = 5
# Shares by which a width may differ from the street's own without being a jump.
SLACK = 0.2


@dataclass(frozen=True)
class Places:
    """Places along lines, evenly spaced.

    Attributes
    ----------
    xy
        ``(n, 2)`` float64, columns and rows.
    normal
        ``(n, 2)`` float64, unit vectors across the line, in pixels.
    line
        ``(n,)`` int64: the line's number.
    to_end
        ``(n,)`` float64 pixels along the line to its nearer end.
    """

    xy: Points
    normal: Points
    line: NDArray[np.int64]
    to_end: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.xy)

    def inside(self, x: float, y: float, size: float) -> NDArray[np.bool_]:
        """Tell which places lie in a square window."""
        column, row = self.xy.T
        return np.asarray((column >= x) & (column < x + size) & (row >= y) & (row < y + size))


def place(lines: Sequence[BaseGeometry] | NDArray[np.object_], spacing: float) -> Places:
    """Lay places along lines.

    Parameters
    ----------
    lines
        Lines or multiple lines in pixels.
    spacing
        Pixels from one place to the next.
    """
    parts, owner = shapely.get_parts(np.asarray(lines, dtype=object), return_index=True)
    size = shapely.length(parts)
    counts = np.floor(size / spacing).astype(np.int64)
    index = np.repeat(np.arange(len(parts)), counts)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    along = (np.arange(len(index)) - first + 0.5) * (size / np.maximum(counts, 1))[index]
    half = np.minimum(spacing / 2, size[index] / 2)
    ahead = shapely.line_interpolate_point(parts[index], np.minimum(along + half, size[index]))
    behind = shapely.line_interpolate_point(parts[index], np.maximum(along - half, 0))
    heading = shapely.get_coordinates(ahead) - shapely.get_coordinates(behind)
    # Where a line turns back on itself, any direction will do.
    turned = (np.hypot(*heading.T) < 1e-9)[:, np.newaxis]
    heading = np.where(turned, (1.0, 0.0), heading)
    heading /= np.hypot(*heading.T)[:, np.newaxis]
    middle = shapely.line_interpolate_point(parts[index], along)
    return Places(
        shapely.get_coordinates(middle).reshape(-1, 2),
        np.stack([-heading[:, 1], heading[:, 0]], axis=1),
        owner[index],
        np.minimum(along, size[index] - along),
    )


def away_from_crossings(
    places: Places, lines: Sequence[BaseGeometry] | NDArray[np.object_], reach: float
) -> NDArray[np.bool_]:
    """Tell which places lie away from where lines cross each other.

    Lines that meet on one level end there. Those that cross lie above each other: there the
    road of one goes on under the lines of the other.

    Parameters
    ----------
    places
        Along any lines.
    lines
        Lines in pixels.
    reach
        Pixels.

    Returns
    -------
    numpy.ndarray
        ``(n,)`` bool.
    """
    parts = shapely.get_parts(np.asarray(lines, dtype=object))
    one, two = shapely.STRtree(parts).query(parts, predicate="crosses")
    twice = one < two
    points = shapely.get_coordinates(shapely.intersection(parts[one[twice]], parts[two[twice]]))
    if len(points) == 0 or len(places) == 0:
        return np.ones(len(places), dtype=bool)
    distance, _ = cKDTree(points).query(places.xy, distance_upper_bound=reach)
    return np.asarray(np.isinf(distance))


@dataclass(frozen=True)
class LabelWindow:
    """A part of a label.

    Attributes
    ----------
    label
        ``(height, width)`` uint8.
    x, y
        The scene's column and row at its upper left corner.
    """

    label: NDArray[np.uint8]
    x: int
    y: int

    def at(self, xy: Points) -> NDArray[np.uint8]:
        """Return the label at ``(..., 2)`` columns and rows of the scene, 255 beyond it."""
        column = np.floor(xy[..., 0]).astype(np.int64) - self.x
        row = np.floor(xy[..., 1]).astype(np.int64) - self.y
        height, width = self.label.shape
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        found = self.label[np.where(inside, row, 0), np.where(inside, column, 0)]
        return np.where(inside, found, np.uint8(UNKNOWN))


def sides(window: LabelWindow, places: Places, aside: float) -> tuple[NDArray[np.int64], int]:
    """Count the places along street lines by how many of their sides are road.

    Parameters
    ----------
    window
        The label.
    places
        Along street lines.
    aside
        Pixels from the line to the ground of a side.

    Returns
    -------
    counts : numpy.ndarray
        ``(3,)``: with road on neither side, on one, on both.
    unknown : int
        Places with a side that is not known; these are not in the counts.
    """
    both = [window.at(places.xy + sign * aside * places.normal) for sign in (1, -1)]
    known = (both[0] != UNKNOWN) & (both[1] != UNKNOWN)
    roads = (both[0] > 0).astype(np.int64) + (both[1] > 0)
    return np.bincount(roads[known], minlength=3), int((~known).sum())


def widths(window: LabelWindow, places: Places, reach: int) -> NDArray[np.float64]:
    """Measure how wide the road is in the label, across each place of a centerline.

    Parameters
    ----------
    window
        The label, with a margin of `reach` where the scene has one.
    places
        Along centerlines.
    reach
        Pixels to look to either side.

    Returns
    -------
    numpy.ndarray
        ``(n,)`` pixels; 0 where the place itself is no road, NaN where the label is not
        known across it, inf where it is road as far as is looked.
    """
    if len(places) == 0:
        return np.zeros(0)
    steps = np.arange(reach + 1, dtype=np.float64)
    total = np.zeros(len(places))
    for sign in (1.0, -1.0):
        rays = places.xy[:, None] + sign * steps[None, :, None] * places.normal[:, None]
        found = window.at(rays)
        beyond = (found == 0) | (found == UNKNOWN)
        first = beyond.argmax(axis=1)
        stopped = beyond[np.arange(len(first)), first]
        by_other = found[np.arange(len(first)), first] == 0
        end = np.where(by_other, np.maximum(first - 0.5, 0), np.nan)
        total += np.where(stopped, end, np.inf)
    start = window.at(places.xy)
    return np.where(start == UNKNOWN, np.nan, np.where(start == 0, 0.0, total))


@dataclass(frozen=True)
class Steadiness:
    """How a label's width behaves along the streets.

    Attributes
    ----------
    jump
        ``(n,)`` pixels at each place by which its width differs from the street's own, past
        the slack; 0 near crossings and where nothing is known.
    own
        ``(lines,)`` pixels: each street's own width, NaN where too little of it is seen.
    """

    jump: NDArray[np.float64]
    own: NDArray[np.float64]


def steadiness(
    places: Places,
    measured: NDArray[np.float64],
    count: int,
    between: NDArray[np.bool_],
    reach: float,
) -> Steadiness:
    """Compare the width at each place with that of its street.

    Parameters
    ----------
    places
        Along all centerlines of a sheet.
    measured
        ``(n,)`` pixels, as `widths` returns them.
    count
        Number of centerlines.
    between
        ``(n,)`` bool: places that belong to no crossing.
    reach
        Pixels looked at on either side: the width of what has no end within it.
    """
    known = between & np.isfinite(measured) & (measured > 0)
    own = np.full(count, np.nan)
    order = np.argsort(places.line[known], kind="stable")
    line, width = places.line[known][order], measured[known][order]
    numbers, start, places_of = np.unique(line, return_index=True, return_counts=True)
    for number, first, length in zip(numbers, start, places_of, strict=True):
        if length >= LEAST_PLACES:
            own[number] = np.median(width[first : first + length])
    street = own[places.line]
    # A road without an end in reach is as wide as can be seen.
    seen = np.minimum(measured, 2 * reach)
    jump = np.maximum(np.abs(seen - street) - SLACK * street, 0)
    return Steadiness(np.where(between & np.isfinite(jump), jump, 0.0), own)
