"""Moving labels: in feet, metres and degrees, as vectors and as ready masks."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod
from rasterio.crs import CRS
from shapely import LineString, Point

from roadmask.distance import Distance
from roadmask.errors import SettingError
from roadmask.grid import Grid
from roadmask.shift import Shift, parse_shift

FEET = Grid(100, 80, Affine(0.5, 0, 1e6, 0, -0.5, 2e5), CRS.from_epsg(2263))
DEGREES = Grid(100, 80, Affine(1e-6, 0, -74.0, 0, -1e-6, 40.7), CRS.from_epsg(4326))
NOWHERE = Grid(100, 80, Affine.identity(), None)


def test_reads_signs_and_units():
    assert parse_shift("3 ft,-2.5 m") == Shift(Distance(3, "ft"), Distance(-2.5, "m"))
    assert parse_shift("+3 px, - 2 px") == Shift(Distance(3, "px"), Distance(-2, "px"))
    assert parse_shift(None) is None


@pytest.mark.parametrize("text", ["3 ft", "3 ft,2", "a,b", "1 ft,2 ft,3 ft", "--1 ft,2 ft"])
def test_refuses_what_is_no_pair_of_distances(text):
    with pytest.raises(SettingError, match=r"labels\.shift"):
        parse_shift(text)


def test_feet_move_by_feet():
    x, y = parse_shift("3 us-ft,-2 us-ft").in_crs(FEET)
    assert (x, y) == (pytest.approx(3, abs=1e-3), pytest.approx(-2, abs=1e-3))


def test_degrees_move_by_metres_on_the_ground():
    frame = gpd.GeoDataFrame(geometry=[Point(-74.0, 40.7)], crs=4326)
    moved = parse_shift("30 m,40 m").move(frame, DEGREES).geometry.iloc[0]
    azimuth, _, length = Geod(ellps="WGS84").inv(-74.0, 40.7, moved.x, moved.y)
    assert length == pytest.approx(50, rel=1e-3)
    assert azimuth == pytest.approx(np.degrees(np.arctan2(30, 40)), abs=0.1)


def test_a_turned_picture_moves_along_its_own_rows():
    turned = Grid(10, 10, Affine(0, 2, 0, 2, 0, 0), CRS.from_epsg(32618))
    right, up = parse_shift("6 px,0 px"), parse_shift("0 px,6 px")
    assert right.in_crs(turned) == (0, 12)
    assert up.in_crs(turned) == (-12, 0)


def test_the_map_is_read_where_it_lies():
    shift = parse_shift("10 us-ft,20 us-ft")
    origin = shift.origin(FEET).bounds
    frame = gpd.GeoDataFrame(
        geometry=[LineString([(origin.left, origin.bottom), (origin.right, origin.top)])]
    )
    np.testing.assert_allclose(shift.move(frame, FEET).total_bounds, FEET.bounds, atol=1e-6)


class TestRaster:
    def test_whole_pixels_and_nothing_from_outside(self):
        labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
        moved = parse_shift("1 px,-1 px").move_raster(labels, NOWHERE)
        assert moved.tolist() == [[255] * 4, [255, 0, 1, 2], [255, 4, 5, 6]]
        moved = parse_shift("-2 px,1 px").move_raster(labels, NOWHERE)
        assert moved.tolist() == [[6, 7, 255, 255], [10, 11, 255, 255], [255] * 4]

    def test_farther_than_the_sheet(self):
        moved = parse_shift("9 px,0 px").move_raster(np.zeros((3, 4), np.uint8), NOWHERE)
        assert (moved == 255).all()

    def test_refuses_parts_of_pixels_and_says_what_would_do(self):
        with pytest.raises(SettingError, match=r'Write \["3 px", "-2 px"\]'):
            parse_shift("1.3 ft,-0.9 ft").move_raster(np.zeros((3, 4), np.uint8), FEET)

    @given(st.integers(-5, 5), st.integers(-5, 5))
    def test_there_and_back_leaves_what_stayed_inside(self, right, up):
        labels = np.random.default_rng(0).integers(0, 3, (5, 5)).astype(np.uint8)
        there = Shift(Distance(right, "px"), Distance(up, "px")).move_raster(labels, NOWHERE)
        back = Shift(Distance(-right, "px"), Distance(-up, "px")).move_raster(there, NOWHERE)
        assert ((back == labels) | (back == 255)).all()
        assert (back != 255).sum() == max(5 - abs(right), 0) * max(5 - abs(up), 0)
