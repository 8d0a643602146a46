"""The stage: one sheet's lines as raster, vectors and counts."""

from __future__ import annotations

import json
import time

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine
from scipy import ndimage
from shapely import LineString, box

from roadmask.__main__ import main
from roadmask.burn import burn_lines
from roadmask.distance import Distance
from roadmask.errors import SettingError
from roadmask.grid import Grid
from roadmask.lines import (
    WidthSettings,
    ground_distance,
    halo_pixels,
    log_widths,
    numbers,
    read_vectors,
    with_widths,
)

LEFT, TOP = 1_000_000.0, 200_100.0


def write_scene(path, size=(200, 200), pixel=0.5, crs="EPSG:2263", corner=(LEFT, TOP)):
    transform = Affine(pixel, 0, corner[0], 0, -pixel, corner[1])
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=size[0],
        height=size[1],
        count=1,
        dtype="uint8",
        crs=crs,
        transform=transform,
    ) as dataset:
        dataset.write(np.ones((1, size[1], size[0]), np.uint8))
        return Grid.from_dataset(dataset)


@pytest.fixture
def city(tmp_path):
    """A sheet of 100 ft with a street of 40 ft that runs across it and beyond."""
    grid = write_scene(tmp_path / "sheet.tif")
    edges = [LineString([(LEFT - 50, y), (LEFT + 150, y)]) for y in (TOP - 30, TOP - 70)]
    far = LineString([(LEFT + 900, TOP), (LEFT + 900, TOP - 90)])
    gpd.GeoDataFrame({"FEAT_CODE": [2260, 2260, 2270]}, geometry=[*edges, far], crs=2263).to_file(
        tmp_path / "edges.shp", engine="pyogrio"
    )
    middle = LineString([(LEFT - 50, TOP - 50), (LEFT + 150, TOP - 50)])
    short = LineString([(LEFT + 50, TOP - 50), (LEFT + 50, TOP - 90)])
    gpd.GeoDataFrame({"WIDTH": ["40", "narrow"]}, geometry=[middle, short], crs=2263).to_file(
        tmp_path / "roads.gpkg", engine="pyogrio"
    )
    return grid


def run(folder, *options, name="sheet", streets="edges.shp"):
    arguments = [
        "lines",
        str(folder / "sheet.tif"),
        f"--output={folder / 'lines' / name}.tif",
        f"--vectors={folder / 'lines' / name}.gpkg",
        "--lines.halo=20 ft",
        f"--centerlines.path={folder / 'roads.gpkg'}",
        f"--log={folder / name}.log",
        *([f"--street_lines.path={folder / streets}"] if streets else []),
        *options,
    ]
    return main(arguments)


def test_raster_lies_on_the_sheets_pixels_widened_by_the_halo(city, tmp_path):
    assert run(tmp_path) == 0
    with rasterio.open(tmp_path / "lines" / "sheet.tif") as dataset:
        grid = Grid.from_dataset(dataset)
        bands = dataset.read()
        assert dataset.dtypes == ("uint8", "uint8")
        assert dataset.descriptions == ("street_lines", "centerlines")
        assert dataset.tags()["ROADMASK_SOURCE"] == "edges.shp, roads.gpkg"
        assert json.loads(dataset.tags()["ROADMASK_SETTINGS"]) == {"lines.halo": "20 ft"}
    assert grid.offset_of(city) == (40, 40)
    assert grid.shape == (280, 280)
    assert np.unique(bands).tolist() == [0, 1]
    # 30 and 70 ft below the top, in half-foot pixels, behind a halo of 40.
    assert np.flatnonzero(bands[0].all(axis=1)).tolist() == [100, 180]
    assert bands[0].sum() == 2 * 280
    assert np.flatnonzero(bands[1].all(axis=1)).tolist() == [140]


def test_vectors_are_whole_and_carry_widths_in_metres(city, tmp_path):
    run(tmp_path, "--centerlines.width_field=width", "--centerlines.width=24 ft")
    streets = read_vectors(tmp_path / "lines" / "sheet.gpkg", "street_lines")
    roads = read_vectors(tmp_path / "lines" / "sheet.gpkg", "centerlines")
    assert streets["source_fid"].tolist() == [0, 1]
    assert streets.length.tolist() == pytest.approx([200, 200])
    assert roads["width_m"].tolist() == pytest.approx([40 * 0.3048, 24 * 0.3048])
    assert roads.crs.to_epsg() == 2263


def test_counts(city, tmp_path, caplog):
    run(tmp_path, "--centerlines.width_field=WIDTH", "--street_lines.where=FEAT_CODE = '2260'")
    counts = json.loads((tmp_path / "lines" / "sheet.json").read_text())
    assert counts["street_lines"]["file"] == "edges.shp"
    assert counts["street_lines"]["where"] == "FEAT_CODE = '2260'"
    assert counts["street_lines"]["features"]["kept"] == 2
    assert counts["centerlines"]["widths"] == {
        "from_field": 1,
        "from_default": 0,
        "unknown": 1,
        "unreadable": 1,
        "unreadable_values": ["narrow"],
        "implausible": 0,
        "implausible_values": [],
        "narrow": 0,
    }
    assert str(tmp_path) not in (tmp_path / "lines" / "sheet.json").read_text()
    assert "1 values of WIDTH are no number, such as narrow" in (tmp_path / "sheet.log").read_text()


