"""Small cities that share nothing with the built-in demo but what streets are.

Where the demo bends a grid, these part a turned rectangle again and again, so that most
junctions are T; then everything is warped, and streets of widths that differ by four times,
culs-de-sac, open dead ends, a divided boulevard, a roundabout, islands, an overpass, a shore,
and centerlines without a road are added. Used to hold the masks to what they were not made on.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.features import rasterize
from shapely import LineString, MultiLineString, Point, Polygon, box
from shapely.geometry.base import BaseGeometry
from shapely.ops import substring

from roadmask.burn import burn_lines
from roadmask.grid import Grid

FOOT = 0.3048
WIDTHS = (18.0, 24.0, 30.0, 36.0, 44.0, 60.0, 72.0)
WIDEST = 72.0
# All in feet. Lines go on past the grid, the grid past the ground that is scored.
EXTENT, HALO, BEYOND = 1300.0, 150.0, 200.0


@dataclass
class DrawnCity:
    """A city in feet from the lower left corner of the scored ground.

    Attributes
    ----------
    roads
        The truth.
    lines, centerlines
        What a map holds of it: edges with gaps, axes that are off.
    real
        ``(centerlines,)`` bool: whether a road belongs to it.
    widths
        ``(centerlines,)`` paved width in feet.
    gaps
        Middle and width in feet of each gap.
    """

    roads: BaseGeometry
    lines: list[LineString]
    centerlines: list[LineString]
    real: np.ndarray
    widths: np.ndarray
    gaps: list[tuple[Point, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Raster:
    """A city on a grid.

    Attributes
    ----------
    grid
        Halo included.
    lines, centerlines
        In the grid's CRS.
    barrier, truth
        ``(h, w)`` uint8.
    scored
        The slice without the halo.
    """

    grid: Grid
    lines: np.ndarray
    centerlines: np.ndarray
    barrier: np.ndarray
    truth: np.ndarray
    scored: tuple[slice, slice]


def rasterized(city: DrawnCity, pixel: float = 1.0, crs: int = 2263, unit: float = 1.0) -> Raster:
    """Put a city on a grid: `pixel` in units of the CRS, `unit` feet long each."""
    size, halo = round(EXTENT / unit / pixel), round(HALO / unit / pixel)
    count = size + 2 * halo
    edge = halo * pixel
    # Somewhere in the CRS's own ground, where its scale is right.
    west, south = (980_000.0, 200_000.0) if crs == 2263 else (300_000.0, 60_000.0)
    grid = Grid(
        count,
        count,
        Affine(pixel, 0, west - edge, 0, -pixel, south + (size + halo) * pixel),
        CRS.from_epsg(crs),
    )

    def place(geometries: list[LineString]) -> np.ndarray:
        return np.asarray(
            shapely.transform(
                np.array(geometries, dtype=object), lambda xy: xy / unit + [west, south]
            )
        )

    lines = place(city.lines)
    truth = rasterize(
        [shapely.transform(city.roads, lambda xy: xy / unit + [west, south])],
        grid.shape,
        transform=grid.transform,
        dtype="uint8",
    )
    inner = slice(halo, halo + size)
    return Raster(
        grid, lines, place(city.centerlines), burn_lines(lines, grid), truth, (inner, inner)
    )


def draw_city(
    seed: int,
    broken: float,
    off: float = 6.0,
    *,
    unreal: bool = True,
    open_ends: bool = True,
    levels: bool = True,
) -> DrawnCity:
    """Draw a city.

    Parameters
    ----------
    seed
        Which one.
    broken
        Share of the lines with a gap of 2 to 25 ft (one in twenty of these up to 40 ft).
    off
        Feet by which each node of the centerlines lies off, at most.
    unreal
        Whether paper streets, tunnels, a ferry and paths are among the centerlines.
    open_ends
        Whether the edges of some dead ends stop there; else a line closes each.
    levels
        Whether a road may pass over the others.
    """
    rng = np.random.default_rng([seed, 20])
    plan = _Plan(rng)
    axes, upper = plan.axes, plan.upper if levels else []
    strips = [axis.buffer(width / 2, cap_style="flat") for axis, width in axes]
    ground = shapely.unary_union([*strips, *plan.bulbs])
    low = _round_corners(ground, float(rng.uniform(6, 14)))
    low = low.difference(shapely.unary_union([*plan.holes]))
    high = shapely.unary_union([axis.buffer(width / 2, cap_style="flat") for axis, width in upper])
    frame = box(-HALO - BEYOND, -HALO - BEYOND, EXTENT + HALO + BEYOND, EXTENT + HALO + BEYOND)
    roads = low.union(high).intersection(frame)

    caps = plan.caps if open_ends else []
    no_line = shapely.unary_union([*caps, frame.boundary]).buffer(0.5)
    edges: list[LineString] = []
    for part in (low.intersection(frame), high.intersection(frame)):
        outline = shapely.boundary(shapely.get_parts(part))
        for line in _merged(shapely.union_all(outline).difference(no_line)):
            edges += _split_at_corners(line)
    edges, gaps = _break(edges, broken, rng)

    nodes: dict[tuple[int, int], np.ndarray] = {}
    centerlines, real, widths = [], [], []
    for group in (plan.centerlines, upper):
        noded = shapely.unary_union([axis for axis, _ in group])
        for line in _merged(noded.intersection(frame.buffer(-2)), merge=False):
            if line.length < 1:
                continue
            middle = line.interpolate(0.5, normalized=True)
            width = min(group, key=lambda item: item[0].distance(middle))[1]
            centerlines.append(_nudge(line, nodes, rng, off))
            real.append(True)
            widths.append(width)
    if unreal:
        blocks = [b for b in shapely.get_parts(frame.difference(roads)) if b.area > 12_000]
        for line in _without_road(blocks, axes, plan, frame, rng):
            centerlines.append(_nudge(line, nodes, rng, off))
            real.append(False)
            widths.append(0.0)
    return DrawnCity(roads, edges, centerlines, np.array(real), np.array(widths), gaps)


class _Plan:
    """Axes with their widths, and what belongs to them."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.turn = rng.uniform(0, np.pi / 2)
        self.waves = rng.uniform([8, 900, 0], [45, 1800, 6.28], size=(2, 3))
        self.axes: list[tuple[LineString, float]] = []
        self.upper: list[tuple[LineString, float]] = []
        self.centerlines: list[tuple[LineString, float]] = []
        self.bulbs: list[Polygon] = []
        self.caps: list[LineString] = []
        self.holes: list[Polygon] = []
        self.medians: list[tuple[LineString, float]] = []
        half = 0.85 * (EXTENT + 2 * (HALO + BEYOND))
        self.shore = rng.uniform(0.28, 0.38) * EXTENT
        self.part((-half, -half, half, self.shore), 0)
        # The street along the shore bounds the city; beyond it lies water.
        self.street([(-half, self.shore), (half, self.shore)], 44.0)
        self.add_culs_de_sac()
        self.add_islands()
        if rng.random() < 0.7:
            offset = rng.uniform(-200, 200)
            slope = rng.uniform(-0.5, 0.5)
            x = np.arange(-half, half, 40.0)
            line = self.warped(np.column_stack([slope * x + offset, x]))
            self.upper.append((line, float(rng.uniform(26, 48))))

    def warped(self, points: np.ndarray) -> LineString:
        """Bend, turn and move a line of the plan onto the ground."""
        points = np.asarray(points, float)
        line = LineString(points).segmentize(25.0)
        xy = shapely.get_coordinates(line)
        (a, b, c), (d, e, f) = self.waves
        bent = np.column_stack(
            [
                xy[:, 0] + a * np.sin(2 * np.pi * xy[:, 1] / b + c),
                xy[:, 1] + d * np.sin(2 * np.pi * xy[:, 0] / e + f),
            ]
        )
        cosine, sine = np.cos(self.turn), np.sin(self.turn)
        return LineString(bent @ np.array([[cosine, sine], [-sine, cosine]]) + EXTENT / 2)

    def street(self, points: list[tuple[float, float]], width: float, *, divided: bool = False):
        axis = self.warped(np.array(points))
        self.axes.append((axis, width))
        if not divided:
            self.centerlines.append((axis, width))
            return
        median = 0.16 * width
        aside = (width + median) / 4
        for sign in (-1, 1):
            self.centerlines.append((axis.offset_curve(sign * aside), (width - median) / 2))
        self.medians.append((axis, median))

    def part(self, cell: tuple[float, float, float, float], depth: int) -> None:
        """Part a cell by a street, and its halves again."""
        west, south, east, north = cell
        wide, high = east - west, north - south
        rng = self.rng
        limit = rng.uniform(230, 430)
        if max(wide, high) < 2 * limit * 0.75 or min(wide, high) < 200:
            return
        width = float(rng.choice(WIDTHS[-2:] if depth < 2 else WIDTHS[:-1]))
        divided = depth == 1 and rng.random() < 0.6
        if divided:
            width = WIDEST
        share = rng.uniform(0.35, 0.65)
        if wide > high:
            at = west + share * wide
            self.street([(at, south), (at, north)], width, divided=divided)
            self.part((west, south, at, north), depth + 1)
            self.part((at, south, east, north), depth + 1)
        else:
            at = south + share * high
            self.street([(west, at), (east, at)], width, divided=divided)
            self.part((west, south, east, at), depth + 1)
            self.part((west, at, east, north), depth + 1)

    def add_culs_de_sac(self) -> None:
        """Lead short streets into blocks: closed ones with a bulb, and open ones."""
        rng = self.rng
        scored = box(0, 0, EXTENT, EXTENT)
        for number in range(24):
            axis, _ = self.axes[rng.integers(len(self.axes))]
            at = axis.interpolate(rng.uniform(0.1, 0.9), normalized=True)
            ahead = axis.interpolate(axis.project(at) + 1)
            normal = np.array([-(ahead.y - at.y), ahead.x - at.x]) * rng.choice([-1, 1])
            length = rng.uniform(110, 190)
            end = np.array([at.x, at.y]) + normal / np.linalg.norm(normal) * length
            spur = LineString([at.coords[0], tuple(end)])
            others = [a.buffer(w / 2) for a, w in self.axes if a is not axis]
            tip = Point(end)
            if not scored.buffer(-60).contains(spur):
                continue
            if any(other.distance(spur) < 60 for other in others) or any(
                bulb.distance(spur) < 90 for bulb in self.bulbs
            ):
                continue
            if any(cap.distance(spur) < 120 for cap in self.caps):
                continue
            own = float(rng.choice([18.0, 24.0, 30.0]))
            self.axes.append((spur, own))
            self.centerlines.append((spur, own))
            if number % 2:
                self.bulbs.append(tip.buffer(rng.uniform(30, 42)))
            else:
                across = np.array([normal[1], -normal[0]]) / np.linalg.norm(normal) * own / 2
                self.caps.append(LineString([end - across, end + across]))

    def add_islands(self) -> None:
        """Cut medians and islands out of the wide streets, and a roundabout's middle."""
        rng = self.rng
        for axis, median in self.medians:
            crossing = shapely.unary_union(
                [o.buffer(w / 2 + 24) for o, w in self.axes if o is not axis]
            )
            for piece in _merged(axis.difference(crossing)):
                if piece.length > 60:
                    self.holes.append(piece.buffer(median / 2))
        for (one, w1), (two, w2) in itertools.combinations(self.axes, 2):
            if len(self.bulbs) > 6 or not one.intersects(two) or max(w1, w2) < 44:
                continue
            at = shapely.get_parts(one.intersection(two))[0]
            if at.geom_type != "Point" or rng.random() > 0.15:
                continue
            near = [hole for hole in self.holes if hole.distance(at) < 140]
            if near:
                continue
            # A roundabout: centerlines run into its middle, as many maps have it.
            self.bulbs.append(at.buffer(0.5 * (w1 + w2) / 2 + 48))
            ring = at.buffer(0.5 * (w1 + w2) / 4 + 24)
            self.holes.append(at.buffer(16))
            cut = at.buffer(shapely.area(ring) ** 0.5 / np.pi**0.5)
            kept = []
            for line, width in self.centerlines:
                for piece in _merged(line.difference(cut)):
                    kept.append((piece, width))
            self.centerlines = kept
            self.centerlines.append((LineString(cut.exterior.coords), 30.0))


