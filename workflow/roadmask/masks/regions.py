"""Road masks from the regions between street lines and the centerlines that run inside.

A region is a four-connected piece of ground between street lines. It is road where
centerlines run in it over a width that fits the street. Nearly all road of a city is one
region, and any gap joins it to a block: so regions alone decide only where nothing leaks.
The rest is parted at the throats (`roadmask.masks.rooms`), for which every place along a
centerline knows how wide its own street is (`roadmask.masks.streets`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from affine import Affine
from scipy import ndimage
from shapely.geometry.base import BaseGeometry

from roadmask.burn import burn_lines
from roadmask.grid import Grid
from roadmask.masks.gaps import bridge_gaps
from roadmask.masks.line_pixels import settle_line_pixels
from roadmask.masks.rooms import STREET, find_rooms, find_throats, flood, judge
from roadmask.masks.streets import (
    SPACING,
    WINDOW,
    Frame,
    Stations,
    Walls,
    along_walls,
    draw_discs,
    draw_strip,
    half_widths,
    place_stations,
    sight,
)
from roadmask.style import OTHER, UNKNOWN

ROAD = 1

# Share of the half width, and of the way to the wall in sight, that is surely street.
SURE_OF_WIDTH, SURE_OF_SIGHT = 0.7, 0.9
# How far beyond its half width a street may reach.
BEYOND_SHARE, BEYOND_METRES = 1.15, 1.5
# Share of the street's width that a region must offer its centerline to be that street.
FITTING_WIDTH = 0.5
# Share of a region's centerline that must find it fitting.
FITTING_LENGTH = 0.5


@dataclass(frozen=True)
class RegionLabels:
    """A label raster and what it was decided from.

    Attributes
    ----------
    labels
        ``(h, w)`` uint8: 0 other, 1 road, 255 not known.
    counts
        Regions, road regions, leaky ones, rooms cut off at a throat, rooms not known.
    """

    labels: np.ndarray
    counts: dict[str, int]


def label_regions(
    grid: Grid,
    barrier: np.ndarray,
    street_lines: Sequence[BaseGeometry] | np.ndarray,
    centerlines: Sequence[BaseGeometry] | np.ndarray,
    max_road_width: float,
    given_width: np.ndarray | None = None,
) -> RegionLabels:
    """Label the ground between street lines.

    Parameters
    ----------
    grid
        The raster's grid, halo included.
    barrier
        ``(h, w)`` uint8, not 0 where a street line runs; closed to four-connected filling.
    street_lines, centerlines
        Lines in the grid's CRS.
    max_road_width
        Metres: no road is wider. Only a ceiling: widths are measured.
    given_width
        ``(centerlines,)`` paved width in metres by attribute, NaN where unknown. Used only
        where none can be measured.

    Returns
    -------
    RegionLabels
        All of it not known where the grid holds centerlines but no street line; all of it
        other where it holds no centerline.
    """
    frame = Frame(grid.pixel_metres)
    axes = to_frame(centerlines, grid, frame)
    stations = place_stations(axes)
    if len(stations) == 0:
        return RegionLabels(np.full(grid.shape, OTHER, np.uint8), _counts())
    lines = to_frame(street_lines, grid, frame)
    if len(lines) == 0:
        return RegionLabels(np.full(grid.shape, UNKNOWN, np.uint8), _counts())
    bridges = bridge_gaps(lines, axes, min(frame.pixel))
    walls = Walls.from_lines(np.concatenate([lines, bridges]))
    barrier = burn(barrier, bridges, frame)

    seen = sight(stations, walls, max_road_width)
    half = half_widths(stations, seen, grid.ground_sample_distance, max_road_width, given_width)
    free = (barrier == 0).astype(np.uint8)
    depth = distance_to_lines(free, frame)
    count, regions = cv2.connectedComponents(free, connectivity=4, ltype=cv2.CV_32S)

    holds_street = regions_with_streets(regions, count, stations, seen, half, frame)
    domain = holds_street[regions]
    street, reach = draw_streets(stations, seen, half, grid, frame)
    rooms = find_rooms(
        (domain & (reach == 0)).astype(np.uint8),
        depth,
        frame.pixel,
        stations.xy,
        half.mean(axis=1),
    )
    leaky = np.zeros(count, bool)
    leaky[np.unique(regions[rooms.markers > 0])] = True
    undecided = domain & leaky[regions]
    basins = flood(depth, np.where(street & domain, STREET, rooms.markers), undecided)
    road, doubtful = judge(rooms, find_throats(basins, depth))

    verdict = np.where(road, ROAD, np.where(doubtful, UNKNOWN, OTHER)).astype(np.uint8)
    labels = np.where(undecided, verdict[basins], domain.astype(np.uint8) * ROAD)
    labels = settle_line_pixels(labels, barrier, walls, frame)
    return RegionLabels(
        labels,
        _counts(
            regions=count - 1,
            road=int(holds_street.sum()),
            leaky=int((leaky & holds_street).sum()),
            bridged=len(bridges),
            cut=int((~road[2:] & ~doubtful[2:]).sum()),
            unknown=int(doubtful.sum()),
        ),
    )


def to_frame(
    geometries: Sequence[BaseGeometry] | np.ndarray, grid: Grid, frame: Frame
) -> np.ndarray:
    """Bring geometries from the grid's CRS into its metric frame."""
    inverse = ~grid.transform
    matrix = np.array([[inverse.a, inverse.b], [inverse.d, inverse.e]])
    shift = np.array([inverse.c, inverse.f])
    return np.asarray(
        shapely.transform(
            np.asarray(geometries, dtype=object),
            lambda xy: (xy @ matrix.T + shift) * frame.pixel,
        )
    )


