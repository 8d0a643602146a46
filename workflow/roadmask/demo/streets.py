"""The demo city's street network, before it has any width.

The network is laid out in a frame of its own: water at the bottom, avenues going up, streets
across, all slightly turned. The frame is then turned and mirrored onto the sheets' ground, so
that another seed has its shore on another side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import shapely
from shapely import LineString, Point, Polygon

from roadmask.demo.layout import HEIGHT, MARGIN, WIDTH
from roadmask.demo.shapes import cut, longest, offset

Points = npt.NDArray[np.float64]
Level = Literal["low", "high"]
Kind = Literal[
    "street",
    "avenue",
    "diagonal",
    "shore",
    "highway",
    "ramp",
    "alley",
    "cul-de-sac",
]

SHARP_STEP = 20.0
"""Distance in feet between the vertices of a curve."""
HIGHWAY_REACH = 37.0 + 5.0
"""From the highway's axis to the outer edge of a carriageway, in feet."""
CORRIDOR = 88.0
"""From the highway's axis to where the blocks begin, in feet."""
CARRIAGEWAY = 36.0
HIGHWAY_GAP = 12.0
RAMP_WIDTH = 20.0
RAMP_OFFSET = 64.0
RAMP_CUT = 62.0
"""Along a ramp, where it counts to the lower level before and to the upper one after."""
BULB_RADIUS = 37.0


@dataclass(frozen=True)
class Road:
    """A road's axis and what is needed to pave it.

    Attributes
    ----------
    name : str
        Name as on the street sign.
    kind : str
        What it is.
    line : shapely.LineString
        Axis, in feet from the ground's lower left corner.
    width : float
        Paved width from edge to edge, a median included, in feet.
    level : "low" or "high"
        Whether it lies on the ground or on the viaduct.
    median : float
        Width of the median, in feet; 0 where the road is not divided.
    one_way : bool
        Whether its traffic goes in the axis' direction alone.
    open_start, open_end : bool
        Whether the road runs out there, its two edges unconnected.
    """

    name: str
    kind: Kind
    line: LineString
    width: float
    level: Level = "low"
    median: float = 0.0
    one_way: bool = False
    open_start: bool = False
    open_end: bool = False


@dataclass(frozen=True)
class Network:
    """All axes of the city and the shore.

    Attributes
    ----------
    roads : tuple of Road
        Every road that is really there.
    highway : shapely.LineString
        Axis of the viaduct.
    water, pier : shapely.Polygon
        The water's surface, and the pier that stands in it.
    parks, cul_de_sacs : tuple of shapely.Point
        A point in each superblock that is a park, or holds a cul-de-sac.
    paper_streets, tunnels, ferries, footpaths : tuple of shapely.LineString
        What the centerlines hold without a road on the ground.
    turn : float
        Direction of the streets, in radians from east.
    """

    roads: tuple[Road, ...]
    highway: LineString
    water: Polygon
    pier: Polygon
    parks: tuple[Point, ...]
    cul_de_sacs: tuple[Point, ...]
    paper_streets: tuple[LineString, ...]
    tunnels: tuple[LineString, ...]
    ferries: tuple[LineString, ...]
    footpaths: tuple[LineString, ...]
    turn: float


@dataclass
class _Frame:
    """From the plan's own frame, its origin in the middle, to the sheets' ground."""

    quarter_turns: int
    mirrored: bool
    turn: float
    width: float = field(init=False)
    height: float = field(init=False)

    def __post_init__(self) -> None:
        across = self.quarter_turns % 2 == 1
        self.width, self.height = (HEIGHT, WIDTH) if across else (WIDTH, HEIGHT)

    def place(self, points: Points) -> Points:
        """Take points of the frame to the ground."""
        x, y = points[:, 0], points[:, 1]
        if self.mirrored:
            x = -x
        for _ in range(self.quarter_turns):
            x, y = -y, x
        return np.column_stack([x + WIDTH / 2, y + HEIGHT / 2])

    def from_grid(self, points: Points) -> Points:
        """Turn grid coordinates (along the streets, along the avenues) into the frame's."""
        cosine, sine = math.cos(self.turn), math.sin(self.turn)
        u, v = points[:, 0], points[:, 1]
        return np.column_stack([u * cosine - v * sine, u * sine + v * cosine])