def _without_road(blocks, axes, plan, frame, rng) -> list[LineString]:
    """Paper streets across blocks, a tunnel below several, paths, and a ferry."""
    inside = box(40, 40, EXTENT - 40, EXTENT - 40)
    parks = [b for b in blocks if inside.contains(b.centroid) and b.area < 250_000]
    found: list[LineString] = []
    order = rng.permutation(len(parks))
    for k in order[:2]:
        # From axis to axis, through the middle of the block.
        middle = parks[k].centroid
        angle = plan.turn + rng.choice([0, np.pi / 2]) + rng.normal(0, 0.05)
        reach = np.array([np.cos(angle), np.sin(angle)]) * 900
        ray = LineString([np.array(middle.coords[0]) - reach, np.array(middle.coords[0]) + reach])
        stops = sorted(
            ray.project(point)
            for axis, _ in axes
            for point in shapely.get_parts(ray.intersection(axis))
            if point.geom_type == "Point"
        )
        here = ray.project(middle)
        before = [s for s in stops if s < here]
        after = [s for s in stops if s > here]
        if before and after:
            found.append(substring(ray, before[-1], after[0]))
    for k in order[2:4]:
        west, south, east, north = parks[k].bounds
        share = np.linspace(0, 1, 24)[:, None]
        line = np.array([west, south]) * (1 - share) + np.array([east, north]) * share
        line = line + np.column_stack([30 * np.sin(9 * share[:, 0]), 20 * np.cos(7 * share[:, 0])])
        piece = LineString(line).intersection(parks[k].buffer(20))
        found += [p for p in _merged(piece) if p.length > 60]
    start = rng.uniform(0.2, 0.8, size=2) * EXTENT
    angle = rng.uniform(0, np.pi)
    reach = np.array([np.cos(angle), np.sin(angle)]) * rng.uniform(250, 450)
    found.append(LineString([start - reach, start + rng.normal(0, 20, 2), start + reach]))
    shore = plan.warped(np.array([[0.0, plan.shore + 30], [60.0, plan.shore + 2500]]))
    ferry = shore.intersection(frame)
    found += [p for p in _merged(ferry) if p.length > 60]
    return found


