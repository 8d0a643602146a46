"""Labels from centerlines and their paved width."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Literal

import geopandas as gpd
import numpy as np
import shapely
from pyproj import CRS, Transformer
from pyproj.crs import ProjectedCRS
from pyproj.crs.coordinate_operation import TransverseMercatorConversion
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from shapely import MultiPoint
from shapely.geometry.base import BaseGeometry

from roadmask.errors import SettingError
from roadmask.grid import Grid
from roadmask.masks.polygons import burn_polygons
from roadmask.style import UNKNOWN

log = logging.getLogger("roadmask.masks")

Ends = Literal["flat", "round"]

# Long segments are cut, since what is straight in one CRS is a curve in another; the
# curve of 200 m rises by less than 1 mm.
LONGEST_SEGMENT_METRES = 200.0
# Ends closer than this are one node of the street network: no two roads end so close to
# each other without meeting, and a slit between them would be one of the drawing alone.
NODE_METRES = 0.5
# 6 mm are missing on a radius of 5 m.
QUADRANT_SEGMENTS = 16


def buffer_labels(
    centerlines: gpd.GeoDataFrame, grid: Grid, widest: float, ends: Ends = "flat"
) -> np.ndarray:
    """Label the pixels within half the paved width of a centerline as class 1.

    The buffer is made in metres on the ground, in a transverse Mercator projection at the
    sheet's centre, so a width is right in both directions of pixels in degrees, and in
    projections whose scale is not 1, such as web Mercator.

    Parameters
    ----------
    centerlines
        Lines in the grid's CRS with the column ``width_m``, NaN where it is not known.
    grid
        The label's grid.
    widest
        Metres; no road is wider. It bounds the road around a line of unknown width, the
        same on every sheet that such a line runs through.
    ends
        ``flat``: a road stops where its line stops, but where lines meet the corner
        between them is filled. ``round``: every line ends in a half disc.

    Returns
    -------
    numpy.ndarray
        ``(height, width)`` uint8: 1 on a road, 0 beside; 255 where a line of unknown width
        may have its road.

    Raises
    ------
    SettingError
        If the grid has no CRS.
    """
    labels = np.zeros(grid.shape, dtype=np.uint8)
    if centerlines.empty:
        return labels
    if grid.crs is None:
        raise SettingError(
            "labels.method",
            "buffer needs georeferenced imagery",
            "Take labels.method: raster for pictures that lie nowhere",
        )
    widths = centerlines["width_m"].to_numpy(dtype=float)
    known = widths > 0
    to_metres = _to_local_metres(grid)
    lines = _in_metres(centerlines.geometry.to_numpy(), grid, to_metres)
    if not known.all():
        log.warning(
            "%d of %d centerlines have no width; the ground within %.1f m of them, half of "
            "labels.max_road_width, is labelled as not known. centerlines.width is the width where "
            "the field has none",
            (~known).sum(),
            len(known),
            widest / 2,
        )
        areas = _roads(lines[~known], np.full((~known).sum(), widest / 2), "round")
        burn_polygons(labels, _from_metres(areas, to_metres), grid, UNKNOWN)
    wider = widths[known] > widest
    if wider.any():
        log.warning(
            "%d of %d centerlines are up to %.1f m wide, and labels.max_road_width is %.1f m: "
            "raise it, or correct the widths; they are drawn as given",
            wider.sum(),
            len(known),
            widths[known].max(),
            widest,
        )
    areas = _roads(lines[known], widths[known] / 2, ends)
    burn_polygons(labels, _from_metres(areas, to_metres), grid, 1)
    return labels


def _to_local_metres(grid: Grid) -> Transformer:
    """Return the way from the grid's CRS to metres around its centre, on its own datum."""
    if grid.crs is None:
        raise ValueError("a grid without CRS has no metres")
    crs = CRS.from_wkt(grid.crs.to_wkt())
    geodetic = crs.geodetic_crs
    if geodetic is None:
        raise SettingError(
            "imagery.crs", f"{crs.name} is no CRS of the Earth", "Write the imagery's true CRS"
        )
    centre = grid.transform @ (grid.width / 2, grid.height / 2)
    longitude, latitude = Transformer.from_crs(crs, geodetic, always_xy=True).transform(*centre)
    local = ProjectedCRS(TransverseMercatorConversion(latitude, longitude), geodetic_crs=geodetic)
    return Transformer.from_crs(crs, local, always_xy=True)


def _in_metres(lines: np.ndarray, grid: Grid, to_metres: Transformer) -> np.ndarray:
    """Return the lines in the local projection, with their long segments cut."""
    pixel = np.sqrt(abs(grid.transform.determinant)) / grid.ground_sample_distance
    dense = shapely.segmentize(lines, LONGEST_SEGMENT_METRES * pixel)
    return np.asarray(
        shapely.transform(
            dense, lambda xy: np.column_stack(to_metres.transform(xy[:, 0], xy[:, 1]))
        )
    )


def _from_metres(areas: np.ndarray, to_metres: Transformer) -> np.ndarray:
    back = shapely.segmentize(areas, LONGEST_SEGMENT_METRES)
    return np.asarray(
        shapely.transform(
            back,
            lambda xy: np.column_stack(
                to_metres.transform(xy[:, 0], xy[:, 1], direction="INVERSE")
            ),
        )
    )


