"""Buffers around centerlines: true widths anywhere on Earth, and no notch where lines meet."""

from __future__ import annotations

from itertools import pairwise

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyproj import Geod, Transformer
from rasterio.crs import CRS
from shapely import LineString, MultiLineString, Point
from shapely.ops import substring

from roadmask.grid import Grid
from roadmask.masks.buffer import NODE_METRES, buffer_labels

WIDEST = 45.0
GEOD = Geod(ellps="WGS84")
FOOT = 0.3048


def centerlines(lines, widths):
    return gpd.GeoDataFrame(
        {"source_fid": range(len(lines)), "width_m": np.array(widths, dtype=float)},
        geometry=list(lines),
    )


def square(pixels: int, pixel: float = 1.0) -> Grid:
    """A sheet in UTM near its true scale, in which (column, row) are (x, -y)."""
    crs = CRS.from_epsg(32618)
    x, y = Transformer.from_crs(4326, 32618, always_xy=True).transform(-77.0, 40.0)
    return Grid(pixels, pixels, Affine(pixel, 0, x, 0, -pixel, y), crs)


def on(grid: Grid, *points) -> LineString:
    return LineString([grid.transform @ point for point in points])


# --- widths against an ellipsoid ------------------------------------------------------------

# EPSG code, place, pixel in the CRS's unit: along columns and along rows.
PLACES = {
    "degrees at the equator": (4326, 9.0, 0.3, 2.7e-6, 2.7e-6),
    "degrees in Spitsbergen": (4326, 15.6, 78.2, 1.3e-5, 2.7e-6),
    "degrees in Patagonia": (4326, -70.9, -53.2, 4.5e-6, 2.7e-6),
    "feet in New York": (2263, -73.98, 40.75, 1.0, 1.0),
    "feet in Alaska": (3338, -149.9, 61.2, 0.3, 0.3),
    "web Mercator in Tromso": (3857, 18.95, 69.65, 0.86, 0.86),
    "polar stereographic in Thule": (3413, -68.7, 76.5, 0.3, 0.3),
    "Swiss metres": (2056, 7.45, 46.95, 0.3, 0.3),
    "UTM south": (32756, 151.2, -33.87, 0.3, 0.3),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("azimuth", [5.0, 95.0, 140.0])
def test_a_width_is_the_geodesic_one(place, azimuth):
    code, longitude, latitude, pixel_x, pixel_y = place
    to_crs = Transformer.from_crs(4326, code, always_xy=True)
    x, y = to_crs.transform(longitude, latitude)
    size, width = 500, 60 * FOOT
    transform = Affine(pixel_x, 0, x - pixel_x * size / 2, 0, -pixel_y, y + pixel_y * size / 2)
    grid = Grid(size, size, transform, CRS.from_epsg(code))
    # A geodesic through the middle, and points of it that are not near its ends.
    ends = [GEOD.fwd(longitude, latitude, azimuth + turn, 400)[:2] for turn in (0, 180)]
    path = [ends[0], *GEOD.npts(*ends[0], *ends[1], 79), ends[1]]
    labels = buffer_labels(
        centerlines([LineString([to_crs.transform(*point) for point in path])], [width]),
        grid,
        WIDEST,
    )
    # A pixel's corner lies this far from its centre.
    slack = 0.75 * max(grid.pixel_metres)
    checked = 0
    for step in range(-30, 31, 3):
        lon, lat, _ = GEOD.fwd(longitude, latitude, azimuth, float(step))
        ahead = GEOD.inv(lon, lat, *ends[0])[0]
        for side in (-90, 90):
            for beyond, expected in ((-slack, 1), (slack, 0)):
                point = GEOD.fwd(lon, lat, ahead + side, width / 2 + beyond)[:2]
                column, row = ~transform @ to_crs.transform(*point)
                assert labels[int(row), int(column)] == expected
                checked += 1
    assert checked == 84


# --- where lines meet -----------------------------------------------------------------------

TURNS = st.lists(st.floats(-100, 100), min_size=1, max_size=5)


def wandering(grid: Grid, turns: list[float]) -> LineString:
    """A line from the left to the middle with bends at every 30 m."""
    points, heading = [np.array([60.0, 150.0])], 0.0
    for turn in [0.0, *turns]:
        heading += np.radians(turn)
        points.append(points[-1] + 30 * np.array([np.cos(heading), np.sin(heading)]))
    return on(grid, *points)


@settings(deadline=None, max_examples=25)
@example(turns=[0.0, 90.0], cuts=[0.671875], flipped=False)  # 0.47 m behind the corner
@example(turns=[0.0], cuts=[0.0625], flipped=False)  # half a width behind the loose end
@given(turns=TURNS, cuts=st.lists(st.floats(0.02, 0.98), max_size=3), flipped=st.booleans())
def test_a_street_cut_into_features_is_as_whole_as_before(turns, cuts, flipped):
    grid = square(320)
    line = wandering(grid, turns)
    corners = [line.project(Point(xy), normalized=True) for xy in line.coords]
    marks = sorted({0.0, 1.0, *corners, *cuts})
    pieces = [
        substring(line, start, end, normalized=True)
        for start, end in pairwise(marks)
        if end - start > 1e-6
    ]
    if flipped:
        pieces = [piece.reverse() if i % 2 else piece for i, piece in enumerate(pieces)]
    whole = buffer_labels(centerlines([line], [12]), grid, WIDEST)
    features = buffer_labels(centerlines(pieces, [12] * len(pieces)), grid, WIDEST)
    parts = buffer_labels(centerlines([MultiLineString(pieces)], [12]), grid, WIDEST)
    assert (features == parts).all()
    # Arcs of both are polygons with other corners: pixels may differ whose centre lies there.
    assert (whole != features).sum() <= 2 * len(pieces)


@pytest.mark.parametrize("angle", [35, 60, 90, 120, 150])
@pytest.mark.parametrize("legs", [2, 3, 4])
def test_a_crossing_of_features_has_no_notch(angle, legs):
    grid = square(200, 0.5)
    centre = np.array([100.0, 100.0])
    headings = np.radians([0, angle, 180, 180 + angle][:legs])
    tips = [centre + 90 * np.array([np.cos(x), np.sin(x)]) for x in headings]
    arms = [on(grid, centre, tip) for tip in tips]
    labels = buffer_labels(centerlines(arms, [12] * legs), grid, WIDEST)
    rounded = buffer_labels(centerlines(arms, [12] * legs), grid, WIDEST, "round")
    near = np.hypot(*(np.indices(labels.shape)[::-1] + 0.5 - centre[:, None, None])) < 60
    # Near the node nothing is missing that round ends would have; far from it they differ.
    assert (labels == rounded)[near].mean() > 0.9999
    assert (labels != rounded)[~near].any()


@pytest.mark.parametrize("angle", [110, 125, 140])
@pytest.mark.parametrize("side", [1, -1])
def test_a_wide_road_that_ends_askew_on_a_narrow_one_leaves_no_wedge(angle, side):
    grid = square(400, 0.1)
    centre, heading = np.array([200.0, 200.0]), np.radians(side * angle)
    along = np.array([np.cos(heading), np.sin(heading)])
    wide = on(grid, centre, centre + 180 * along)
    narrow = [on(grid, centre, (380, 200)), on(grid, centre, (20, 200))]
    labels = buffer_labels(centerlines([wide, *narrow], [14, 4, 4]), grid, WIDEST)
    # Down the wide road's edge, on the side of the obtuse angle, until the narrow one's edge.
    across = side * np.array([along[1], -along[0]])
    edge = centre + 69 * across + np.linspace(150, -150, 301)[:, None] * along
    columns, rows = np.floor(edge).astype(int).T
    before = side * (rows - 200) > 20
    inside = labels[rows.clip(0, 399), columns.clip(0, 399)][before]
    assert before.sum() > 120
    assert inside.all()


def test_ends_that_nearly_meet_are_one_node():
    grid = square(200, 0.25)
    gap = 0.9 * NODE_METRES / 0.25
    lines = [on(grid, (20, 100), (100, 100)), on(grid, (100 + gap, 100), (180, 100))]
    labels = buffer_labels(centerlines(lines, [20, 20]), grid, WIDEST)
    assert labels[62:138, 98:104].all()
    apart = [lines[0], on(grid, (110, 100), (180, 100))]
    assert not buffer_labels(centerlines(apart, [20, 20]), grid, WIDEST)[:, 102:108].any()


def test_a_side_street_ends_within_the_street_it_meets():
    grid = square(200, 0.5)
    through, side = on(grid, (0, 100), (199, 100)), on(grid, (100, 190), (100, 100))
    both = buffer_labels(centerlines([through, side], [20, 12]), grid, WIDEST)
    alone = buffer_labels(centerlines([through], [20]), grid, WIDEST)
    assert (both[:80] == alone[:80]).all()  # nothing sticks out on the far side
    assert (both[120:185, 88:112] == 1).all()
    assert not both[121:, :87].any()


def test_a_roundabout_is_closed():
    grid = square(200, 0.5)
    corners = [(100 + 60 * np.cos(a), 100 + 60 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 7)]
    ring = on(grid, *corners[:-1], corners[0])
    turned = on(grid, *corners[3:-1], *corners[:4])
    first = buffer_labels(centerlines([ring], [10]), grid, WIDEST)
    second = buffer_labels(centerlines([turned], [10]), grid, WIDEST)
    assert (first != second).sum() <= 4
    assert first[100, 100] == 0


def test_unknown_ground_is_the_same_on_every_sheet():
    whole = square(200)
    left, right = whole.window(0, 0, 100, 200), whole.window(100, 0, 100, 200)
    lines = centerlines([on(whole, (0, 50), (199, 50)), on(whole, (150, 0), (150, 199))],
                        [np.nan, 12])  # fmt: skip
    joined = np.hstack([buffer_labels(lines.iloc[[0]], left, 30.0),
                        buffer_labels(lines, right, 30.0)])  # fmt: skip
    assert (joined == buffer_labels(lines, whole, 30.0)).all()
    assert (joined[:, 20] == 255).sum() == 30
