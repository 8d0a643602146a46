"""A clean road network from middle lines that are pixels.

What thinning leaves is not what a map shows: spurs into corners, ends that fork, crossings
drawn as two junctions, bends where side streets pull. Each is mended by the width of the road
where it is, so that no setting has to know how wide a city's streets are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import shapely
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from shapely.ops import substring

from roadmask.probability import CERTAIN
from roadmask.style import UNKNOWN
from roadmask.vectors.pixel_graph import Strand, link_pixels, trace_strands
from roadmask.vectors.skeleton import Skeleton

# An end whose half width falls below this share of that at its middle leads into a corner, if
# it is no longer than so many half widths at its junction (1.42 at a square end, 2.6 at an angle
# of 45 degrees).
TAPERED, CORNER = 0.6, 3.0
# Where it keeps its width, to this share, until it narrows, it is a street with a square end.
KEPT_WIDTH = 0.9
# How far, in its own half widths, another end must reach beyond the road's edge to be a street;
# a half circle reaches as far as one.
BULGE = 1.3
# Half widths of road, of the narrower and the wider of two, within which junctions are one
# crossing: where streets go straight on at each of them, where nothing tells, and where they
# go straight on from one to the other.
APART, CLOSE, ACROSS = 0.7, 1.2, 2.2
# Half widths of road within which two nodes, placed where axes meet, are the same crossing.
SAME = 0.6
# Degrees by which a street that goes straight on may bend.
STRAIGHT_ON = 20.0
# Half widths by which a short end at the border may lie beside the axis of the street before it.
ASIDE = 0.25
# Half widths of road around a junction inside which lines go straight to where the streets' axes
# meet; between that and the second, a street's axis is measured.
JUNCTION, AXIS = 1.6, 4.0
# Half widths of road that a lone piece of road needs in length, from end to end, to be a street,
# and one that goes on beyond the pictures.
LEAST_PIECE, LEAST_AT_BORDER = 4.0, 2.0
# Metres: standard deviation of the smoothing along a line.
SMOOTHING = 3.0
# Share by which a junction is held at the middle of its pixels.
HELD = 0.05
# Ends of streets that make a junction.
MEETING = 3
# Metres to the border of the pictures from where a road is taken to go on beyond.
AT_BORDER = 1.5
# Metres within which a place is a line's end.
AT_END = 1e-6
# Metres within which two places are one.
SAME_PLACE = 1e-3
# Pixels of an edge between two junctions that are one cluster of pixels.
CLUSTER = 4
# Share of a piece's middle lines from which what it lies on counts.
MOSTLY = 0.5
COUNTS = (
    "spurs",
    "squared_ends",
    "merged_junctions",
    "patches",
    "lines_left_unsmoothed",
    "nodes_set_at_crossings",
    "crossings_without_node",
)


@dataclass
class Edge:
    """A street between two nodes.

    Attributes
    ----------
    start, end
        Nodes.
    pixels
        Indices of skeleton pixels from one to the other.
    """

    start: int
    end: int
    pixels: np.ndarray


@dataclass(frozen=True)
class Street:
    """An edge as it is handed out.

    Attributes
    ----------
    start, end
        Indices of nodes.
    line
        ``(n, 2)`` in metres of the skeleton's frame.
    mean_width, least_width
        Metres, off the junctions.
    mean_probability
        0 to 1; None where there is none.
    """

    start: int
    end: int
    line: np.ndarray
    mean_width: float
    least_width: float
    mean_probability: float | None


@dataclass(frozen=True)
class Network:
    """Streets and the nodes between them.

    Attributes
    ----------
    nodes
        ``(n, 2)`` places in metres of the skeleton's frame.
    degrees
        ``(n,)`` how many ends of streets meet.
    widths
        ``(n,)`` metres: the road's width at each.
    streets
        Edges.
    counts
        What was mended, and ``crossings_without_node``, lines that are not.
    patch_metres
        Length of the lines of road without a connection that are left out.
    """

    nodes: np.ndarray
    degrees: np.ndarray
    widths: np.ndarray
    streets: list[Street]
    counts: dict[str, int]
    patch_metres: float


@dataclass(frozen=True)
class Least:
    """What road without a connection must be to be a street.

    Attributes
    ----------
    width, length
        Metres, at its widest and from end to end.
    is_left_out
        ``(pixels,)`` bool: which middle lines lie on road that is left out.
    """

    width: float
    length: float
    is_left_out: np.ndarray


@dataclass
class Draft:
    """A network in the making.

    Attributes
    ----------
    points
        ``(pixels, 2)`` places in metres.
    half_width
        ``(pixels,)`` metres.
    probability
        ``(pixels,)`` uint8.
    inside
        ``(pixels,)`` metres to the border of the pictures.
    edges
        By number.
    members
        By node, the pixels that it consists of.
    forked
        Nodes at which an end forked, with the pixels next to the corners that it led into.
    """

    points: np.ndarray
    half_width: np.ndarray
    probability: np.ndarray
    inside: np.ndarray
    edges: dict[int, Edge] = field(default_factory=dict)
    at: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    members: dict[int, list[int]] = field(default_factory=dict)
    forked: dict[int, list[int]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    patch_metres: float = 0.0
    _next: int = 0

    def add(self, start: int, end: int, pixels: np.ndarray) -> None:
        """Add an edge."""
        self.edges[self._next] = Edge(start, end, pixels)
        self.at[start].append(self._next)
        self.at[end].append(self._next)
        for node in (start, end):
            self.members.setdefault(node, [node])
        self._next += 1

    def remove(self, number: int) -> Edge:
        """Take an edge away."""
        edge = self.edges.pop(number)
        for node in (edge.start, edge.end):
            self.at[node].remove(number)
        return edge

    def degree(self, node: int) -> int:
        """Return how many ends meet at a node."""
        return len(self.at[node])

    def radius(self, node: int) -> float:
        """Return the road's half width at a node."""
        return float(self.half_width[self.members[node]].max())

    def length(self, edge: Edge) -> float:
        """Return the length of an edge's pixels."""
        steps = np.diff(self.points[edge.pixels], axis=0)
        return float(np.hypot(*steps.T).sum())

    def prune(self) -> None:
        """Take away spurs, all of one round at once: both arms of a forked end go."""
        while spurs := [n for n, edge in sorted(self.edges.items()) if self._is_spur(edge)]:
            doomed = set(spurs)
            for node in sorted({self._junction(self.edges[number]) for number in spurs}):
                arms = [number for number in self.at[node] if number in doomed]
                left = self.degree(node) - len(arms)
                if left == 0:
                    # A patch with nothing but corners: its longest line stays.
                    arms.sort(key=lambda number: self.length(self.edges[number]))
                    doomed -= set(arms[-2:])
                elif left == 1 and len(arms) > 1:
                    self.forked[node] = [self._tip(number, node) for number in arms]
            for number in sorted(doomed):
                self.remove(number)
            self.counts["spurs"] += len(doomed)
            self.dissolve()
            if not doomed:
                return

    def _tip(self, number: int, node: int) -> int:
        """Return the pixel to which an edge leads from a node."""
        edge = self.edges[number]
        return int(edge.pixels[-1 if edge.start == node else 0])

    def _junction(self, edge: Edge) -> int:
        return edge.start if self.degree(edge.start) > 1 else edge.end

    def _is_spur(self, edge: Edge) -> bool:
        """Tell whether an end leads into a corner, or into a bulge of the road's edge."""
        degrees = sorted((self.degree(edge.start), self.degree(edge.end)))
        if degrees[0] != 1 or degrees[1] < MEETING:
            return False
        node = self._junction(edge)
        radius = self.radius(node)
        pixels = edge.pixels if edge.start == node else edge.pixels[::-1]
        widths = self.half_width[pixels]
        length, tip = self.length(edge), float(widths[-1])
        if tip < TAPERED * float(widths[len(widths) // 2]):
            # Towards a corner the road gets narrower all the way.
            return length < CORNER * radius
        if self.inside[pixels[-1]] < AT_BORDER:
            return length < tip and not self._leads_on(edge, node, int(pixels[-1]))
        onwards = tip
        if pixels[-1] in self.forked:
            onwards = self._onwards(int(pixels[-1]), self._heading(pixels[::-1], tip))
        return length + onwards - self._road_radius(node, edge) < BULGE * tip

    def _leads_on(self, end: Edge, node: int, tip: int) -> bool:
        """Tell whether a short end lies where another street leads straight on to."""
        others = [number for number in self.at[node] if self.edges[number] is not end]
        if any(self._is_short_end(self.edges[number], node) for number in others):
            # A road that leaves by a corner of the pictures forks there.
            return False
        for number in others:
            start, direction = self._ray(number, node)
            onwards = self.points[tip] - start
            aside = abs(float(onwards[0] * direction[1] - onwards[1] * direction[0]))
            if onwards @ direction < 0 and aside < ASIDE * self.half_width[tip]:
                return True
        return False

    def _is_short_end(self, edge: Edge, node: int) -> bool:
        """Tell whether an edge ends at the border within the width of a junction."""
        outer = edge.end if edge.start == node else edge.start
        is_end = self.degree(outer) == 1 and self.inside[outer] < AT_BORDER
        return bool(is_end and self.length(edge) < self.radius(node))

    def _road_radius(self, node: int, spur: Edge) -> float:
        """Return the half width of the road that goes by an end, where no crossing widens it."""
        others = [self.edges[number] for number in self.at[node]]
        # Between the two junctions of a crossing it is wider than anywhere.
        usual = [np.median(self.half_width[edge.pixels]) for edge in others if edge is not spur]
        return min(self.radius(node), float(min(usual)))

    def square_ends(self) -> None:
        """Shorten ends that run into one corner of a square end, where thinning left out the other.

        They stop where the road begins to narrow, and are drawn straight on from there.
        """
        for number in sorted(self.edges):
            edge = self.edges[number]
            if min(self.degree(edge.start), self.degree(edge.end)) != 1 or edge.start == edge.end:
                continue
            node = self._junction(edge)
            outer = edge.end if edge.start == node else edge.start
            if self.degree(outer) != 1 or self.inside[outer] < AT_BORDER:
                continue
            pixels = edge.pixels if edge.start == node else edge.pixels[::-1]
            widths = self.half_width[pixels]
            middle = float(widths[len(widths) // 2])
            if float(widths[-1]) >= TAPERED * middle:
                continue
            last = int(np.nonzero(widths >= KEPT_WIDTH * middle)[0][-1])
            width, halfway = float(widths[last]), float(widths[last // 2])
            length = self.length(Edge(node, outer, pixels[: last + 1]))
            is_even = halfway * KEPT_WIDTH < width / KEPT_WIDTH
            if last > 2 and is_even and length + width - self.radius(node) >= BULGE * width:
                self.remove(number)
                self.add(node, int(pixels[last]), pixels[: last + 1])
                self.forked[int(pixels[last])] = [outer]
                self.counts["squared_ends"] += 1

    def dissolve(self) -> None:
        """Make one edge of two that meet where nothing else does."""
        for node in sorted(self.at):
            if self.degree(node) != 2:
                continue
            first, second = self.at[node]
            if first == second:  # a ring
                continue
            one, other = self.remove(first), self.remove(second)
            before = one.pixels if one.end == node else one.pixels[::-1]
            after = other.pixels if other.start == node else other.pixels[::-1]
            start = one.start if one.end == node else one.end
            end = other.end if other.start == node else other.start
            self.add(start, end, np.concatenate([before, after[int(after[0] == before[-1]) :]]))

    def merge_clusters(self) -> None:
        """Make one node of junctions that are but a pixel or two apart."""
        self.merge(
            [
                number
                for number, edge in sorted(self.edges.items())
                if len(edge.pixels) <= CLUSTER
                and edge.start != edge.end
                and min(self.degree(edge.start), self.degree(edge.end)) >= MEETING
            ]
        )

    def merge_crossings(self) -> None:
        """Make one node of the junctions of a crossing."""
        self.merge([number for number in sorted(self.edges) if self._is_inside_crossing(number)])
        while same := [number for number in sorted(self.edges) if self._is_point(number)]:
            self.merge(same)

    def _is_point(self, number: int) -> bool:
        """Tell whether the axes of streets meet in one place at both ends of an edge."""
        edge = self.edges[number]
        one, other = edge.start, edge.end
        if one == other or min(self.degree(one), self.degree(other)) < MEETING:
            return False
        radius = min(self.radius(one), self.radius(other))
        gap = np.hypot(*(self.place(one) - self.place(other)))
        return bool(gap < SAME * radius) and self.length(edge) < 2 * ACROSS * radius

    def merge(self, numbers: Sequence[int]) -> None:
        """Make one node of the two ends of each of these edges."""
        parents: dict[int, int] = {}

        def root(node: int) -> int:
            while parents.setdefault(node, node) != node:
                node = parents[node]
            return node

        for number in numbers:
            edge = self.edges[number]
            one, other = sorted((root(edge.start), root(edge.end)))
            if one != other:
                parents[other] = one
                self.counts["merged_junctions"] += 1
        for number in sorted(self.edges):
            edge = self.edges[number]
            start, end = root(edge.start), root(edge.end)
            if (start, end) == (edge.start, edge.end):
                continue
            self.remove(number)
            reach = max(self.radius(edge.start), self.radius(edge.end))
            if start != end or self.length(edge) > 4 * reach:
                self.add(start, end, edge.pixels)
        for node in sorted(parents):
            if root(node) != node and node in self.members:
                self.members[root(node)] += self.members.pop(node)
        self.dissolve()

    def _is_inside_crossing(self, number: int) -> bool:
        """Tell whether an edge does but join the two halves of a crossing.

        Where two streets cross, thinning leaves two junctions with a short line between, and
        either street goes straight on from one to the other. Where a street crosses the two
        carriageways of another, these go straight on at either junction.
        """
        edge = self.edges[number]
        one, other = edge.start, edge.end
        if one == other or min(self.degree(one), self.degree(other)) < MEETING:
            return False
        low, high = sorted((self.radius(one), self.radius(other)))
        length = self.length(edge)
        if length >= ACROSS * high:
            return False
        bends = self._bends(number)
        if bends is None:
            return length < CLOSE * low
        within, across = bends
        if across < within:
            return length < (ACROSS * high if across < STRAIGHT_ON else CLOSE * low)
        return length < APART * low

    def _bends(self, number: int) -> tuple[float, float] | None:
        """Return by how many degrees streets bend that go on at either node, or from one to other.

        None where other than two further edges meet at either.
        """
        edge = self.edges[number]
        rays = []
        for node in (edge.start, edge.end):
            others = [each for each in self.at[node] if each != number]
            if len(others) != 2 or others[0] == others[1]:
                return None
            rays.append([self._ray(each, node) for each in others])
        (a, b), (c, d) = rays
        within = max(_bend(a, b), _bend(c, d))
        across = min(max(_bend(a, c), _bend(b, d)), max(_bend(a, d), _bend(b, c)))
        return within, across

    def _ray(self, number: int, node: int) -> tuple[np.ndarray, np.ndarray]:
        """Return where an edge is beyond a junction, and in which direction it leads from there."""
        edge = self.edges[number]
        line = self.points[edge.pixels if edge.start == node else edge.pixels[::-1]]
        radius = self.radius(node)
        away = np.hypot(*(line - line[0]).T)
        far = np.nonzero(away > JUNCTION * radius)[0]
        first = int(far[0]) if len(far) else len(line) // 2
        more = np.nonzero(away[first:] > AXIS * radius)[0]
        last = first + int(more[0]) if len(more) else len(line) - 1
        direction = line[last] - line[min(first, last - 1)]
        return line[first], direction / max(float(np.hypot(*direction)), 1e-9)

    def place(self, node: int) -> np.ndarray:
        """Return where a node lies: at a junction where the streets' axes meet."""
        middle: np.ndarray = self.points[self.members[node]].mean(axis=0)
        radius = self.radius(node)
        if self.degree(node) == 1:
            return self._end_place(node, middle, radius)
        if self.degree(node) < MEETING:
            return middle
        normal, total = HELD * np.eye(2), np.zeros(2)
        for number in dict.fromkeys(self.at[node]):
            edge = self.edges[number]
            sides = [edge.pixels] if edge.start == node else []
            sides += [edge.pixels[::-1]] if edge.end == node else []
            for pixels in sides:
                line = self.points[pixels[:4096]] - middle
                away = np.hypot(*line.T)
                part = line[(away > JUNCTION * radius) & (away < AXIS * radius)]
                if len(part) < 3 or len(sides) > 1:
                    continue
                centre = part.mean(axis=0)
                direction = np.linalg.svd(part - centre, full_matrices=False)[2][0]
                across = np.eye(2) - np.outer(direction, direction)
                normal += across
                total += across @ centre
        move = np.linalg.solve(normal, total)
        far = float(np.hypot(*move))
        return middle + move * min(1.0, radius / far) if far else middle

    def _end_place(self, node: int, middle: np.ndarray, radius: float) -> np.ndarray:
        """Return where a road ends: its middle line stops half its width before, or forks."""
        edge = self.edges[self.at[node][0]]
        pixels = edge.pixels if edge.start == node else edge.pixels[::-1]
        usual = float(np.median(self.half_width[pixels]))
        # A turning circle's middle is as far as a street goes.
        if not TAPERED * usual < radius < usual / TAPERED:
            return middle
        direction = self._heading(pixels, radius)
        onwards = self._onwards(node, direction) if node in self.forked else radius
        reach = min(max(onwards, 0.0), float(self.inside[node]))
        return np.asarray(middle + direction * reach)

    def _heading(self, pixels: np.ndarray, radius: float) -> np.ndarray:
        """Return in which direction a line comes to its first pixel."""
        line = self.points[pixels] - self.points[pixels[0]]
        away = np.hypot(*line.T)
        part = line[(away > 0.3 * radius) & (away < 2 * radius)]
        direction = -(part if len(part) else line[-1:]).mean(axis=0)
        return np.asarray(direction / max(float(np.hypot(*direction)), AT_END))

    def _onwards(self, node: int, direction: np.ndarray) -> float:
        """Return how far beyond a forked end the road ends."""
        # A line into a corner is as far from the road's end as from its side.
        reaches = [
            float((self.points[tip] - self.points[node]) @ direction + self.half_width[tip])
            for tip in self.forked[node]
        ]
        return float(np.mean(reaches))

    def drop_patches(self, least: Least) -> None:
        """Take away road without a connection that is too short or too narrow for a street."""
        for numbers in self._pieces():
            edges = [self.edges[number] for number in numbers]
            length = sum(self.length(edge) for edge in edges)
            if self._is_patch(edges, length, least):
                for number in numbers:
                    self.remove(number)
                self.counts["patches"] += 1
                self.patch_metres += length

    def _pieces(self) -> list[list[int]]:
        """Return the edges that hang together."""
        order = {node: place for place, node in enumerate(sorted(self.at))}
        numbers = sorted(self.edges)
        starts = [order[self.edges[number].start] for number in numbers]
        ends = [order[self.edges[number].end] for number in numbers]
        links = coo_array((np.ones(len(numbers)), (starts, ends)), shape=(len(order),) * 2)
        _, piece = connected_components(links, directed=False)
        found: dict[int, list[int]] = defaultdict(list)
        for number, start in zip(numbers, starts, strict=True):
            found[piece[start]].append(number)
        return list(found.values())

    def _is_patch(self, edges: Sequence[Edge], length: float, least: Least) -> bool:
        pixels = np.concatenate([edge.pixels for edge in edges])
        half_widths = self.half_width[pixels]
        if 2 * half_widths.max() < least.width or least.is_left_out[pixels].mean() > MOSTLY:
            return True
        ends = [node for edge in edges for node in (edge.start, edge.end) if self.degree(node) == 1]
        if any(self.inside[node] < AT_BORDER for node in ends):
            return bool(length < LEAST_AT_BORDER * half_widths.mean())
        # A middle line stops half a width before the road does.
        extent = length + sum(self.radius(node) for node in ends)
        return bool(extent < max(least.length, LEAST_PIECE * half_widths.mean()))


def build_network(
    skeleton: Skeleton,
    pixel_metres: tuple[float, float],
    block: int,
    tolerance: float,
    least: Least,
) -> Network:
    """Build the network.

    Parameters
    ----------
    skeleton
        Of all blocks, sorted by row and column.
    pixel_metres
        Ground size of its pixels along columns and rows.
    block
        Edge of a block in its pixels.
    tolerance
        Metres by which lines may be straightened.
    least
        What road without a connection must be.

    Returns
    -------
    Network
        In metres from the lattice's origin to the right and down.
    """
    if not len(skeleton):
        none = np.empty(0, int)
        return Network(np.empty((0, 2)), none, none, [], dict.fromkeys(COUNTS, 0), 0.0)
    points = np.column_stack([skeleton.x + 0.5, skeleton.y + 0.5]) * pixel_metres
    draft = Draft(points, skeleton.half_width.astype(float), skeleton.probability, skeleton.inside)
    for strand in trace_strands(len(skeleton), link_pixels(skeleton, block)):
        _add(draft, strand)
    draft.merge_clusters()
    draft.square_ends()
    draft.prune()
    draft.square_ends()
    draft.merge_crossings()
    draft.prune()
    draft.drop_patches(least)
    return _finish(draft, tolerance)


def _bend(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> float:
    """Return by how many degrees a street bends that comes in by one ray and leaves by another."""
    between = other[0] - one[0]
    length = max(float(np.hypot(*between)), 1e-9)
    cosines = (-one[1] @ between / length, other[1] @ between / length)
    return float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).max())


def _add(draft: Draft, strand: Strand) -> None:
    draft.add(strand.start, strand.end, strand.pixels)


def _finish(draft: Draft, tolerance: float) -> Network:
    """Place the nodes, draw the lines and measure."""
    nodes = sorted(node for node in draft.at if draft.degree(node))
    index = {node: number for number, node in enumerate(nodes)}
    places = np.array([draft.place(node) for node in nodes]).reshape(-1, 2)
    reaches = [
        JUNCTION * draft.radius(node) if draft.degree(node) >= MEETING else 0.0 for node in nodes
    ]
    edges = [draft.edges[number] for number in sorted(draft.edges)]
    ends = [(index[edge.start], index[edge.end]) for edge in edges]
    lines = [
        _line(draft, edge, places[[a, b]], (reaches[a], reaches[b]), tolerance)
        for edge, (a, b) in zip(edges, ends, strict=True)
    ]
    crossing = crossing_lines(lines)
    for number in crossing:
        a, b = ends[number]
        lines[number] = np.concatenate(
            [places[[a]], draft.points[edges[number].pixels[1:-1]], places[[b]]]
        )
    counts = {name: draft.counts[name] for name in COUNTS[:4]}
    counts["lines_left_unsmoothed"] = len(crossing)
    streets = [
        _street(draft, edge, line, places[[a, b]], (reaches[a], reaches[b]), (a, b))
        for edge, line, (a, b) in zip(edges, lines, ends, strict=True)
    ]
    widths = np.array([2 * draft.radius(node) for node in nodes])
    if crossing:
        streets, places, widths = cut_at_crossings(streets, places, widths)
    counts["nodes_set_at_crossings"] = len(places) - len(nodes)
    counts["crossings_without_node"] = (
        len(crossing_lines([street.line for street in streets])) if crossing else 0
    )
    degrees = np.bincount(
        [end for street in streets for end in (street.start, street.end)], minlength=len(places)
    )
    return Network(places, degrees, widths, streets, counts, draft.patch_metres)


def cut_at_crossings(
    streets: Sequence[Street], places: np.ndarray, widths: np.ndarray
) -> tuple[list[Street], np.ndarray, np.ndarray]:
    """Set nodes where lines still cross, or where one ends upon another.

    Parameters
    ----------
    streets, places, widths
        Edges, and where nodes lie and how wide the road is there.

    Returns
    -------
    streets : list of Street
        Those that cross in pieces, which keep their street's widths.
    places, widths : numpy.ndarray
        With the new nodes at their end.
    """
    lines = [shapely.LineString(street.line) for street in streets]
    all_places, all_widths = places.tolist(), widths.tolist()
    cuts: dict[int, set[tuple[float, int]]] = defaultdict(set)
    for one, other, shared in _crossings(lines):
        for x, y in shapely.get_coordinates(shared).tolist():
            gaps = np.hypot(*(np.array(all_places) - (x, y)).T)
            node = int(np.argmin(gaps))
            if gaps[node] > SAME_PLACE:
                node = len(all_places)
                all_places.append([x, y])
                all_widths.append(max(streets[one].mean_width, streets[other].mean_width))
            for number in {one, other}:
                cuts[number] |= {(along, node) for along in _passes(streets[number].line, (x, y))}
    pieces: list[Street] = []
    for number, street in enumerate(streets):
        stops = sorted(cuts[number])
        nodes = [street.start, *(node for _, node in stops), street.end]
        at = [0.0, *(along for along, _ in stops), lines[number].length]
        for k in range(len(nodes) - 1):
            part = shapely.get_coordinates(substring(lines[number], at[k], at[k + 1]))
            part[0], part[-1] = all_places[nodes[k]], all_places[nodes[k + 1]]
            pieces.append(replace(street, start=nodes[k], end=nodes[k + 1], line=part))
    return pieces, np.array(all_places), np.array(all_widths)


def _line(
    draft: Draft,
    edge: Edge,
    ends: np.ndarray,
    reaches: tuple[float, float],
    tolerance: float,
) -> np.ndarray:
    """Draw an edge: straight inside junctions, smooth between them."""
    points = _between(draft.points[edge.pixels], ends, reaches)
    inner = draft.points[edge.pixels][points]
    if edge.start == edge.end and len(inner) < 3:
        inner = draft.points[edge.pixels[1:-1]]
    step = float(np.median(np.hypot(*np.diff(draft.points[edge.pixels], axis=0).T)))
    if len(inner) > 2:
        sigma = min(SMOOTHING / step, len(inner) / 4)
        inner = _smoothed(inner, sigma)
    line = np.concatenate([ends[:1], inner, ends[1:]])
    simple = shapely.simplify(shapely.linestrings(line), tolerance, preserve_topology=True)
    return np.asarray(shapely.get_coordinates(simple))


def _smoothed(points: np.ndarray, sigma: float) -> np.ndarray:
    """Smooth a line whose ends stay: it is continued by its own turned image."""
    count = min(len(points) - 1, int(4 * sigma) + 1)
    before = 2 * points[0] - points[count:0:-1]
    after = 2 * points[-1] - points[-2 : -count - 2 : -1]
    whole = gaussian_filter1d(np.concatenate([before, points, after]), sigma, axis=0)
    return np.asarray(whole[count:-count])


def _between(line: np.ndarray, ends: np.ndarray, reaches: Iterable[float]) -> np.ndarray:
    """Return which points of a line lie outside the junctions at its ends."""
    kept = np.ones(len(line), bool)
    kept[[0, -1]] = False
    for place, reach, order in zip(ends, reaches, (1, -1), strict=True):
        near = np.hypot(*(line[::order] - place).T) <= reach
        # From the end on: a line may come by again.
        until = len(near) if near.all() else int(np.argmin(near))
        kept[::order][:until] = False
    return kept


def _street(
    draft: Draft,
    edge: Edge,
    line: np.ndarray,
    ends: np.ndarray,
    reaches: tuple[float, float],
    numbers: tuple[int, int],
) -> Street:
    kept = _between(draft.points[edge.pixels], ends, reaches)
    pixels = edge.pixels[kept] if kept.any() else edge.pixels
    chance = draft.probability[pixels]
    chance = chance[chance != UNKNOWN]
    widths = 2 * draft.half_width[pixels]
    return Street(
        start=numbers[0],
        end=numbers[1],
        line=line,
        mean_width=float(widths.mean()),
        least_width=float(widths.min()),
        mean_probability=float(chance.mean() / CERTAIN) if len(chance) else None,
    )


def _passes(line: np.ndarray, place: tuple[float, float]) -> list[float]:
    """Return how far along it a line comes by a place between its ends, once or more often."""
    steps = np.diff(line, axis=0)
    lengths = np.hypot(*steps.T)
    before = np.concatenate([[0.0], np.cumsum(lengths)])
    to = np.array(place) - line[:-1]
    along = np.clip((to * steps).sum(axis=1) / np.maximum(lengths, AT_END), 0, lengths)
    gaps = np.hypot(*(to - steps * (along / np.maximum(lengths, AT_END))[:, None]).T)
    found: list[float] = []
    for passed in (before[:-1] + along)[gaps < SAME_PLACE].tolist():
        is_inside = SAME_PLACE < passed < before[-1] - SAME_PLACE
        if is_inside and not (found and passed - found[-1] < SAME_PLACE):
            found.append(passed)
    return found


def crossing_lines(lines: Sequence[np.ndarray]) -> list[int]:
    """Return which lines meet another, or themselves, elsewhere than where both end."""
    found = _crossings([shapely.LineString(line) for line in lines])
    return sorted({number for one, other, _ in found for number in (one, other)})


def _crossings(
    lines: Sequence[shapely.LineString],
) -> list[tuple[int, int, shapely.Geometry]]:
    """Return pairs of lines and what they share besides common ends; a line may be its own."""
    shapes = np.array(lines, dtype=object)
    ends = shapely.buffer(
        [shapely.MultiPoint([line.coords[0], line.coords[-1]]) for line in lines], AT_END
    )
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    one, other = one[one < other], other[one < other]
    common = shapely.intersection(shapes[one], shapes[other])
    rest = shapely.difference(common, shapely.intersection(ends[one], ends[other]))
    is_crossing = ~shapely.is_empty(rest)
    found = list(
        zip(one[is_crossing].tolist(), other[is_crossing].tolist(), rest[is_crossing], strict=True)
    )
    for number in np.nonzero(~shapely.is_simple(shapes))[0].tolist():
        turns = shapely.MultiPoint(
            [part.coords[0] for part in shapely.get_parts(shapely.node(shapes[number]))][1:]
        )
        found.append((number, number, turns))
    return found
