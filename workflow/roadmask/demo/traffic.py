"""Markings, wear and cars on the demo city's roads."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import shapely
from shapely import LineString, MultiPolygon, Point
from shapely.geometry.base import BaseGeometry

from roadmask.demo.canvas import Canvas
from roadmask.demo.colours import Colour
from roadmask.demo.shapes import (
    Vector,
    box_at,
    cut,
    frame_at,
    left_of,
    lines_of,
    long_direction,
    polygons_of,
    ring_at,
)
from roadmask.demo.streets import CARRIAGEWAY, Network, Road

WHITE, YELLOW = 1, 2
WIDEST_ROAD = 92.0
"""Wider than a road with its crossing's corners, in feet: what is wider is a merging of two."""

PARKED_ON_BOTH_SIDES = 26.0
"""Least width of a street with cars at both curbs, in feet."""

CAR_COLOURS: tuple[Colour, ...] = (
    (225, 226, 226, 215),
    (205, 207, 209, 200),
    (40, 41, 44, 60),
    (28, 28, 30, 45),
    (120, 122, 126, 120),
    (92, 95, 100, 100),
    (130, 30, 32, 140),
    (38, 58, 110, 95),
    (70, 78, 66, 90),
    (178, 168, 146, 175),
)

TAXI: Colour = (226, 182, 44, 212)


@dataclass(frozen=True)
class Stretch:
    """A part of a road between its crossings."""

    road: Road
    line: LineString


def stretches(roads: list[Road], clear: float) -> list[Stretch]:
    """Cut roads into what lies `clear` feet or more off their crossings."""
    found = []
    for road in roads:
        others = [
            other.line.buffer(other.width / 2 + clear)
            for other in roads
            if other is not road and other.line.distance(road.line) < 1.0
        ]
        rest = road.line.difference(shapely.unary_union(others)) if others else road.line
        found += [Stretch(road, part) for part in lines_of(rest) if part.length > 12]
    return found


def draw_car(
    canvas: Canvas,
    rng: np.random.Generator,
    middle: Vector,
    along: Vector,
    raised: float = 0.0,
) -> None:
    """Draw a car, van or truck."""
    if not canvas.sees([middle - 20, middle + 20]):
        return
    colour = CAR_COLOURS[int(rng.integers(len(CAR_COLOURS)))]
    if rng.random() < 0.03:
        colour = TAXI
    kind = rng.random()
    length, width, height = rng.uniform(14, 16.5), rng.uniform(5.8, 6.6), 5.0
    if kind > 0.93:
        length, width, height = rng.uniform(24, 32), 8.0, 11.0
        colour = CAR_COLOURS[int(rng.integers(2))]
    elif kind > 0.8:
        length, width, height = rng.uniform(17, 20), 6.8, 7.0
    canvas.fill(box_at(middle, along, length, width), colour, height=raised + height, rough=20)
    glass: Colour = (36, 42, 48, 40)
    if kind <= 0.93:
        shift = rng.choice([-1, 1]) * 0.5
        for at, size in ((0.16, 0.12), (-0.27, 0.09)):
            spot = middle + along * (at * length + shift)
            canvas.fill(box_at(spot, along, size * length, width * 0.82), glass)
    else:
        front = middle + along * length * 0.42
        canvas.fill(box_at(front, along, length * 0.05, width * 0.9), glass)


def wear_roads(canvas: Canvas, rng: np.random.Generator, parts: list[Stretch]) -> None:
    """Darken the wheel tracks, patch the trenches, draw cracks and manholes."""
    for part in parts:
        road, line = part.road, part.line
        lanes = _lanes(road)
        for offset in lanes:
            track = line.offset_curve(offset)
            if not track.is_empty and track.geom_type == "LineString":
                canvas.stain(shapely.get_coordinates(track), int(rng.integers(112, 120)), 4.5)
        for _ in range(rng.poisson(line.length / 90)):
            middle, along = frame_at(line, rng.uniform(0, line.length))
            side = left_of(along)
            spot = middle + side * rng.uniform(-0.42, 0.42) * road.width
            size = rng.uniform(4, 22), rng.uniform(3, 7)
            canvas.stain(box_at(spot, along, *size), int(rng.choice([112, 116, 120, 137, 141])))
        for _ in range(rng.poisson(line.length / 50)):
            middle, along = frame_at(line, rng.uniform(0, line.length))
            side = left_of(along)
            steps = np.cumsum(rng.uniform(-2, 2, size=(7, 1)), axis=0) * side
            steps = steps + np.arange(7)[:, None] * rng.uniform(2, 6) * along
            spot = middle + side * rng.uniform(-0.4, 0.4) * road.width
            canvas.stain(spot + steps, 96, 0.5)
        for _ in range(rng.poisson(line.length / 110)):
            middle, along = frame_at(line, rng.uniform(0, line.length))
            side = left_of(along)
            spot = middle + side * rng.uniform(-0.25, 0.25) * road.width
            canvas.stain(ring_at(spot, 1.4, corners=8), 82)


