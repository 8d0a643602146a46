"""Labels from centerlines and their paved width."""

from __future__ import annotations

import logging
from typing import Literal

import geopandas as gpd
import numpy as np
import shapely
from pyproj import CRS, Transformer
from pyproj.crs import ProjectedCRS
from pyproj.crs.coordinate_operation import TransverseMercatorConversion

from roadmask.errors import SettingError
from roadmask.grid import Grid
from roadmask.masks.polygons import burn_polygons
from roadmask.style import UNKNOWN

log = logging.getLogger("roadmask.masks")

Ends = Literal["flat", "round"]

# Long segments are cut, since what is straight in one CRS is a curve in another; the
# curve of 200 m rises by less than 1 mm.
LONGEST_SEGMENT_METRES = 200.0
# Ends closer than this are one node of the street network.
NODE_METRES = 0.01
QUADRANT_SEGMENTS = 8


def buffer_labels(centerlines: gpd.GeoDataFrame, grid: Grid, ends: Ends = "flat") -> np.ndarray:
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
    ends
        ``flat``: a road stops where its line stops, but where lines meet the corner
        between them is filled. ``round``: every line ends in a half disc.

    Returns
    -------
    numpy.ndarray
        ``(height, width)`` uint8: 1 on a road, 0 beside; 255 where a line of unknown width
        may have its road, up to the greatest width that is known on the sheet.

    Raises
    ------
    SettingError
        If the grid has no CRS, or no centerline has a width.
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
    if not known.any():
        raise SettingError(
            "centerlines.width",
            "no centerline on this sheet has a width, which labels.method: buffer needs",
            'Write the paved width, such as "30 ft", or the field that has it in '
            "centerlines.width_field",
        )
    to_metres = _to_local_metres(grid)
    lines = _in_metres(centerlines.geometry.to_numpy(), grid, to_metres)
    if not known.all():
        log.warning(
            "centerlines.width: %d of %d centerlines have no width; the ground within %.1f m of "
            "them is labelled as not known",
            (~known).sum(),
            len(known),
            widths[known].max() / 2,
        )
        doubtful = np.full((~known).sum(), widths[known].max() / 2)
        areas = _roads(lines[~known], doubtful, "round")
        burn_polygons(labels, _from_metres(areas, to_metres), grid, UNKNOWN)
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
    half_widths = half_widths[index]
    roads = shapely.buffer(
        parts,
        half_widths,
        cap_style="flat" if ends == "flat" else "round",
        join_style="round",
        quad_segs=QUADRANT_SEGMENTS,
    )
    if ends == "round":
        return np.asarray(roads)
    corners = _corners(parts, half_widths)
    return np.concatenate([roads, corners])


def _corners(lines: np.ndarray, half_widths: np.ndarray) -> np.ndarray:
    """Return discs that fill the notch between flat ends which meet.

    A disc is as wide as the second widest of the ends at its node: enough to close the
    corner between two of them, and never beyond the flat end of the widest.
    """
    points = np.concatenate([shapely.get_point(lines, 0), shapely.get_point(lines, -1)])
    halves = np.concatenate([half_widths, half_widths])
    nodes = np.rint(shapely.get_coordinates(points) / NODE_METRES).astype(np.int64)
    # Ends of a node side by side, the widest first.
    order = np.lexsort((-halves, nodes[:, 1], nodes[:, 0]))
    same = (nodes[order][1:] == nodes[order][:-1]).all(axis=1)
    first_pair = same & ~np.concatenate([[False], same[:-1]])
    second = order[1:][first_pair]
    return np.asarray(shapely.buffer(points[second], halves[second], quad_segs=QUADRANT_SEGMENTS))