def _roads(lines: np.ndarray, half_widths: np.ndarray, ends: Ends) -> np.ndarray:
    """Return the roads' areas, in metres, one for each part of a line, and the corners."""
    parts, index = shapely.get_parts(lines, return_index=True)
    has_length = shapely.length(parts) > 0
    parts = shapely.remove_repeated_points(parts[has_length])
    half_widths = half_widths[index[has_length]]
    roads = shapely.buffer(
        parts,
        half_widths,
        cap_style="flat" if ends == "flat" else "round",
        join_style="round",
        quad_segs=QUADRANT_SEGMENTS,
    )
    if ends == "round":
        return np.asarray(roads)
    return np.concatenate([roads, _corners(parts, half_widths)])


def _corners(lines: np.ndarray, half_widths: np.ndarray) -> np.ndarray:
    """Return what is missing between flat ends that meet.

    At each node and for each width there, of the roads that are at least so wide: what lies
    behind all of their ends, up to half of that width from the node. So a street that is cut
    into features is as whole as before, and none swells where a narrower one goes on. Where
    a wide road ends askew on a narrower one, its edge runs on to the other's edge. Where a
    line ends on another's middle nothing is missing: its end lies inside that road.
    """
    count = len(lines)
    tips = shapely.get_coordinates(
        np.concatenate([shapely.get_point(lines, 0), shapely.get_point(lines, -1)])
    )
    beside = shapely.get_coordinates(
        np.concatenate([shapely.get_point(lines, 1), shapely.get_point(lines, -2)])
    )
    halves = np.concatenate([half_widths, half_widths])
    bearings = np.arctan2(*(beside - tips).T[::-1])
    nodes = _nodes(tips)
    # A line within one node has no direction there, but joins the others.
    within = (nodes[:count] == nodes[count:]) & (shapely.length(lines) <= 2 * NODE_METRES)
    # Ends of a node side by side, the widest first.
    order = np.lexsort((-halves, nodes))
    order = order[~np.concatenate([within, within])[order]]
    found = []
    for ends in np.split(order, np.flatnonzero(np.diff(nodes[order])) + 1):
        for last in range(1, len(ends)):
            if last + 1 == len(ends) or halves[ends[last + 1]] < halves[ends[last]]:
                chosen = ends[: last + 1]
                found.append(_filling(tips[chosen], bearings[chosen], halves[ends[last]]))
        found += _wedges(tips[ends], bearings[ends], halves[ends])
    shapes = np.array(found, dtype=object)
    # Between ends that lie in one line there is nothing: a hull without area.
    return shapes[shapely.area(shapes) > 0]


def _nodes(ends: np.ndarray) -> np.ndarray:
    """Return the node of each of the ends ``(n, 2)`` in metres: numbers from 0 on."""
    pairs = cKDTree(ends).query_pairs(NODE_METRES, output_type="ndarray")
    near = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (len(ends), len(ends)))
    return np.asarray(connected_components(near, directed=False)[1])


def _filling(tips: np.ndarray, bearings: np.ndarray, radius: float) -> BaseGeometry:
    """Return the hull of the flat ends of a node, with an arc where no road lies.

    Whatever of it is nearer than a right angle to one of the roads lies in that road.
    """
    across = np.concatenate([bearings - np.pi / 2, bearings + np.pi / 2])
    corners = np.concatenate([tips, tips]) + radius * _directions(across)
    turned = np.sort(bearings)
    gaps = np.diff(turned, append=turned[0] + 2 * np.pi)
    widest = int(np.argmax(gaps))
    open_angle = gaps[widest] - np.pi
    if open_angle > 0:
        steps = int(np.ceil(open_angle / (np.pi / 2) * QUADRANT_SEGMENTS))
        angles = turned[widest] + np.pi / 2 + np.linspace(0, open_angle, steps + 1)
        corners = np.concatenate([corners, tips.mean(axis=0) + radius * _directions(angles)])
    return MultiPoint(corners).convex_hull


def _wedges(
    tips: np.ndarray, bearings: np.ndarray, halves: np.ndarray
) -> Iterator[shapely.Polygon]:
    """Yield what lies between the end of a wide road and the edge of a narrower one beside it.

    Seen along the wide road, with the other one to its left: the edges are ``y = wide`` and
    ``x sin(turn) - y cos(turn) = narrow``. They meet behind the wide road's end where the
    turn is more than a right angle and the widths differ enough; at a small angle to one
    another so far behind that the road is taken to go on, only narrower.
    """
    order = np.argsort(bearings, kind="stable")
    for first, second in zip(order, np.roll(order, -1), strict=True):
        turn = (bearings[second] - bearings[first]) % (2 * np.pi)
        if not np.pi / 2 < turn < np.pi:
            continue
        for one, other, side in ((first, second, 1), (second, first, -1)):
            wide, narrow = halves[one], halves[other]
            behind = (narrow + wide * np.cos(turn)) / np.sin(turn)
            if not -wide <= behind < 0:
                continue
            corners = np.array([[0, wide], [behind, wide], [0, -narrow / np.cos(turn)]])
            along, across = _directions(bearings[one] + np.array([0, side * np.pi / 2]))
            yield shapely.Polygon(tips[one] + corners @ np.array([along, across]))


def _directions(angles: np.ndarray) -> np.ndarray:
    return np.column_stack([np.cos(angles), np.sin(angles)])
