"""Layers come as they lie on the sheet, or with an error that says what to do."""

from __future__ import annotations

import json
import logging
import shutil
import zipfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import CRS, Transformer
from rasterio import crs as rasterio_crs
from shapely import LineString, MultiLineString, Point, Polygon, box

from roadmask.errors import InputError, RoadmaskError, SettingError
from roadmask.grid import Grid
from roadmask.vectors_io import VectorSource, read_layer

FEET = CRS(2263)
SHEET = (1_000_000.0, 200_000.0, 1_000_100.0, 200_100.0)


def on_sheet(*points):
    return [(SHEET[0] + x, SHEET[1] + y, *rest) for x, y, *rest in points]


def frame(geometries, crs=FEET, **columns):
    columns = columns or {"STATUS": ["2"] * len(geometries)}
    return gpd.GeoDataFrame(columns, geometry=geometries, crs=crs)


@pytest.fixture
def shapefile(tmp_path):
    """Four lines on the sheet and one beside it, with NYC's code as text."""
    lines = [LineString(on_sheet((10 * i, 0, 5), (10 * i, 90, 6))) for i in range(4)]
    lines.append(LineString(on_sheet((5000, 0, 5), (5000, 90, 6))))
    path = tmp_path / "lines.shp"
    frame(lines, STATUS=["1", "2", "2", "3", "9"], ST_WIDTH=[30, 0, 34, 60, 24]).to_file(
        path, engine="pyogrio"
    )
    return path


def read(path, **options):
    layer = options.pop("layer", None)
    where = options.pop("where", None)
    area = options.pop("area", SHEET)
    crs = options.pop("crs", FEET)
    return read_layer(VectorSource(str(path), layer, where), area, crs, **options)


def geojson(path, geometries, crs="EPSG:2263"):
    features = [
        {"type": "Feature", "properties": {"n": i}, "geometry": geometry}
        for i, geometry in enumerate(geometries)
    ]
    named = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:{crs.replace(':', '::')}"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": named, "features": features}))
    return path


# --- what comes back ---------------------------------------------------------------------


def test_reads_the_sheet_alone_in_two_dimensions(shapefile):
    layer = read(shapefile)
    assert layer.frame["source_fid"].tolist() == [0, 1, 2, 3]
    assert not layer.frame.geometry.has_z.any()
    assert layer.counts.as_dict() == {
        "read": 4,
        "kept": 4,
        "empty": 0,
        "broken": 0,
        "other_type": 0,
        "outlined": 0,
        "repaired": 0,
    }


def test_the_filter_works_on_fields_that_are_not_returned(shapefile):
    # GDAL sees nothing in a field that the reader was not asked for.
    layer = read(shapefile, where="STATUS = '2'")
    assert layer.frame["source_fid"].tolist() == [1, 2]
    assert layer.frame.columns.tolist() == ["source_fid", "geometry"]


def test_returns_columns_in_the_order_asked_for_whatever_their_case(shapefile):
    layer = read(shapefile, columns=("st_width", "Status"), where="STATUS <> '1'")
    assert layer.frame.columns.tolist() == ["source_fid", "st_width", "Status", "geometry"]
    assert layer.frame["st_width"].tolist() == [0, 34, 60]
    assert layer.frame["Status"].tolist() == ["2", "2", "3"]


@pytest.mark.parametrize("ending", ["gpkg", "geojson", "gdb", "fgb"])
def test_every_format_gives_the_same_lines(shapefile, tmp_path, ending):
    expected = read(shapefile, where="STATUS IN ('1', '2')").frame
    path = tmp_path / f"other.{ending}"
    gpd.read_file(shapefile).to_file(path, engine="pyogrio")
    layer = read(path, where="STATUS IN ('1', '2')")
    assert shapely.equals_exact(layer.frame.geometry, expected.geometry, 1e-3).all()
    assert layer.frame.crs == expected.crs


