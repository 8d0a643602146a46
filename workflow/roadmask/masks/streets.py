"""Street centerlines as stations that know how far the street lines are on either side."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from scipy.spatial import cKDTree
from shapely.geometry.base import BaseGeometry

# Metres between two stations. Streets change their width over several car lengths.
SPACING = 3.0
# Half the chord along which a station takes its direction: longer than the steps of
# centerlines that were traced from rasters.
DIRECTION_REACH = 3.0
# Metres of street on either side over which a station's width is agreed on: longer than
# the gaps in a line, shorter than a block.
WINDOW = 30.0
# A wall runs along the street if its distance changes by less than this from station to
# station, per metre: corners and crossing streets change faster.
PARALLEL_SLOPE = 0.25
# Share of the stations in a window that must see a wall along the street.
SUPPORT = 0.25
# Metres: no carriageway is narrower, what is may be a median.
NARROWEST = 4.5
# Centerlines whose ends lie within this many metres meet there.
SNAP = 1.0
# Metres within which most streets have their edges.
NEAR = 15.0
# Cosine of the angle up to which one centerline continues another.
STRAIGHT = 0.87
# Pixels to the edge of the blocks by which is told what lies near what.
BLOCK = 16
# Cosine of the angle up to which, either way, one crosses another.
ACROSS = 0.7
# Square metres: cross products of ways and walls whose sign rounding may have turned are smaller.
UNSURE = 1e-6


@dataclass(frozen=True)
class Frame:
    """The metric frame of a grid: metres to the right and down from its upper left corner.

    Attributes
    ----------
    pixel
        Ground size of a pixel in metres, along columns and rows.
    """

    pixel: tuple[float, float]

    def to_pixels(self, xy: np.ndarray) -> np.ndarray:
        """Turn ``(..., 2)`` metres into columns and rows of pixel corners."""
        return np.asarray(xy / np.asarray(self.pixel))


@dataclass(frozen=True)
class Walls:
    """Street lines as straight segments in a frame.

    Attributes
    ----------
    starts, ends
        ``(n, 2)`` float64, metres.
    owner
        ``(n,)`` int64: which of the given line strings a segment is of.
    tree
        Index of the segments.
    """

    starts: np.ndarray
    ends: np.ndarray
    owner: np.ndarray
    tree: shapely.STRtree

    @classmethod
    def from_lines(cls, lines: Sequence[BaseGeometry] | np.ndarray) -> Walls:
        """Take lines or outlines of polygons apart into segments."""
        parts = shapely.get_parts(np.asarray(lines, dtype=object))
        coordinates, owner = shapely.get_coordinates(parts, return_index=True)
        same = owner[1:] == owner[:-1]
        starts, ends = coordinates[:-1][same], coordinates[1:][same]
        segments = np.asarray(shapely.linestrings(np.stack([starts, ends], axis=1)))
        return cls(starts, ends, owner[1:][same], shapely.STRtree(segments))

    def first_hit(self, origin: np.ndarray, heading: np.ndarray, reach: float) -> np.ndarray:
        """Return ``(n,)`` metres from origins along unit vectors to the first wall, or inf."""
        distance = np.full(len(origin), np.inf)
        ray, segment = self.met(origin, origin + reach * heading)
        along = heading.take(ray, axis=0)
        wall = self.starts.take(segment, axis=0)
        start = wall - origin.take(ray, axis=0)
        span = self.ends.take(segment, axis=0) - wall
        across, numerator = cross(along, span), cross(start, span)
        # A segment along the ray is met at its nearer end.
        nearer = np.minimum(dot(start, along), dot(start + span, along))
        with np.errstate(divide="ignore", invalid="ignore"):
            hit = np.where(np.abs(across) > 1e-9, numerator / across, nearer)
        np.minimum.at(distance, ray, np.maximum(hit, 0.0))
        return distance

    def level_crossings(self) -> tuple[np.ndarray, np.ndarray]:
        """Return where lines cross: on one level they meet, but don't cross.

        Returns
        -------
        places, last
            ``(n, 2)`` metres; ``(n,)`` int64, the later segment of each two.
        """
        one, two = self.tree.query(self.tree.geometries)
        one, two = one[one < two], two[one < two]
        start, span = self.starts[one], self.ends[one] - self.starts[one]
        other, reach = self.starts[two] - start, self.ends[two] - self.starts[two]
        across = cross(span, reach)
        with np.errstate(divide="ignore", invalid="ignore"):
            along, beside = cross(other, reach) / across, cross(other, span) / across
        proper = (along > 0) & (along < 1) & (beside > 0) & (beside < 1)
        places = start[proper] + along[proper, np.newaxis] * span[proper]
        return np.asarray(places), np.asarray(two[proper])

    def crossed(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Tell which straight ways, given by their ``(n, 2)`` ends, meet a wall."""
        met = np.zeros(len(starts), bool)
        met[self.met(starts, ends)[0]] = True
        return met

    def met(self, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which straight ways, given by their ``(n, 2)`` ends, meet which segments.

        Orientations tell nearly all of them, three times as fast as GEOS, which is asked
        where one of them is too close to 0.
        """
        ways = np.asarray(shapely.linestrings(np.stack([starts, ends], axis=1)))
        way, segment = self.tree.query(ways)
        # Indexing takes five times as long as `take`.
        start, end = starts.take(way, axis=0), ends.take(way, axis=0)
        first, last = self.starts.take(segment, axis=0), self.ends.take(segment, axis=0)
        span, run = end - start, last - first
        one, two = cross(span, first - start), cross(span, last - start)
        three, four = cross(run, start - first), cross(run, end - first)
        low, high = np.minimum(one, two), np.maximum(one, two)
        left, right = np.minimum(three, four), np.maximum(three, four)
        apart = (low > UNSURE) | (high < -UNSURE) | (left > UNSURE) | (right < -UNSURE)
        meets = (low < -UNSURE) & (high > UNSURE) & (left < -UNSURE) & (right > UNSURE)
        unsure = np.flatnonzero(~apart & ~meets)
        meets[unsure] = shapely.intersects(ways[way[unsure]], self.tree.geometries[segment[unsure]])
        return way[meets], segment[meets]


def dot(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Return the dot products of ``(n, 2)`` vectors, in a third of `sum`'s time."""
    return np.asarray(one[:, 0] * two[:, 0] + one[:, 1] * two[:, 1])


def cross(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Return the cross products of ``(n, 2)`` vectors."""
    return np.asarray(one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0])


@dataclass(frozen=True)
class Stations:
    """Points along centerlines, in order, every `SPACING` metres.

    Attributes
    ----------
    part
        ``(n,)`` int64: which line string a station lies on.
    source
        ``(n,)`` int64: which of the given centerlines that belongs to.
    xy
        ``(n, 2)`` metres in the frame.
    normal
        ``(n, 2)`` unit vectors to the left of the direction of travel.
    """

    part: np.ndarray
    source: np.ndarray
    xy: np.ndarray
    normal: np.ndarray

    def __len__(self) -> int:
        return len(self.part)

    def taken(self, which: np.ndarray) -> Stations:
        """Return only some stations, by number or as a ``(n,)`` bool."""
        return Stations(self.part[which], self.source[which], self.xy[which], self.normal[which])

    def parts(self) -> list[slice]:
        """Return each line string's stations as a slice."""
        return runs(self.part)

    def lengths(self) -> np.ndarray:
        """Return the metres of centerline each stands for: half of the way to those beside it."""
        ways = np.zeros(len(self) + 1)
        ways[1:-1] = np.linalg.norm(np.diff(self.xy, axis=0), axis=1) * (np.diff(self.part) == 0)
        return (ways[:-1] + ways[1:]) / 2


def runs(values: np.ndarray) -> list[slice]:
    """Return the runs of equal values, as slices."""
    if len(values) == 0:
        return []
    cuts = np.flatnonzero(np.diff(values)) + 1
    return [slice(a, b) for a, b in itertools.pairwise([0, *cuts.tolist(), len(values)])]


def place_stations(centerlines: Sequence[BaseGeometry] | np.ndarray) -> Stations:
    """Place stations along centerlines.

    Parameters
    ----------
    centerlines
        Lines in a metric frame. Multi-part lines are taken apart.

    Returns
    -------
    Stations
        At least the two ends of every line string of positive length.
    """
    lines, source = shapely.get_parts(np.asarray(centerlines, dtype=object), return_index=True)
    lengths = shapely.length(lines)
    long = lengths > 0
    lines, source, lengths = lines[long], source[long], lengths[long]
    counts = np.maximum(np.ceil(lengths / SPACING).astype(int), 1) + 1
    part = np.repeat(np.arange(len(lines)), counts)
    last = lengths[part]
    number = np.arange(len(part)) - np.repeat(np.cumsum(counts) - counts, counts)
    final = number == counts[part] - 1
    along = np.where(final, last, number * (lengths / (counts - 1))[part])
    ahead = np.minimum(along + DIRECTION_REACH, last)
    behind = np.maximum(along - DIRECTION_REACH, 0)
    xy, front, back = points_along(lines, counts, np.stack([along, ahead, behind]))
    direction = front - back
    size = np.linalg.norm(direction, axis=1, keepdims=True)
    # A closed loop shorter than the chord has no direction of its own: any will do.
    direction = np.where(size > 0, direction / np.where(size > 0, size, 1), (1.0, 0.0))
    normal = np.stack([direction[:, 1], -direction[:, 0]], axis=1)
    return Stations(part, source[part] if len(part) else part, xy, normal)


def points_along(lines: np.ndarray, counts: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Find points on lines by their distance from the start, in a fifth of GEOS's time.

    That walks along the whole line for each point. The coordinates are the same to the last bit.

    Parameters
    ----------
    lines
        ``(n,)`` line strings of positive length.
    counts
        ``(n,)`` points on each.
    along
        ``(k, points)`` distances from 0 to the line's length, line by line.

    Returns
    -------
    numpy.ndarray
        ``(k, points, 2)``.
    """
    xy, owner = shapely.get_coordinates(lines, return_index=True)
    step = np.diff(xy, axis=0)
    length = np.sqrt(step[:, 0] * step[:, 0] + step[:, 1] * step[:, 1])
    travelled = np.zeros(len(xy))
    segment = np.empty(along.shape, np.int64)
    vertices = np.bincount(owner, minlength=len(lines))
    line_of = np.cumsum(vertices) - vertices
    point_of = np.cumsum(counts) - counts
    for vertex, size, point, count in zip(
        *(a.tolist() for a in (line_of, vertices, point_of, counts)), strict=True
    ):
        total = travelled[vertex + 1 : vertex + size]
        np.cumsum(length[vertex : vertex + size - 1], out=total)
        points = np.s_[:, point : point + count]
        segment[points] = vertex + np.minimum(
            total.searchsorted(along[points], side="right"), size - 2
        )
    start, end = xy.take(segment, axis=0), xy.take(segment + 1, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = ((along - travelled[segment]) / length[segment])[..., np.newaxis]
    at_end = (along >= np.repeat(shapely.length(lines), counts))[..., np.newaxis]
    return np.where(at_end | (share >= 1), end, (end - start) * share + start)


def sight(stations: Stations, walls: Walls, reach: float, beyond: float = 0.0) -> np.ndarray:
    """Measure the distance from each station to the first wall on either side.

    Parameters
    ----------
    stations
        Where to look from, along their normals.
    walls
        What to look for.
    reach, beyond
        Metres beyond which nothing is looked for, and up to which walls are looked through.

    Returns
    -------
    numpy.ndarray
        ``(n, 2)`` float64 metres to the left and to the right; inf where no wall is in reach.
    """
    distance = np.full((len(stations), 2), np.inf)
    # Short rays first: most walls are near, and a short ray passes few segments.
    near = min(max(NEAR, beyond), reach)
    for start, stop in ((beyond, near), (near, reach)):
        for side, sign in enumerate((1.0, -1.0)):
            left = np.flatnonzero(np.isinf(distance[:, side]))
            if stop > start and len(left):
                heading = sign * stations.normal[left]
                origin = stations.xy[left] + start * heading
                hit = walls.first_hit(origin, heading, stop - start)
                distance[left, side] = start + hit
    return distance


def along_walls(stations: Stations, seen: np.ndarray, pixel: float) -> np.ndarray:
    """Tell which sightings are of a wall that runs along the street.

    Parameters
    ----------
    stations
        The stations.
    seen
        ``(n, 2)`` metres, as `sight` returns them.
    pixel
        Metres by which lines may be stepped because they came from a raster.

    Returns
    -------
    numpy.ndarray
        ``(n, 2)`` bool.
    """
    tolerance = PARALLEL_SLOPE * SPACING + 1.5 * pixel
    steady = np.zeros(seen.shape, dtype=bool)
    if len(stations) < 2:
        return steady
    same = stations.part[1:] == stations.part[:-1]
    with np.errstate(invalid="ignore"):
        close = (np.abs(np.diff(seen, axis=0)) <= tolerance) & same[:, np.newaxis]
    steady[1:] |= close
    steady[:-1] |= close
    return steady


def half_widths(
    stations: Stations,
    seen: np.ndarray,
    pixel: float,
    reach: float,
    given_width: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Estimate how far the carriageway reaches on either side of each station.

    A station alone can't tell: its line may have a gap there, or a street joins. So each
    takes the median of what its neighbours along the street see of walls that run along
    it; where too few see any, in this order: the whole line string's median, that of the
    line strings that continue it, the width the attributes give, the same distance as on
    the other side, the median of all.

    Parameters
    ----------
    stations
        The stations.
    seen
        ``(n, 2)`` metres, as `sight` returns them.
    pixel
        Metres by which lines may be stepped because they came from a raster.
    reach
        Metres: no road is wider than this in all.
    given_width
        ``(centerlines,)`` metres of paved width by attribute, NaN where unknown.

    Returns
    -------
    here, whole
        ``(n, 2)`` float64 metres each, left and right; NaN only where no station of all sees
        a wall and no width is given. The first where the station is, the second the median of
        its whole line string where that is known.
    """
    steady = np.where(along_walls(stations, seen, pixel), seen, np.nan)
    parts = stations.parts()
    estimate = windowed_medians(steady, parts)
    length = np.array([part.stop - part.start for part in parts], dtype=np.int64)
    owner = np.repeat(np.arange(len(parts)), length)
    summary = np.stack([group_medians(owner, side, len(parts)) for side in steady.T], axis=1)
    known = np.stack(
        [np.bincount(owner[np.isfinite(side)], minlength=len(parts)) for side in steady.T], axis=1
    )
    summary[known < SUPPORT * length[:, np.newaxis]] = np.nan
    _drop_too_wide(estimate, reach)
    _drop_too_wide(summary, reach)
    _inherit(stations, parts, summary)
    whole = summary[owner]
    estimate = np.where(np.isnan(estimate), whole, estimate)
    if given_width is not None:
        width = given_width[stations.source]
        other = np.where(np.isnan(estimate[:, ::-1]), width[:, None] / 2, estimate[:, ::-1])
        rest = np.clip(width[:, None] - other, 0.25 * width[:, None], 0.75 * width[:, None])
        estimate = np.where(np.isnan(estimate), rest, estimate)
    estimate = np.where(np.isnan(estimate), estimate[:, ::-1], estimate)
    if np.isfinite(estimate).any():
        estimate = np.where(np.isnan(estimate), np.nanmedian(estimate), estimate)
    return estimate, np.where(np.isnan(whole), estimate, whole)


def windowed_medians(values: np.ndarray, parts: list[slice]) -> np.ndarray:
    """Return the median over `WINDOW` to either side in each part, NaN where too few are known."""
    radius = round(WINDOW / SPACING)
    count = np.array([part.stop - part.start for part in parts])
    # All parts in one array, with as much unknown between them as a window reaches.
    shift = radius * np.arange(1, len(parts) + 1)
    at = np.arange(len(values)) + np.repeat(shift, count)
    padded = np.full((len(values) + radius * (len(parts) + 1), 2), np.nan)
    padded[at] = values
    # How many are known in each window, without a look at all of it.
    total = np.cumsum(np.pad(np.isfinite(padded), ((1, 0), (0, 0))), axis=0)
    known = total[at + radius + 1] - total[at - radius]
    start = np.repeat(np.cumsum(count) - count, count)
    index = np.arange(len(values)) - start
    last = np.repeat(count, count) - 1
    inside = np.minimum(index + radius, last) - np.maximum(index - radius, 0)
    enough = np.nonzero(known >= np.maximum(SUPPORT * (inside + 1), 3)[:, np.newaxis])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1, axis=0)
    ordered = np.sort(windows[at[enough[0]] - radius, enough[1]], axis=-1)  # NaN goes last
    medians = np.full(values.shape, np.nan)
    medians[enough] = ordered[np.arange(len(ordered)), (known[enough] - 1) // 2]
    return medians


def group_medians(group: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Return ``(count,)`` lower medians of the known values in each group, NaN where none is."""
    known = np.isfinite(values)
    group, values = group[known], values[known]
    order = np.lexsort((values, group))
    group, values = group[order], values[order]
    members = np.bincount(group, minlength=count)
    start = np.cumsum(members) - members
    medians = np.full(count, np.nan)
    some = members > 0
    medians[some] = values[(start + (members - 1) // 2)[some]]
    return medians


def near_in_group(found: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Tell which stations have one of those found within `WINDOW` in their own group.

    Parameters
    ----------
    found
        ``(n,)`` bool.
    group
        ``(n,)`` numbers, equal ones side by side.
    """
    index = np.arange(len(found))
    far = len(found) + round(WINDOW / SPACING) + 1
    before = np.maximum.accumulate(np.where(found, index, -far))
    after = np.minimum.accumulate(np.where(found, index, 2 * far)[::-1])[::-1]
    near = np.zeros(len(found), bool)
    for other in (before, after):
        close = np.abs(index - other) <= round(WINDOW / SPACING)
        near |= close & (group[np.where(close, other, 0)] == group)
    return near


def share_around(found: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return which share of each station's neighbours within `WINDOW` in its group is found.

    Parameters
    ----------
    found
        ``(n,)`` bool.
    group
        ``(n,)`` numbers, equal ones side by side.
    """
    index = np.arange(len(found))
    first = np.concatenate([[True], group[1:] != group[:-1]])
    start = np.maximum.accumulate(np.where(first, index, 0))
    last = np.concatenate([first[1:], [True]])
    stop = np.minimum.accumulate(np.where(last, index, len(found))[::-1])[::-1]
    radius = round(WINDOW / SPACING)
    low, high = np.maximum(index - radius, start), np.minimum(index + radius, stop) + 1
    total = np.concatenate([[0], np.cumsum(found)])
    return np.asarray((total[high] - total[low]) / (high - low))


def _drop_too_wide(widths: np.ndarray, reach: float) -> None:
    """Forget pairs that together are wider than any road, the farther side first."""
    with np.errstate(invalid="ignore"):
        wide = np.nansum(widths, axis=1) > reach
    farther = np.where(
        np.nan_to_num(widths[:, 0], nan=-1.0) > np.nan_to_num(widths[:, 1], nan=-1.0), 0, 1
    )
    widths[np.flatnonzero(wide), farther[wide]] = np.nan


def _inherit(stations: Stations, parts: list[slice], summary: np.ndarray) -> None:
    """Fill unknown line strings from those that continue them, in place."""
    if not parts:
        return
    first = np.array([p.start for p in parts])
    last = np.array([p.stop - 1 for p in parts])
    ends = np.concatenate([stations.xy[first], stations.xy[last]])
    outward = np.concatenate([stations.normal[first], -stations.normal[last]])
    owner = np.tile(np.arange(len(parts)), 2)
    at_last = np.repeat([False, True], len(parts))
    pairs = cKDTree(ends).query_pairs(SNAP, output_type="ndarray")
    # Normals turn with the direction of travel; both here look out of their line string.
    straight = (outward[pairs[:, 0]] * outward[pairs[:, 1]]).sum(axis=1) <= -STRAIGHT
    pairs = pairs[straight]
    pairs = pairs[np.isnan(summary[owner[pairs]]).any(axis=(1, 2))]
    for _ in range(len(parts)):
        before = np.isnan(summary).sum()
        for one, two in pairs:
            for source, target in ((one, two), (two, one)):
                # Two that meet end to end run the same way only if one begins there.
                turned = at_last[source] == at_last[target]
                theirs = summary[owner[source], :: -1 if turned else 1]
                mine = summary[owner[target]]
                mine[np.isnan(mine)] = theirs[np.isnan(mine)]
        if np.isnan(summary).sum() == before:
            break


def draw_strip(
    canvas: np.ndarray,
    frame: Frame,
    stations: Stations,
    reach: np.ndarray,
    use: np.ndarray,
    where: np.ndarray | None = None,
) -> None:
    """Draw the ground within `reach` of the stations, on either side, onto `canvas`.

    Parameters
    ----------
    canvas
        ``(h, w)`` uint8, set to 1 in place.
    frame
        The canvas's frame.
    stations
        The stations.
    reach
        ``(n, 2)`` metres to the left and right.
    use
        ``(n,)`` bool: stations to draw; a stretch is drawn if both of its ends are.
    where
        ``(h, w)`` bool: the ground that matters. What surely covers none of it is left out.
    """
    left = frame.to_pixels(stations.xy + stations.normal * reach[:, :1])
    right = frame.to_pixels(stations.xy - stations.normal * reach[:, 1:])
    drawn = (stations.part[1:] == stations.part[:-1]) & use[1:] & use[:-1]
    quads = np.stack([left[:-1], left[1:], right[1:], right[:-1]], axis=1)[drawn]
    if where is not None:
        quads = quads[_boxes_hold(quads, where)]
    _fill(canvas, quads)


def draw_quads(canvas: np.ndarray, frame: Frame, quads: np.ndarray) -> None:
    """Draw convex quadrangles, ``(n, 4, 2)`` metres, onto `canvas`, as `draw_strip` does."""
    _fill(canvas, frame.to_pixels(quads))


def _fill(canvas: np.ndarray, quads: np.ndarray) -> None:
    # OpenCV counts from pixel centres, in fractions of 1/16 pixel.
    fixed = np.round((quads - 0.5) * 16).astype(np.int32)
    for quad in fixed:
        # By position: names would cost another quarter of the time.
        cv2.fillConvexPoly(canvas, quad, 1, cv2.LINE_8, 4)


def _boxes_hold(quads: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Tell which quads, ``(n, 4, 2)`` in pixels, have a pixel that is set in the box around them.

    Told by blocks of pixels, so that a box may be said to hold one that is just outside it: the
    outlines are drawn up to a pixel wide.
    """
    row, column = np.divmod(np.flatnonzero(where), where.shape[1])
    blocks = np.zeros(tuple(size // BLOCK + 1 for size in where.shape), np.uint8)
    blocks[row // BLOCK, column // BLOCK] = 1
    sums = cv2.integral(blocks)
    limit = blocks.shape[::-1]
    # Along the first axis, where it is quick: along one of four, it would be most of the time.
    corners = np.ascontiguousarray(quads.transpose(1, 0, 2))
    low = np.floor((corners.min(axis=0) - 1) / BLOCK).astype(np.int64)
    high = np.floor((corners.max(axis=0) + 1) / BLOCK).astype(np.int64) + 1
    left, top = np.clip(low, 0, limit).T
    right, bottom = np.clip(high, 0, limit).T
    inside = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return np.asarray(inside > 0)


def crossing_squares(stations: Stations, half: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Find the ground on which known streets cross where the lines of their far sides end.

    A street goes on across another one it meets, as its centerline does, even if no line is
    known beyond.

    Parameters
    ----------
    stations
        The stations.
    half
        ``(n, 2)`` metres of carriageway left and right.
    known
        ``(n,)`` bool: a street is known to run here.

    Returns
    -------
    numpy.ndarray
        ``(n, 4, 2)`` metres: each as wide as the street that goes on, as long as half of the
        widest that crosses it there.
    """
    parts = stations.parts()
    ends = np.array([k for part in parts for k in (part.start, part.stop - 1)], np.int64)
    outward = np.stack([-stations.normal[ends, 1], stations.normal[ends, 0]], axis=1)
    outward[::2] *= -1
    pairs = cKDTree(stations.xy[ends]).query_pairs(SNAP, output_type="ndarray")
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    here, there = ends[pairs].T
    cosine = (outward[pairs[:, 0]] * outward[pairs[:, 1]]).sum(axis=1)
    # The first of a pair of known streets that cross gets half of the other's width ahead.
    crossing = np.abs(cosine) <= ACROSS
    crossing &= known[here] & known[there]
    ahead = np.zeros(len(ends))
    np.maximum.at(ahead, pairs[crossing, 0], half[there[crossing]].max(axis=1))
    going_on = (cosine <= -STRAIGHT) & known[here] & ~known[there] & (ahead[pairs[:, 0]] > 0)
    chosen = np.unique(pairs[going_on, 0])
    at = stations.xy[ends[chosen]]
    way = ahead[chosen, np.newaxis] * outward[chosen]
    left = stations.normal[ends[chosen]] * half[ends[chosen], :1]
    right = stations.normal[ends[chosen]] * half[ends[chosen], 1:]
    return np.stack([at + left, at + left + way, at - right + way, at - right], axis=1)


def draw_discs(
    canvas: np.ndarray, frame: Frame, stations: Stations, radius: np.ndarray, use: np.ndarray
) -> None:
    """Draw a disc around both ends of every line string, onto `canvas`.

    Parameters
    ----------
    canvas
        ``(h, w)`` uint8, set to 1 in place.
    frame
        The canvas's frame.
    stations
        The stations.
    radius
        ``(n,)`` metres.
    use
        ``(n,)`` bool: stations to draw.
    """
    ends = np.array([k for part in stations.parts() for k in (part.start, part.stop - 1)], int)
    ends = ends[use[ends]]
    centres = np.rint(frame.to_pixels(stations.xy[ends]) - 0.5).astype(int)
    axes = np.rint(radius[ends, np.newaxis] / np.asarray(frame.pixel)).astype(int)
    for centre, axis in zip(centres.tolist(), axes.tolist(), strict=True):
        cv2.ellipse(canvas, centre, axis, 0, 0, 360, 1, cv2.FILLED)