@dataclass(frozen=True)
class _Wave:
    """A gentle bend: offset from the straight axis."""

    amplitude: float
    length: float
    phase: float

    def at(self, along: Points) -> Points:
        """Return the offset in feet at distances `along` the axis."""
        return self.amplitude * np.sin(2 * math.pi * along / self.length + self.phase)


def _along(start: float, end: float) -> Points:
    return np.arange(start, end + SHARP_STEP / 2, SHARP_STEP)


def _line(points: Points) -> LineString:
    return LineString(points)


def sheets_ground() -> Polygon:
    """Return the ground that the sheets cover."""
    return shapely.box(0, 0, WIDTH, HEIGHT)


def whole_ground() -> Polygon:
    """Return the ground that the lines cover."""
    return shapely.box(-MARGIN, -MARGIN, WIDTH + MARGIN, HEIGHT + MARGIN)


def _positions(
    rng: np.random.Generator, start: float, end: float, low: float, high: float
) -> list[float]:
    """Step from `start` until `end` is passed, each step between `low` and `high`."""
    sign = 1.0 if end > start else -1.0
    positions = [start]
    while (end - positions[-1]) * sign > 0:
        positions.append(positions[-1] + sign * rng.uniform(low, high))
    return positions


class _Planner:
    """Lays out one city; every draw comes from one generator, in a fixed order."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng([seed, 1])
        rng = self.rng
        self.frame = _Frame(
            quarter_turns=int(rng.integers(4)),
            mirrored=bool(rng.integers(2)),
            turn=math.radians(rng.choice([-1, 1]) * rng.uniform(2, 13)),
        )
        self.roads: list[Road] = []
        self.sheets = sheets_ground()
        self.inner = self.sheets.buffer(-120)

    def grid_line(self, points: Points) -> LineString:
        """Place a line given in grid coordinates."""
        return _line(self.frame.place(self.frame.from_grid(points)))

    def plan(self) -> Network:
        """Lay out everything."""
        rng = self.rng
        self.lay_shore()
        self.lay_axes()
        self.lay_diagonal()
        self.choose_superblocks()
        self.lay_avenues()
        self.lay_streets()
        self.lay_cul_de_sac()
        self.lay_ramps()
        self.lay_alleys()
        origin = self.frame.place(self.frame.from_grid(np.array([[0.0, 0.0], [1.0, 0.0]])))
        direction = origin[1] - origin[0]
        return Network(
            roads=tuple(self.roads),
            highway=self.highway,
            water=self.water,
            pier=self.pier,
            parks=(self.middle_of(self.park),),
            cul_de_sacs=(self.middle_of(self.close),),
            paper_streets=(self.segment(*self.park),),
            tunnels=(self.tunnel(rng),),
            ferries=(self.ferry(rng),),
            footpaths=(self.footpath(rng),),
            turn=math.atan2(direction[1], direction[0]),
        )

    # The shore and what follows it

    def lay_shore(self) -> None:
        """Draw the shore, the drive along it and, later, the pier."""
        rng, frame = self.rng, self.frame
        x = _along(-frame.width, frame.width)
        inland = rng.uniform(125, 185)
        wave = _Wave(rng.uniform(15, 40), rng.uniform(1100, 1900), rng.uniform(0, 2 * math.pi))
        ripple = _Wave(rng.uniform(4, 12), rng.uniform(420, 640), rng.uniform(0, 2 * math.pi))
        y = -frame.height / 2 + inland + wave.at(x) + ripple.at(x)
        shore = np.column_stack([x, y])
        deep = np.array([[frame.width, -3 * frame.height], [-frame.width, -3 * frame.height]])
        self.water = Polygon(frame.place(np.vstack([shore, deep])))
        self.shore = _line(frame.place(shore))
        drive = np.column_stack([x, y + rng.uniform(78, 92)])
        self.drive = _line(frame.place(drive))
        self.upland = Polygon(frame.place(np.vstack([drive, deep * [1, -1]])))
        self.roads.append(Road("SHORE DR", "shore", self.drive, 44.0))

    # The grid

    def lay_axes(self) -> None:
        """Place the highway, the avenues on both sides of it and the streets."""
        rng, frame = self.rng, self.frame
        reach = math.hypot(frame.width, frame.height) / 2 + MARGIN + 300
        highway_at = rng.choice([-1, 1]) * rng.uniform(0.06, 0.26) * frame.width
        v = _along(-reach, reach)
        bend = _Wave(rng.uniform(15, 40), rng.uniform(1500, 2300), rng.uniform(0, 2 * math.pi))
        self.highway = self.grid_line(np.column_stack([highway_at + bend.at(v), v]))

        beside = rng.uniform(290, 330, size=2)
        left = _positions(rng, highway_at - beside[0], -reach, 350, 520)
        right = _positions(rng, highway_at + beside[1], reach, 350, 520)
        avenues = sorted(left + right)
        curved = int(
            np.argmin([abs(a + np.sign(highway_at) * 0.25 * frame.width) for a in avenues])
        )
        self.avenues = []
        for index, at in enumerate(avenues):
            amplitude = rng.uniform(30, 50) if index == curved else rng.uniform(0, 5)
            wave = _Wave(amplitude, rng.uniform(1100, 1700), rng.uniform(0, 2 * math.pi))
            self.avenues.append(self.grid_line(np.column_stack([at + wave.at(v), v])))
        self.left_of_highway = len(left) - 1

        u = _along(-reach, reach)
        curved_at = rng.uniform(-0.05, 0.22) * frame.height
        above = _positions(rng, curved_at + rng.uniform(300, 340), reach, 225, 290)
        below = _positions(rng, curved_at - rng.uniform(300, 340), -reach, 225, 290)
        streets = sorted([curved_at, *above, *below])
        self.streets = []
        for at in streets:
            amplitude = rng.uniform(45, 70) if at == curved_at else rng.uniform(0, 5)
            wave = _Wave(amplitude, rng.uniform(760, 1150), rng.uniform(0, 2 * math.pi))
            self.streets.append(self.grid_line(np.column_stack([u, at + wave.at(u)])))
        self.curved_street = streets.index(curved_at)
        self.corners = np.full((len(self.avenues), len(self.streets), 2), np.nan)
        for i, avenue in enumerate(self.avenues):
            for j, street in enumerate(self.streets):
                crossing = avenue.intersection(street)
                if not crossing.is_empty:
                    point = shapely.get_parts(crossing)[0]
                    self.corners[i, j] = point.x, point.y

    def segment(self, i: int, j: int) -> LineString:
        """Return street `j` from avenue `i` to the next one."""
        street = self.streets[j]
        start = street.project(Point(self.corners[i, j]))
        end = street.project(Point(self.corners[i + 1, j]))
        return cut(street, start, end)

    def has_segment(self, i: int, j: int) -> bool:
        """Tell whether there is ground for this segment: on the plan and off the drive."""
        if np.isnan(self.corners[i : i + 2, j]).any():
            return False
        segment = self.segment(i, j)
        return bool(
            self.upland.contains(segment)
            and segment.distance(self.drive) > 130
            and segment.length > 60
        )

    def middle_of(self, cell: tuple[int, int]) -> Point:
        """Return the middle of a segment."""
        return self.segment(*cell).interpolate(0.5, normalized=True)

    def lay_diagonal(self) -> None:
        """Draw the avenue that cuts across the grid, from the drive to the data's edge."""
        rng, frame = self.rng, self.frame
        lean = rng.choice([-1, 1]) * math.radians(rng.uniform(30, 42))
        along = _along(-2600, 2600)
        bow = _Wave(rng.uniform(10, 40), rng.uniform(2600, 3800), rng.uniform(0, 2 * math.pi))
        offset = bow.at(along)
        # It starts from a point on the side of the highway where there is more room.
        x = along * math.sin(lean) + offset * math.cos(lean)
        y = along * math.cos(lean) - offset * math.sin(lean)
        middle = np.array(
            [rng.uniform(-0.2, 0.2) * frame.width, rng.uniform(-0.1, 0.1) * frame.height]
        )
        line = self.grid_line(np.column_stack([x, y]) + middle)
        inland = longest(line.intersection(self.upland))
        assert inland is not None, "the diagonal starts in the city's middle"
        self.diagonal = inland
        self.roads.append(Road("BROADWAY", "diagonal", inland, float(rng.uniform(56, 64))))

    # Where the grid is interrupted

    def choose_superblocks(self) -> None:
        """Choose the segments that become a park, a cul-de-sac's block and a dead end.

        They are kept apart, and as far from the diagonal and the highway as the plan allows.
        """
        rng = self.rng
        scored: list[tuple[float, tuple[int, int]]] = []
        for i in range(len(self.avenues) - 1):
            for j in range(1, len(self.streets) - 1):
                if not all(self.has_segment(i, k) for k in (j - 1, j, j + 1)):
                    continue
                segment = self.segment(i, j)
                outside = segment.difference(self.inner).length
                near = sum(
                    max(0.0, 240 - segment.distance(other))
                    for other in (self.diagonal, self.highway)
                )
                scored.append((outside + near + rng.uniform(0, 60), (i, j)))
        scored.sort()
        chosen: list[tuple[int, int]] = []
        for apart in (2, 1):
            for _, (i, j) in scored:
                if (
                    len(chosen) < 3
                    and all(
                        i != other_i or abs(j - other_j) > apart - 1 + 1 * (apart == 2)
                        for other_i, other_j in chosen
                    )
                    and (i, j) not in chosen
                ):
                    chosen.append((i, j))
        self.park, self.close, self.dead_end = chosen[:3]
        self.closed = {self.park, self.close}

    def lay_avenues(self) -> None:
        """Take the avenues to the drive, some on to the water; one is divided."""
        rng = self.rng
        inside = [k for k, a in enumerate(self.avenues) if a.intersection(self.inner).length > 700]
        order = [int(k) for k in rng.permutation(inside)]
        divided = order[0]
        # The avenues that meet the water within the sheets: two of them go on to it.
        meeting = [
            k
            for k in order
            if k != divided
            and self.inner.buffer(60).intersects(self.avenues[k].intersection(self.shore))
            and self.avenues[k].intersection(self.shore).distance(self.highway) > 150
        ]
        to_water = meeting[:2]
        pier_at: Point | None = None
        for k, avenue in enumerate(self.avenues):
            limit = self.upland.union(self.drive.buffer(1.0))
            if k in to_water:
                limit = shapely.difference(whole_ground().buffer(2000), self.water.buffer(3.0))
            line = longest(avenue.intersection(limit))
            if line is None or line.length < 50:
                continue
            at_water = line.distance(self.water) < 10
            starts_at_water = at_water and Point(line.coords[0]).distance(self.water) < 10
            ends_at_water = at_water and Point(line.coords[-1]).distance(self.water) < 10
            if at_water:
                end = Point(line.coords[0] if starts_at_water else line.coords[-1])
                pier_at = pier_at or end
            wide = k == divided
            self.roads.append(
                Road(
                    f"{k + 1} AVE",
                    "avenue",
                    line,
                    84.0 if wide else float(np.round(rng.uniform(52, 66))),
                    median=13.0 if wide else 0.0,
                    one_way=bool(rng.random() < 0.4) and not wide,
                    open_start=starts_at_water,
                    open_end=ends_at_water,
                )
            )
        self.lay_pier(pier_at)

    def lay_pier(self, beside: Point | None) -> None:
        """Build a pier from the shore, where an avenue ends or in the shore's middle."""
        rng = self.rng
        in_sheets = longest(self.shore.intersection(self.inner.buffer(100)))
        assert in_sheets is not None, "the shore lies within the sheets"
        near = (
            in_sheets.project(beside) + rng.choice([-1, 1]) * rng.uniform(90, 130)
            if beside
            else 0.0
        )
        places = [near, *(in_sheets.length * rng.uniform(0.15, 0.85, size=12))]
        near = next(
            place
            for place in [*places, in_sheets.length / 4, in_sheets.length * 3 / 4]
            if 60 < place < in_sheets.length - 60
            and in_sheets.interpolate(place).distance(self.highway) > 130
        )
        root = np.array(in_sheets.interpolate(near).coords[0])
        ahead = np.array(in_sheets.interpolate(near + 5).coords[0])
        along = (ahead - root) / np.linalg.norm(ahead - root)
        out = np.array([along[1], -along[0]])
        if not self.water.contains(Point(root + 60 * out)):
            out = -out
        half, length = rng.uniform(20, 28), rng.uniform(80, 110)
        corners = [root - half * along - 12 * out, root + half * along - 12 * out]
        corners += [corners[1] + (length + 12) * out, corners[0] + (length + 12) * out]
        self.pier = Polygon(corners)
        self.pier_head = root + length * out
        self.seaward = out

    def lay_streets(self) -> None:
        """Lay each street as the runs of its segments that are there."""
        rng = self.rng
        for j in range(len(self.streets)):
            width = 42.0 if j == self.curved_street else float(np.round(rng.uniform(30, 40)))
            one_way = width < 36
            name = f"{'E' if self.frame.mirrored else 'W'} {j + 1} ST"
            run: list[tuple[float, float]] = []
            for i in range(len(self.avenues) - 1):
                there = self.has_segment(i, j) and (i, j) not in self.closed | {self.dead_end}
                if there:
                    coords = [(x, y) for x, y in self.segment(i, j).coords]
                    run += coords[1:] if run else coords
                if run and (not there or i == len(self.avenues) - 2):
                    self.roads.append(Road(name, "street", LineString(run), width, one_way=one_way))
                    run = []
            if self.dead_end[1] == j:
                segment = self.segment(*self.dead_end)
                if rng.random() < 0.5:
                    segment = segment.reverse()
                line = cut(segment, 0, rng.uniform(0.5, 0.62) * segment.length)
                self.roads.append(Road(name, "street", line, width, open_end=True))

    def lay_cul_de_sac(self) -> None:
        """Lead a short street from the next street into the superblock."""
        i, j = self.close
        rng = self.rng
        neighbour = j + 1 if rng.random() < 0.5 else j - 1
        start = self.segment(i, neighbour).interpolate(rng.uniform(0.4, 0.6), normalized=True)
        across = self.segment(i, j)
        aim = across.interpolate(across.project(start))
        length = min(rng.uniform(125, 150), start.distance(aim) * 0.75)
        direction = np.array([aim.x - start.x, aim.y - start.y])
        direction /= np.linalg.norm(direction)
        end = np.array([start.x, start.y]) + length * direction
        line = LineString([start.coords[0], tuple(end)])
        self.roads.append(Road("GARDEN PL", "cul-de-sac", line, 30.0))

    # The interchange

    def lay_ramps(self) -> None:
        """Lay the highway's two carriageways and a ramp down to a street on either side."""
        rng = self.rng
        middle = (CARRIAGEWAY + HIGHWAY_GAP) / 2
        for side, name in ((-1, "RIVER EXPY NB"), (1, "RIVER EXPY SB")):
            line = offset(self.highway, side * middle)
            self.roads.append(Road(name, "highway", line, CARRIAGEWAY, level="high", one_way=True))
        at = []
        for j, street in enumerate(self.streets):
            crossing = self.highway.intersection(street)
            if (
                isinstance(crossing, Point)
                and self.sheets.contains(crossing)
                and self.has_segment(self.left_of_highway, j)
            ):
                at.append((self.highway.project(crossing), street))
        low = shapely.unary_union([self.diagonal, self.drive])
        candidates: list[tuple[float, LineString, int]] = []
        for where, street in at:
            for side in (-1, 1):
                for way in (-1, 1):
                    line = self.ramp(where, side, way, street)
                    clear = min(line.distance(low), 90.0)
                    inside = line.intersection(self.inner).length / line.length
                    candidates.append((clear + 200 * inside + rng.uniform(0, 20), line, side))
        candidates.sort(key=lambda candidate: -candidate[0])
        taken: set[int] = set()
        for _, line, side in candidates:
            if side not in taken:
                taken.add(side)
                self.roads.append(
                    Road("RIVER EXPY RAMP", "ramp", line, RAMP_WIDTH, level="high", one_way=True)
                )

    def ramp(self, where: float, side: int, way: int, street: LineString) -> LineString:
        """Draw a ramp from a street up to the highway.

        It starts on the street's axis beside the highway, `where` along the highway, and ends
        on the axis of the carriageway.
        """
        length = 190.0
        merge = (CARRIAGEWAY + HIGHWAY_GAP) / 2
        steps = np.arange(0.0, length + 1, 10.0)
        rise = np.clip((steps - RAMP_CUT - 15) / (length - RAMP_CUT - 15), 0, 1)
        offset = side * (RAMP_OFFSET + (merge - RAMP_OFFSET) * rise * rise * (3 - 2 * rise))
        points = []
        for step, aside in zip(steps, offset, strict=True):
            base = np.array(self.highway.interpolate(where + way * step).coords[0])
            ahead = np.array(self.highway.interpolate(where + way * step + 1).coords[0])
            forward = (ahead - base) / np.linalg.norm(ahead - base)
            points.append(base + aside * np.array([-forward[1], forward[0]]))
        foot = street.interpolate(street.project(Point(points[0])))
        points[0] = np.array(foot.coords[0])
        return LineString(points)

    def lay_alleys(self) -> None:
        """Cut an alley through one block and lead another one into a block."""
        rng = self.rng
        taken = [self.park, self.close, self.dead_end]
        busy = shapely.unary_union([self.diagonal, self.highway.buffer(CORRIDOR), self.drive])
        scored = []
        for i in range(len(self.avenues) - 1):
            for j in range(len(self.streets) - 1):
                if i == self.left_of_highway or any(i == a and j in (b - 1, b) for a, b in taken):
                    continue
                if not (self.has_segment(i, j) and self.has_segment(i, j + 1)):
                    continue
                lower, upper = self.segment(i, j), self.segment(i, j + 1)
                places = np.linspace(0, 1, 12)
                middle = (
                    shapely.get_coordinates(lower.interpolate(places, normalized=True))
                    + shapely.get_coordinates(upper.interpolate(places, normalized=True))
                ) / 2
                line = LineString(middle)
                penalty = max(0.0, 150 - line.distance(busy)) + line.difference(self.inner).length
                scored.append((penalty + rng.uniform(0, 40), (i, j), line))
        scored.sort(key=lambda item: item[0])
        for number, (_, _, line) in enumerate(scored[:2]):
            there = line if number == 0 else cut(line, 0, 0.55 * line.length)
            self.roads.append(Road(f"ALLEY {number + 1}", "alley", there, 15.0))

    # What the centerlines hold without a road

    def tunnel(self, rng: np.random.Generator) -> LineString:
        """Draw a tunnel's axis under the blocks."""
        start = np.array(self.inner.centroid.coords[0]) + rng.uniform(-250, 250, size=2)
        angle = rng.uniform(0, 2 * math.pi)
        reach = np.array([math.cos(angle), math.sin(angle)]) * rng.uniform(300, 420)
        side = np.array([-reach[1], reach[0]]) * rng.uniform(-0.15, 0.15)
        return LineString([start - reach, start + side, start + reach])

    def ferry(self, rng: np.random.Generator) -> LineString:
        """Draw a ferry's route from the pier to the data's edge."""
        side = np.array([-self.seaward[1], self.seaward[0]]) * rng.uniform(-200, 200)
        away = self.pier_head + 900 * self.seaward + side
        return LineString([self.pier_head, self.pier_head + 60 * self.seaward, away])

    def footpath(self, rng: np.random.Generator) -> LineString:
        """Draw a winding path through the park."""
        i, j = self.park
        start = self.segment(i, j - 1).interpolate(rng.uniform(0.15, 0.35), normalized=True)
        end = self.segment(i, j + 1).interpolate(rng.uniform(0.65, 0.85), normalized=True)
        share = np.linspace(0, 1, 25)[:, None]
        straight = np.array(start.coords[0]) * (1 - share) + np.array(end.coords[0]) * share
        along = np.array([end.x - start.x, end.y - start.y])
        across = np.array([-along[1], along[0]]) / np.linalg.norm(along)
        return LineString(straight + across * (45 * np.sin(2 * math.pi * share)))


def plan_network(seed: int) -> Network:
    """Lay out the streets of a city.

    Parameters
    ----------
    seed : int
        Which city; the same seed gives the same network.

    Returns
    -------
    Network
        Its axes, in feet from the lower left corner of the sheets' ground.
    """
    network = _Planner(seed).plan()
    ground = whole_ground()
    return replace(
        network,
        ferries=tuple(
            line for route in network.ferries if (line := longest(route.intersection(ground)))
        ),
    )
