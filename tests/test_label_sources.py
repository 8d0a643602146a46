"""Labels from widths, polygons and ready masks, each against a known answer."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import Transformer
from rasterio.crs import CRS
from scipy import ndimage
from shapely import LineString, MultiLineString, Point, box

from roadmask.classes import ClassTable
from roadmask.errors import InputError, RoadmaskError, SettingError
from roadmask.grid import Grid
from roadmask.masks import raster as label_rasters
from roadmask.masks.buffer import buffer_labels
from roadmask.masks.polygons import polygon_labels

FOOT = 0.3048
PIXEL_MODE = Grid(4, 3, Affine.identity(), None)
ROAD = ClassTable.parse({"road": 1})


def raster_labels(*arguments, **options):
    return label_rasters.raster_labels(*arguments, **options).labels


def centerlines(lines, widths, crs=None):
    return gpd.GeoDataFrame(
        {"source_fid": range(len(lines)), "width_m": np.array(widths, dtype=float)},
        geometry=list(lines),
        crs=crs,
    )


def sheet(code, longitude, latitude, pixel, size=600):
    """A square sheet whose centre lies at a place, with square pixels in the CRS's unit."""
    crs = CRS.from_epsg(code)
    to_crs = Transformer.from_crs(4326, code, always_xy=True)
    x, y = to_crs.transform(longitude, latitude)
    transform = Affine(pixel, 0, x - pixel * size / 2, 0, -pixel, y + pixel * size / 2)
    return Grid(size, size, transform, crs)


# --- buffer ------------------------------------------------------------------------------

SYSTEMS = {
    # Pixels of about a foot: degrees at 36 N are narrow, web Mercator's metres are short.
    "degrees": (4326, -115.17, 36.0, 3e-6),
    "web Mercator": (3857, -115.17, 36.0, 0.4),
    "New York in feet": (2263, -73.98, 40.75, 1.0),
    "UTM": (32618, -73.98, 40.75, 0.3),
    "far from UTM's meridian": (32618, -62.0, 36.0, 0.3),
}


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
def test_a_width_is_right_in_both_directions(system):
    grid = sheet(*system)
    middle, end = grid.width / 2, float(grid.width)
    # Turned by a hair, so that the mean is not the whole pixels of one place.
    low, high = middle - 3, middle + 3
    down = LineString([grid.transform @ (low, 0), grid.transform @ (high, end)])
    across = LineString([grid.transform @ (0, low), grid.transform @ (end, high)])
    # `pixel_metres` measures the pixel on the ellipsoid, and knows nothing of buffers.
    east, north = grid.pixel_metres
    for line, pixel, axis in ((down, east, 1), (across, north, 0)):
        labels = buffer_labels(centerlines([line], [60 * FOOT]), grid, 45.0)
        measured = labels[100:-100, 100:-100].sum(axis=axis)
        assert np.abs(measured - 60 * FOOT / pixel).max() <= 1
        assert measured.mean() == pytest.approx(60 * FOOT / pixel, abs=0.05)


def test_degrees_are_not_mistaken_for_square():
    # At 36 N a road takes 1.23 times as many columns as rows.
    grid = sheet(*SYSTEMS["degrees"])
    place = Point(grid.transform @ (300, 300))
    cross = [
        LineString([(place.x - 1, place.y), (place.x + 1, place.y)]),
        LineString([(place.x, place.y - 1), (place.x, place.y + 1)]),
    ]
    rows = buffer_labels(centerlines(cross[:1], [30]), grid, 45.0)[:, 10].sum()
    columns = buffer_labels(centerlines(cross[1:], [30]), grid, 45.0)[10].sum()
    assert columns / rows == pytest.approx(1 / np.cos(np.radians(36)), abs=0.02)


METRES = sheet(32618, -75.0, 40.0, 1.0, size=100)


def local(*points):
    """Points in pixels as points on `METRES`, which is true to scale within 0.1 %."""
    return [METRES.transform @ point for point in points]


def test_flat_ends_stop_where_the_line_stops():
    road = centerlines([LineString(local((20, 50), (80, 50)))], [10])
    labels = buffer_labels(road, METRES, 45.0)
    assert np.flatnonzero(labels.any(axis=0))[[0, -1]].tolist() == [20, 79]
    round_labels = buffer_labels(road, METRES, 45.0, ends="round")
    assert np.flatnonzero(round_labels.any(axis=0))[[0, -1]].tolist() == [15, 84]
    assert (round_labels >= labels).all()