@pytest.mark.parametrize("folder", ["", "download/shapes/"])
def test_zipped_shapefile_at_any_depth(shapefile, tmp_path, folder):
    archive = tmp_path / "download.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for part in shapefile.parent.glob("lines.*"):
            file.write(part, f"{folder}{part.name}")
    assert len(read(archive).frame) == 4
    assert len(read(f"/vsizip/{archive}/{folder}lines.shp").frame) == 4


def test_projects_to_the_sheets_crs(shapefile):
    to_utm = Transformer.from_crs(2263, 32618, always_xy=True)
    area = to_utm.transform_bounds(*SHEET)
    layer = read(shapefile, area=area, crs=rasterio_crs.CRS.from_epsg(32618))
    expected = to_utm.transform(*on_sheet((20, 90))[0])
    assert layer.frame.crs == CRS(32618)
    assert shapely.get_coordinates(layer.frame.geometry[2])[1] == pytest.approx(expected, abs=1e-3)


def test_nothing_is_missed_at_the_border_of_a_sheet_in_another_crs(tmp_path):
    # Parallels are curves in UTM: at the middle of the edge the corners' box falls short.
    degrees = (-75.0, 40.0, -71.0, 42.0)
    middle = Transformer.from_crs(4326, 32618, always_xy=True).transform(-73.0, 40.0001)
    path = tmp_path / "x.gpkg"
    frame([LineString([middle, (middle[0] + 1, middle[1])])], crs=32618).to_file(path)
    assert len(read(path, area=degrees, crs=CRS(4326)).frame) == 1


def test_takes_a_grid_as_area(shapefile):
    transform = Affine(0.5, 0, SHEET[0], 0, -0.5, SHEET[3])
    grid = Grid(50, 200, transform, rasterio_crs.CRS.from_epsg(2263))
    layer = read_layer(VectorSource(str(shapefile)), grid, grid.crs)
    assert layer.frame["source_fid"].tolist() == [0, 1, 2]


# --- geometries of every kind ------------------------------------------------------------


def test_skips_and_counts_what_has_no_geometry(tmp_path):
    path = tmp_path / "x.gpkg"
    line = LineString(on_sheet((0, 0), (9, 9)))
    frame([line, None, LineString(), line]).to_file(path)
    layer = read(path)
    assert (layer.counts.read, layer.counts.kept, layer.counts.empty) == (2, 2, 2)


def test_skips_and_counts_broken_coordinates(tmp_path, caplog):
    path = tmp_path / "x.gpkg"
    good = LineString(on_sheet((0, 0), (9, 9)))
    nan = LineString(on_sheet((0, 0), (5, np.nan), (9, 9)))
    infinite = LineString(on_sheet((0, 0), (np.inf, 5)))
    height = LineString(on_sheet((0, 0, np.nan), (9, 9, 1)))
    with np.errstate(invalid="ignore"):
        frame([good, nan, infinite, height]).to_file(path)
        with caplog.at_level(logging.WARNING, "roadmask"):
            layer = read(path)
    assert layer.counts.broken == 2
    assert layer.frame["source_fid"].tolist() == [1, 4]
    assert "2 features left out: they have broken coordinates" in caplog.text


def test_says_where_the_sheet_can_not_be_projected(tmp_path):
    path = tmp_path / "x.gpkg"
    frame([LineString([(0, 0), (9, 9)])], crs=3857).to_file(path)
    message = refusal(path, area=(-74, 95, -73, 99), crs=CRS(4326))
    assert "can't be projected from its CRS (WGS 84) to that of the layer" in message


def test_skips_what_can_not_be_projected(tmp_path):
    path = tmp_path / "x.gpkg"
    lines = [LineString([(-74, 40.7), (-74, 40.8)]), LineString([(-74, 40.7), (-74, 95)])]
    frame(lines, crs=4326).to_file(path)
    area = Transformer.from_crs(4326, 2263, always_xy=True).transform_bounds(-74.1, 40, -73.9, 41)
    layer = read(path, area=area)
    assert (layer.counts.kept, layer.counts.broken) == (1, 1)