def _lanes(road: Road) -> list[float]:
    """Return the lanes' middles as offsets from the axis."""
    half = road.width / 2
    if road.kind in ("avenue", "diagonal"):
        inner = road.median / 2
        width = (half - inner - 8) / 2
        offsets = [inner + width / 2, inner + 1.5 * width]
        return [sign * offset for sign in (-1, 1) for offset in offsets]
    if road.kind in ("highway", "ramp"):
        return [0.0] if road.kind == "ramp" else [-CARRIAGEWAY / 3, 0.0, CARRIAGEWAY / 3]
    return [0.0] if road.one_way else [-half * 0.36, half * 0.36]


def mark_stretch(canvas: Canvas, rng: np.random.Generator, part: Stretch) -> None:
    """Paint the lines along a road between two crossings."""
    road, line = part.road, part.line
    half = road.width / 2
    if road.kind in ("highway", "ramp"):
        _solid(canvas, line, 2 - half, YELLOW)
        _solid(canvas, line, half - 2, WHITE)
        if road.kind == "highway":
            for offset in (-CARRIAGEWAY / 6, CARRIAGEWAY / 6):
                _dashes(canvas, line, offset)
    elif road.median > 0:
        inner = road.median / 2
        for side in (-1, 1):
            _solid(canvas, line, side * (inner + 1.5), YELLOW)
            _dashes(canvas, line, side * (inner + (half - 8 - inner) / 2))
            _solid(canvas, line, side * (half - 8), WHITE)
    elif road.kind in ("avenue", "diagonal"):
        _mark_avenue(canvas, line, half, one_way=road.one_way, parking=rng.random() < 0.8)
    elif road.kind in ("street", "shore"):
        if road.one_way:
            _dashes(canvas, line, 0.0)
        else:
            _double(canvas, line)
        for side in (-1, 1):
            _solid(canvas, line, side * (half - 8), WHITE)


def _mark_avenue(
    canvas: Canvas, line: LineString, half: float, *, one_way: bool, parking: bool
) -> None:
    """Paint an avenue's lanes and, on some, the edge of its parking lanes."""
    quarter = (half - 8) / 2
    if not one_way:
        _double(canvas, line)
    for offset in (-quarter, 0.0, quarter) if one_way else (-quarter, quarter):
        _dashes(canvas, line, offset)
    if parking:
        for side in (-1, 1):
            _solid(canvas, line, side * (half - 8), WHITE)


def _double(canvas: Canvas, line: LineString) -> None:
    """Paint the double yellow line between two directions."""
    for offset in (-0.6, 0.6):
        _solid(canvas, line, offset, YELLOW)


def _solid(canvas: Canvas, line: LineString, offset: float, code: int) -> None:
    curve = line.offset_curve(offset)
    for piece in lines_of(curve):
        canvas.mark(shapely.get_coordinates(piece), code, 0.5)


def _dashes(canvas: Canvas, line: LineString, offset: float) -> None:
    curve = line.offset_curve(offset)
    for piece in lines_of(curve):
        for start in np.arange(5.0, piece.length - 10, 30.0):
            canvas.mark(shapely.get_coordinates(cut(piece, start, start + 10)), WHITE, 0.5)


