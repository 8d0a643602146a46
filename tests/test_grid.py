"""Grids, tiles and ground distances."""

from __future__ import annotations

import math

import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from roadmask.distance import METRES_PER_UNIT, Distance, parse_distance
from roadmask.errors import SettingError
from roadmask.grid import Grid, TileGrid

FEET = CRS.from_epsg(2263)
SHEET = Grid(5000, 5000, Affine(0.5, 0, 987_500, 0, -0.5, 212_500), FEET)


def test_a_widened_grid_lies_whole_pixels_away():
    wide = SHEET.widened(400)
    assert wide.shape == (5800, 5800)
    assert wide.offset_of(SHEET) == (400, 400)
    assert SHEET.offset_of(wide) == (-400, -400)
    assert wide.window(400, 400, 5000, 5000).same_grid(SHEET)


def test_bounds_are_those_of_the_corners():
    assert tuple(SHEET.bounds) == (987_500, 210_000, 990_000, 212_500)


@pytest.mark.parametrize(
    "other",
    [
        Grid(10, 10, Affine(0.5, 0, 987_500.2, 0, -0.5, 212_500), FEET),
        Grid(5000, 10, Affine(0.50001, 0, 987_500, 0, -0.5, 212_500), FEET),
        Grid(10, 10, Affine(0.5, 0.01, 987_500, 0, -0.5, 212_500), FEET),
        Grid(10, 10, SHEET.transform, CRS.from_epsg(6539)),
    ],
)
def test_another_lattice_has_no_offset(other):
    with pytest.raises(ValueError, match=r"pixels|CRS"):
        SHEET.offset_of(other)


@pytest.mark.parametrize(
    ("epsg", "transform", "expected"),
    [
        (2263, Affine(0.5, 0, 987_500, 0, -0.5, 212_500), (0.1524, 0.1524)),
        (32118, Affine(0.5, 0, 302_000, 0, -0.5, 60_000), (0.5, 0.5)),
        # At 60 degrees north a degree of longitude is half as long.
        (4326, Affine(1e-5, 0, 10, 0, -1e-5, 60), (0.5580, 1.1141)),
        # Web Mercator shows ground there twice as large.
        (3857, Affine(1, 0, 0, 0, -1, 8_399_737), (0.5009, 0.5009)),
    ],
)
def test_the_ground_size_of_a_pixel(epsg, transform, expected):
    grid = Grid(100, 100, transform, CRS.from_epsg(epsg))
    assert grid.pixel_metres == pytest.approx(expected, rel=3e-3)
    assert grid.ground_sample_distance == pytest.approx(math.prod(expected) ** 0.5, rel=3e-3)


def test_in_pixel_mode_a_pixel_is_the_unit():
    assert Grid(10, 10, Affine.identity(), None).pixel_metres == (1, 1)


@given(
    width=st.integers(1, 3000),
    height=st.integers(1, 3000),
    size=st.integers(1, 700),
    share=st.floats(0, 0.99),
)
def test_tiles_cover_every_pixel_and_none_is_needless(width, height, size, share):
    grid = Grid(width, height, Affine.identity(), None)
    tiles = TileGrid("s", grid, size, int(share * size))
    listed = list(tiles) if len(tiles) < 3000 else []
    assert len(tiles) == tiles.rows * tiles.columns
    for count, pixels in ((tiles.columns, width), (tiles.rows, height)):
        last = (count - 1) * tiles.step
        assert last + size >= pixels
        assert count == 1 or last - tiles.step + size < pixels
    for tile in listed:
        assert (tile.x, tile.y) == (tile.column * tiles.step, tile.row * tiles.step)
    assert len({tile.name for tile in listed}) == len(listed)


def test_names_of_tiles():
    names = [tile.name for tile in TileGrid("987210", Grid(600, 300, Affine.identity(), None), 300)]
    assert names == ["987210_r000_c000", "987210_r000_c001"]


@pytest.mark.parametrize(
    ("text", "metres"),
    [
        ("60 ft", 18.288),
        ("18m", 18),
        (" 0.5 km ", 500),
        ("100 us-ft", 30.48006096),
        ("12 in", 0.3048),
    ],
)
def test_distances(text, metres):
    assert parse_distance(text).metres == pytest.approx(metres)


def test_distances_in_pixels():
    assert parse_distance("40 px").pixels(0.15) == 40
    assert parse_distance("40 px").on_ground(0.15) == pytest.approx(6)
    assert parse_distance("60 ft").pixels(0.1524) == pytest.approx(120)
    with pytest.raises(ValueError, match="40 px"):
        _ = parse_distance("40 px").metres


@pytest.mark.parametrize("text", ["60", "ft", "-3 m", "60 feet", "1e3 m", "", "nan m"])
def test_what_is_no_distance(text):
    with pytest.raises(SettingError, match=r"labels\.max_road_width.*with a unit"):
        parse_distance(text, "labels.max_road_width")


@given(st.floats(0, 1e6), st.sampled_from([*METRES_PER_UNIT]))
def test_a_distance_reads_back_as_it_is_written(value, unit):
    written = Distance(float(f"{value:g}"), unit)
    if "e" not in str(written):
        assert parse_distance(str(written)) == written