def test_takes_collections_apart(tmp_path):
    lower_left, upper_right = on_sheet((0, 0), (50, 50))
    line = {"type": "LineString", "coordinates": [lower_left, upper_right]}
    point = {"type": "Point", "coordinates": lower_left}
    path = geojson(
        tmp_path / "x.geojson",
        [
            {"type": "GeometryCollection", "geometries": [point, line, line]},
            {"type": "GeometryCollection", "geometries": [point]},
            point,
            {"type": "LineString", "coordinates": [lower_left]},
        ],
    )
    layer = read(path)
    assert layer.frame["source_fid"].tolist() == [0]
    assert isinstance(layer.frame.geometry[0], MultiLineString)
    assert (layer.counts.other_type, layer.counts.broken) == (2, 1)


def test_polygons_given_as_lines_give_their_outline(tmp_path, caplog):
    path = tmp_path / "blocks.gpkg"
    x, y = SHEET[:2]
    block = box(x, y, x + 50, y + 50).difference(box(x + 10, y + 10, x + 20, y + 20))
    frame([block]).to_file(path)
    with caplog.at_level(logging.INFO, "roadmask"):
        layer = read(path)
    assert layer.counts.outlined == 1
    assert layer.frame.geometry.length[0] == pytest.approx(200 + 40)
    assert "the outline is taken" in caplog.text


def test_polygons_are_no_centerlines(tmp_path):
    path = tmp_path / "roadbed.gpkg"
    x, y = SHEET[:2]
    frame([box(x, y, x + 50, y + 50)]).to_file(path)
    with pytest.raises(InputError, match="holds no lines"):
        read(path, kind="lines")


def test_polygons_among_centerlines_are_left_out_and_counted(tmp_path, caplog):
    path = tmp_path / "mixed.geojson"
    x, y = SHEET[:2]
    axis = LineString([(x, y), (x + 50, y + 50)])
    frame([axis, box(x, y, x + 50, y + 50)]).to_file(path)
    layer = read(path, kind="lines")
    assert layer.frame.geometry.geom_type.tolist() == ["LineString"]
    assert layer.counts.other_type == 1
    assert "are of another type" in caplog.text


def test_polygons_that_cross_themselves_are_repaired(tmp_path):
    path = tmp_path / "x.gpkg"
    bow = Polygon(on_sheet((0, 0), (10, 10), (10, 0), (0, 10)))
    frame([bow, box(*SHEET)]).to_file(path)
    layer = read(path, kind="polygons")
    assert layer.counts.repaired == 1
    assert layer.frame.geometry.is_valid.all()
    assert layer.frame.geometry.area[0] == pytest.approx(50)


def test_curves_become_lines_but_not_inside_collections(tmp_path):
    x, y = SHEET[:2]
    arc = f"CIRCULARSTRING({x} {y},{x + 10} {y + 10},{x + 20} {y})"
    (tmp_path / "x.csv").write_text(
        f'id,WKT\n1,"{arc}"\n2,"GEOMETRYCOLLECTION({arc})"\n3,"LINESTRING ZM({x} {y} 1 2,{x} '
        f'{y + 9} 3 4)"\n'
    )
    (tmp_path / "x.vrt").write_text(
        '<OGRVRTDataSource><OGRVRTLayer name="x">'
        '<SrcDataSource relativeToVRT="1">x.csv</SrcDataSource>'
        '<LayerSRS>EPSG:2263</LayerSRS><GeometryField encoding="WKT" field="WKT"/>'
        "</OGRVRTLayer></OGRVRTDataSource>"
    )
    layer = read(tmp_path / "x.vrt")
    assert layer.counts.broken == 1
    assert layer.frame.geometry.length.tolist() == pytest.approx([np.pi * 10, 9], rel=1e-3)
    assert not (shapely.has_z(layer.frame.geometry) | shapely.has_m(layer.frame.geometry)).any()


@pytest.mark.parametrize(
    ("geometry", "kind"),
    [(Point(SHEET[:2]), "lines"), (LineString(on_sheet((0, 0), (9, 9))), "polygons")],
)
def test_refuses_a_layer_of_the_wrong_type(tmp_path, geometry, kind):
    path = tmp_path / "x.gpkg"
    frame([geometry]).to_file(path)
    with pytest.raises(InputError, match=f"holds no {kind} .*Give a layer of {kind}"):
        read(path, kind=kind)


