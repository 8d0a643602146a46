"""Moving labels: in feet, metres and degrees, as vectors and as ready masks."""

from __future__ import annotations

import json

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod
from rasterio.crs import CRS
from shapely import LineString, Point, box

from roadmask.__main__ import main
from roadmask.distance import Distance
from roadmask.errors import SettingError
from roadmask.grid import Grid
from roadmask.raster import write_cog
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


class TestStages:
    """Moved labels are those of a map that lies elsewhere, pixel for pixel."""

    @pytest.fixture
    def sheet(self, tmp_path):
        write_cog(tmp_path / "s.tif", FEET, np.full((1, 80, 100), 90, np.uint8))
        return tmp_path

    def lines(self, folder, name: str, right: float, *more: str) -> np.ndarray:
        """Draw lines that lie `right` ft to the right, some from beyond the sheet."""
        for layer, x in (("edges", (6.0, 47.0, 63.0)), ("axes", (20.0, 66.0))):
            drawn = [
                LineString([(1e6 + at + right, 199900), (1e6 + at + right, 2e5 + 50)]) for at in x
            ]
            gpd.GeoDataFrame(geometry=drawn, crs=2263).to_file(folder / f"{name}_{layer}.gpkg")
        output = folder / f"{name}.tif"
        code = main(
            [
                *("lines", str(folder / "s.tif"), "--output", str(output)),
                *("--vectors", str(folder / f"{name}.gpkg"), "--lines.halo=5 ft"),
                *("--street_lines.path", str(folder / f"{name}_edges.gpkg")),
                *("--centerlines.path", str(folder / f"{name}_axes.gpkg"), *more),
            ]
        )
        assert code == 0
        with rasterio.open(output) as dataset:
            assert ("labels.shift" in json.loads(dataset.tags()["ROADMASK_SETTINGS"])) == bool(more)
            return dataset.read()

    @pytest.mark.parametrize("right", [-20.0, 4.0])
    def test_lines(self, sheet, right):
        expected = self.lines(sheet, "there", right)
        moved = self.lines(sheet, "moved", 0.0, f"--labels.shift={right} us-ft,0 us-ft")
        np.testing.assert_array_equal(moved, expected)
        assert expected.any(axis=(1, 2)).all()

    def masks(self, folder, name: str, *more: str) -> np.ndarray:
        output = folder / f"{name}.tif"
        code = main(
            [
                *("masks", str(folder / "s.tif"), "--output", str(output)),
                *("--classes", '{"road": 1}', *more),
            ]
        )
        assert code == 0
        with rasterio.open(output) as dataset:
            return dataset.read(1)

    def polygons(self, folder, name: str, right: float, up: float) -> str:
        ground = box(1e6 + 10 + right, 199970 + up, 1e6 + 30 + right, 199990 + up)
        path = folder / f"{name}.gpkg"
        gpd.GeoDataFrame(geometry=[ground], crs=2263).to_file(path)
        return str(path)

    def test_polygons_and_islands(self, sheet):
        def options(name, right, up):
            return (
                "--labels.method=polygons",
                f"--labels.polygons.path={self.polygons(sheet, name, right, up)}",
                f"--labels.islands.path={self.polygons(sheet, name + '_island', right + 8, up)}",
            )

        expected = self.masks(sheet, "there", *options("a", 4, -3))
        shift = "--labels.shift=4 us-ft,-3 us-ft"
        np.testing.assert_array_equal(
            self.masks(sheet, "moved", *options("b", 0, 0), shift), expected
        )
        assert 0 < expected.mean() < 1

    def test_ready_masks(self, sheet, capsys):
        ready = np.zeros((80, 100), np.uint8)
        ready[20:60, 30:50] = 200
        write_cog(sheet / "ready.tif", FEET, ready)
        options = ("--labels.method=raster", f"--labels.raster={sheet / 'ready.tif'}")
        plain = self.masks(sheet, "plain", *options)
        moved = self.masks(sheet, "moved", *options, "--labels.shift=2 us-ft,-1 us-ft")
        np.testing.assert_array_equal(moved[2:, 4:], plain[:-2, :-4])
        assert (moved[:2] == 255).all()
        arguments = ["--labels.shift=2.1 ft,0 ft", "--output", str(sheet / "x.tif"), *options]
        assert main(["masks", str(sheet / "s.tif"), "--classes", '{"road": 1}', *arguments]) == 1
        assert "ready masks move by whole pixels only" in capsys.readouterr().err
