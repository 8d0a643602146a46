"""The demo city's ground: roadbeds with their width, medians, islands and blocks.

What counts as road is what the pavement edges enclose. It lies on two levels, the streets on
the ground and the highway on its viaduct, and the truth is both together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import shapely
from shapely import LineString, MultiPolygon, Point, Polygon
from shapely.geometry.base import BaseGeometry

from roadmask.demo.shapes import cut, frame_at, left_of, polygons_of
from roadmask.demo.streets import (
    BULB_RADIUS,
    CARRIAGEWAY,
    CORRIDOR,
    HIGHWAY_GAP,
    RAMP_CUT,
    Network,
    Road,
    whole_ground,
)

CORNER_RADIUS = 12.0
"""Radius of the curb at a block's corner, in feet."""
SIDEWALK = 12.0
SMALLEST_ISLAND = 220.0
"""Ground between roads below this many square feet is paved over."""
SLIP_WIDTH = 17.0
RING_SEGMENTS = 5
"""Vertices of a quarter circle."""


@dataclass(frozen=True)
class Pavement:
    """Everything that is paved for traffic, and the ground between.

    Attributes
    ----------
    low : shapely.MultiPolygon
        Roadbeds on the ground without medians and islands, alleys excepted.
    high : shapely.MultiPolygon
        Roadbeds on the viaduct and the upper part of the ramps.
    alleys : shapely.MultiPolygon
        Alleys from the street's edge on.
    roads : shapely.MultiPolygon
        The truth: all of these together.
    caps : tuple of shapely.LineString
        Where a roadbed's outline is no pavement edge: the open ends.
    medians, islands : tuple of shapely.Polygon
        Ground inside the roadbeds: strips between carriageways, and what is left of a sharp
        corner behind a slip lane.
    blocks : tuple of shapely.Polygon
        Ground between the roads on land.
    corridor : shapely geometry
        The highway's ground, on both sides and below.
    slips : shapely geometry
        Lanes cut through the sharpest corners.
    """

    low: MultiPolygon
    high: MultiPolygon
    alleys: MultiPolygon
    roads: MultiPolygon
    caps: tuple[LineString, ...]
    medians: tuple[Polygon, ...]
    islands: tuple[Polygon, ...]
    blocks: tuple[Polygon, ...]
    corridor: BaseGeometry
    slips: BaseGeometry


def pave(network: Network, base: Pavement | None = None) -> Pavement:
    """Give the network its width.

    Parameters
    ----------
    network : Network
        The axes.
    base : Pavement, optional
        The same city without a few of its streets: its slip lanes are kept.

    Returns
    -------
    Pavement
        Valid polygons in feet from the lower left corner of the sheets' ground.
    """
    ground = whole_ground()
    ramps = [_ramp_parts(road.line) for road in network.roads if road.kind == "ramp"]
    wide = [road for road in network.roads if road.level == "low" and road.kind != "alley"]
    strips = [_strip(road.line, road.width) for road in wide]
    strips += [
        _strip(foot, width) for (foot, _), width in zip(ramps, _widths(network), strict=True)
    ]
    strips += [
        Point(road.line.coords[-1]).buffer(BULB_RADIUS, quad_segs=12)
        for road in wide
        if road.kind == "cul-de-sac"
    ]
    filled = shapely.unary_union(strips)
    slips = _slips(filled, network) if base is None else base.slips
    filled = _rounded(filled.union(slips), CORNER_RADIUS)
    islands, filled = _small_holes(filled, slips)
    medians = tuple(
        part for road in wide if road.median > 0 for part in _medians(road, network.roads, filled)
    )
    low = _polygons(filled.difference(shapely.unary_union(medians)).intersection(ground))

    upper = [_strip(road.line, road.width) for road in network.roads if road.kind == "highway"] + [
        _strip(top, width) for (_, top), width in zip(ramps, _widths(network), strict=True)
    ]
    high = _polygons(_rounded(shapely.unary_union(upper), 3.0).intersection(ground))

    alleys = _polygons(
        shapely.unary_union(
            [_strip(road.line, road.width) for road in network.roads if road.kind == "alley"]
        ).difference(filled)
    )
    roads = _polygons(shapely.unary_union([low, high, alleys]))
    corridor = network.highway.buffer(CORRIDOR, cap_style="flat").intersection(ground)
    land = ground.difference(network.water)
    blocks = land.difference(shapely.unary_union([filled, alleys, corridor]))
    return Pavement(
        low=low,
        high=high,
        alleys=alleys,
        roads=roads,
        caps=_caps(network, ramps),
        medians=tuple(part for part in medians if ground.contains(part)),
        islands=tuple(part for part in islands if ground.contains(part)),
        blocks=tuple(part for part in _polygons(blocks).geoms if part.area > SMALLEST_ISLAND),
        corridor=corridor,
        slips=slips,
    )


def _widths(network: Network) -> list[float]:
    return [road.width for road in network.roads if road.kind == "ramp"]


def _strip(line: LineString, width: float) -> Polygon:
    """Widen an axis to a strip whose ends are cut square."""
    return line.buffer(width / 2, cap_style="flat", join_style="round", quad_segs=RING_SEGMENTS)