def burn(barrier: np.ndarray, lines: np.ndarray, frame: Frame) -> np.ndarray:
    """Return the barrier with more lines on it, closed to four-connected filling."""
    if len(lines) == 0:
        return barrier
    height, width = barrier.shape
    in_frame = Grid(width, height, Affine.scale(*frame.pixel), None)
    return np.asarray(barrier | burn_lines(lines, in_frame))


def distance_to_lines(free: np.ndarray, frame: Frame) -> np.ndarray:
    """Return metres from each pixel to the nearest line's pixel.

    Parameters
    ----------
    free
        ``(h, w)`` uint8, 0 on lines.
    frame
        The grid's frame.

    Returns
    -------
    numpy.ndarray
        ``(h, w)`` float32, exact.
    """
    across, down = frame.pixel
    if abs(across / down - 1) < 0.005:
        pixels = cv2.distanceTransform(free, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        return np.asarray(pixels * np.float32(across))
    return np.asarray(
        ndimage.distance_transform_edt(free, sampling=(down, across)), dtype=np.float32
    )


def regions_with_streets(
    regions: np.ndarray,
    count: int,
    stations: Stations,
    seen: np.ndarray,
    half: np.ndarray,
    frame: Frame,
) -> np.ndarray:
    """Tell in which regions centerlines run over a width that fits their street.

    A centerline that crosses an island finds much less ground there than its street is
    wide; in the street itself it finds all of it.

    Parameters
    ----------
    regions
        ``(h, w)`` int32 region numbers, 0 on lines.
    count
        Regions, the lines counted as one.
    stations, seen, half
        As `roadmask.masks.streets` has them.
    frame
        The grid's frame.

    Returns
    -------
    numpy.ndarray
        ``(count,)`` bool.
    """
    column, row = np.floor(frame.to_pixels(stations.xy)).astype(np.int64).T
    inside = (row >= 0) & (row < regions.shape[0]) & (column >= 0) & (column < regions.shape[1])
    region = regions[row[inside], column[inside]]
    fits = np.minimum(seen, half).sum(axis=1) >= FITTING_WIDTH * half.sum(axis=1)
    length = np.bincount(region, minlength=count) * SPACING
    fitting = np.bincount(region, weights=fits[inside], minlength=count) * SPACING
    holds = (length > 0) & (fitting >= FITTING_LENGTH * length)
    holds[0] = False
    return np.asarray(holds)


def draw_streets(
    stations: Stations, seen: np.ndarray, half: np.ndarray, grid: Grid, frame: Frame
) -> tuple[np.ndarray, np.ndarray]:
    """Draw what is surely street, and what street may reach.

    Parameters
    ----------
    stations, seen, half
        As `roadmask.masks.streets` has them.
    grid, frame
        The raster and its frame.

    Returns
    -------
    street, reach
        ``(h, w)`` bool and uint8. Where a centerline has no wall in sight for longer than
        any crossing, nothing is sure.
    """
    most = BEYOND_SHARE * half + BEYOND_METRES
    reach = np.zeros(grid.shape, np.uint8)
    draw_strip(reach, frame, stations, most)
    draw_discs(reach, frame, stations, most.min(axis=1))
    along = along_walls(stations, seen, grid.ground_sample_distance) & (seen <= most)
    walled = along[:, 0] | along[:, 1]
    near_wall = np.zeros(len(stations), bool)
    size = 2 * round(WINDOW / SPACING) + 1
    for part in stations.parts():
        near_wall[part] = ndimage.maximum_filter1d(walled[part].astype(np.uint8), size) > 0
    street = np.zeros(grid.shape, np.uint8)
    sure = np.minimum(SURE_OF_WIDTH * half, SURE_OF_SIGHT * seen)
    draw_strip(street, frame, stations, sure, near_wall)
    return street > 0, reach


def _counts(
    regions: int = 0,
    road: int = 0,
    leaky: int = 0,
    bridged: int = 0,
    cut: int = 0,
    unknown: int = 0,
) -> dict[str, int]:
    return {
        "regions": regions,
        "road_regions": road,
        "leaky_regions": leaky,
        "gaps_bridged": bridged,
        "rooms_cut_off": cut,
        "rooms_not_known": unknown,
    }
