"""The demo city's map: pavement edges and centerlines as New York City publishes them."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from shapely import LineString, MultiLineString, MultiPoint, Point
from shapely.geometry.base import BaseGeometry

from roadmask.demo.pavement import Pavement, carriageway_offset
from roadmask.demo.shapes import cut, lines_of, offset
from roadmask.demo.streets import Network, Road, whole_ground

VIADUCT_HEIGHT = 24.0
"""Of the upper roadbed over the ground, in feet."""
CORNER_ANGLE = math.radians(32)
CENTERLINE_ERROR = 3.0
"""How far a centerline's nodes may lie off the axis, in feet."""
SHORTEST_GAP, LONGEST_GAP = 2.0, 25.0
CAP_TOLERANCE = 0.4

RW_TYPES = {"highway": "2", "ramp": "9", "alley": "10"}
AT_GRADE, ABOVE = "13", "14"


@dataclass(frozen=True)
class Feature:
    """A map feature: its geometry in feet, and its fields."""

    geometry: BaseGeometry
    fields: dict[str, Any]


@dataclass(frozen=True)
class Gap:
    """A place where a pavement edge is interrupted, and its width in feet."""

    line: LineString
    width: float


def ground_height(points: np.ndarray, network: Network) -> np.ndarray:
    """Return the terrain's height in feet at points of shape (n, 2): it rises from the shore."""
    distance = shapely.distance(shapely.points(points), network.water)
    return np.asarray(8.0 + 0.02 * distance)


# Pavement edges


def pavement_edges(network: Network, pavement: Pavement) -> list[Feature]:
    """Outline the roadbeds, level by level, split at corners and left open at open ends.

    Parameters
    ----------
    network : Network
        The axes.
    pavement : Pavement
        The roadbeds.

    Returns
    -------
    list of Feature
        PolylineZ, none of them broken yet.
    """
    features: list[Feature] = []
    layers = (("low", pavement.low, "2260"), ("high", pavement.high, "2260"))
    for level, roadbed, code in layers:
        for line in open_outline(roadbed, pavement):
            for piece in split_at_corners(line):
                _add_edge(features, piece, code, level, network, pavement)
    mouths = pavement.low.buffer(0.05)
    sides = pavement.alleys.boundary.difference(mouths)
    sides = sides.difference(whole_ground().boundary.buffer(CAP_TOLERANCE))
    for line in _lines(sides):
        for piece in split_at_corners(line):
            _add_edge(features, piece, "2270", "low", network, pavement)
    return features


def _add_edge(
    features: list[Feature],
    line: LineString,
    code: str,
    level: str,
    network: Network,
    pavement: Pavement,
) -> None:
    number = len(features) + 1
    features.append(
        Feature(
            _with_height(line, network, pavement, level),
            {
                "SOURCE_ID": f"{22600000000 + number:011d}",
                "FEAT_CODE": code,
                "SUB_CODE": f"{code}00",
                "STATUS": "Unchanged",
                "BLOCKFACEI": f"{1000000 + 7 * number}",
                "SHAPE_Leng": round(float(line.length), 3),
            },
        )
    )


def open_outline(roadbed: BaseGeometry, pavement: Pavement) -> list[LineString]:
    """Return a roadbed's outline without caps and without the cut along the data's edge.

    Parameters
    ----------
    roadbed : shapely geometry
        Polygons of one level.
    pavement : Pavement
        Where the caps are.

    Returns
    -------
    list of shapely.LineString
        Joined where they meet, in a fixed order.
    """
    closed = shapely.unary_union(
        [cap.buffer(CAP_TOLERANCE, cap_style="flat") for cap in pavement.caps]
        + [whole_ground().boundary.buffer(CAP_TOLERANCE)]
    )
    return _lines(roadbed.boundary.difference(closed))


def _lines(geometry: BaseGeometry) -> list[LineString]:
    """Return a geometry's lines, joined where they meet, in a fixed order."""
    parts = lines_of(geometry)
    if not parts:
        return []
    merged = shapely.line_merge(MultiLineString(parts))
    lines = [line for line in shapely.get_parts(merged) if line.length > CAP_TOLERANCE]
    return sorted(lines, key=lambda line: tuple(np.round(line.bounds, 3)))