def test_no_notch_where_lines_meet():
    corner = [LineString(local((20, 50), (50, 50))), LineString(local((50, 50), (50, 80)))]
    labels = buffer_labels(centerlines(corner, [10, 10]), METRES, 45.0)
    one_line = LineString(local((20, 50), (50, 50), (50, 80)))
    assert (labels == buffer_labels(centerlines([one_line], [10]), METRES, 45.0)).all()
    assert labels[47, 53] == 1


def test_parts_of_one_feature_meet_like_features():
    parts = MultiLineString([local((20, 50), (50, 50)), local((50, 50), (50, 80))])
    labels = buffer_labels(centerlines([parts], [10]), METRES, 45.0)
    assert labels[47, 53] == 1


def test_a_narrow_continuation_does_not_swell():
    lines = [LineString(local((20, 50), (50, 50))), LineString(local((50, 50), (80, 50)))]
    labels = buffer_labels(centerlines(lines, [20, 6]), METRES, 45.0)
    assert labels[:, 20:50].sum(axis=0).tolist() == [20] * 30
    assert labels[:, 50:80].sum(axis=0).tolist() == [6] * 30


def test_unknown_width_is_unknown_ground(caplog):
    lines = [LineString(local((0, 20), (99, 20))), LineString(local((0, 70), (99, 70)))]
    labels = buffer_labels(centerlines(lines, [10, np.nan]), METRES, 30.0)
    assert np.unique(labels[:50]).tolist() == [0, 1]
    assert np.unique(labels[55:]).tolist() == [0, 255]
    assert (labels[:, 50] == 255).sum() == 30
    assert "1 of 2 centerlines have no width" in caplog.text
    assert "centerlines.width is the width where" in caplog.text


def test_what_is_wider_than_any_road_is_told(caplog):
    lines = [LineString(local((0, 20), (99, 20))), LineString(local((0, 70), (99, 70)))]
    buffer_labels(centerlines(lines, [10, 30]), METRES, 30.0)
    assert not caplog.text
    labels = buffer_labels(centerlines(lines, [10, 32]), METRES, 30.0)
    assert labels[:, 50].sum() == 42
    assert (
        "1 of 2 centerlines are up to 32.0 m wide, and labels.max_road_width is 30.0 m"
        in caplog.text
    )


def test_no_width_anywhere_is_unknown_ground_too():
    road = centerlines([LineString(local((0, 20), (99, 20)))], [np.nan])
    assert (buffer_labels(road, METRES, 12.0)[:, 50] == 255).sum() == 12


def test_sheet_without_centerlines():
    assert not buffer_labels(centerlines([], []), METRES, 45.0).any()


def test_buffer_in_pixel_mode():
    with pytest.raises(SettingError, match="buffer needs georeferenced imagery"):
        buffer_labels(centerlines([LineString([(0, 0), (3, 3)])], [1]), PIXEL_MODE, 45.0)


def test_long_segments_stay_on_the_line():
    # One segment of 0.2 degrees along a parallel: straight in degrees, a curve in metres.
    grid = Grid(4000, 40, Affine(5e-5, 0, -115.2, 0, -5e-5, 60.001), CRS.from_epsg(4326))
    line = LineString([(-115.2, 60.0), (-115.0, 60.0)])
    labels = buffer_labels(centerlines([line], [60]), grid, 45.0)[:, 5:-5]
    centre = (labels * np.arange(40)[:, None]).sum(axis=0) / labels.sum(axis=0)
    assert np.ptp(centre) <= 0.5


# --- polygons ----------------------------------------------------------------------------


def test_polygons_take_the_pixels_whose_centre_they_hold():
    grid = Grid(10, 8, Affine(2, 0, 100, 0, -2, 50), CRS.from_epsg(32618))
    shape = box(102.9, 40, 107.1, 46.9).difference(box(104, 42, 106, 44))
    labels = polygon_labels(gpd.GeoDataFrame(geometry=[shape], crs=32618), grid, ROAD)
    expected = np.zeros((8, 10), np.uint8)
    expected[2:5, 1:4] = 1
    expected[3, 2] = 0
    assert labels.tolist() == expected.tolist()