def test_street_lines_may_be_absent(city, tmp_path):
    assert run(tmp_path, streets=None) == 0
    with rasterio.open(tmp_path / "lines" / "sheet.tif") as dataset:
        assert not dataset.read(1).any()
        assert dataset.read(2).any()
    assert read_vectors(tmp_path / "lines" / "sheet.gpkg", "street_lines").empty


def test_bytes_depend_on_the_input_alone(city, tmp_path):
    run(tmp_path, name="first")
    time.sleep(1.1)  # a time stamp would have whole seconds
    run(tmp_path, name="second")
    for ending in ("tif", "gpkg", "json"):
        first, second = (tmp_path / "lines" / f"{name}.{ending}" for name in ("first", "second"))
        assert first.read_bytes() == second.read_bytes(), ending


def test_error_leaves_nothing_behind(city, tmp_path, capsys):
    assert run(tmp_path, "--street_lines.where=FEAT = 1") == 1
    assert "edges.shp has no field FEAT. Did you mean FEAT_CODE?" in capsys.readouterr().err
    assert not (tmp_path / "lines").exists()


def test_street_lines_of_another_crs_fall_on_the_same_pixels(city, tmp_path):
    edges = gpd.read_file(tmp_path / "edges.shp")
    edges.to_crs(4326).to_file(
        tmp_path / "degrees.geojson", engine="pyogrio", COORDINATE_PRECISION=12
    )
    run(tmp_path, name="feet")
    run(tmp_path, name="degrees", streets="degrees.geojson")
    feet, degrees = (
        rasterio.open(tmp_path / "lines" / f"{name}.tif").read(1) for name in ("feet", "degrees")
    )
    assert degrees.sum() == 560
    assert not (feet.astype(bool) & ~ndimage.binary_dilation(degrees, iterations=1)).any()


@pytest.mark.parametrize(
    ("value", "unit", "pixels"), [(200, "us-ft", 400), (0, "m", 0), (12, "px", 12), (3.2, "px", 4)]
)
def test_halo_is_whole_pixels_rounded_up(value, unit, pixels):
    crs = rasterio.crs.CRS.from_epsg(2263)
    grid = Grid(5000, 5000, Affine(0.5, 0, 985_000, 0, -0.5, 212_500), crs)
    # On the ground the map's foot is a little more or less than a foot.
    assert abs(halo_pixels(Distance(value, unit), grid) - pixels) <= (unit == "us-ft")


def test_halo_in_degrees_covers_the_direction_of_small_pixels():
    grid = Grid(
        1300, 1300, Affine(2.7e-6, 0, -115.17, 0, -2.7e-6, 36.24), rasterio.crs.CRS.from_epsg(4326)
    )
    east, north = grid.pixel_metres
    assert halo_pixels(Distance(60.0, "m"), grid) == pytest.approx(60 / east, abs=1)
    assert east < north


# --- widths ------------------------------------------------------------------------------


def roads(values):
    lines = [LineString([(0, i), (9, i)]) for i in range(len(values))]
    return gpd.GeoDataFrame(
        {"source_fid": range(len(values)), "W": values}, geometry=lines, crs=2263
    )


@pytest.mark.parametrize(
    ("values", "unit", "default", "metres"),
    [
        ([30, 0, -1], "1 ft", None, [9.144, np.nan, np.nan]),
        (["2", " 1 ", "", None, "2 lanes"], "12 ft", None, [7.3152, 3.6576] + [np.nan] * 3),
        (["2", "?", None], "3.5 m", "6 m", [7, 6, 6]),
        ([np.nan, np.inf, 1.5], "1 m", None, [np.nan, np.nan, 1.5]),
        ([None, None], "1 m", "8 m", [8, 8]),
    ],
)
def test_width_of_field_and_default(values, unit, default, metres):
    settings = WidthSettings(
        "W",
        ground_distance(unit, "u"),
        ground_distance(default, "d") if default else None,
    )
    frame, counts = with_widths(roads(values), settings)
    np.testing.assert_allclose(frame["width_m"], metres)
    assert counts.from_field + counts.from_default + counts.unknown == len(values)


@pytest.mark.parametrize(
    ("values", "unit", "metres", "strange"),
    [
        # Codes for "not known", and what only looks like a width.
        ([30, 9999, -99, 0.5], "1 ft", [9.144, 6, 6, 6], ("-99", "0.5", "9999")),
        # Lanes read as feet.
        ([1, 1, 2], "1 ft", [6, 6, 0.6096], ("1",)),
        ([1, 40, 0, None], "12 ft", [3.6576, 146.304, 6, 6], ()),
        ([41, "1e9"], "12 ft", [149.9616, 6], ("1e+09",)),
    ],
)
def test_widths_that_no_road_has_count_as_missing(values, unit, metres, strange, caplog):
    settings = WidthSettings("W", ground_distance(unit, "u"), Distance(6, "m"))
    frame, counts = with_widths(roads(values), settings)
    np.testing.assert_allclose(frame["width_m"], metres)
    assert counts.implausible_values == strange
    assert counts.implausible >= len(strange)
    log_widths(counts, settings)
    assert ("are no width of a road" in caplog.text) == bool(strange)


