"""Gaps in street lines: straight chords that close them again.

Closing too much does no harm here: ground is judged in pieces between lines and chords, and
a chord with road on both sides becomes road itself. So every plausible chord is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from shapely.geometry.base import BaseGeometry

from roadmask.masks.streets import NARROWEST, Walls, cross, dot

# Metres: wider openings than this are no lost piece of one line, but may be closed as the
# open end of a street.
WIDEST = 13.0
# Metres: unless they are the two ends of one outline, as of a median, or aim at each other as
# well as this cosine says and no other end is near.
WIDEST_SURE, STRAIGHT_AIM = 20.0, 0.9
# As many times as long are lines that form an outline but for one gap.
CLOSED_SHARE = 3.0
# By how much the last gap of an outline ranks as shorter.
OUTLINE_RANK = 0.75
# Order of ends that are no pair.
NEVER = 3
# Power of the aim by which a gap ranks as longer: less than the shortcuts in a crossing gain.
AIM_RANK = 1.5
# Cosines by which the ends of an arc aim differ by no more than this.
ALIKE_AIM = 0.06
# An end whose line bends may aim as badly as `AIM` allows if the other aims this well.
BEST_AIM = 0.98
# Cosine for a gap that lies over or under other lines, and by how much it ranks as longer.
LEVEL_AIM, LEVEL_RANK = 0.97, 1.5
# Share of the way between two ends, from its middle, in which another end is between them: past
# it, it is the one on the street's other side.
BETWEEN = 0.4
# Metres: a street whose two sides end abreast, open, is no wider.
WIDEST_END = 25.0
# Cosine of the angle by which an end may point past the other one. A gap may take a whole
# rounded corner with it, whose ends then point 45 degrees past each other.
AIM = 0.6
# Sine of the angle at which two lines meet in a corner.
CORNER = 0.7
# Joined lines this many times as long as the gap between their ends are an outline left open.
OUTLINE_SHARE = 2.0
# Metres of line from which an end takes its direction.
AIM_REACH = 3.0
# Metres from which it takes it if that differs by more than this cosine says, as past a sharp
# corner, and at least how many times the distance at which lines touch.
TIP_REACH, BENT, STEPS = 1.0, 0.85, 3
# Cosines for the end of a street: its two sides point the same way, and face each other.
PARALLEL, ABREAST = 0.8, 0.5
# Lines no longer than this many times the distance at which lines touch are no lines.
STUB = 1.5
# Length of the sum of two unit vectors that point in opposite directions.
OPPOSITE = 0.45
# Lines that are this many times as long in all as the distance at which they touch tell where
# they go on.
TELLING = 10
# What is this many times as near as what two ends are joined to may be their partner as well.
NEARER = 1.5
# Metres that an end without a partner is drawn on to the next line ahead of it.
ONWARD = 8.0
# This many street lines and centerlines that end at one side of the box around all lines tell
# that the map was cut there.
CUT_LINES, CUT_AXES = 6, 2


@dataclass(frozen=True)
class LooseEnds:
    """Ends of lines that touch no other line.

    Attributes
    ----------
    xy
        ``(n, 2)`` metres.
    outward
        ``(n, 2)`` unit vectors in which the lines end.
    chain
        ``(n,)`` number of the chain of touching lines that an end belongs to.
    extent
        ``(n,)`` that chain's length in metres.
    """

    xy: np.ndarray
    outward: np.ndarray
    chain: np.ndarray
    extent: np.ndarray

    def __len__(self) -> int:
        return len(self.xy)


@dataclass(frozen=True)
class Chords:
    """Straight lines across openings.

    Attributes
    ----------
    lines
        ``(n,)`` line strings of two points.
    lost
        ``(n,)`` bool: a piece of one line is missing here. Else it may be the open end of a
        street, or of a line.
    """

    lines: np.ndarray
    lost: np.ndarray

    def __len__(self) -> int:
        return len(self.lines)


def close_gaps(lines: Sequence[BaseGeometry] | np.ndarray, touch: float) -> Chords:
    """Join loose ends of street lines.

    In this order, no end twice: ends that face each other across a gap, or are the ends of
    one outline; the two sides of a street that ends open; ends that are merely near, as on
    both sides of a corner; an end and one hidden by a line between; an end and the line ahead of
    it. At last, what is left and what was joined in a doubtful way once more.

    Parameters
    ----------
    lines
        Street lines in a metric frame.
    touch
        Metres within which lines count as touching.

    Returns
    -------
    Chords
        None crosses a street line but where two lines far apart are one on another level.
    """
    parts = _without_stubs(lines, touch)
    walls = Walls.from_lines(parts)
    ends, met = loose_ends(parts, walls, touch)
    taken = np.zeros(len(ends), bool)
    if len(ends) == 0:
        return Chords(np.empty(0, dtype=object), taken)
    pairs = _Pairs.of(ends, walls, touch)
    kept, ranking, lost = _between_ends(ends, pairs, taken)
    loose = ~taken
    hidden = _to_hidden(ends, loose, met, walls, touch)
    onward = _onward(ends, loose, shapely.STRtree(parts), touch)
    again = _again(ends, pairs, kept, loose, ranking, touch)
    kept = np.concatenate([kept, again])
    between = _segments(ends.xy[pairs.one[kept]], ends.xy[pairs.two[kept]])
    lost = np.concatenate([lost, ranking[2][again], np.ones(len(hidden), bool)])
    return Chords(
        np.concatenate([between, hidden, onward]),
        np.concatenate([lost, np.zeros(len(onward), bool)]),
    )


def data_edges(
    lines: np.ndarray, axes: np.ndarray, extent: tuple[float, float], touch: float
) -> np.ndarray:
    """Find the sides of a box at which a map was cut, within a raster.

    What lies beyond is unknown, so its edge is as good as the raster's own. Left open, all that
    reaches it would be one region.

    Parameters
    ----------
    lines, axes
        Street lines and centerlines in a metric frame.
    extent
        Metres of the raster along columns and rows.
    touch
        Metres within which lines count as touching.

    Returns
    -------
    numpy.ndarray
        ``(n,)`` line strings of two points, from each end of a line at a side to the next, half
        of `touch` off. Seen along them, the ground beyond lies to the left, as the frame counts
        down.
    """
    ends, axis_ends = _ends(lines), _ends(axes)
    if len(ends) == 0 or len(axis_ends) == 0:
        return np.empty(0, dtype=object)
    west, north, east, south = shapely.total_bounds(lines)
    of_axes = shapely.total_bounds(axes)
    found = []
    for side, at in enumerate((west, north, east, south)):
        across = side % 2
        here = ends[np.abs(ends[:, across] - at) <= touch, 1 - across]
        axes_here = np.abs(axis_ends[:, across] - at) <= touch
        inside = touch < at < extent[across] - touch
        beyond = (of_axes[side] - at) * (1 if side > 1 else -1) > touch
        if not inside or beyond or len(here) < CUT_LINES or axes_here.sum() < CUT_AXES:
            continue
        corners = (west, east) if across else (north, south)
        along = np.unique(np.concatenate([here, corners]))
        if side in (1, 2):
            along = along[::-1]
        # Off the ends, so that the last pixels of the ground are no line's.
        xy = np.full((len(along), 2), at + (touch / 2 if side > 1 else -touch / 2))
        xy[:, 1 - across] = along
        found.append(_segments(xy[:-1], xy[1:]))
    return np.concatenate(found) if found else np.empty(0, dtype=object)


def _ends(lines: np.ndarray) -> np.ndarray:
    """Return the ``(2 n, 2)`` ends of all line strings that are open."""
    parts = shapely.get_parts(np.asarray(lines, dtype=object))
    parts = parts[~shapely.is_closed(parts)]
    ends = np.concatenate([shapely.get_point(parts, 0), shapely.get_point(parts, -1)])
    return np.asarray(shapely.get_coordinates(ends))


def _between_ends(
    ends: LooseEnds, pairs: _Pairs, taken: np.ndarray
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """Join pairs of ends, the shortest and best aimed first; mark them as taken.

    Straight ones first: once they are known, others turn out to be the last gap of an outline. So
    do some once all are joined that may be in any case.

    Returns
    -------
    kept, ranking, lost
        Numbers of the pairs; how all are ranked if no end is known as one side of a gap, as
        `_Pairs.ranked` tells; ``(kept,)`` bool, whether a piece of one line is missing there.
    """
    kept = gaps = np.empty(0, np.int64)
    loose = ~taken
    for longest in (WIDEST, WIDEST_SURE, np.inf, np.inf):
        last = _last_gaps(ends, pairs, gaps, taken)
        rank, order, lost = pairs.ranked(ends, last, loose)
        candidates = np.flatnonzero((order < NEVER) & ~taken[pairs.one] & ~taken[pairs.two])
        ranked = candidates[
            np.lexsort([of[candidates] for of in (pairs.two, pairs.one, rank, order)])
        ]
        found = _matched(pairs, ranked)
        if np.isfinite(longest):
            straight = lost[found] & (pairs.aim[found] >= STRAIGHT_AIM)
            found = found[straight & (pairs.length[found] <= longest)]
        kept = np.concatenate([kept, found])
        gaps = np.concatenate([gaps, found[lost[found]]])
        loose[pairs.one[gaps]] = loose[pairs.two[gaps]] = False
        taken[pairs.one[kept]] = taken[pairs.two[kept]] = True
    return kept, pairs.ranked(ends, last, np.ones(len(ends), bool)), lost[kept]


def _again(
    ends: LooseEnds,
    pairs: _Pairs,
    kept: np.ndarray,
    loose: np.ndarray,
    ranking: tuple[np.ndarray, np.ndarray, np.ndarray],
    touch: float,
) -> np.ndarray:
    """Return pairs to join though one end or both are joined to others, no end twice.

    An end that is left has lost its partner to another one, or the corner between two of them is
    large. And where a street's mouth or an outline's gap was closed first, its lines may go on as
    well. Of corners as large as a street's mouth only those count that one end aims straight at
    and the other does not turn away from: where whole lines are missing, ends meet by chance.

    Parameters
    ----------
    ends, pairs, kept, ranking
        The ends; their pairs, those joined, and how they were ranked.
    loose
        ``(ends,)`` bool: joined to nothing so far.
    touch
        Metres within which lines count as touching.
    """
    rank, order, lost = ranking
    one, two = pairs.one, pairs.two
    plausible = lost & (order < NEVER)
    corner = pairs.corner & ~pairs.across & (pairs.length <= WIDEST_SURE) & (pairs.aim > 0)
    corner &= np.maximum(pairs.ahead, pairs.back) >= BEST_AIM
    found = ((loose[one] | loose[two]) & plausible) | (loose[one] & loose[two] & corner)
    straight = lost & (pairs.aim >= STRAIGHT_AIM)
    sure = np.zeros(len(ends), bool)
    sure[one[kept[straight[kept]]]] = sure[two[kept[straight[kept]]]] = True
    held = np.zeros(len(ends))
    held[one[kept]] = held[two[kept]] = pairs.length[kept]
    much_nearer = NEARER * pairs.length <= np.minimum(held[one], held[two])
    found |= plausible & (straight | much_nearer) & ~sure[one] & ~sure[two]
    # Lines that were traced from a raster break into pieces that aim nowhere.
    found &= np.minimum(ends.extent[one], ends.extent[two]) >= TELLING * touch
    found[kept] = False
    candidates = np.flatnonzero(found)
    return _matched(pairs, candidates[np.lexsort([rank[candidates], order[candidates]])])


def _matched(pairs: _Pairs, ranked: np.ndarray) -> np.ndarray:
    """Return those of some pairs, best first, that share no end with a better one."""
    used: set[int] = set()
    chosen = []
    one, two = pairs.one[ranked].tolist(), pairs.two[ranked].tolist()
    for index, *pair in zip(ranked.tolist(), one, two, strict=True):
        if used.isdisjoint(pair):
            used.update(pair)
            chosen.append(index)
    return np.array(chosen, np.int64)


@dataclass(frozen=True)
class _Pairs:
    """Ends near each other; all ``(n,)``.

    Attributes
    ----------
    one, two
        Numbers of the ends.
    length
        Metres between them.
    ahead, back
        Cosines by which each aims at the other.
    corner, touching, bend
        Whether both lines would meet in a corner; nearly touch; turn the same way.
    across
        Whether a line is between them.
    abreast
        Whether both point the same way side by side.
    """

    one: np.ndarray
    two: np.ndarray
    length: np.ndarray
    ahead: np.ndarray
    back: np.ndarray
    corner: np.ndarray
    touching: np.ndarray
    bend: np.ndarray
    across: np.ndarray
    abreast: np.ndarray

    @classmethod
    def of(cls, ends: LooseEnds, walls: Walls, touch: float) -> _Pairs:
        """Look at all pairs of ends that may be joined."""
        pairs = cKDTree(ends.xy).query_pairs(WIDEST_END, output_type="ndarray")
        one, two = pairs[np.lexsort(pairs.T)].T
        span = ends.xy[two] - ends.xy[one]
        length = np.linalg.norm(span, axis=1)
        heading = span / np.maximum(length, np.finfo(float).tiny)[:, np.newaxis]
        ahead = dot(ends.outward[one], heading)
        back = -dot(ends.outward[two], heading)
        abreast = dot(ends.outward[one], ends.outward[two]) >= PARALLEL
        abreast &= np.maximum(np.abs(ahead), np.abs(back)) <= ABREAST
        # Few of those far apart may be joined at all.
        best, aim = np.maximum(ahead, back), np.minimum(ahead, back)
        hopeful = (best >= STRAIGHT_AIM) | _arc(aim, best, aim > 0)
        hopeful |= ends.chain[one] == ends.chain[two]
        near = length <= np.where(hopeful, WIDEST_SURE, WIDEST)
        kept = np.flatnonzero(near | abreast)
        one, two, length, heading = one[kept], two[kept], length[kept], heading[kept]
        chords = _shortened(ends.xy[one], ends.xy[two], touch)
        # The ends of one lost piece turn the same way: those of an S are the edges of a strip.
        turns = cross(ends.outward[one], heading) * cross(ends.outward[two], heading)
        return cls(
            one,
            two,
            length,
            ahead[kept],
            back[kept],
            _meet_ahead(ends, one, two, length, touch),
            length <= 2 * touch,
            turns >= 0,
            walls.crossed(chords[:, 0], chords[:, 1]),
            abreast[kept],
        )

    @property
    def aim(self) -> np.ndarray:
        """Return how well both aim at each other."""
        return np.asarray(np.minimum(self.ahead, self.back))

    def ranked(
        self, ends: LooseEnds, last: np.ndarray, loose: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Order the pairs.

        Parameters
        ----------
        ends
            The ends.
        last
            ``(n,)`` bool: pairs that close an outline. They go before others if one end aims well.
        loose
            ``(ends,)`` bool: not yet known as one side of a gap. Those lie between no two.

        Returns
        -------
        rank, order, lost
            ``(n,)`` each: lower ones first, within an order; `NEVER` for those that are no pair;
            whether a piece of one line is missing there.
        """
        aim, length = self.aim, self.length
        outline = ends.chain[self.one] == ends.chain[self.two]
        outline &= ends.extent[self.one] >= OUTLINE_SHARE * length
        outline |= last
        best = np.maximum(self.ahead, self.back)
        straight = _straight(aim, best) | _arc(aim, best, self.bend)
        near = length <= np.where(outline | straight, WIDEST_SURE, WIDEST)
        between = straight & near & (length > WIDEST)
        between[between] = _other_ends(ends, self.one[between], self.two[between], loose)
        near &= outline | ~between
        continued = aim >= np.where(self.bend, AIM, STRAIGHT_AIM)
        abreast = self.abreast
        # Beside the mouth of a street whose two sides end nothing tells that a corner is lost.
        mouth = np.zeros(len(ends), bool)
        mouth[self.one[abreast & ~self.across]] = mouth[self.two[abreast & ~self.across]] = True
        corner = self.corner & ~mouth[self.one] & ~mouth[self.two]
        facing = near & (outline | corner | self.touching | continued)
        # The ends of one outline may be a street's open end as well, unless it is a median's.
        lost = facing & ~(abreast & (aim < AIM) & (length >= NARROWEST))
        # What is left of an outline ends abreast or face to face, not one end beside the other.
        aimed = facing & ~self.touching & (~outline | (aim < -ABREAST))
        rank = length / np.where(aimed, np.clip(aim, AIM, 1), 1.0) ** AIM_RANK
        rank *= np.where(self.across, LEVEL_RANK, 1.0)
        rank *= np.where(last & (best >= STRAIGHT_AIM), OUTLINE_RANK, 1.0)
        order = np.where(lost, 0, np.where(facing | abreast, 1, 2))
        # Only what lies on another level goes on behind a line: near ones are led up to it below.
        level = (aim >= LEVEL_AIM) & (length > ONWARD)
        level |= (aim >= STRAIGHT_AIM) & (best >= BEST_AIM) & (length > 2 * ONWARD)
        possible = (near | abreast) & (~self.across | (near & level))
        return rank, np.where(possible, order, NEVER), lost