def test_no_polygons():
    assert not polygon_labels(gpd.GeoDataFrame(geometry=[], crs=32618), METRES, ROAD).any()


# --- raster ------------------------------------------------------------------------------


def write(path, bands, grid=PIXEL_MODE, **options):
    bands = np.asarray(bands)
    bands = bands[np.newaxis] if bands.ndim == 2 else bands
    profile = {
        "driver": "PNG" if path.suffix == ".png" else "GTiff",
        "width": bands.shape[2],
        "height": bands.shape[1],
        "count": len(bands),
        "dtype": bands.dtype,
        **({} if grid.crs is None else {"crs": grid.crs, "transform": grid.transform}),
    }
    colormap = options.pop("colormap", None)
    with rasterio.open(path, "w", **(profile | options)) as dataset:
        if colormap:
            dataset.write_colormap(1, colormap)
        dataset.write(bands)
    return path


VALUES = np.array([[0, 127, 128, 255], [1, 0, 200, 3], [0, 0, 0, 0]], np.uint8)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_threshold(tmp_path, ending):
    path = write(tmp_path / f"x.{ending}", VALUES)
    labels = raster_labels(path, PIXEL_MODE, ROAD, 127)
    assert labels.tolist() == [[0, 0, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert labels.dtype == np.uint8


def test_threshold_with_values_to_ignore_and_nodata(tmp_path):
    path = write(tmp_path / "x.tif", VALUES, nodata=3)
    classes = ClassTable.parse({"road": 255, "ignore": [200]})
    labels = raster_labels(path, PIXEL_MODE, classes, 127)
    assert labels.tolist() == [[0, 0, 1, 1], [0, 0, 255, 255], [0, 0, 0, 0]]


def test_threshold_on_floats_without_a_number(tmp_path):
    values = np.full((3, 4), 0.2, np.float32)
    values[0, :2] = 0.9, np.nan
    labels = raster_labels(write(tmp_path / "x.tif", values), PIXEL_MODE, ROAD, 0.5)
    assert labels[0].tolist() == [1, 255, 0, 0]


def test_threshold_above_an_index_mask_is_refused(tmp_path):
    path = write(tmp_path / "x.tif", (VALUES > 100).astype(np.uint8))
    with pytest.raises(
        SettingError, match=r"labels\.threshold: .*holds 0, 1, none above 127.*such as 0"
    ):
        raster_labels(path, PIXEL_MODE, ROAD, 127)
    assert raster_labels(path, PIXEL_MODE, ROAD, 0).sum() == 4


@pytest.mark.parametrize("value", [2, 100])
def test_a_threshold_that_no_value_passes_is_refused_whatever_road_is_said_to_be(tmp_path, value):
    path = write(tmp_path / "x.png", (VALUES > 100).astype(np.uint8) * value)
    with pytest.raises(SettingError, match=rf"holds 0, {value}, none .* such as {value - 1}\."):
        raster_labels(path, PIXEL_MODE, ROAD, 127)
    assert raster_labels(path, PIXEL_MODE, ROAD, value - 1).sum() == 4


@pytest.mark.parametrize("highest", [8, 120])
def test_noise_and_low_probabilities_are_no_road_and_no_fault(tmp_path, highest):
    """JPEG makes some small values of an empty mask; a probability has many."""
    values = np.linspace(0, highest, 60 * 80).astype(np.uint8).reshape(60, 80)
    grid = Grid(80, 60, PIXEL_MODE.transform, None)
    assert not raster_labels(write(tmp_path / "x.png", values), grid, ROAD, 127).any()


def test_a_mask_without_road_is_fine(tmp_path):
    path = write(tmp_path / "x.png", np.zeros((3, 4), np.uint8))
    assert not raster_labels(path, PIXEL_MODE, ROAD, 127).any()


def test_zero_declared_as_nodata(tmp_path, caplog):
    path = write(tmp_path / "x.tif", VALUES, nodata=0)
    assert (raster_labels(path, PIXEL_MODE, ROAD, 127) == 255).sum() == 6
    assert "write other: 0 in classes" in caplog.text
    listed = ClassTable.parse({"other": 0, "road": 255})
    assert (raster_labels(path, PIXEL_MODE, listed, 127) == 255).sum() == 0


def test_index_values(tmp_path):
    path = write(tmp_path / "x.tif", np.array([[0, 7, 8, 9], [7, 7, 2, 0]] * 2, np.uint16)[:3])
    classes = ClassTable.parse({"road": [7, 8], "water": 2, "ignore": 9})
    labels = raster_labels(path, PIXEL_MODE, classes, 127)
    assert labels.tolist() == [[0, 1, 1, 255], [1, 1, 2, 0], [0, 1, 1, 255]]


def test_index_of_a_palette_picture(tmp_path):
    palette = {0: (0, 0, 0), 1: (255, 0, 0), 2: (0, 0, 255)}
    path = write(tmp_path / "x.png", VALUES % 3, colormap=palette)
    by_index = raster_labels(path, PIXEL_MODE, ClassTable.parse({"road": 1, "water": 2}), 127)
    assert (by_index == VALUES % 3).all()
    colours = ClassTable.parse({"road": [255, 0, 0], "water": [0, 0, 255]})
    assert (raster_labels(path, PIXEL_MODE, colours, 127) == VALUES % 3).all()


def test_unlisted_values_are_named_and_counted(tmp_path):
    path = write(tmp_path / "x.tif", VALUES)
    classes = ClassTable.parse({"road": 255, "water": 128})
    with pytest.raises(InputError) as error:
        raster_labels(path, PIXEL_MODE, classes, 127)
    assert "values that belong to no class: 1 (1 pixels), 127 (1 pixels), 200 (1 pixels), 3" in str(
        error.value
    )


COLOURS = np.zeros((3, 3, 4), np.uint8)
COLOURS[:, 0, 0] = 110, 193, 228
COLOURS[:, 0, 1] = 226, 169, 41
COLOURS[:, 1, 2] = 155, 155, 155


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_colours(tmp_path, ending):
    classes = ClassTable.parse(
        {"water": [226, 169, 41], "road": [110, 193, 228], "ignore": [155, 155, 155]}
    )
    path = write(tmp_path / f"x.{ending}", COLOURS, photometric="RGB")
    labels = raster_labels(path, PIXEL_MODE, classes, 127)
    assert labels.tolist() == [[2, 1, 0, 0], [0, 0, 255, 0], [0, 0, 0, 0]]


def test_unlisted_colours_are_named_and_counted(tmp_path):
    path = write(tmp_path / "x.png", COLOURS)
    classes = ClassTable.parse({"water": [226, 169, 41], "road": [110, 193, 228]})
    with pytest.raises(InputError, match=r"\[155, 155, 155\] \(1 pixels\)"):
        raster_labels(path, PIXEL_MODE, classes, 127)


def test_one_colour_leaves_the_rest_to_other(tmp_path):
    path = write(tmp_path / "x.png", COLOURS)
    labels = raster_labels(path, PIXEL_MODE, ClassTable.parse({"road": [226, 169, 41]}), 127)
    assert np.argwhere(labels).tolist() == [[0, 1]]


def test_transparent_pixels_are_not_known(tmp_path):
    alpha = np.full((1, 3, 4), 255, np.uint8)
    alpha[0, 0, 0] = 0
    path = write(tmp_path / "x.png", np.concatenate([COLOURS, alpha]))
    labels = raster_labels(path, PIXEL_MODE, ClassTable.parse({"road": [226, 169, 41]}), 127)
    assert labels[0].tolist() == [255, 1, 0, 0]


def test_grey_picture_of_three_bands(tmp_path):
    path = write(tmp_path / "x.png", np.stack([VALUES] * 3))
    assert raster_labels(path, PIXEL_MODE, ROAD, 127).sum() == 3


@pytest.mark.parametrize(
    ("bands", "classes", "message"),
    [
        (COLOURS, {"road": 1}, "a picture of 3 bands, but classes has single numbers"),
        (VALUES, {"road": [1, 2, 3]}, r"1 band\(s\) of uint8, but classes has colours"),
        (VALUES[:2], {"road": 1}, "it has 4 x 2 pixels, the scene 4 x 3"),
    ],
)
def test_refuses_another_kind_or_size(tmp_path, bands, classes, message):
    path = write(tmp_path / "x.tif", bands)
    with pytest.raises(InputError, match=message):
        raster_labels(path, PIXEL_MODE, ClassTable.parse(classes), 127)


GROUND = Grid(4, 3, Affine(0.5, 0, 985_000, 0, -0.5, 211_000), CRS.from_epsg(2263))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (GROUND.window(1, 0, 4, 3), "up to 1.00 pixels from the scene's"),
        (Grid(4, 3, Affine(0.6, 0, 985_000, 0, -0.5, 211_000), GROUND.crs), "up to 0.80 pixels"),
        (Grid(4, 3, GROUND.transform, CRS.from_epsg(32618)), "its CRS is EPSG:32618"),
    ],
)
def test_refuses_another_grid(tmp_path, other, message):
    with pytest.raises(InputError, match=message) as error:
        raster_labels(write(tmp_path / "x.tif", VALUES, other), GROUND, ROAD, 127)
    assert "it is not cropped or moved" in str(error.value)