def split_at_corners(line: LineString) -> list[LineString]:
    """Split a line where it turns sharply, as the city's block faces are.

    Parameters
    ----------
    line : shapely.LineString
        A line or a closed ring.

    Returns
    -------
    list of shapely.LineString
        Its pieces, end to end.
    """
    rough = shapely.get_coordinates(line.simplify(2.0))
    ahead = np.diff(rough, axis=0)
    heading = np.arctan2(ahead[:, 1], ahead[:, 0])
    turn = np.abs((np.diff(heading) + math.pi) % (2 * math.pi) - math.pi)
    found = sorted(
        (float(line.project(Point(rough[k + 1]))), float(turn[k]))
        for k in np.flatnonzero(turn > CORNER_ANGLE / 2)
    )
    # A rounded corner is several vertices: one cut in their middle.
    cuts: list[float] = []
    for _, group in itertools.groupby(enumerate(found), key=lambda item: _group_of(found, item[0])):
        members = [pair for _, pair in group]
        if sum(turned for _, turned in members) > CORNER_ANGLE:
            cuts.append((members[0][0] + members[-1][0]) / 2)
    places = [0.0, *[cut for cut in cuts if 5 < cut < line.length - 5], line.length]
    pieces = [cut(line, a, b) for a, b in itertools.pairwise(places)]
    return [piece for piece in pieces if piece.geom_type == "LineString" and piece.length > 0]


def _group_of(found: list[tuple[float, float]], index: int) -> int:
    """Return the number of a corner's group: those within 20 ft of the one before."""
    return sum(found[k + 1][0] - found[k][0] > 20.0 for k in range(index))


def _with_height(line: LineString, network: Network, pavement: Pavement, level: str) -> LineString:
    """Add the height of the ground, or of the viaduct, to a line's vertices."""
    points = shapely.get_coordinates(line)
    height = ground_height(points, network)
    if level == "high":
        # Ramps come down from the viaduct: the height fades out towards the cut.
        cuts = MultiLineString([cap for cap in pavement.caps if cap.length < 30])
        fade = np.clip(shapely.distance(shapely.points(points), cuts) / 110, 0, 1)
        height = height + VIADUCT_HEIGHT * (0.35 + 0.65 * fade)
    return LineString(np.column_stack([points, np.round(height, 2)]))


def break_lines(
    features: list[Feature], share: float, seed: int
) -> tuple[list[Feature], list[Gap]]:
    """Interrupt a share of the features by a gap.

    Parameters
    ----------
    features : list of Feature
        Pavement edges.
    share : float
        How many of them get a gap, 0 to 1.
    seed : int
        Which ones, and where.

    Returns
    -------
    features : list of Feature
        As many as before; the broken ones have two parts.
    gaps : list of Gap
        What is missing.
    """
    rng = np.random.default_rng([seed, 2])
    order = rng.permutation(len(features))
    # Drawn for all, so that a larger share keeps the gaps of a smaller one.
    widths = rng.uniform(SHORTEST_GAP, LONGEST_GAP, size=len(features))
    places = rng.uniform(0, 1, size=len(features))
    chosen = set(order[: round(share * len(features))].tolist())
    broken, gaps = [], []
    for index, feature in enumerate(features):
        line = feature.geometry
        assert isinstance(line, LineString), "edges are broken once"
        width = min(float(widths[index]), line.length / 2)
        if index not in chosen or width < SHORTEST_GAP:
            broken.append(feature)
            continue
        start = 0.5 + places[index] * (line.length - width - 1.0)
        parts = [
            _cut_with_height(line, 0, start),
            _cut_with_height(line, start + width, line.length),
        ]
        broken.append(Feature(MultiLineString(parts), feature.fields))
        gaps.append(Gap(shapely.force_2d(cut(line, start, start + width)), width))
    return broken, gaps


def _cut_with_height(line: LineString, start: float, end: float) -> LineString:
    """Cut a 3D line by distances measured in the plane."""
    flat = shapely.force_2d(line)
    piece = shapely.get_coordinates(cut(flat, start, end))
    vertices = shapely.get_coordinates(line, include_z=True)
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(vertices[:, :2], axis=0).T))])
    steps = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(piece, axis=0).T))]) + start
    return LineString(
        np.column_stack([piece, np.round(np.interp(steps, along, vertices[:, 2]), 2)])
    )


# Centerlines