def _straight(aim: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Tell which pairs aim so well at each other that they may lie far apart."""
    return np.asarray((aim >= STRAIGHT_AIM) | ((aim >= AIM) & (best >= BEST_AIM)))


def _arc(aim: np.ndarray, best: np.ndarray, bend: np.ndarray) -> np.ndarray:
    """Tell which pairs aim at each other as the ends of an arc do: alike, on the same side."""
    return np.asarray(bend & (aim >= AIM) & (best - aim <= ALIKE_AIM))


def _last_gaps(ends: LooseEnds, pairs: _Pairs, gaps: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Tell which pairs are the only two ends left of what the gaps known so far join."""
    count = int(ends.chain.max()) + 1
    joined = ends.chain[pairs.one[gaps]], ends.chain[pairs.two[gaps]]
    links = coo_array((np.ones(len(gaps)), joined), shape=(count, count))
    outline = connected_components(links, directed=False)[1][ends.chain]
    left = np.bincount(outline[~taken], minlength=count)
    length = np.zeros(count)
    length[ends.chain] = ends.extent
    chains = np.zeros(count, np.int64)
    chains[ends.chain] = outline
    extent = np.bincount(chains, weights=length, minlength=count)
    of = outline[pairs.one]
    found = (of == outline[pairs.two]) & (left[of] == 2)
    found &= pairs.aim >= -ABREAST
    return np.asarray(found & (extent[of] >= CLOSED_SHARE * pairs.length))


def _to_hidden(
    ends: LooseEnds, loose: np.ndarray, met: LooseEnds, walls: Walls, touch: float
) -> np.ndarray:
    """Join ends that are left to ends that touch a line by chance; they are loose no more.

    Where a line breaks off just as it passes over or under another one, its end looks like a
    corner. The other end of the gap aims straight at it.
    """
    left = np.flatnonzero(loose)
    if len(left) == 0 or len(met) == 0:
        return np.empty(0, dtype=object)
    near = cKDTree(ends.xy[left]).query_ball_tree(cKDTree(met.xy), WIDEST_SURE)
    one = np.repeat(left, [len(found) for found in near])
    two = np.array([at for found in near for at in found], np.int64)
    span = met.xy[two] - ends.xy[one]
    length = np.linalg.norm(span, axis=1)
    heading = span / np.maximum(length, np.finfo(float).tiny)[:, np.newaxis]
    aim = np.minimum(dot(ends.outward[one], heading), -dot(met.outward[two], heading))
    fit = (aim >= STRAIGHT_AIM) & (length > ONWARD)
    fit &= np.minimum(ends.extent[one], met.extent[two]) >= TELLING * touch
    fit = np.flatnonzero(fit)
    fit = fit[np.argsort(length[fit], kind="stable")]
    fit = fit[np.unique(one[fit], return_index=True)[1]]
    chords = _shortened(ends.xy[one[fit]], met.xy[two[fit]], touch)
    fit = fit[~walls.crossed(chords[:, 0], chords[:, 1])]
    loose[one[fit]] = False
    return _segments(ends.xy[one[fit]], met.xy[two[fit]])


def _onward(ends: LooseEnds, loose: np.ndarray, tree: shapely.STRtree, touch: float) -> np.ndarray:
    """Draw each end that is left on to the first line ahead of it, if that is near."""
    left = np.flatnonzero(loose)
    start = ends.xy[left] + touch * ends.outward[left]
    rays = np.asarray(
        shapely.linestrings(np.stack([start, start + ONWARD * ends.outward[left]], axis=1))
    )
    ray, line = tree.query(rays, "intersects")
    if len(ray) == 0:
        return np.empty(0, dtype=object)
    hits = shapely.intersection(rays[ray], tree.geometries[line])
    reach = shapely.distance(hits, shapely.points(start[ray]))
    nearest = np.full(len(left), np.inf)
    np.minimum.at(nearest, ray, reach)
    met = np.isfinite(nearest)
    loose[left[met]] = False
    tips = start[met] + (nearest[met, np.newaxis] + touch / 4) * ends.outward[left][met]
    return _segments(ends.xy[left][met], tips)


def loose_ends(parts: np.ndarray, walls: Walls, touch: float) -> tuple[LooseEnds, LooseEnds]:
    """Find ends of lines that touch no other line, and those that do.

    Parameters
    ----------
    parts
        Line strings in a metric frame, none of them a stub.
    walls
        Their segments.
    touch
        Metres within which lines count as touching.

    Returns
    -------
    loose, met
        In the order of the lines, all starts before all ends.
    """
    closed = shapely.is_closed(parts)
    count = len(parts)
    points = np.concatenate([shapely.get_point(parts, 0), shapely.get_point(parts, -1)])
    owner = np.tile(np.arange(count), 2)
    # One segment is looked at much faster than a long line.
    point, segment = walls.tree.query(points, "dwithin", distance=touch)
    part = walls.owner[segment]
    meets = owner[point] != part
    touched = np.zeros(len(points), bool)
    touched[point[meets]] = True
    links = coo_array(
        (np.ones(meets.sum()), (owner[point[meets]], part[meets])), shape=(count, count)
    )
    chain = connected_components(links, directed=False)[1]
    length = shapely.length(parts)
    extent = np.bincount(chain, weights=length, minlength=1)
    xy = shapely.get_coordinates(points)
    outward, size = _directions(parts, length, xy, AIM_REACH)
    if touch * STEPS <= TIP_REACH:
        # Past a corner, only what lies after it tells where the line goes on.
        tip, of_tip = _directions(parts, length, xy, TIP_REACH)
        bent = dot(tip, outward) < BENT * size * of_tip
        outward[bent], size[bent] = tip[bent], of_tip[bent]
    usable = (size > 0) & ~np.tile(closed, 2)
    outward /= np.where(size > 0, size, 1)[:, np.newaxis]
    # What a line only passes has arms on both sides of it.
    arms, ways = np.zeros((len(points), 2)), np.zeros(len(points), np.int64)
    for tips in (walls.starts, walls.ends):
        way = tips[segment[meets]] - xy[point[meets]]
        far = np.linalg.norm(way, axis=1)
        those = far > touch
        np.add.at(arms, point[meets][those], way[those] / far[those, np.newaxis])
        np.add.at(ways, point[meets][those], 1)
    passed = (ways > 2) | ((ways == 2) & (np.linalg.norm(arms, axis=1) <= OPPOSITE))
    of_end = chain[owner]
    loose, met = (
        LooseEnds(xy[those], outward[those], of_end[those], extent[of_end[those]])
        for those in (usable & ~touched, usable & touched & passed)
    )
    return loose, met


def _directions(
    parts: np.ndarray, length: np.ndarray, xy: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(2 n, 2)`` ways to all starts, then ends, from `reach` within, and their lengths."""
    inner = np.concatenate(
        [
            shapely.line_interpolate_point(parts, np.minimum(reach, length)),
            shapely.line_interpolate_point(parts, np.maximum(length - reach, 0)),
        ]
    )
    outward = xy - shapely.get_coordinates(inner)
    return outward, np.linalg.norm(outward, axis=1)


def _without_stubs(lines: Sequence[BaseGeometry] | np.ndarray, touch: float) -> np.ndarray:
    """Return the single line strings, once each, that are longer than what counts as touching.

    A stub touches its neighbour with both ends: without it, the neighbour's own end is loose.
    So is that of a line that comes twice, as the edge between two features does.
    """
    parts = shapely.get_parts(np.asarray(lines, dtype=object))
    parts = parts[shapely.length(parts) > STUB * touch]
    _, first = np.unique(shapely.to_wkb(shapely.normalize(parts)), return_index=True)
    return np.asarray(parts[np.sort(first)])


def _segments(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return straight lines."""
    return np.asarray(shapely.linestrings(np.stack([starts, ends], axis=1)))


def _shortened(starts: np.ndarray, ends: np.ndarray, shorter: float) -> np.ndarray:
    """Return straight ways, ``(n, 2, 2)``, `shorter` at both ends, but never to under a tenth."""
    span = ends - starts
    length = np.maximum(np.linalg.norm(span, axis=1), np.finfo(float).tiny)
    step = np.minimum(shorter, 0.45 * length)[:, np.newaxis] * span / length[:, np.newaxis]
    return np.stack([starts + step, ends - step], axis=1)


def _other_ends(ends: LooseEnds, one: np.ndarray, two: np.ndarray, loose: np.ndarray) -> np.ndarray:
    """Tell between which two ends another one of those that are loose is, as at a street's mouth.

    A line that runs beside the way, as across the street, ends there by chance.
    """
    low = np.minimum(ends.xy[one], ends.xy[two]) - ONWARD
    high = np.maximum(ends.xy[one], ends.xy[two]) + ONWARD
    near = shapely.box(*low.T, *high.T)
    points = np.asarray(shapely.points(ends.xy))
    way, end = shapely.STRtree(points).query(near)
    start, span = ends.xy[one[way]], ends.xy[two[way]] - ends.xy[one[way]]
    along = dot(ends.xy[end] - start, span) / dot(span, span)
    size = np.linalg.norm(span, axis=1)
    off = np.abs(cross(ends.xy[end] - start, span))
    beside = np.abs(dot(ends.outward[end], span)) >= STRAIGHT_AIM * size
    beside &= off >= NARROWEST / 2 * size
    found = np.zeros(len(one), bool)
    beside |= ~loose[end]
    found[way[(np.abs(along - 0.5) < BETWEEN) & (off <= ONWARD * size) & ~beside]] = True
    return found


def _meet_ahead(
    ends: LooseEnds, one: np.ndarray, two: np.ndarray, length: np.ndarray, touch: float
) -> np.ndarray:
    """Tell which two ends would meet in a corner if both lines went on straight."""
    span = ends.xy[two] - ends.xy[one]
    turn = cross(ends.outward[one], ends.outward[two])
    with np.errstate(divide="ignore", invalid="ignore"):
        ahead = cross(span, ends.outward[two]) / turn
        beyond = cross(span, ends.outward[one]) / turn
    both = np.stack([ahead, beyond])
    return np.asarray(
        (np.abs(turn) >= CORNER)
        & (both >= -touch).all(axis=0)
        & (both <= length + touch).all(axis=0)
    )