def _round_corners(roads: BaseGeometry, radius: float) -> BaseGeometry:
    return roads.buffer(radius, join_style="mitre", mitre_limit=3).buffer(-radius, quad_segs=6)


def _merged(geometry: BaseGeometry, *, merge: bool = True) -> list[LineString]:
    parts = [
        part
        for part in shapely.get_parts(shapely.get_parts(geometry))
        if part.geom_type in ("LineString", "LinearRing") and part.length > 0.5
    ]
    if merge and parts:
        parts = list(shapely.get_parts(shapely.line_merge(MultiLineString(parts))))
    return sorted((LineString(p.coords) for p in parts), key=lambda p: p.bounds)


def _split_at_corners(line: LineString) -> list[LineString]:
    """Split an outline where it turns by more than 35 degrees within 25 ft."""
    rough = line.simplify(1.5)
    xy = shapely.get_coordinates(rough)
    along = np.array([line.project(Point(p)) for p in xy])
    along[-1] = line.length
    heading = np.unwrap(np.arctan2(*np.diff(xy, axis=0).T[::-1]))
    cuts, last = [], -100.0
    for k in range(1, len(heading)):
        near = np.abs(along[1:-1] - along[k]) < 12.5
        turned = abs(np.diff(heading)[near].sum())
        if turned > np.radians(35) and along[k] - last > 30:
            cuts.append(along[k])
            last = along[k]
    stops = [0.0, *[c for c in cuts if 10 < c < line.length - 10], line.length]
    return [substring(line, a, b) for a, b in itertools.pairwise(stops)]