def centerlines(network: Network, seed: int) -> list[Feature]:
    """Draw the centerlines, cut at intersections and a little off the axes.

    Parameters
    ----------
    network : Network
        The axes.
    seed : int
        How far each node lies off.

    Returns
    -------
    list of Feature
        Lines with the fields of the city's CSCL, all codes as text.
    """
    rng = np.random.default_rng([seed, 3])
    ground = whole_ground()
    axes = [(road, line) for road in network.roads for line in _carriageways(road)]
    features: list[Feature] = []
    nodes: dict[tuple[int, int], np.ndarray] = {}
    for road, line in axes:
        others = [
            other for other_road, other in axes if other is not line and _meet(road, other_road)
        ]
        inside = line.intersection(ground.buffer(-1.0))
        for part in _lines(inside):
            for piece in _split_at_nodes(part, others):
                fields = _road_fields(road, rng)
                features.append(Feature(_nudged(piece, nodes, rng), fields))
    unreal = [
        *((line, "PAPER ST", "1", "3", "NV") for line in network.paper_streets),
        *((line, "RIVER TUNNEL", "4", "2", "TW") for line in network.tunnels),
        *((line, "FERRY ROUTE", "14", "2", "NV") for line in network.ferries),
        *((line, "PARK PATH", "6", "2", "NV") for line in network.footpaths),
    ]
    for line, name, kind, status, direction in unreal:
        level = "12" if kind == "4" else AT_GRADE
        fields = _fields(name, kind, status, direction, 0, (level, level))
        features.append(Feature(_nudged(line, nodes, rng), fields))
    for number, feature in enumerate(features):
        feature.fields["PHYSICALID"] = str(10001 + 3 * number)
        feature.fields["SEGMENTID"] = f"{20001 + 2 * number:07d}"
    return features


def _carriageways(road: Road) -> list[LineString]:
    """Return a road's axis, or one for each carriageway where it is divided."""
    if road.median == 0:
        return [road.line]
    aside = carriageway_offset(road)
    return [offset(road.line, side * aside) for side in (-1, 1)]


def _meet(road: Road, other: Road) -> bool:
    """Tell whether two roads can have a node in common: ramps meet both levels."""
    return road.level == other.level or "ramp" in (road.kind, other.kind)


def _split_at_nodes(line: LineString, others: list[LineString]) -> list[LineString]:
    """Cut a line where it meets others; parts under 4 ft stay with their neighbour."""
    crossings = line.intersection(MultiLineString(others))
    ends = MultiPoint([end for other in others for end in (other.coords[0], other.coords[-1])])
    touching = [point for point in ends.geoms if point.distance(line) < 1.0]
    points = [part for part in shapely.get_parts(crossings) if part.geom_type == "Point"]
    places = sorted(float(line.project(point)) for point in points + touching)
    cuts = [0.0]
    for place in places:
        if place - cuts[-1] > 4.0 and line.length - place > 4.0:
            cuts.append(place)
    return [cut(line, a, b) for a, b in itertools.pairwise([*cuts, line.length])]


def _nudged(
    line: LineString, nodes: dict[tuple[int, int], np.ndarray], rng: np.random.Generator
) -> LineString:
    """Move a line off by up to `CENTERLINE_ERROR`, the same at a node for all its lines."""
    points = shapely.get_coordinates(line)
    shifts = []
    for point in (points[0], points[-1]):
        key = (round(point[0] / 4), round(point[1] / 4))
        if key not in nodes:
            angle, size = rng.uniform(0, 2 * math.pi), CENTERLINE_ERROR * math.sqrt(rng.random())
            nodes[key] = size * np.array([math.cos(angle), math.sin(angle)])
        shifts.append(nodes[key])
    share = np.linspace(0, 1, len(points))[:, None]
    moved = LineString(points + (1 - share) * shifts[0] + share * shifts[1])
    # The city digitizes few vertices: a foot is as good as it gets.
    return LineString(moved.simplify(0.5).coords)


def _road_fields(road: Road, rng: np.random.Generator) -> dict[str, Any]:
    width = road.width if road.median == 0 else (road.width - road.median) / 2
    # One in ten is not known.
    known = rng.random() >= 0.1
    direction = "FT" if road.one_way or road.median > 0 else "TW"
    low, high = (AT_GRADE, AT_GRADE), (ABOVE, ABOVE)
    levels = (AT_GRADE, ABOVE) if road.kind == "ramp" else high if road.level == "high" else low
    kind = RW_TYPES.get(road.kind, "1")
    return _fields(road.name, kind, "2", direction, round(width) if known else 0, levels)


def _fields(
    name: str, kind: str, status: str, direction: str, width: int, levels: tuple[str, str]
) -> dict[str, Any]:
    return {
        "PHYSICALID": "",
        "SEGMENTID": "",
        "ST_NAME": name,
        "FULL_STREE": name,
        "ST_WIDTH": width,
        "RW_TYPE": kind,
        "STATUS": status,
        "TRAFDIR": direction,
        "FRM_LVL_CO": levels[0],
        "TO_LVL_CO": levels[1],
        "BOROCODE": "1",
    }