def test_refuses_a_layer_of_unnamed_type_that_holds_points_alone(tmp_path):
    point = {"type": "Point", "coordinates": on_sheet((5, 5))[0]}
    mixed = {"type": "GeometryCollection", "geometries": [point]}
    with pytest.raises(InputError, match="holds no lines"):
        read(geojson(tmp_path / "x.geojson", [point, mixed]))


# --- errors that say what to do ----------------------------------------------------------


def refusal(*arguments, **options):
    with pytest.raises(RoadmaskError) as error:
        read(*arguments, **options)
    return str(error.value)


def test_missing_file_names_what_lies_beside_it(shapefile):
    message = refusal(shapefile.with_name("linse.shp"))
    assert "no such file; beside it lie" in message
    assert "lines.shp" in message
    assert "Correct street_lines.path" in message


def test_missing_folder(tmp_path):
    assert "Its folder is missing too" in refusal(tmp_path / "no" / "x.shp")


def test_file_of_another_kind(tmp_path):
    (tmp_path / "x.shp").write_bytes(b"hello" * 99)
    assert "no vector file that GDAL can read" in refusal(tmp_path / "x.shp")


def test_missing_prj(shapefile):
    shapefile.with_suffix(".prj").unlink()
    message = refusal(shapefile)
    assert "the layer lines has no CRS" in message
    assert "Put the .prj" in message


def test_missing_shx(shapefile):
    shapefile.with_suffix(".shx").unlink()
    message = refusal(shapefile)
    assert "its .shx, the index of the shapefile, is missing" in message
    assert "SHAPE_RESTORE_SHX=YES" in message
    assert not shapefile.with_suffix(".shx").exists()


def test_missing_dbf(shapefile):
    shapefile.with_suffix(".dbf").unlink()
    assert len(read(shapefile).frame) == 4
    assert "no fields at all" in refusal(shapefile, where="STATUS = '2'")


def test_layers(tmp_path):
    path = tmp_path / "x.gpkg"
    line = frame([LineString(on_sheet((0, 0), (9, 9)))])
    line.to_file(path, layer="pavement_edge")
    line.to_file(path, layer="curb")
    message = refusal(path, key="centerlines")
    assert message.startswith("centerlines.layer: ")
    assert "several layers: pavement_edge, curb" in message
    assert "It has pavement_edge, curb" in refusal(path, layer="Curb")
    assert len(read(path, layer="curb").frame) == 1


def test_several_shapefiles_in_folders_of_a_zip(shapefile, tmp_path):
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for part in shapefile.parent.glob("lines.*"):
            file.write(part, f"a/{part.name}")
            file.write(part, f"b/{part.name}")
    message = refusal(archive)
    assert "holds several files" in message
    assert f"street_lines.path: /vsizip/{archive}/a/lines.shp" in message


@pytest.mark.parametrize(
    ("where", "advice"),
    [
        ("STATUS = 2", "Write STATUS = '2'"),
        ("ST_WIDTH = 'wide'", "ST_WIDTH, which holds numbers"),
        ("STATE = '2'", " has no field STATE. Did you mean STATUS?"),
        ("STATUS = '2' AND", "GDAL can't read the filter"),
        ("STATUS = '7'", "leaves none of the 5 features"),
        ("STATUS = '7'", "In the file STATUS is '2', '1', '3', '9'"),
    ],
)
@pytest.mark.parametrize("ending", ["shp", "gpkg"])
def test_filters(shapefile, tmp_path, where, advice, ending):
    path = tmp_path / f"copy.{ending}"
    gpd.read_file(shapefile).to_file(path, engine="pyogrio")
    message = refusal(path, where=where, key="centerlines")
    assert message.startswith("centerlines.where: ")
    assert advice in message


def test_unknown_column(shapefile):
    with pytest.raises(SettingError, match=r"centerlines: .*no field WIDTH.*Did you mean ST_WIDTH"):
        read(shapefile, key="centerlines", columns=("WIDTH",))