@pytest.mark.parametrize(
    ("values", "unit", "narrow"),
    [
        ([2, 2, 4, 40], "1 ft", 3),  # lanes
        ([7.5, 8, 6, 12, 40], "1 ft", 3),  # metres
        ([8, 9, 20, 30], "1 ft", 2),  # alleys
        ([2, 2, 4, 1], "12 ft", 0),
        ([None, 0], "1 ft", 0),
    ],
)
def test_mostly_narrow_widths_are_in_another_unit(values, unit, narrow, caplog):
    settings = WidthSettings("W", ground_distance(unit, "u"), Distance(6, "m"))
    _, counts = with_widths(roads(values), settings)
    log_widths(counts, settings)
    assert counts.narrow == narrow
    assert ('write width_unit: "12 ft", where it holds metres' in caplog.text) == (narrow == 3)


def test_width_without_a_field():
    frame, counts = with_widths(roads([1, 2]), WidthSettings(default=Distance(30, "ft")))
    assert frame["width_m"].tolist() == pytest.approx([9.144, 9.144])
    assert (counts.from_default, counts.unreadable) == (2, 0)


def test_a_field_of_words_is_no_width():
    words = ["Am Anger", "Am Bach", "Am Dom", "Am Eck", "Am Fluss"]
    settings = WidthSettings("W", Distance(1, "ft"), Distance(6, "m"))
    with pytest.raises(SettingError, match=r"centerlines.width_field: W holds no width"):
        with_widths(roads(words), settings)
    _, counts = with_widths(roads([*words, "12"]), settings)
    assert (counts.from_field, counts.unreadable) == (1, 5)


def test_a_field_of_other_numbers_is_no_width():
    settings = WidthSettings("W", Distance(1, "ft"), Distance(6, "m"))
    ids = [110210, 110211, 110212, 110213, 110214]
    with pytest.raises(SettingError, match=r"width_field: W holds no width .* 110210, 110211"):
        with_widths(roads(ids), settings)
    assert with_widths(roads([*ids, 30]), settings)[1].from_field == 1


def test_numbers_report_what_is_none():
    values, unreadable = numbers(pd.Series(["1e1", "12,5", " ", None, "inf", "3;4"]))
    np.testing.assert_allclose(values, [10] + [np.nan] * 5)
    assert unreadable == ["12,5", "inf", "3;4"]


def test_width_in_pixels_is_refused():
    with pytest.raises(SettingError, match=r"centerlines.width: '40 px' is in pixels"):
        ground_distance("40 px", "centerlines.width")


# --- real data ---------------------------------------------------------------------------


@pytest.mark.real_data
def test_manhattan_has_the_regions_that_the_notes_name(real_data, tmp_path):
    write_scene(tmp_path / "sheet.tif", (5000, 5000), 0.5, "EPSG:32118", (302_000, 55_500))
    folder = real_data / "nyc_manhattan"
    assert (
        main(
            [
                "lines",
                str(tmp_path / "sheet.tif"),
                f"--output={tmp_path}/lines.tif",
                f"--vectors={tmp_path}/lines.gpkg",
                "--lines.halo=200 ft",
                f"--street_lines.path={folder}/street_lines.shp",
                f"--centerlines.path={folder}/centerlines.shp",
            ]
        )
        == 0
    )
    with rasterio.open(tmp_path / "lines.tif") as dataset:
        halo = (dataset.width - 5000) // 2
        streets = dataset.read(1)[halo:-halo, halo:-halo]
    assert 1370 <= ndimage.label(streets == 0)[1] <= 1380


@pytest.mark.real_data
def test_official_roadbeds_are_closed_against_a_fill(real_data):
    roadbeds = gpd.read_file(real_data / "nyc_flatiron" / "roadbed.shp")
    left, bottom, right, top = roadbeds.total_bounds
    size = int(right - left) * 2 + 40, int(top - bottom) * 2 + 40
    grid = Grid(*size, Affine(0.5, 0, left - 10, 0, -0.5, top + 10), None)
    burned = burn_lines(roadbeds.boundary, grid)
    labels, _ = ndimage.label(burned == 0)
    inside = [polygon.representative_point() for polygon in roadbeds.geometry]
    columns, rows = np.array([~grid.transform @ (p.x, p.y) for p in inside]).T.astype(int)
    assert (labels[rows, columns] != labels[0, 0]).all()


def test_a_block_keeps_its_area(tmp_path):
    # The line's pixels lie half inside, half outside.
    block = box(10.3, 10.7, 90.1, 70.2)
    grid = Grid(100, 100, Affine.identity(), None)
    burned = burn_lines([block.exterior], grid)
    labels, _ = ndimage.label(burned == 0)
    area = (labels == labels[40, 50]).sum() + burned.sum() / 2
    assert area == pytest.approx(block.area, abs=block.length / 2)