def test_takes_the_scenes_grid_and_a_label_without_any(tmp_path, caplog):
    esri = CRS.from_wkt(GROUND.crs.to_wkt(morph_to_esri_dialect=True))
    same = Grid(4, 3, GROUND.transform @ Affine.translation(1e-6, 0), esri)
    labels = raster_labels(write(tmp_path / "x.tif", VALUES, same), GROUND, ROAD, 127)
    assert not caplog.text
    nowhere = raster_labels(write(tmp_path / "x.png", VALUES), GROUND, ROAD, 127)
    assert (labels == nowhere).all()
    assert "it lies nowhere on the ground" in caplog.text


@pytest.mark.parametrize("content", [None, b"rubbish"])
def test_missing_or_broken_label(tmp_path, content):
    path = tmp_path / "x.tif"
    if content:
        path.write_bytes(content)
    with pytest.raises(RoadmaskError, match=r"labels\.raster must give the path") as error:
        raster_labels(path, PIXEL_MODE, ROAD, 127)
    assert ("unreadable" if content else "no such file") in str(error.value)


# --- real data ---------------------------------------------------------------------------


@pytest.mark.real_data
def test_lanes_of_vegas_have_their_width_in_both_directions(real_data):
    with rasterio.open(real_data / "spacenet_vegas" / "image.tif") as dataset:
        grid = Grid.from_dataset(dataset)
    roads = gpd.read_file(real_data / "spacenet_vegas" / "roads.geojson")
    roads["width_m"] = roads["lane_number"].astype(float) * 12 * FOOT
    # Inside the picture and away from crossings, a road's area is its length times its width.
    metres = roads.to_crs(32611)
    east, north = grid.pixel_metres
    checked = 0
    for index, line in enumerate(metres.geometry):
        inside = line.intersection(gpd.GeoSeries([box(*grid.bounds)], crs=4326).to_crs(32611)[0])
        if inside.length < 30 or inside.length < line.length - 0.1:
            continue
        labels = buffer_labels(roads.iloc[[index]], grid, 45.0)
        expected = line.length / 0.9996 * roads["width_m"][index]
        assert labels.sum() * east * north == pytest.approx(expected, rel=0.02)
        checked += 1
    assert checked > 5


@pytest.mark.real_data
def test_roadbeds_of_flatiron_have_their_area(real_data):
    roadbeds = gpd.read_file(real_data / "nyc_flatiron" / "roadbed.shp")
    left, _, _, top = roadbeds.total_bounds
    transform = Affine(0.5, 0, left - 10, 0, -0.5, top + 10)
    grid = Grid(4800, 6700, transform, CRS.from_epsg(2263))
    labels = polygon_labels(roadbeds, grid, ROAD)
    assert labels.sum() / 4 == pytest.approx(roadbeds.union_all().area, rel=1e-3)
    assert ndimage.label(labels)[1] >= 1


@pytest.mark.real_data
def test_aerial_masks(real_data):
    grid = Grid(400, 400, Affine.identity(), None)
    masks = sorted((real_data / "aerial_roads" / "masks").iterdir())
    shares = [(raster_labels(path, grid, ROAD, 127) == 1).mean() for path in masks[:10]]
    assert 0.1 < np.mean(shares) < 0.3