def test_layer_of_another_place_gives_both_extents(shapefile):
    message = refusal(shapefile, area=(0, 0, 100, 100))
    assert "spans (1000000, 200000, 1005000, 200090) in EPSG:2263" in message
    assert "the sheet with its halo spans (0, 0, 100, 100)" in message
    assert "in degrees" in message


def test_degrees_with_the_crs_of_feet(tmp_path):
    path = tmp_path / "x.gpkg"
    frame([LineString([(-73.9, 40.7), (-73.8, 40.8)])], crs=2263).to_file(path)
    assert "look like degrees" in refusal(path)


def test_optional_layer_may_lie_elsewhere(shapefile, caplog):
    layer = read(shapefile, area=(0, 0, 100, 100), must_reach=False, key="labels.islands")
    assert layer.frame.empty
    assert "does not reach this sheet" in caplog.text


def test_empty_sheet_inside_the_layers_extent_is_only_a_warning(shapefile, caplog):
    layer = read(shapefile, area=(1_002_000, 200_000, 1_002_100, 200_100))
    assert layer.frame.empty
    assert layer.frame.crs == FEET
    assert "no feature on this sheet" in caplog.text


def test_layer_without_features(tmp_path):
    path = tmp_path / "x.gpkg"
    frame([LineString(on_sheet((0, 0), (1, 1)))]).iloc[:0].to_file(
        path, engine="pyogrio", geometry_type="LineString"
    )
    assert "has no features" in refusal(path)


def test_picture_without_crs(shapefile):
    message = refusal(shapefile, crs=None)
    assert "the picture has no CRS" in message
    assert "georeferenced imagery" in message


@pytest.mark.parametrize("declared", ["UTF-8", "NO-SUCH-CODE", None])
def test_wrong_encoding_does_not_stop_the_reading(tmp_path, declared):
    path = tmp_path / "x.shp"
    line = LineString(on_sheet((0, 0), (9, 9)))
    frame([line], NAME=["Größe"], STATUS=["2"]).to_file(
        path, engine="pyogrio", encoding="ISO-8859-1"
    )
    declaration = path.with_suffix(".cpg")
    declaration.unlink(missing_ok=True)
    if declared:
        declaration.write_text(declared)
    assert len(read(path, where="STATUS = '2'", columns=("NAME",)).frame) == 1


# --- real data ---------------------------------------------------------------------------


@pytest.mark.real_data
def test_nyc_codes_are_text_and_the_advice_works(real_data):
    path = real_data / "nyc_flatiron" / "centerline.shp"
    area = (985_000, 208_400, 987_600, 211_900)
    message = refusal(path, area=area, where="STATUS = 2 AND RW_TYPE NOT IN (4, 5, 6, 7, 12, 14)")
    advice = "STATUS = '2' AND RW_TYPE NOT IN ('4', '5', '6', '7', '12', '14')"
    assert f"Write {advice}." in message
    assert read(path, area=area, where=advice).counts.kept == 71


@pytest.mark.real_data
def test_layer_of_manhattan_in_metres_on_a_sheet_in_feet(real_data):
    path = real_data / "nyc_manhattan" / "street_lines.shp"
    to_feet = Transformer.from_crs(32118, 2263, always_xy=True)
    layer = read(path, area=to_feet.transform_bounds(302_000, 54_000, 302_500, 54_500))
    metres = gpd.read_file(path, bbox=(301_995, 53_995, 302_505, 54_505))
    assert abs(len(layer.frame) - len(metres)) <= 5
    expected = to_feet.transform(*shapely.get_coordinates(metres.geometry[0])[0])
    points = shapely.get_coordinates(layer.frame.geometry)
    assert np.hypot(*(points - expected).T).min() < 1e-3


def test_shapefile_is_left_alone(shapefile):
    before = {path.name: path.read_bytes() for path in Path(shapefile).parent.iterdir()}
    read(shapefile)
    copy = shapefile.parent.parent / "copy"
    shutil.copytree(shapefile.parent, copy)
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