def _break(
    edges: list[LineString], share: float, rng: np.random.Generator
) -> tuple[list[LineString], list[tuple[Point, float]]]:
    kept: list[LineString] = []
    gaps = []
    for line in edges:
        chosen, wide = rng.random() < share, rng.random() < 0.05
        width = rng.uniform(25, 40) if wide else rng.uniform(2, 25)
        # One in five lies at the line's very end, that is at a corner.
        place = rng.random() if rng.random() < 0.8 else round(rng.random())
        width = min(width, line.length / 2)
        if not chosen or width < 2:
            kept.append(line)
            continue
        start = place * (line.length - width)
        kept += [
            piece
            for piece in (substring(line, 0, start), substring(line, start + width, line.length))
            if piece.geom_type == "LineString" and piece.length > 0.2
        ]
        gaps.append((line.interpolate(start + width / 2), width))
    return kept, gaps


def _nudge(line: LineString, nodes: dict, rng: np.random.Generator, off: float) -> LineString:
    xy = shapely.get_coordinates(line)
    shifts = []
    for point in (xy[0], xy[-1]):
        key = (round(point[0] / 3), round(point[1] / 3))
        if key not in nodes:
            angle, size = rng.uniform(0, 2 * np.pi), off * np.sqrt(rng.random())
            nodes[key] = size * np.array([np.cos(angle), np.sin(angle)])
        shifts.append(nodes[key])
    share = np.linspace(0, 1, len(xy))[:, None]
    return LineString(xy + (1 - share) * shifts[0] + share * shifts[1]).simplify(0.3)