def _ramp_parts(line: LineString) -> tuple[LineString, LineString]:
    """Cut a ramp's axis into what counts to the ground and what counts to the viaduct."""
    return cut(line, 0, RAMP_CUT), cut(line, RAMP_CUT, line.length)


def _polygons(geometry: BaseGeometry) -> MultiPolygon:
    """Keep a geometry's polygons, valid, as one multipolygon in a fixed order."""
    valid = shapely.make_valid(shapely.set_precision(geometry, 1e-4))
    parts = [part for part in polygons_of(valid) if part.area > 1.0]
    return MultiPolygon(shapely.get_parts(shapely.normalize(shapely.unary_union(parts))).tolist())


def _rounded(roads: BaseGeometry, radius: float) -> BaseGeometry:
    """Round the corners of the ground between roads; what is narrower than it is paved over."""
    # A mitred way out keeps the square ends of the roads square on the way back.
    grown = roads.buffer(radius, join_style="mitre", mitre_limit=3.0)
    return grown.buffer(-radius, join_style="round", quad_segs=RING_SEGMENTS)


def _slips(filled: BaseGeometry, network: Network) -> BaseGeometry:
    """Cut slip lanes through the sharpest corners beside the diagonal.

    The corner's tip stays behind them as a traffic island.
    """
    diagonal = next(road.line for road in network.roads if road.kind == "diagonal")
    highway = network.highway.buffer(CORRIDOR + 40)
    found: list[tuple[float, LineString]] = []
    for block in shapely.get_parts(whole_ground().difference(filled)):
        if block.area < 9000 or block.distance(diagonal) > 60:
            continue
        corners = np.array(block.exterior.simplify(3.0).coords)[:-1]
        for before, corner, after in zip(
            np.roll(corners, 1, axis=0), corners, np.roll(corners, -1, axis=0), strict=True
        ):
            arms = [before - corner, after - corner]
            lengths = [float(np.linalg.norm(arm)) for arm in arms]
            unit = [arm / length for arm, length in zip(arms, lengths, strict=True)]
            angle = math.acos(float(np.clip(unit[0] @ unit[1], -1, 1)))
            bisector = unit[0] + unit[1]
            size = float(np.linalg.norm(bisector))
            if angle > math.radians(70) or min(lengths) < 95 or size < 1e-6:
                continue
            bisector /= size
            depth = 27.0 / math.tan(angle / 2) + SLIP_WIDTH / 2
            middle = corner + depth * bisector
            across = np.array([-bisector[1], bisector[0]]) * (depth * math.tan(angle / 2) + 12)
            lane = LineString([middle - across, middle + across])
            if block.contains(Point(middle)) and not lane.intersects(highway):
                found.append((angle, lane))
    found.sort(key=lambda item: (item[0], item[1].coords[0]))
    return shapely.unary_union([_strip(lane, SLIP_WIDTH) for _, lane in found[:4]])


def _small_holes(filled: BaseGeometry, slips: BaseGeometry) -> tuple[list[Polygon], BaseGeometry]:
    """Pave over holes that are too small, and return the islands beside the slip lanes."""
    islands = []
    parts = []
    for part in shapely.get_parts(filled):
        kept = []
        for ring in part.interiors:
            hole = Polygon(ring)
            if hole.area < SMALLEST_ISLAND:
                continue
            kept.append(ring)
            if hole.area < 6000 and hole.distance(slips) < 1:
                islands.append(hole)
        parts.append(Polygon(part.exterior, kept))
    return islands, shapely.unary_union(parts)


def _medians(road: Road, roads: tuple[Road, ...], filled: BaseGeometry) -> list[Polygon]:
    """Lay the median of a divided road, broken at its crossings."""
    crossings = [
        other.line.buffer(other.width / 2 + 22, cap_style="square")
        for other in roads
        if other is not road and other.level == "low"
    ]
    ends = [Point(road.line.coords[k]).buffer(40) for k in (0, -1)]
    pieces = road.line.difference(shapely.unary_union(crossings + ends))
    strips = [
        piece.buffer(road.median / 2, quad_segs=RING_SEGMENTS)
        for piece in shapely.get_parts(shapely.line_merge(pieces))
        if piece.length > 50
    ]
    return [strip for strip in strips if filled.buffer(-8).contains(strip)]


def _caps(network: Network, ramps: list[tuple[LineString, LineString]]) -> tuple[LineString, ...]:
    """Find where outlines are no pavement edges: open ends and the cuts across the ramps."""
    caps = []
    for road in network.roads:
        if road.open_start:
            caps.append(_across(road.line, 0.0, road.width))
        if road.open_end:
            caps.append(_across(road.line, road.line.length, road.width))
    for (foot, _), width in zip(ramps, _widths(network), strict=True):
        caps.append(_across(foot, foot.length, width))
    return tuple(caps)


def _across(line: LineString, distance: float, width: float) -> LineString:
    """Return the line across a road at a distance along its axis."""
    at, along = frame_at(line, distance)
    side = left_of(along) * width / 2
    return LineString([at - side, at + side])


def carriageway_offset(road: Road) -> float:
    """Return the distance from a divided road's axis to the middle of a carriageway."""
    if road.kind == "highway":
        return (CARRIAGEWAY + HIGHWAY_GAP) / 2
    return (road.median + (road.width - road.median) / 2) / 2