def mark_crossings(canvas: Canvas, rng: np.random.Generator, roads: list[Road]) -> None:
    """Paint crosswalks and stop lines where roads cross."""
    for road, other in itertools.permutations(roads, 2):
        crossing = road.line.intersection(other.line.buffer(1.0))
        if crossing.is_empty:
            continue
        for part in shapely.get_parts(crossing):
            at = road.line.project(part.interpolate(0.5, normalized=True) if part.length else part)
            _, along = frame_at(road.line, at)
            _, across = frame_at(other.line, other.line.project(road.line.interpolate(at)))
            sine = abs(along[0] * across[1] - along[1] * across[0])
            cosine = abs(float(along @ across))
            if sine < math.sin(math.radians(38)) or rng.random() < 0.1:
                continue
            off = (other.width / 2 + road.width / 2 * cosine) / sine + 8.0
            zebra = rng.random() < 0.7
            for way in (-1, 1):
                place = at + way * off
                if 8 < place < road.line.length - 8:
                    _crosswalk(canvas, road, place, way, zebra=zebra)


def _crosswalk(canvas: Canvas, road: Road, place: float, way: int, *, zebra: bool) -> None:
    middle, along = frame_at(road.line, place)
    side = left_of(along)
    half = road.width / 2 - 1.0
    if zebra:
        for offset in np.arange(-half + 1, half, 4.0):
            canvas.mark(box_at(middle + offset * side, along, 10.0, 1.9), WHITE)
    else:
        for edge in (-5.0, 5.0):
            spot = middle + edge * along
            canvas.mark([spot - half * side, spot + half * side], WHITE, 1.0)
    stop = middle + way * 10.0 * along
    reach = (-half, half) if road.one_way else ((0.5, half) if way < 0 else (-half, -0.5))
    # Traffic keeps right: seen along the axis, its side before a crossing is the right one.
    canvas.mark([stop - reach[0] * side, stop - reach[1] * side], WHITE, 1.0)


def hatch_wide_places(canvas: Canvas, roadbed: BaseGeometry) -> None:
    """Hatch the middle of paved places that are wider than any road, as traffic is kept off it."""
    for part in polygons_of(roadbed.buffer(-WIDEST_ROAD / 2).buffer(10)):
        if part.area < 500:
            continue
        points = shapely.get_coordinates(part.exterior)
        canvas.mark(points, WHITE, 1.0)
        angle = long_direction(part) + math.pi / 4
        canvas.hatch(part, WHITE, 9.0, 2.0, angle)


def park_cars(
    canvas: Canvas, rng: np.random.Generator, parts: list[Stretch], keep_off: BaseGeometry
) -> None:
    """Park cars along the curbs."""
    shapely.prepare(keep_off)
    for part in parts:
        road, line = part.road, part.line
        if road.kind not in ("street", "avenue", "diagonal", "shore"):
            continue
        for side in (-1, 1) if road.width >= PARKED_ON_BOTH_SIDES else (1,):
            share = rng.uniform(0.15, 0.6)
            for place in np.arange(10.0, line.length - 10, 21.0):
                if rng.random() > share:
                    continue
                middle, along = frame_at(line, float(place + rng.uniform(-1.5, 1.5)))
                normal = left_of(along)
                spot = middle + side * (road.width / 2 - rng.uniform(3.9, 4.6)) * normal
                if not keep_off.intersects(Point(spot)):
                    draw_car(canvas, rng, spot, along * side)


def drive_cars(
    canvas: Canvas, rng: np.random.Generator, parts: list[Stretch], raised: float = 0.0
) -> None:
    """Put cars into the lanes."""
    for part in parts:
        road, line = part.road, part.line
        if road.kind in ("alley", "cul-de-sac"):
            continue
        busy = 1 / 95 if road.kind in ("avenue", "diagonal", "highway") else 1 / 160
        for lane in _lanes(road):
            for place in np.sort(rng.uniform(0, line.length, size=rng.poisson(line.length * busy))):
                middle, along = frame_at(line, float(place))
                normal = left_of(along)
                draw_car(
                    canvas, rng, middle + lane * normal, along * (1 if lane <= 0 else -1), raised
                )


def on_canvas(network: Network, level: str) -> list[Road]:
    """Return the roads of one level."""
    return [road for road in network.roads if road.level == level]


def crossing_zone(roads: list[Road]) -> MultiPolygon | BaseGeometry:
    """Return the ground where roads cross, with room for the crosswalks."""
    zones = [
        one.line.buffer(one.width / 2 + 20).intersection(other.line.buffer(other.width / 2 + 20))
        for one, other in itertools.combinations(roads, 2)
        if one.line.distance(other.line) < 1.0
    ]
    return shapely.unary_union(zones)
