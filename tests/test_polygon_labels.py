"""Labels from polygons with an attribute, and islands cut out of every kind of label."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from label_command import counts, make_masks, write_raster
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.features import rasterize
from shapely import LineString, MultiPolygon, Polygon, box

from roadmask.burn import burn_lines
from roadmask.classes import ClassTable
from roadmask.errors import SettingError
from roadmask.grid import Grid
from roadmask.lines import write_vectors
from roadmask.masks.polygons import polygon_labels
from roadmask.raster import write_cog

FEET = CRS.from_epsg(2263)
WEST, NORTH = 987_000.0, 212_000.0
GRID = Grid(120, 100, Affine(1, 0, WEST, 0, -1, NORTH), FEET)
NYC = {"road": ["350000", "350010"], "driveway": 350030}


def place(left: float, top: float, right: float, bottom: float) -> Polygon:
    """A box in columns and rows of `GRID`."""
    return box(WEST + left, NORTH - bottom, WEST + right, NORTH - top)


def layer(path, shapes, crs=2263, **columns):
    frame = gpd.GeoDataFrame(columns, geometry=list(shapes), crs=2263)
    frame.to_crs(crs).to_file(path)
    return path


def labelled(shapes, values, classes):
    frame = gpd.GeoDataFrame({"CODE": values}, geometry=shapes)
    return polygon_labels(frame, GRID, ClassTable.parse(classes), "CODE")


# --- attribute to class ---------------------------------------------------------------------


@pytest.mark.parametrize("values", [["350010", "350030"], [350010, 350030], [350010.0, 350030.0]])
@pytest.mark.parametrize("suffix", ["shp", "gpkg", "geojson"])
def test_a_field_tells_the_class_as_text_and_as_number(tmp_path, values, suffix):
    path = layer(
        tmp_path / f"beds.{suffix}", [place(10, 10, 30, 20), place(50, 40, 90, 80)], SUB_CODE=values
    )
    labels = make_masks(
        tmp_path,
        GRID,
        "--labels.method=polygons",
        f"--labels.polygons.path={path}",
        "--labels.polygons.field=sub_code",
        classes=NYC,
    )
    expected = np.zeros(GRID.shape, np.uint8)
    expected[10:20, 10:30] = 1
    expected[40:80, 50:90] = 2
    assert (labels == expected).all()
    assert counts(tmp_path)["shares"]["driveway"] == pytest.approx(1600 / 12_000)


def test_the_class_listed_later_lies_on_top_in_any_order_of_features():
    shapes, values = [place(10, 10, 60, 60), place(40, 40, 90, 90), place(50, 0, 55, 99)], [1, 2, 3]
    found = [
        labelled([shapes[i] for i in order], [values[i] for i in order],
                 {"road": 1, "water": 2, "other": 3})
        for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0])
    ]  # fmt: skip
    assert all((labels == found[0]).all() for labels in found)
    assert (found[0][45, 45], found[0][45, 52], found[0][20, 20]) == (2, 0, 1)
    turned = labelled(shapes, values, {"other": 3, "water": 2, "road": 1})
    assert (turned[45, 45], turned[45, 52]) == (2, 2)  # road is now the second class, on top
    ignored = labelled(shapes, values, {"road": 1, "water": 2, "ignore": 3})
    assert (ignored[:, 52] == 255).sum() == 99


def test_holes_and_parts():
    ring = place(10, 10, 50, 50).difference(place(20, 20, 30, 30))
    labels = labelled([MultiPolygon([ring, place(60, 60, 70, 70)])], ["R"], {"road": "R"})
    assert (labels.sum(), labels[25, 25], labels[65, 65]) == (1600 - 100 + 100, 0, 1)


def test_values_of_no_class_are_named_and_counted():
    shapes = [place(i, i, i + 5, i + 5) for i in range(5)]
    with pytest.raises(SettingError) as error:
        labelled(shapes, ["350000", "350020", None, "350020", " "], NYC)
    assert str(error.value).startswith(
        "classes: the field CODE of labels.polygons holds values of no class: 350020 (2 polygons), "
        "null (2 polygons). Add them to classes, under other or ignore"
    )
    assert '"CODE IS NOT NULL"' in str(error.value)


def test_a_field_that_is_not_there(tmp_path):
    path = layer(tmp_path / "beds.gpkg", [place(10, 10, 30, 20)], SUB_CODE=["350000"])
    with pytest.raises(
        SettingError,
        match=r"labels\.polygons\.field: .* no field SUBCODE\. Did you mean SUB_CODE",
    ):
        make_masks(
            tmp_path,
            GRID,
            "--labels.method=polygons",
            f"--labels.polygons.path={path}",
            "--labels.polygons.field=SUBCODE",
            classes=NYC,
        )


def test_several_classes_need_a_field():
    frame = gpd.GeoDataFrame(geometry=[place(10, 10, 30, 20)])
    with pytest.raises(SettingError, match=r"labels\.polygons\.field: is not set"):
        polygon_labels(frame, GRID, ClassTable.parse(NYC))


def test_features_without_geometry_and_curves(tmp_path):
    x, y = WEST + 50, NORTH - 50
    circle = (
        f"CURVEPOLYGON(CIRCULARSTRING({x - 20} {y},{x} {y + 20},{x + 20} {y},{x} {y - 20},"
        f"{x - 20} {y}))"
    )
    (tmp_path / "x.csv").write_text(f'CODE,WKT\n1,"{circle}"\n1,\n2,"POLYGON EMPTY"\n')
    (tmp_path / "x.vrt").write_text(
        '<OGRVRTDataSource><OGRVRTLayer name="x">'
        '<SrcDataSource relativeToVRT="1">x.csv</SrcDataSource>'
        '<LayerSRS>EPSG:2263</LayerSRS><GeometryField encoding="WKT" field="WKT"/>'
        "</OGRVRTLayer></OGRVRTDataSource>"
    )
    labels = make_masks(
        tmp_path,
        GRID,
        "--labels.method=polygons",
        f"--labels.polygons.path={tmp_path / 'x.vrt'}",
        "--labels.polygons.field=CODE",
    )
    rows, columns = np.indices(GRID.shape) + 0.5
    expected = np.hypot(rows - 50, columns - 50) < 20
    assert (labels != expected).sum() <= 4


def test_long_edges_in_another_crs_stay_straight_there(tmp_path):
    # A parallel at 60 N rises by 20 m over 0.4 degrees in UTM: corners alone miss that.
    crs = CRS.from_epsg(32632)
    to_utm = Transformer.from_crs(4326, 32632, always_xy=True)
    x, y = to_utm.transform(9.0, 60.0)
    grid = Grid(1200, 40, Affine(20, 0, x - 12_000, 0, -1, y + 30), crs)
    shape = box(8.75, 59.9, 9.25, 60.0)
    path = tmp_path / "x.gpkg"
    gpd.GeoDataFrame({"a": [1]}, geometry=[shape], crs=4326).to_file(path)
    labels = make_masks(
        tmp_path, grid, "--labels.method=polygons", f"--labels.polygons.path={path}"
    )
    columns, rows = np.meshgrid(np.arange(1200) + 0.5, np.arange(40) + 0.5)
    lon, lat = to_utm.transform(*(grid.transform @ (columns, rows)), direction="INVERSE")
    expected = (lon > 8.75) & (lon < 9.25) & (lat > 59.9) & (lat < 60.0)
    assert (labels != expected).sum() <= 5
    assert np.ptp((labels[:, 250:950] == 1).sum(axis=0)) >= 5  # it does bend


# --- islands --------------------------------------------------------------------------------

ISLANDS = MultiPolygon([place(20, 44, 40, 56), place(60, 30, 64, 70)])
STREET = LineString([(WEST - 200, NORTH - 50), (WEST + 300, NORTH - 50)])


def from_lines(tmp_path, method):
    """Files of stage `lines` for one street of 30 ft, and the arguments that name them."""
    edges = [shapely.offset_curve(STREET, side * 15) for side in (1, -1)]
    wide = GRID.widened(50)
    (tmp_path / "lines").mkdir()
    raster, vectors = tmp_path / "lines" / "a.tif", tmp_path / "lines" / "a.gpkg"
    write_cog(raster, wide, np.stack([burn_lines(edges, wide), burn_lines([STREET], wide)]))
    crs = pyproj.CRS.from_wkt(FEET.to_wkt())
    streets = gpd.GeoDataFrame({"source_fid": [0, 1]}, geometry=edges, crs=crs)
    roads = gpd.GeoDataFrame(
        {"source_fid": [0], "width_m": [30 * 0.3048]}, geometry=[STREET], crs=crs
    )
    write_vectors(vectors, {"street_lines": streets, "centerlines": roads})
    return f"--labels.method={method}", f"--lines={raster}", f"--vectors={vectors}"


def from_polygons(tmp_path):
    path = layer(tmp_path / "beds.gpkg", [place(-200, 35, 300, 65)], a=[1])
    return "--labels.method=polygons", f"--labels.polygons.path={path}"


def from_raster(tmp_path):
    label = np.zeros(GRID.shape, np.uint8)
    label[35:65] = 255
    path = write_raster(tmp_path / "label.tif", label, GRID)
    return "--labels.method=raster", f"--labels.raster={path}"


@pytest.mark.parametrize("crs", [2263, 4326, 32618])
@pytest.mark.parametrize("method", ["regions", "buffer", "polygons", "raster"])
def test_islands_are_cut_from_every_kind_of_label(tmp_path, method, crs):
    sources = {"polygons": from_polygons, "raster": from_raster}
    arguments = sources[method](tmp_path) if method in sources else from_lines(tmp_path, method)
    whole = make_masks(tmp_path, GRID, *arguments)
    assert (whole == 1).sum() == pytest.approx(120 * 30, abs=120)
    path = layer(
        tmp_path / "islands.gpkg",
        [ISLANDS, place(100, 40, 110, 60), None],
        crs,
        KIND=["median", "painted", "median"],
    )
    cut = make_masks(
        tmp_path,
        GRID,
        *arguments,
        f"--labels.islands.path={path}",
        "--labels.islands.where=KIND = 'median'",
    )
    inside = rasterize([ISLANDS], GRID.shape, transform=GRID.transform).astype(bool)
    strange = (cut != np.where(inside, 0, whole)).sum()
    # Through another CRS and back, a corner moves by far less than a pixel, not by nothing.
    assert strange == 0 if crs == 2263 else strange <= 2
    assert (whole[inside] == 1).sum() > 200


def test_islands_elsewhere_cut_nothing(tmp_path):
    arguments = from_polygons(tmp_path)
    whole = make_masks(tmp_path, GRID, *arguments)
    path = layer(tmp_path / "islands.gpkg", [place(5000, 5000, 5010, 5010)], a=[1])
    cut = make_masks(tmp_path, GRID, *arguments, f"--labels.islands.path={path}")
    assert (whole == cut).all()


# --- real data ------------------------------------------------------------------------------


@pytest.mark.real_data
def test_intersections_and_roadbeds_of_flatiron_have_their_areas(real_data, tmp_path):
    path = real_data / "nyc_flatiron" / "roadbed.shp"
    beds = gpd.read_file(path)
    left, _, _, top = beds.total_bounds
    grid = Grid(2400, 3350, Affine(1, 0, left - 10, 0, -1, top + 10), FEET)
    labels = make_masks(
        tmp_path,
        grid,
        "--labels.method=polygons",
        f"--labels.polygons.path={path}",
        "--labels.polygons.field=SUB_CODE",
        classes={"road": 350000, "intersection": 350010},
    )
    for value, code in ((1, "350000"), (2, "350010")):
        expected = beds.geometry[beds["SUB_CODE"] == code].union_all().area
        assert (labels == value).sum() == pytest.approx(expected, rel=2e-3)
