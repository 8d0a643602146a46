"""Small helpers on geometries, with the types that the demo city's parts have."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import shapely
from shapely import LineString, Point, Polygon, affinity
from shapely.geometry.base import BaseGeometry
from shapely.ops import substring

Vector = npt.NDArray[np.float64]


def lines_of(geometry: BaseGeometry) -> list[LineString]:
    """Return the lines in a geometry, collections taken apart."""
    parts = shapely.get_parts(shapely.get_parts(geometry))
    return [part for part in parts if isinstance(part, LineString) and not part.is_empty]


def polygons_of(geometry: BaseGeometry) -> list[Polygon]:
    """Return the polygons in a geometry, collections taken apart."""
    parts = shapely.get_parts(shapely.get_parts(geometry))
    return [part for part in parts if isinstance(part, Polygon) and not part.is_empty]


def longest(geometry: BaseGeometry) -> LineString | None:
    """Return a geometry's longest line, or None where it has none."""
    return max(lines_of(geometry), key=lambda part: float(part.length), default=None)


def largest(geometry: BaseGeometry) -> Polygon | None:
    """Return a geometry's largest polygon, or None where it has none."""
    return max(polygons_of(geometry), key=lambda part: float(part.area), default=None)


def cut(line: LineString, start: float, end: float) -> LineString:
    """Return the part of a line between two distances along it; the two differ."""
    piece = substring(line, start, end)
    assert isinstance(piece, LineString), f"{start} and {end} ft of {line.length} are one point"
    return piece


def offset(line: LineString, distance: float) -> LineString:
    """Return a line's parallel, to the left by a distance; its longest part where it breaks."""
    parallel = longest(line.offset_curve(distance))
    assert parallel is not None, f"no parallel at {distance} ft of a line of {line.length} ft"
    return parallel


def turned(ground: Polygon, angle: float, origin: Point) -> Polygon:
    """Turn a polygon about a point, by radians counter-clockwise."""
    result = affinity.rotate(ground, angle, origin=origin, use_radians=True)
    assert isinstance(result, Polygon), "a turned polygon is one"
    return result


def parallels(ground: Polygon, spacing: float, angle: float) -> list[LineString]:
    """Return lines across a polygon, `spacing` apart, in a direction in radians."""
    origin = ground.centroid
    local = turned(ground, -angle, origin)
    west, south, east, north = local.bounds
    rows = np.arange(south + spacing, north, spacing)
    flat = shapely.multilinestrings([[(west, y), (east, y)] for y in rows]) if rows.size else None
    if flat is None:
        return []
    inside = local.intersection(flat)
    return lines_of(affinity.rotate(inside, angle, origin=origin, use_radians=True))


def frame_at(line: LineString, distance: float) -> tuple[Vector, Vector]:
    """Return a point of a line and the line's direction there, as a unit vector."""
    step = min(1.0, line.length / 4)
    at = min(max(distance, step), line.length - step)
    before, after = line.interpolate(at - step), line.interpolate(at + step)
    along = np.array([after.x - before.x, after.y - before.y])
    return np.array(line.interpolate(distance).coords[0]), along / np.linalg.norm(along)


def left_of(along: Vector) -> Vector:
    """Return the direction to the left of another."""
    return np.array([-along[1], along[0]])


def box_at(middle: Vector, along: Vector, length: float, width: float) -> Vector:
    """Return the corners of a rectangle, `length` lying along a direction."""
    ahead, aside = along * (length / 2), left_of(along) * (width / 2)
    return np.array(
        [
            middle - ahead - aside,
            middle + ahead - aside,
            middle + ahead + aside,
            middle - ahead + aside,
        ]
    )


def ring_at(middle: Vector, radius: float, corners: int = 16) -> Vector:
    """Return the corners of a regular polygon."""
    angles = np.arange(corners) * (2 * math.pi / corners)
    return np.asarray(middle + radius * np.column_stack([np.cos(angles), np.sin(angles)]))


def long_direction(ground: Polygon) -> float:
    """Return the direction of a polygon's long side, in radians from 0 to pi."""
    corners = shapely.get_coordinates(ground.minimum_rotated_rectangle)[:3]
    first, second = corners[1] - corners[0], corners[2] - corners[1]
    long = first if np.linalg.norm(first) >= np.linalg.norm(second) else second
    return math.atan2(long[1], long[0]) % math.pi
